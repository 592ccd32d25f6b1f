# SPDX-License-Identifier: Apache-2.0
"""The exponential moving average of the weights during training, which is validated and exported."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


def trained_state(module: nn.Module) -> dict[str, torch.Tensor]:
    """The tensors that training changes, by name; not copies. `module` must be in training mode.

    These are the parameters that require a gradient, and the saved buffers of the parts in training mode,
    such as batch-norm statistics.
    """
    saved = module.state_dict(keep_vars=True)
    found = {name: p.data for name, p in module.named_parameters() if p.requires_grad}
    for prefix, part in module.named_modules():
        if part.training:
            for name, buffer in part.named_buffers(prefix, recurse=False):
                if name in saved:
                    found[name] = buffer
    return found


class WeightAverage:
    """The moving average of the trained state.

    At first the decay is lower, (1 + step) / (10 + step), so that the random start has little weight. With
    decay 0 the average equals the weights.
    """

    def __init__(self, state: dict[str, torch.Tensor], decay: float) -> None:
        self._live, self.decay = state, decay
        self.state = {name: value.detach().clone() for name, value in state.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Add the weights after `step` (0 is the first) to the average."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in self._live.items():
            if value.is_floating_point():
                self.state[name].lerp_(value, 1 - decay)
            else:
                self.state[name].copy_(value)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Context in which the module's weights are the average."""
        with torch.no_grad():
            kept = {name: value.clone() for name, value in self._live.items()}
            try:
                for name, value in self._live.items():
                    value.copy_(self.state[name])
                yield
            finally:
                for name, value in self._live.items():
                    value.copy_(kept[name])
