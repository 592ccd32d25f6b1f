# SPDX-License-Identifier: Apache-2.0
"""The order of the work on one frame, and each stage's time. No ROS."""

from __future__ import annotations

import time
from dataclasses import dataclass

import cv2
import numpy as np

from clip2depth_ros.camera import Camera, Letterbox, Rectifier
from clip2depth_ros.engines import Engine
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.frame import NAN, DepthFrame, Frame, FrameFacts

# The temporal error is measured on this many samples per axis; depth is smooth enough for that.
GRID = 24


@dataclass(slots=True)
class _Geometry:
    """Everything that depends on the image's size and camera only."""

    size: tuple[int, int]
    camera: Camera | None
    rectifier: Rectifier | None
    letterbox: Letterbox
    focal_scale: float
    depth_camera: Camera | None
    outside: np.ndarray | None
    rectified: np.ndarray | None
    image: np.ndarray | None
    depth: np.ndarray
    known: np.ndarray


class Pipeline:
    """Turns frames into depth frames: rectify, fit, infer, unfit.

    engine: opened; its manifest says the input size, the canonical focal length and the depth range.
    depth_size: (width, height) of the depth, or None for the input's own resolution.

    The arrays of the returned DepthFrame belong to the pipeline and hold until its next call (the image may
    be the frame's own). One pipeline serves one stream and one thread.
    """

    def __init__(self, engine: Engine, *, depth_size: tuple[int, int] | None = None) -> None:
        if depth_size is not None and min(depth_size) <= 0:
            raise Clip2DepthError(
                f"The depth's size must be positive, it is {depth_size[0]}x{depth_size[1]}."
            )
        self.engine = engine
        self.depth_size = depth_size
        manifest = engine.manifest
        net = (manifest.input_height, manifest.input_width)
        self._input = np.empty((*net, 3), np.uint8)
        self._metres = np.empty(net, np.float32)
        self._geometry: _Geometry | None = None
        self._stamp: int | None = None
        self._was_reset = False
        self._grid: np.ndarray | None = None
        # One part in a thousand, so that a network that saturates at the end of its range still measures it.
        self._range = (manifest.depth_min * 0.999, manifest.depth_max * 1.001)

    @property
    def needs_camera(self) -> bool:
        """True when depth itself, not only points, needs a camera."""
        return self.engine.manifest.canonical_focal_px is not None

    def reset(self) -> None:
        """Forget the past. The next frame's facts say so, if there was one."""
        self._was_reset |= self._stamp is not None
        self._stamp = None
        self._grid = None

    def process(self, frame: Frame) -> DepthFrame:
        """Depth of one frame.

        The past is forgotten when time runs backwards or when the image's size or camera changes. Depth that
        is not finite, outside the manifest's range or outside the camera's view is NaN.
        Raises Clip2DepthError for an image that is not (H, W, 3) uint8, a camera of another size, and a frame
        without camera when the bundle needs one.
        """
        started = time.perf_counter()
        image = frame.image
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise Clip2DepthError(f"Frames hold (H, W, 3) uint8 images, not {image.dtype} {image.shape}.")
        size = (image.shape[1], image.shape[0])
        facts = FrameFacts()
        geometry = self._geometry
        if geometry is None or geometry.size != size or geometry.camera != frame.camera:
            self._geometry = geometry = self._make_geometry(size, frame.camera)
            self.reset()
        if self._stamp is not None and frame.stamp < self._stamp:
            self.reset()
        self._stamp = frame.stamp
        facts.reset, self._was_reset = self._was_reset, False
        facts.focal_scale = geometry.focal_scale
        clock = _Clock(facts.times, started)

        if geometry.rectifier is not None:
            image = geometry.rectifier.rectify(image, geometry.rectified)
        clock.lap("rectify")
        geometry.letterbox.fit(image, self._input)
        clock.lap("fit")
        net_depth = self.engine.infer(self._input)
        clock.lap("infer")
        self._to_metres(net_depth, geometry.focal_scale)
        facts.temporal_error = self._compare_with_past(geometry.letterbox.inner(self._metres))
        depth = geometry.letterbox.unfit(self._metres, geometry.depth)
        if geometry.outside is not None:
            np.copyto(depth, NAN, where=geometry.outside)
        np.greater(depth, 0, out=geometry.known)
        facts.valid_fraction = float(np.count_nonzero(geometry.known) / depth.size)
        if geometry.image is not None:
            image = cv2.resize(image, depth.shape[::-1], dst=geometry.image, interpolation=cv2.INTER_AREA)
        clock.lap("unfit")
        return DepthFrame(depth, image, geometry.depth_camera, frame.stamp, frame.frame_id, facts)

    def _make_geometry(self, size: tuple[int, int], camera: Camera | None) -> _Geometry:
        manifest = self.engine.manifest
        if camera is None and self.needs_camera:
            raise Clip2DepthError(
                f"Bundle '{manifest.name}' needs to know the camera to give metres: provide camera_info, a "
                "camera file or horizontal_fov."
            )
        if camera is not None and camera.size != size:
            raise Clip2DepthError(
                f"The image is {size[0]}x{size[1]}, its camera {camera.width}x{camera.height}; "
                "camera_info and image do not belong together."
            )
        rectifier = Rectifier(camera) if camera is not None and not camera.is_rectified else None
        rectified = rectifier.camera if rectifier else camera
        letterbox = Letterbox(size, manifest.input_width, manifest.input_height)
        focal_scale = 1.0
        if manifest.canonical_focal_px is not None:
            focal_scale = letterbox.camera(rectified).fx / manifest.canonical_focal_px
        width, height = self.depth_size or size
        outside = rectifier.outside if rectifier else None
        if outside is not None:
            outside = cv2.resize(outside, (width, height), interpolation=cv2.INTER_NEAREST_EXACT) > 0
        return _Geometry(
            size=size,
            camera=camera,
            rectifier=rectifier,
            letterbox=letterbox,
            focal_scale=focal_scale,
            depth_camera=rectified.scaled(width, height) if rectified else None,
            outside=outside,
            rectified=np.empty((size[1], size[0], 3), np.uint8) if rectifier else None,
            image=None if (width, height) == size else np.empty((height, width, 3), np.uint8),
            depth=np.empty((height, width), np.float32),
            known=np.empty((height, width), bool),
        )

    def _to_metres(self, net_depth: np.ndarray, focal_scale: float) -> None:
        """Fill self._metres with the camera's metres; NaN where the network's own are out of their range."""
        low, high = self._range
        np.multiply(net_depth, np.float32(focal_scale), out=self._metres)
        with np.errstate(invalid="ignore"):
            unknown = ~((net_depth >= low) & (net_depth <= high) & (net_depth > 0))
        np.copyto(self._metres, NAN, where=unknown)

    def _compare_with_past(self, depth: np.ndarray) -> float:
        """Median |log depth - log previous depth| on a coarse grid; NaN without a past."""
        step_y, step_x = (max(1, n // GRID) for n in depth.shape)
        grid = np.log(depth[step_y // 2 :: step_y, step_x // 2 :: step_x])
        past, self._grid = self._grid, grid
        if past is None:
            return NAN
        change = np.abs(grid - past)
        change = change[np.isfinite(change)]
        return float(np.median(change)) if change.size else NAN


class _Clock:
    """Writes the time since the last lap under a stage's name."""

    def __init__(self, times: dict[str, float], started: float) -> None:
        self._times = times
        self._last = started

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self._times[stage] = now - self._last
        self._last = now
