# SPDX-License-Identifier: Apache-2.0
"""How each encoding of sensor_msgs/Image stores a picture, and OpenCV's conversion of it to RGB.

The names are those of sensor_msgs/image_encodings, and what drivers use beside them. YUV is ITU-R BT.601 of
limited range (Y 16 to 235), as OpenCV's conversions and therefore cv_bridge's have it. Bayer names give the
colors of the top left 2x2 pixels row by row; OpenCV's names begin one pixel further right and down. 16-bit
encodings give their upper byte.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2


@dataclass(frozen=True, slots=True)
class Packed:
    """Every pixel's samples lie side by side, in rows of `step` bytes."""

    samples: int
    """Of one pixel: bytes, or pairs of bytes."""
    conversion: int | None
    """OpenCV's, to RGB; None: it is RGB."""
    sample_bytes: int = 1
    pair: bool = False
    """Two pixels share their color: the width is even."""
    least_side: int = 1
    """Pixels; of fewer, colors cannot be interpolated."""


@dataclass(frozen=True, slots=True)
class Planar:
    """A plane of brightness in rows of `step` bytes, and planes of color after it.

    half: the color has half the width and height (4:2:0), else the whole (4:4:4). interleaved: U and V lie
    side by side in one plane, else one plane after the other. conversion: OpenCV's, to RGB; None for 4:4:4,
    which OpenCV has not. swapped: V before U.
    """

    half: bool
    interleaved: bool
    conversion: int | None
    swapped: bool = False


def _wide(packed: Packed) -> Packed:
    return Packed(packed.samples, packed.conversion, 2, least_side=packed.least_side)


_RGB, _BGR = Packed(3, None), Packed(3, cv2.COLOR_BGR2RGB)
_RGBA, _BGRA = Packed(4, cv2.COLOR_RGBA2RGB), Packed(4, cv2.COLOR_BGRA2RGB)
_GRAY = Packed(1, cv2.COLOR_GRAY2RGB)
_UYVY = Packed(2, cv2.COLOR_YUV2RGB_UYVY, pair=True)
_YUYV = Packed(2, cv2.COLOR_YUV2RGB_YUY2, pair=True)
_I420 = Planar(half=True, interleaved=False, conversion=cv2.COLOR_YUV2RGB_I420)
_BAYER = {
    "rggb": Packed(1, cv2.COLOR_BayerBG2RGB, least_side=3),
    "bggr": Packed(1, cv2.COLOR_BayerRG2RGB, least_side=3),
    "gbrg": Packed(1, cv2.COLOR_BayerGR2RGB, least_side=3),
    "grbg": Packed(1, cv2.COLOR_BayerGB2RGB, least_side=3),
}

# 8UC and 16UC carry no color order of their own; OpenCV's, which nearly all of their writers use, is BGR.
# 16UC1 is a depth image (REP 118).
ENCODINGS: dict[str, Packed | Planar] = {
    "rgb8": _RGB,
    "bgr8": _BGR,
    "8UC3": _BGR,
    "rgba8": _RGBA,
    "bgra8": _BGRA,
    "8UC4": _BGRA,
    "mono8": _GRAY,
    "8UC1": _GRAY,
    "rgb16": _wide(_RGB),
    "bgr16": _wide(_BGR),
    "16UC3": _wide(_BGR),
    "rgba16": _wide(_RGBA),
    "bgra16": _wide(_BGRA),
    "16UC4": _wide(_BGRA),
    "mono16": _wide(_GRAY),
    **{f"bayer_{order}8": packed for order, packed in _BAYER.items()},
    **{f"bayer_{order}16": _wide(packed) for order, packed in _BAYER.items()},
    "yuv422": _UYVY,
    "uyvy": _UYVY,
    "yuv422_yuy2": _YUYV,
    "yuyv": _YUYV,
    "nv12": Planar(half=True, interleaved=True, conversion=cv2.COLOR_YUV2RGB_NV12),
    "nv21": Planar(half=True, interleaved=True, conversion=cv2.COLOR_YUV2RGB_NV21),
    "nv24": Planar(half=False, interleaved=True, conversion=None),
    "nv42": Planar(half=False, interleaved=True, conversion=None, swapped=True),
    "i420": _I420,
    "yuv420": _I420,
    "yuv420p": _I420,
    "yv12": Planar(half=True, interleaved=False, conversion=cv2.COLOR_YUV2RGB_YV12),
}
