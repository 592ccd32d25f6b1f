# SPDX-License-Identifier: Apache-2.0
"""Depth that holds still: motion-compensated fusion in time, causal and without training."""

from clip2depth_ros.settings import StabilizerSettings
from clip2depth_ros.stabilizer.stabilizer import Stabilizer, Stable

__all__ = ["Stabilizer", "StabilizerSettings", "Stable"]
