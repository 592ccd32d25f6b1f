# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: mirror and decoder in safetensors, with the facts needed to build the network around them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from clip2depth_ros.errors import Clip2DepthError, printable
from clip2depth_ros.files.bounded import reading, reason_of
from clip2depth_ros.files.replacing import replacing
from clip2depth_ros.network.backbones import create_clip, find_backbone
from clip2depth_ros.network.clip2depth import Clip2Depth

FORMAT = "clip2depth-checkpoint-1"


def write_tensors(path: str | Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file atomically: an interrupted write leaves the old file."""
    # contiguous clones: safetensors rejects shared storage, and channels_last must be undone
    whole = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    try:
        with replacing(path) as part:
            save_file(whole, part, metadata=metadata)
    except (OSError, SafetensorError) as error:
        raise Clip2DepthError(f"{path} cannot be written: {reason_of(error)}.") from error


def read_tensors(path: str | Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file. Raises Clip2DepthError if it is missing or damaged."""
    with reading_tensors(path), safe_open(str(path), framework="pt") as file:
        return {k: file.get_tensor(k) for k in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118


def read_facts(path: str | Path, kind: str) -> dict:
    """The facts in the metadata of a safetensors file whose format is `kind`, without reading its tensors.

    Raises Clip2DepthError.
    """
    with reading_tensors(path):
        with safe_open(str(path), framework="pt") as file:
            metadata = dict(file.metadata() or {})
        if metadata.get("format") == kind:
            facts = json.loads(metadata["facts"])
            if not isinstance(facts, dict):
                raise ValueError("its facts are not a table")
            return facts
    raise Clip2DepthError(f"{path} does not have the format {kind} but '{printable(metadata.get('format'))}'")


@contextmanager
def reading_tensors(path: str | Path) -> Iterator[None]:
    """Context for reading a safetensors file: errors become Clip2DepthError. safetensors checks sizes."""
    path = Path(path)
    if not path.exists():
        raise Clip2DepthError(f"no file {path}")
    if not path.is_file():
        raise Clip2DepthError(f"{path} is not a regular file")
    try:
        yield
    except Clip2DepthError:
        raise
    except Exception as error:
        raise Clip2DepthError(f"{path} is not a readable safetensors file: {reason_of(error)}") from error


def save_checkpoint(
    path: str | Path, model: Clip2Depth, *, clip_weights: str, notes: dict | None = None
) -> None:
    """Save mirror and decoder. clip_weights: "pretrained", "random", or the name of a file beside `path`.

    notes: any JSON value; `checkpoint_facts` returns it.
    """
    facts = {
        "backbone": model.backbone.name,
        "clip_weights": clip_weights,
        "clip_sha256": model.clip_sha256,
        "size": list(model.size),
        "depth_range": list(model.depth_range),
        "canonical_focal_px": model.canonical_focal_px,
        "mirror_tokens": 0 if model.mirror is None else model.mirror.tokens.shape[0],
        "skips": model.decoder.skips,
        "condition": model.condition,
        "notes": notes or {},
    }
    write_tensors(path, model.trainable_state(), {"format": FORMAT, "facts": json.dumps(facts)})


def checkpoint_facts(path: str | Path) -> dict:
    """The facts that `save_checkpoint` wrote beside the weights."""
    try:
        return read_facts(path, FORMAT)
    except Clip2DepthError as error:
        raise Clip2DepthError(f"not a clip2depth checkpoint: {error}") from error


def load_checkpoint(path: str | Path) -> Clip2Depth:
    """The network of `path` in evaluation mode. Raises Clip2DepthError if the CLIP differs."""
    facts = checkpoint_facts(path)
    with reading(f"The checkpoint {path}"):
        return _build(path, facts)


def _build(path: str | Path, facts: dict) -> Clip2Depth:
    backbone = find_backbone(facts["backbone"])
    weights = facts["clip_weights"]
    if weights == "random":
        raise Clip2DepthError(f"{path} was trained on a CLIP with random weights that were not saved")
    source = "pretrained" if weights == "pretrained" else Path(path).parent / weights
    model = Clip2Depth(
        create_clip(backbone, source),
        backbone,
        size=tuple(facts["size"]),
        depth_range=tuple(facts["depth_range"]),
        canonical_focal_px=facts["canonical_focal_px"],
        mirror_tokens=facts["mirror_tokens"],
        skips=facts["skips"],
        condition=facts.get("condition", "mirror"),
    )
    if model.clip_sha256 != facts["clip_sha256"]:
        raise Clip2DepthError(
            f"{path} belongs to a CLIP with SHA-256 {facts['clip_sha256'][:12]}, "
            f"but {source} has {model.clip_sha256[:12]}: use the CLIP it was trained on"
        )
    load_trainable(model, path)
    return model.eval()


def load_trainable(model: Clip2Depth, path: str | Path) -> None:
    """Load mirror and decoder from `path` into `model`; missing or unexpected tensors are an error."""
    tensors, _ = read_tensors(path)
    missing = model.trainable_state().keys() ^ tensors.keys()
    if missing:
        raise Clip2DepthError(
            f"{path} does not fit this network: {sorted(missing)[0]} and {len(missing) - 1} more differ"
        )
    with reading(path):
        model.load_state_dict(tensors, strict=False)
