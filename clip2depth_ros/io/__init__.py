# SPDX-License-Identifier: Apache-2.0
"""Sources of frames without ROS: folders, videos, bags, camera devices and the simulator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.io.bag_file import is_bag
from clip2depth_ros.io.source import HIGHEST_FPS, LOWEST_FPS, Source
from clip2depth_ros.io.tum import TumSource, is_sequence

KINDS = (
    "a folder of images, a folder with rgb/ (and depth/, camera.json, poses.txt), a TUM RGB-D sequence, "
    "an image, a video file, a rosbag2 folder, .mcap or .db3, a camera device (/dev/video0 or 0), or sim:SEED"
)


def open_source(
    spec: str | Path,
    *,
    camera: Camera | None = None,
    horizontal_fov: float | None = None,
    fps: float | None = None,
    every: int = 1,
    topic: str | None = None,
    depth_topic: str | None = None,
    odometry: bool = False,
    odometry_topic: str | None = None,
    mounting: Sequence[float] | None = None,
) -> Source:
    """Open the source that `spec` names; KINDS lists the possible inputs.

    camera: replaces the source's own camera. horizontal_fov: radians; makes an ideal camera where the source
    has none. fps: frames per second; replaces the source's own rate. every: keep every n-th frame. topic,
    depth_topic, odometry_topic: of a bag; topic and odometry_topic may be None where they are unambiguous.
    odometry: give frames their odometry: a bag's, or the ground-truth poses of a folder or of the simulator.
    mounting: x, y, z (meters) and roll, pitch, yaw (radians) of the camera, looking along x, in the frame
    that a bag's odometry moves.

    Raises Clip2DepthError when the input does not exist or cannot be read, or when odometry is wanted and the
    input has none.
    """
    source = _open(
        spec,
        topics=(topic, depth_topic, odometry_topic),
        mounting=mounting,
        camera=camera,
        horizontal_fov=horizontal_fov,
        fps=fps,
        every=every,
        odometry=odometry,
    )
    if odometry and not source.has_odometry:
        source.close()
        raise Clip2DepthError(
            f"{source.name} has no data about the camera's motion; odometry needs a folder with poses.txt, "
            "a bag with a nav_msgs/Odometry topic, or the simulator."
        )
    return source


def _open(spec: str | Path, topics: tuple, mounting: Sequence[float] | None, **common) -> Source:
    every, fps = common["every"], common["fps"]
    if every < 1:
        raise Clip2DepthError(f"'every' must be at least 1, it is {every}.")
    if fps is not None and not LOWEST_FPS <= fps <= HIGHEST_FPS:
        raise Clip2DepthError(
            f"The frame rate must be {LOWEST_FPS:g} to {HIGHEST_FPS:g} frames per second, it is {fps:g}."
        )
    text = str(spec)
    if text.startswith("sim:"):
        from clip2depth_ros.io.simulated import SimulatedSource

        return SimulatedSource(text, **common)
    if text.startswith("/dev/") or (text.isdecimal() and not Path(text).exists()):
        from clip2depth_ros.io.video import DeviceSource

        return DeviceSource(text, **common)
    path = Path(text).expanduser()
    if not path.exists():
        raise Clip2DepthError(f"{path} does not exist. An input is {KINDS}.")
    if is_bag(path):
        from clip2depth_ros.io.bag import BagSource

        topic, depth_topic, odometry_topic = topics
        return BagSource(
            path,
            topic=topic,
            depth_topic=depth_topic,
            odometry_topic=odometry_topic,
            mounting=mounting,
            **common,
        )
    if any(topics):
        raise Clip2DepthError(f"A topic was given, but {path} is not a bag.")
    if is_sequence(path):
        return TumSource(path, **common)
    if path.is_dir() and (path / "rgb").is_dir():
        from clip2depth_ros.io.rgbd import RgbdSource

        return RgbdSource(path, **common)
    from clip2depth_ros.io.images import IMAGE_SUFFIXES, ImageSource

    if path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES:
        return ImageSource(path, **common)
    from clip2depth_ros.io.video import VideoSource

    return VideoSource(path, **common)


__all__ = ["KINDS", "Source", "open_source"]
