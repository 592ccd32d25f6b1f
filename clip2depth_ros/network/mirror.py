# SPDX-License-Identifier: Apache-2.0
"""The mirror: learned tokens in place of the words of a prompt, encoded by the frozen text tower."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.network.frozen import Freezable

MIRROR_TOKENS = 64
PAD_ID = 0


class TextTower(Freezable):
    """CLIP's text transformer behind its token embedding: token vectors in, EOS-pooled embedding out.

    Uses the weights of an open_clip CLIP or CustomTextCLIP except the vocabulary, of which it keeps only the
    start, end and padding rows.

    width             of a token vector
    embedding_dim     of the output
    tokens            capacity between the start and end tokens
    """

    sos: torch.Tensor
    eos: torch.Tensor
    pad: torch.Tensor
    attn_mask: torch.Tensor | None

    def __init__(self, clip: nn.Module) -> None:
        super().__init__()
        text: Any = getattr(clip, "text", clip)
        pool = getattr(text, "pool_type", None) or getattr(text, "text_pool_type", None)
        if pool not in ("argmax", "eos") or getattr(text, "cls_emb", None) is not None:
            raise Clip2DepthError(
                f"this CLIP's text tower pools by '{pool}': the mirror needs pooling at EOS"
            )
        rows = text.token_embedding.weight.detach()
        # open_clip's tokenizer has the start and end tokens last in its vocabulary, in this order
        self.register_buffer("sos", rows[-2].clone())
        self.register_buffer("eos", rows[-1].clone())
        self.register_buffer("pad", rows[PAD_ID].clone())
        self.positional_embedding = text.positional_embedding
        self.transformer = text.transformer
        self.ln_final = text.ln_final
        self.text_projection = text.text_projection
        self.register_buffer("attn_mask", text.attn_mask, persistent=False)
        self.width = rows.shape[1]
        self.tokens = self.positional_embedding.shape[0] - 2

    @property
    def embedding_dim(self) -> int:
        projection = self.text_projection
        if projection is None:
            return self.width
        return projection.out_features if isinstance(projection, nn.Linear) else projection.shape[1]

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """tokens: (n, width) vectors. Returns the (embedding_dim,) embedding, not normalized."""
        count = tokens.shape[0]
        if count > self.tokens:
            raise Clip2DepthError(
                f"{count} mirror tokens do not fit: this text tower has room for {self.tokens}"
            )
        parts = [self.sos[None], tokens, self.eos[None]]
        mask = self.attn_mask
        if mask is None:
            # without a causal mask the end token attends to the padding behind it, as for a real prompt
            parts.append(self.pad.expand(self.tokens - count, -1))
        x = torch.cat(parts)
        length = x.shape[0]
        x = (x + self.positional_embedding[:length])[None]
        x = self.transformer(x, attn_mask=None if mask is None else mask[:length, :length])
        x = self.ln_final(x[:, count + 1])[0]
        if self.text_projection is None:
            return x
        return (
            self.text_projection(x)
            if isinstance(self.text_projection, nn.Linear)
            else x @ self.text_projection
        )


def word_embeddings(clip: nn.Module, tokenizer, sentence: str) -> torch.Tensor:
    """(n, width): the token embeddings of `sentence` in `clip`, without start and end."""
    ids = tokenizer(sentence)[0]
    words = ids[1 : ids.argmax()]  # open_clip's end token has the highest id
    text: Any = getattr(clip, "text", clip)
    return text.token_embedding.weight.detach()[words]


class Mirror(nn.Module):
    """The token matrix. forward() encodes it with the given text tower and normalizes the result.

    The embedding is scaled to unit mean square, independent of the CLIP's output scale: only its direction
    has a meaning in CLIP, and FiLM needs inputs of order one.

    The matrix is trained from random values. For comparison it can stay random (`trained` False), or hold a
    sentence's token embeddings (`words`, (n, width)), which never change.
    """

    def __init__(
        self,
        tower: TextTower,
        count: int = MIRROR_TOKENS,
        std: float = 0.02,
        *,
        trained: bool = True,
        words: torch.Tensor | None = None,
    ) -> None:
        super().__init__()
        count = min(count, tower.tokens)
        start = torch.randn(count, tower.width) * std if words is None else words.detach().clone()
        self.tokens = nn.Parameter(start, requires_grad=trained and words is None)

    def forward(self, tower: TextTower) -> torch.Tensor:
        """Returns the (embedding_dim,) embedding; gradients reach the tokens through the tower."""
        embedding = tower(self.tokens)
        return functional.normalize(embedding, dim=-1) * embedding.shape[-1] ** 0.5
