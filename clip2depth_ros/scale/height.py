# SPDX-License-Identifier: Apache-2.0
"""Scale from the camera's height above the floor."""

from __future__ import annotations

import math

import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.images.origins import ScaleOrigin
from clip2depth_ros.scale.source import Evidence, ScaleSource, View

STD_DEV = 0.03
"""Of the height of a floor that covers FULL_SUPPORT of the view; it increases for a smaller floor."""
FULL_SUPPORT = 0.2
SWAY = 0.03
"""Radians by which a robot tilts while it drives."""
LEANING = 4.0
"""Standard deviation for each radian between the floor's normal and the expected direction: depth that tilts
the floor has a similar relative error of its distance."""
GRID = 40
"""Samples along the image's longer side."""
BAND = 0.1
"""Largest distance of a point from the detected floor, as a fraction of the floor's height."""
STEEPEST = 0.03
"""Least slope of a ray to the floor. A ray that is nearly level meets it too far away to be useful."""
MIN_POINTS = 36
BEND = 0.15
"""Standard deviation of the log factor's slope over log depth: how much a network can bend a floor."""
TILT = 0.015
"""Standard deviation of the mounting's pitch, radians."""
POINT, ALIKE = 0.05, 20.0
"""Standard deviation of one point's log depth, and how many points share one error."""
ROUNDS = 4
FRAME = 0.04
"""Standard deviation of one frame's fit from noise that is independent between frames."""
LASTING, PAUSE = 0.5, 1.0
"""Seconds for which a floor below FULL_SUPPORT must be visible before it is used, and for which it may be
hidden meanwhile: in single frames, a shelf board is taken for a floor."""


class HeightSource(ScaleSource):
    """The known camera height in meters over the height of the floor in the depth.

    Every point of the floor gives a factor: the distance of the true floor along its ray over its depth. With
    a network that makes near objects too near, or bends the floor, the factor changes with distance. So the
    factor is fitted as a function of depth, together with a small error of the mounting's pitch. The evidence
    is its mean over the depths of the whole image, of which the floor is mostly the near part.

    height: meters, positive.

    override_time is long, because a table or a bed that is taken for the hidden floor stays in view as long
    as the robot stands still.
    """

    name = ScaleOrigin.HEIGHT
    memory = 1.0
    override_time = 15.0

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
        deviation = STD_DEV * math.sqrt(max(1.0, FULL_SUPPORT / view.floor.support))
        if view.up is not None:
            lean = math.acos(min(1.0, max(-1.0, float(view.floor.normal @ view.up))))
            deviation = math.hypot(deviation, LEANING * max(0.0, lean - SWAY))
        factor, fit_std_dev = self._factor(view)
        if fit_std_dev:
            deviation = math.hypot(deviation, FRAME)
        return Evidence(factor, deviation, fit_std_dev)

    def _factor(self, view: View) -> tuple[float, float]:
        """The mean log factor over the whole image, and its standard deviation."""
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
        ratios = np.log(self.height / (down * z))
        # The regressor is the true floor's depth, because its noise is not correlated with the factors.
        far = np.log(self.height / down) - middle - plain[0]
        # Derivative of the true floor's log depth by the pitch, per radian.
        pitched = (np.cross([1.0, 0.0, 0.0], rays) @ up) / down
        columns = np.stack([np.ones_like(ratios), far, pitched], axis=1)
        prior = np.diag([0.0, BEND**-2, TILT**-2])
        result = np.zeros(3)
        width = math.inf
        for _ in range(ROUNDS):
            weight = np.clip(1 - ((ratios - columns @ result) / width) ** 2, 0, None) ** 2 / (
                POINT**2 * ALIKE
            )
            normal = (columns * weight[:, None]).T @ columns + prior
            try:
                result = np.linalg.solve(normal, columns.T @ (weight * ratios))
                variance = float(np.linalg.inv(normal)[0, 0])
            except np.linalg.LinAlgError:
                return plain
            width = 4 * max(1.4826 * float(np.median(np.abs(ratios - columns @ result))), 0.02)
        # The mean log depth of the image scales with the factor itself.
        factor = (result[0] - result[1] * plain[0]) / (1 - result[1]) if result[1] < 0.5 else result[0]
        return float(factor), math.sqrt(max(variance, 0.0))
