# SPDX-License-Identifier: Apache-2.0
"""Depth of images and videos from Python, without ROS."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clip2depth_ros.bundle import open_bundle
from clip2depth_ros.camera import Camera
from clip2depth_ros.engines import open_engine
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.frame import DepthFrame, Frame, FrameFacts
from clip2depth_ros.io import open_source
from clip2depth_ros.outputs import PointCloud, PointsSettings
from clip2depth_ros.pipeline import Pipeline
from clip2depth_ros.scale import ScaleSettings
from clip2depth_ros.stabilizer import StabilizerSettings


@dataclass(frozen=True)
class Depth:
    """Depth of one image. The arrays are copies and stay valid."""

    depth: np.ndarray
    """(H, W) float32, meters along the optical axis, NaN = unknown."""
    std_dev: np.ndarray | None
    """(H, W) float32, relative standard deviation of depth, NaN = unknown; None without the stabilizer."""
    image: np.ndarray
    """(H, W, 3) uint8 RGB, rectified: the pixels that depth belongs to."""
    camera: Camera | None
    """Camera of depth and image, without distortion; None where it is not known."""
    stamp: int
    """Time of exposure, nanoseconds; 0 where it is not known."""
    name: str
    """Name of the frame in its recording; "" for a single image."""
    facts: FrameFacts
    """Measurements about the frame: times, scale and its source, floor, reset."""

    def points(
        self, *, max_range: float = np.inf, edge_threshold: float = 0.1
    ) -> tuple[np.ndarray, np.ndarray]:
        """The known pixels as points of the optical frame (z forward, x right, y down).

        max_range: meters from the camera. edge_threshold: relative jump in depth above which the points
        between two surfaces are left out; 0: all points are kept.
        Returns points (N, 3) float32, meters, and their colors (N, 3) uint8 RGB, row by row.
        Raises Clip2DepthError when the camera is not known.
        """
        cloud = PointCloud(
            PointsSettings(stride=1, min_range=0.0, max_range=max_range, edge_threshold=edge_threshold)
        )
        points = cloud.build(
            DepthFrame(self.depth, self.image, self.camera, self.stamp, "", self.facts, self.std_dev)
        )[..., :3]
        known = np.isfinite(points).all(axis=-1)
        return points[known], self.image[known]


class DepthEstimator:
    """Metric depth from images of one camera.

    bundle: the network, a name, a folder or a zip. engine, precision, threads: as in `open_engine`.
    camera: of every image whose camera is not known; horizontal_fov: radians, of an ideal camera instead.
    stabilize: whether the depth of a video is stabilized over its frames.
    scale: settings of the scale estimator for a video; None = the network's meters.

    Raises Clip2DepthError for a bundle or engine that cannot be opened. Close it, or use it as a context
    manager, to free the engine. Not thread-safe.
    """

    def __init__(
        self,
        bundle: str | Path = "mini",
        *,
        engine: str = "auto",
        precision: str | None = None,
        threads: int = 0,
        camera: Camera | None = None,
        horizontal_fov: float | None = None,
        stabilize: bool = True,
        scale: ScaleSettings | None = None,
    ) -> None:
        if camera is not None and horizontal_fov is not None:
            raise Clip2DepthError("Give either camera or horizontal_fov, not both.")
        self._engine = open_engine(open_bundle(str(bundle)), engine, threads=threads, precision=precision)
        self._camera, self._horizontal_fov = camera, horizontal_fov
        self._stabilizer = StabilizerSettings() if stabilize else None
        self._scale = scale

    @property
    def engine(self) -> str:
        """Engine and precision, such as "openvino fp32"."""
        return f"{self._engine.name} {self._engine.precision}"

    def __call__(
        self, image: np.ndarray, *, camera: Camera | None = None, horizontal_fov: float | None = None
    ) -> Depth:
        """Depth of one image, without any earlier one.

        image: (H, W, 3) uint8 RGB. camera, horizontal_fov (radians): of this image, instead of the
        estimator's.
        Raises Clip2DepthError for another shape or type, and without a camera where the bundle needs one.
        """
        image = np.asarray(image)
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise Clip2DepthError(f"An image is (H, W, 3) uint8 RGB, not {image.dtype} {image.shape}.")
        if camera is None and horizontal_fov is None:
            camera, horizontal_fov = self._camera, self._horizontal_fov
        if camera is None and horizontal_fov is not None:
            camera = Camera.from_fov(image.shape[1], image.shape[0], horizontal_fov)
        # A pipeline without a past; its stabilizer gives the standard deviation of a first frame.
        return _owned(self._new_pipeline().process(Frame(image, 0, "", camera)))

    def video(self, source: str | Path, *, limit: int | None = None, **options) -> Iterator[Depth]:
        """Depth of a video, frame by frame, in order.

        source: a video file, a folder of images, a rosbag2 recording, a camera device or sim:SEED. limit:
        number of frames to stop after. options: as in `clip2depth_ros.io.open_source`, such as
        `odometry=True` where the scale comes from odometry.
        Raises Clip2DepthError when the source cannot be read.
        """
        options = {"camera": self._camera, "horizontal_fov": self._horizontal_fov} | options
        # Closing the pipeline writes the scale to its file, if there is one.
        with open_source(source, **options) as frames, contextlib.closing(self._new_pipeline()) as pipeline:
            for frame in itertools.islice(frames, limit):
                yield _owned(pipeline.process(frame), frame.name)

    def close(self) -> None:
        """Free the engine. Closing twice is allowed."""
        self._engine.close()

    def __enter__(self) -> DepthEstimator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _new_pipeline(self) -> Pipeline:
        return Pipeline(self._engine, stabilizer=self._stabilizer, scale=self._scale)


def _owned(result: DepthFrame, name: str = "") -> Depth:
    """The pipeline's result with copies of its arrays."""
    return Depth(
        result.depth.copy(),
        None if result.std_dev is None else result.std_dev.copy(),
        result.image.copy(),
        result.camera,
        result.stamp,
        name,
        result.facts,
    )
