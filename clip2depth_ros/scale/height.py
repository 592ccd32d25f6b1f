# SPDX-License-Identifier: Apache-2.0
"""Scale from the camera's height above the floor."""

from __future__ import annotations

import math

from clip2depth_ros.scale.source import Evidence, ScaleSource, View

DEVIATION = 0.03
"""Of the height of a floor that fills a fifth of the view; a smaller one tells less."""
FULL_SUPPORT = 0.2
SWAY = 0.03
"""Radians by which a robot leans as it drives, whatever its mounting."""
LEANING = 4.0
"""Deviation for each radian that the floor leans from the expected direction: depth that bends it is off by
about as much in its distance."""


class HeightSource(ScaleSource):
    """The camera's height in metres over its height above the floor that was found in the depth.

    height: metres, positive.

    What is taken for the floor while the floor is hidden, a table or a bed, stays as long as the robot does:
    hence the patience.
    """

    name = "height"
    memory = 1.0
    patience = 15.0

    def __init__(self, height: float) -> None:
        super().__init__()
        self.height = height

    def evidence(self, view: View) -> Evidence | None:
        if view.floor is None:
            return None
        deviation = DEVIATION * math.sqrt(max(1.0, FULL_SUPPORT / view.floor.support))
        if view.up is not None:
            lean = math.acos(min(1.0, max(-1.0, float(view.floor.normal @ view.up))))
            deviation = math.hypot(deviation, LEANING * max(0.0, lean - SWAY))
        return Evidence(math.log(self.height / view.floor.height), deviation)
