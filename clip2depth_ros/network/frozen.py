# SPDX-License-Identifier: Apache-2.0
"""Modules that stay as they were trained."""

from __future__ import annotations

from torch import nn


class Freezable(nn.Module):
    """A module that, once frozen, has no trainable parameter and never leaves evaluation mode.

    `train()` on a parent reaches all its children; without this, it would put a frozen tower's batch norm
    back to updating its statistics and its dropout back to dropping.
    """

    def __init__(self) -> None:
        super().__init__()
        self.frozen = False

    def freeze(self) -> Freezable:
        """Freeze for good; returns self."""
        self.frozen = True
        self.requires_grad_(False)
        return self.eval()

    def train(self, mode: bool = True) -> Freezable:
        return super().train(mode and not self.frozen)
