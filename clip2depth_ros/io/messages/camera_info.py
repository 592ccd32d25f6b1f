# SPDX-License-Identifier: Apache-2.0
"""CameraInfo to Camera and back, by the rules of REP 104 and image_geometry."""

from __future__ import annotations

from typing import Any

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError

# Names that drivers use for what CameraInfo's distortion_models.hpp calls equidistant.
_MODEL_NAMES = {"fisheye": "equidistant", "": "plumb_bob"}


def is_calibrated(info: Any) -> bool:
    """False for a CameraInfo whose K is zero, which means: not calibrated."""
    return info.k[0] != 0.0 or info.p[0] != 0.0


def camera_from_info(info: Any, width: int, height: int, *, rectified: bool = False) -> Camera:
    """The camera of an image of `width` x `height` pixels that came with this sensor_msgs/CameraInfo.

    CameraInfo's numbers hold for the full, unbinned sensor; region of interest and binning lead from there to
    the image. Drivers that fill them although their numbers hold for the image already are understood by the
    image's size.

    Args:
        rectified: the image is rectified: P describes it and D and R no longer apply. P's fourth column (a
        stereo
            pair's baseline) is not used: the depth is seen from this very camera.

    Raises Clip2DepthError if the camera is not calibrated, if its numbers make no sense, or if the sizes
    don't fit.
    """
    if not is_calibrated(info):
        raise Clip2DepthError(
            "camera_info says that the camera is not calibrated (K is zero): calibrate it, or set the "
            "parameter horizontal_fov."
        )
    camera = _full_camera(info, info.width or width, info.height or height, rectified)
    if camera.size == (width, height) and not _has_window(info):
        return camera
    for candidate in _windows(camera, info):
        if candidate.size == (width, height):
            return candidate
    if camera.size == (width, height):
        return camera
    raise Clip2DepthError(
        f"The image is {width}x{height} pixels, but camera_info is for {camera.width}x{camera.height}"
        f"{_window_text(info)}: let the node that resizes the image publish its camera_info too."
    )


def fill_camera_info(info: Any, camera: Camera) -> None:
    """Write a camera into a sensor_msgs/CameraInfo; the header stays as it is."""
    info.width, info.height = camera.width, camera.height
    info.distortion_model = camera.distortion_model
    info.d = list(camera.distortion) or [0.0] * (4 if camera.distortion_model == "equidistant" else 5)
    info.k = [camera.fx, 0.0, camera.cx, 0.0, camera.fy, camera.cy, 0.0, 0.0, 1.0]
    info.r = list(camera.rectification or (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    rectified = camera.undistorted()
    info.p = [rectified.fx, 0.0, rectified.cx, 0.0, 0.0, rectified.fy, rectified.cy, 0.0, 0.0, 0.0, 1.0, 0.0]


def _full_camera(info: Any, width: int, height: int, rectified: bool) -> Camera:
    """The camera of the full, unbinned sensor."""
    k, p = info.k, info.p
    projection = (p[0], p[5], p[2], p[6]) if p[0] > 0 and p[5] > 0 else None
    if rectified:
        return Camera(width, height, *(projection or (k[0], k[4], k[2], k[5])))
    if k[0] == 0.0:
        raise Clip2DepthError(
            "camera_info has a P but no K: such numbers hold for rectified images only; set the parameter "
            "image.rectified to always if these images are."
        )
    rotation = tuple(info.r)
    return Camera(
        width,
        height,
        k[0],
        k[4],
        k[2],
        k[5],
        distortion=tuple(info.d),
        distortion_model=_MODEL_NAMES.get(info.distortion_model, info.distortion_model),
        rectification=rotation if any(rotation) else None,
        projection=projection,
    )


def _has_window(info: Any) -> bool:
    return info.binning_x > 1 or info.binning_y > 1 or (info.roi.width > 0 and info.roi.height > 0)


def _windows(camera: Camera, info: Any) -> list[Camera]:
    """The camera behind region of interest and binning, and behind each alone."""
    roi = info.roi
    cropped = (
        camera.cropped(roi.x_offset, roi.y_offset, roi.width, roi.height)
        if roi.width and roi.height
        else camera
    )
    return [_binned(cropped, info), _binned(camera, info), cropped]


def _binned(camera: Camera, info: Any) -> Camera:
    """Binning joins whole groups of pixels; what remains at the right and lower border is lost."""
    x, y = max(1, info.binning_x), max(1, info.binning_y)
    width, height = max(1, camera.width // x), max(1, camera.height // y)
    return camera.cropped(0, 0, width * x, height * y).scaled(width, height)


def _window_text(info: Any) -> str:
    if not _has_window(info):
        return ""
    roi, x, y = info.roi, max(1, info.binning_x), max(1, info.binning_y)
    return f" (region of interest {roi.width}x{roi.height}, binning {x}x{y})"
