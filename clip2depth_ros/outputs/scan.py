# SPDX-License-Identifier: Apache-2.0
"""Obstacles in a height band above the floor as a laser scan, for any pitch and roll of the camera."""

from __future__ import annotations

import math

import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.camera.transforms import cross
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.frame import NAN, DepthFrame, Floor
from clip2depth_ros.outputs.edges import EdgeFinder
from clip2depth_ros.outputs.uncertainty import height_uncertainty
from clip2depth_ros.settings import ScanSettings

# Columns per reading, so that each reading has samples; rows can be further apart,
# because obstacles are tall.
COLUMNS_PER_READING = 2
ROW_STEP = 2

# Least number of pixels of an obstacle in one direction; a single pixel is noise.
PIXELS_PER_OBSTACLE = 2

# Least horizontal component of the view's direction, about 84 degrees down or up.
LEAST_FORWARD = 0.1


class LaserScan:
    """Builds scans in the level frame at the camera's position: x forward, y left, z up.

    Readings are evenly spaced over the camera's horizontal field of view, counter-clockwise. Their number
    depends on the camera, not on its tilt, because SLAM expects a constant scan geometry. `angle_min`,
    `angle_max`, `angle_increment` (radians) are valid after `prepare` or `build`; `rotation` (3, 3), of the
    last build, maps points of the optical frame into the level frame.

    A reading is the horizontal distance to the nearest obstacle in its direction, meters. Following REP 117
    it is +inf where the band is visibly free up to max_range, and NaN where it is unknown: the depth is
    unknown, or the view leaves the band before max_range (a camera that looks down sees only floor). nav2's
    obstacle layer clears along +inf with `inf_is_valid: true` and ignores NaN, as do SLAM Toolbox and AMCL. A
    camera that looks down never sees its band free up to the default range; choose a max_range at which the
    floor is still in view, so that free space is cleared.
    """

    def __init__(self, settings: ScanSettings = ScanSettings()) -> None:  # noqa: B008 - frozen
        self.settings = settings
        self.angle_min = self.angle_max = self.angle_increment = 0.0
        self.rotation = np.eye(3)
        self._prepared: tuple[Camera, ScanSettings] | None = None

    def prepare(self, camera: Camera) -> int:
        """Prepare the buffers for a camera; returns the number of readings in its scans."""
        if self._prepared != (camera, self.settings):
            self._make_buffers(camera)
        return self._readings

    def build(self, frame: DepthFrame, floor: Floor, out: np.ndarray | None = None) -> np.ndarray:
        """Fill `out` with the ranges of a frame and return it.

        floor: in the frame's published meters and optical frame. out: (N,) float32 with N = prepare(camera);
        None makes a new array.
        Raises Clip2DepthError when the frame has no camera or the camera looks straight down or up.
        """
        if frame.camera is None:
            raise Clip2DepthError(
                "The scan needs a camera: provide camera_info, a camera file or horizontal_fov."
            )
        count = self.prepare(frame.camera)
        if out is None:
            out = np.empty(count, np.float32)
        elif out.shape != (count,) or out.dtype != np.float32:
            raise Clip2DepthError(
                f"The scan's buffer must be float32 ({count},), it is {out.dtype} {out.shape}."
            )
        settings = self.settings
        self.rotation = rotation = level_rotation(floor)
        np.copyto(self._depth, frame.depth_at(*self._sample))
        if self._edges is not None:
            np.copyto(self._depth, NAN, where=self._edges.find_smeared(self._depth))
        forward, left, up = (
            np.add(x * self._x, y * self._y + z, out=buffer)
            for (x, y, z), buffer in zip(rotation.astype(np.float32), self._axes, strict=True)
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            # Horizontal length and height of the ray at depth 1, then of the point.
            length = np.hypot(forward, left, out=self._length)
            reach = np.multiply(self._depth, length, out=self._reach)
            rise = np.multiply(self._depth, up, out=self._rise)
            lowest = np.multiply(reach, settings.floor_tolerance, out=self._lowest)
            deviation = frame.std_dev_at(*self._sample)
            if deviation is not None:
                np.add(lowest, height_uncertainty(rise, deviation, out=self._uncertainty), out=lowest)
            lowest += np.float32(settings.min_height - floor.height)
            obstacle = np.greater(rise, lowest, out=self._obstacle)
            obstacle &= rise < settings.max_height - floor.height
            obstacle &= reach >= settings.min_range
            obstacle &= reach <= settings.max_range
            free = np.greater_equal(reach, settings.max_range, out=self._free)
            if free.any():
                # The height at max_range of the rays that reach it.
                slope = np.divide(up, length, out=self._lowest)
                free &= slope >= (settings.min_height - floor.height) / settings.max_range
                free &= slope <= (settings.max_height - floor.height) / settings.max_range
        out[:] = NAN
        seen, _ = self._directions(free)
        out[seen] = math.inf
        self._nearest(obstacle, out)
        return out

    def _directions(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Index of the reading and flat index of the pixel,
        for the chosen pixels within the readings' angles."""
        pixels = np.flatnonzero(chosen)
        forward, left = self._axes[0].ravel()[pixels], self._axes[1].ravel()[pixels]
        angle = np.arctan2(left, forward)
        angle -= np.float32(self.angle_min - self.angle_increment / 2)
        angle *= np.float32(1 / self.angle_increment)
        inside = (angle >= 0) & (angle < self._readings)
        return angle[inside].astype(np.intp), pixels[inside]

    def _nearest(self, obstacle: np.ndarray, out: np.ndarray) -> None:
        """Write the distance of the nearest obstacle into the readings of `out` that have one."""
        readings, pixels = self._directions(obstacle)
        # One sort key: the integer part is the reading, the fraction the distance.
        span = 2 * self.settings.max_range
        keys = np.sort(readings + self._reach.ravel()[pixels] / np.float64(span))
        starts = np.searchsorted(keys, np.arange(self._readings + 1))
        chosen = starts[:-1] + PIXELS_PER_OBSTACLE - 1
        there = chosen < starts[1:]
        out[there] = (keys[chosen[there]] % 1.0) * span

    def _make_buffers(self, camera: Camera) -> None:
        settings = self.settings
        first = -math.atan((camera.width - 0.5 - camera.cx) / camera.fx)
        span = math.atan((camera.cx + 0.5) / camera.fx) - first
        self._readings = max(2, round(span / settings.resolution))
        self.angle_increment = span / self._readings
        self.angle_min = first + self.angle_increment / 2
        self.angle_max = self.angle_min + (self._readings - 1) * self.angle_increment
        # A pixel covers 1 / fx rad in the middle and less at the sides.
        step = max(1, int(self.angle_increment * camera.fx / COLUMNS_PER_READING))
        self._sample = ROW_STEP * step, step
        x, y = camera.axes()
        self._x, self._y = x[::step], y[:: ROW_STEP * step, None]
        shape = (self._y.size, self._x.size)
        buffers = [np.empty(shape, np.float32) for _ in range(9)]
        self._depth, self._length, self._reach, self._rise, self._lowest, self._uncertainty, *self._axes = (
            buffers
        )
        self._obstacle, self._free = np.empty(shape, bool), np.empty(shape, bool)
        reach = max(1, round(settings.edge_reach * camera.width / step))
        self._edges = EdgeFinder(settings.edge_threshold, reach) if settings.edge_threshold else None
        self._prepared = (camera, settings)


def level_rotation(floor: Floor) -> np.ndarray:
    """(3, 3) float64: the optical frame's axes in the level frame, x forward, y left, z up.

    Forward is the optical axis, projected onto the floor. Raises Clip2DepthError when the camera looks
    straight down or up.
    """
    up = floor.normal / np.linalg.norm(floor.normal)
    forward = np.array([0.0, 0.0, 1.0]) - up[2] * up
    length = np.linalg.norm(forward)
    if not length > LEAST_FORWARD:
        raise Clip2DepthError(
            "The scan needs a camera that looks forward; by the floor's tilt this one looks straight "
            + ("down." if up[2] < 0 else "up.")
        )
    forward /= length
    return np.stack([forward, cross(up, forward), up])
