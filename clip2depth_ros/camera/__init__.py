# SPDX-License-Identifier: Apache-2.0
"""Camera model, rectification, letterboxing and resampling of images, and poses."""

from clip2depth_ros.camera.letterbox import Letterbox
from clip2depth_ros.camera.pinhole import Camera
from clip2depth_ros.camera.rectifier import Rectifier, Rectifiers
from clip2depth_ros.camera.resampler import Resampler

__all__ = ["Camera", "Letterbox", "Rectifier", "Rectifiers", "Resampler"]
