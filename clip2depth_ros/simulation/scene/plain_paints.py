# SPDX-License-Identifier: Apache-2.0
"""Paints that are the same in every place."""

from __future__ import annotations

from clip2depth_ros.simulation.scene.scene import Paint

BLACK = Paint((0.05, 0.05, 0.06), specular=0.3)


STEEL = Paint((0.62, 0.63, 0.65), specular=0.7, shininess=0.6, words="metal")


WHITE = Paint((0.92, 0.92, 0.90), specular=0.3)
