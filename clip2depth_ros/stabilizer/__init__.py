# SPDX-License-Identifier: Apache-2.0
"""Temporally consistent depth: motion-compensated fusion over time, causal and without training."""

from clip2depth_ros.settings import StabilizerSettings
from clip2depth_ros.stabilizer.stabilizer import Stabilizer, Stable

__all__ = ["Stabilizer", "StabilizerSettings", "Stable"]
