# SPDX-License-Identifier: Apache-2.0
"""Scale from the camera's height above the floor."""

from __future__ import annotations

import math

import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.images.origins import ScaleOrigin
from clip2depth_ros.scale.source import Evidence, ScaleSource, View

DEVIATION = 0.03
"""Of the height of a floor that fills a fifth of the view; a smaller one tells less."""
FULL_SUPPORT = 0.2
SWAY = 0.03
"""Radians by which a robot leans as it drives, whatever its mounting."""
LEANING = 4.0
"""Deviation for each radian that the floor leans from the expected direction: depth that bends it is off by
about as much in its distance."""
GRID = 40
"""Samples along the image's longer side."""
BAND = 0.1
"""How far from the found floor a point may lie, as a part of the floor's height."""
STEEPEST = 0.03
"""Least slope at which a ray meets the floor: what is nearly level meets it too far off to tell anything."""
MIN_POINTS = 36
BEND = 0.15
"""Deviation of the log factor's change with log depth: how much a network can bend a floor."""
TILT = 0.015
"""Deviation of the mounting's pitch, radians, at which the true floor's depth is sought."""
POINT, ALIKE = 0.05, 20.0
"""Deviation of one point's log depth, and how many points err alike."""
ROUNDS = 4
FRAME = 0.04
"""Deviation of one frame's fit beside that of the floor's height, from noise that the next frame does not
have."""
LASTING, PAUSE = 0.5, 1.0
"""Seconds for which a floor that fills less than FULL_SUPPORT must have been in sight, and for which it may
be hidden meanwhile: a board of a shelf is taken for a floor in a frame or two."""


class HeightSource(ScaleSource):
    """The camera's height in metres against the floor that was found in the depth.

    Every point of the floor says a factor: how far the true floor is along its ray, over its depth. A network
    that has near things too near, or bends the floor, says another factor at every distance; so the factors
    are taken as a function of depth, along with a small error of the mounting's pitch, and the opinion is
    their mean over the depths of the whole image, of which the floor is mostly the near part.

    height: metres, positive.

    What is taken for the floor while the floor is hidden, a table or a bed, stays as long as the robot does:
    hence the patience.
    """

    name = ScaleOrigin.HEIGHT
    memory = 1.0
    patience = 15.0

    def __init__(self, height: float) -> None:
        super().__init__()
        self.height = height
        self._camera: Camera | None = None
        self.reset()

    def reset(self) -> None:
        self._time: float | None = None
        self._since = 0.0

    def evidence(self, view: View) -> Evidence | None:
        if view.floor is None:
            return None
        if self._time is None or not 0 <= view.time - self._time <= PAUSE:
            self._since = view.time
        self._time = view.time
        if view.time - self._since < LASTING and view.floor.support < FULL_SUPPORT:
            return None
        deviation = DEVIATION * math.sqrt(max(1.0, FULL_SUPPORT / view.floor.support))
        if view.up is not None:
            lean = math.acos(min(1.0, max(-1.0, float(view.floor.normal @ view.up))))
            deviation = math.hypot(deviation, LEANING * max(0.0, lean - SWAY))
        factor, unsure = self._factor(view)
        if unsure:
            deviation = math.hypot(deviation, FRAME)
        return Evidence(factor, deviation, unsure)

    def _factor(self, view: View) -> tuple[float, float]:
        """The log factor over the whole image, and its deviation."""
        plain = math.log(self.height / view.floor.height), 0.0
        if view.camera != self._camera:
            step = max(1, round(max(view.camera.size) / GRID))
            self._window = (slice(step // 2, None, step), slice(step // 2, None, step))
            self._rays = view.camera.rays()[self._window].reshape(-1, 3).astype(np.float64)
            self._camera = view.camera
        z = view.depth[self._window].ravel().astype(np.float64)
        with np.errstate(invalid="ignore"):
            known = (z > 0) & (z < np.inf)
        rays, z = self._rays[known], z[known]
        up = view.floor.normal if view.up is None else view.up
        down = -(rays @ up)
        on = np.abs(-(rays @ view.floor.normal) * z / view.floor.height - 1) < BAND
        on &= down > STEEPEST
        if np.count_nonzero(on) < MIN_POINTS:
            return plain
        middle = float(np.log(z).mean())
        rays, down, z = rays[on], down[on], z[on]
        says = np.log(self.height / (down * z))
        # Over the true floor's depth, which has no noise that the factors would share.
        far = np.log(self.height / down) - middle - plain[0]
        # By how much a pitch that is off by a radian changes the true floor's log depth.
        pitched = (np.cross([1.0, 0.0, 0.0], rays) @ up) / down
        columns = np.stack([np.ones_like(says), far, pitched], axis=1)
        prior = np.diag([0.0, BEND**-2, TILT**-2])
        result = np.zeros(3)
        width = math.inf
        for _ in range(ROUNDS):
            weight = np.clip(1 - ((says - columns @ result) / width) ** 2, 0, None) ** 2 / (POINT**2 * ALIKE)
            normal = (columns * weight[:, None]).T @ columns + prior
            try:
                result = np.linalg.solve(normal, columns.T @ (weight * says))
                variance = float(np.linalg.inv(normal)[0, 0])
            except np.linalg.LinAlgError:
                return plain
            width = 4 * max(1.4826 * float(np.median(np.abs(says - columns @ result))), 0.02)
        # The image's middle is further off by the factor itself.
        factor = (result[0] - result[1] * plain[0]) / (1 - result[1]) if result[1] < 0.5 else result[0]
        return float(factor), math.sqrt(max(variance, 0.0))
