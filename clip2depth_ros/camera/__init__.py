# SPDX-License-Identifier: Apache-2.0
"""Cameras and the ways an image changes before and after the network: rectified, letterboxed and back."""

from clip2depth_ros.camera.letterbox import Letterbox
from clip2depth_ros.camera.pinhole import Camera
from clip2depth_ros.camera.rectifier import Rectifier, Rectifiers
from clip2depth_ros.camera.resampler import Resampler

__all__ = ["Camera", "Letterbox", "Rectifier", "Rectifiers", "Resampler"]
