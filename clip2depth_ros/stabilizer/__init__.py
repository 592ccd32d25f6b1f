# SPDX-License-Identifier: Apache-2.0
"""Depth that holds still: motion-compensated fusion in time, causal and without training."""

from .settings import StabilizerSettings
from .stabilizer import Stabilizer, Stable

__all__ = ["Stabilizer", "StabilizerSettings", "Stable"]
