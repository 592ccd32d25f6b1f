# SPDX-License-Identifier: Apache-2.0
"""Modules that can be frozen."""

from __future__ import annotations

from torch import nn


class Freezable(nn.Module):
    """A module that, once frozen, has no trainable parameters and stays in evaluation mode.

    `train()` on a parent calls it on all children; without this class it would re-enable dropout and the
    updates of batch-norm statistics in a frozen tower.
    """

    def __init__(self) -> None:
        super().__init__()
        self.frozen = False

    def freeze(self) -> Freezable:
        """Freeze permanently; returns self."""
        self.frozen = True
        self.requires_grad_(False)
        return self.eval()

    def train(self, mode: bool = True) -> Freezable:
        return super().train(mode and not self.frozen)
