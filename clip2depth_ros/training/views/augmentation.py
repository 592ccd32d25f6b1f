# SPDX-License-Identifier: Apache-2.0
"""Augmentation of one view, or of two consecutive frames: geometry and light, with matching depth.

Depth is canonical: scaled as if the camera had the canonical focal length. An object of a given size in
meters and in pixels then has the same depth for every camera, crop and scale.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

import cv2
import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.camera.letterbox import BORDER, Letterbox
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.frame import Frame
from clip2depth_ros.training.datasets.base import motion_between
from clip2depth_ros.training.views.photography import Photography

_SIDES = re.compile(r"\b(left|right)\b")
_MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0])
LEAST_ROLL = 0.25  # degrees: half a pixel at the border of 256


@dataclass(slots=True)
class View:
    """A frame at the batch's size, and the next frame where there is one."""

    image: np.ndarray
    """(H, W, 3) uint8 RGB."""
    depth: np.ndarray
    """(H, W) float32, canonical meters, NaN unknown."""
    caption: str
    camera: Camera
    """Of both frames."""
    scale: float
    """Canonical meters per meter."""
    next_image: np.ndarray | None = None
    next_depth: np.ndarray | None = None
    motion: np.ndarray | None = None
    """(4, 4) float64, points of the first frame into the next, canonical meters; None where unknown."""


@dataclass(frozen=True)
class Augmentation:
    """How training views vary. The default, without any variation, gives the largest centered crop.

    min_crop     smallest crop as a share of the largest one that has the output's shape
    letterbox    probability that the whole image is letterboxed instead, as in the node
    roll         standard deviation of a rotation about the optical axis, degrees, as of a hand-held camera.
                 Depth along the axis does not change; depth outside the image is unknown
    flip         probability of a left-right flip; "left" and "right" are exchanged in the caption
    border       probability that bands at two opposite sides are blank, as in an image letterboxed to fit
    brightness, contrast, gamma, colour    half-widths of log-uniform factors
    hue          probability that a frame without a caption gets another hue, by any angle, and another
                 saturation. A caption may name colors. Without it, a few hundred real frames teach that red
                 is near, because their only red things are
    exposure     half-width of the log-uniform step in brightness between two consecutive frames
    blur         largest standard deviation of defocus, pixels of the output
    motion_blur  largest length, pixels of the output
    noise        largest standard deviation, gray levels
    jpeg         probability of JPEG compression, quality 30 to 95

    The two frames of a pair have the same geometry and light, except for exposure, motion blur and noise.
    """

    min_crop: float = 1.0
    letterbox: float = 0.0
    roll: float = 0.0
    flip: float = 0.0
    border: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    gamma: float = 0.0
    colour: float = 0.0
    hue: float = 0.0
    exposure: float = 0.0
    blur: float = 0.0
    motion_blur: float = 0.0
    noise: float = 0.0
    jpeg: float = 0.0

    def apply(
        self,
        sample: Frame,
        following: Frame | None = None,
        *,
        size: tuple[int, int],
        canonical_focal_px: float | None,
        rng: np.random.Generator,
        border_color: tuple[int, int, int] = BORDER,
    ) -> View:
        """The frame, and the one that follows it, at `size` (height, width).

        canonical_focal_px: of the canonical camera; None does not scale depth. Raises Clip2DepthError unless
        both frames have the same camera.
        """
        angle = float(rng.normal(0.0, self.roll)) if self.roll > 0 else 0.0
        sample = rolled(sample, angle)
        placing = self._place(sample, size, rng)
        camera = placing.camera(sample.camera)
        flipped = bool(rng.random() < self.flip)
        if flipped:
            camera = replace(camera, cx=camera.width - 1 - camera.cx)
        bands = self._bands(size, rng) if rng.random() < self.border else None
        look = Photography.random(self, rng, captioned=bool(sample.caption))
        scale = 1.0 if canonical_focal_px is None else canonical_focal_px / camera.fx

        def made(one: Frame, look: Photography) -> tuple[np.ndarray, np.ndarray]:
            image, depth = placing.cut(one)
            if flipped:
                image, depth = np.ascontiguousarray(image[:, ::-1]), depth[:, ::-1]
            image, depth = placing.frame(look(image, rng), depth, border_color, flipped)
            depth *= np.float32(scale)
            if bands is not None:
                _blank(image, depth, *bands, border_color)
            return image, depth

        image, depth = made(sample, look)
        caption = sample.caption
        if flipped:
            caption = _SIDES.sub(lambda side: "left" if side[0] == "right" else "right", caption)
        view = View(image, depth, caption, camera, scale)
        if following is not None:
            if following.camera != sample.camera:
                raise Clip2DepthError(f"{sample.name} and {following.name}, a pair, have different cameras.")
            following = rolled(following, angle)
            view.next_image, view.next_depth = made(following, look.next(self, rng))
            view.motion = motion_between(sample, following)
            if view.motion is not None:
                if flipped:
                    view.motion = _MIRROR @ view.motion @ _MIRROR
                view.motion[:3, 3] *= scale
        return view

    def _place(self, sample: Frame, size: tuple[int, int], rng: np.random.Generator) -> _Crop | _Whole:
        """The crop or the letterbox of the frame."""
        have = sample.camera.size
        if sample.image.shape[:2] != have[::-1] or sample.depth.shape != have[::-1]:
            raise Clip2DepthError(
                f"{sample.name}: image {sample.image.shape[:2]}, depth {sample.depth.shape} and camera "
                f"{have[::-1]} are not of one size."
            )
        height, width = size
        if rng.random() < self.letterbox:
            return _Whole(Letterbox(have, width, height))
        largest = min(have[0] / width, have[1] / height)
        share = largest * rng.uniform(self.min_crop, 1.0)
        w, h = min(round(width * share), have[0]), min(round(height * share), have[1])
        x, y = rng.uniform(size=2) if self.min_crop < 1.0 else (0.5, 0.5)
        return _Crop(round(x * (have[0] - w)), round(y * (have[1] - h)), max(1, w), max(1, h), size)

    @staticmethod
    def _bands(size: tuple[int, int], rng: np.random.Generator) -> tuple[int, int]:
        """Axis and width of two bands, each up to a sixth of the image: top and bottom, or left and right."""
        axis = int(rng.integers(2))
        return axis, int(rng.uniform(0, size[axis] / 6))


def rolled(sample: Frame, angle: float) -> Frame:
    """The frame as the same camera sees it when rotated by `angle` degrees about its optical axis.

    Pixels beyond the image's border are reflected, with depth NaN. Returns the frame itself for an angle
    below LEAST_ROLL. Exact for square pixels.
    """
    if abs(angle) < LEAST_ROLL:
        return sample
    turn = cv2.getRotationMatrix2D((sample.camera.cx, sample.camera.cy), angle, 1.0)
    image = cv2.warpAffine(sample.image, turn, sample.image.shape[1::-1], borderMode=cv2.BORDER_REFLECT_101)
    depth = cv2.warpAffine(
        sample.depth.astype(np.float32, copy=False), turn, sample.depth.shape[::-1],
        flags=cv2.INTER_NEAREST, borderValue=math.nan,
    )  # fmt: skip
    pose = sample.pose
    if pose is not None:
        optical = np.eye(4)
        optical[:2, :2] = turn[:, :2]
        pose = pose @ optical.T
    return replace(sample, image=image, depth=depth, pose=pose)


@dataclass(frozen=True, slots=True)
class _Crop:
    """A crop of the image, scaled to the output."""

    x: int
    y: int
    w: int
    h: int
    size: tuple[int, int]

    def camera(self, camera: Camera) -> Camera:
        return camera.cropped(self.x, self.y, self.w, self.h).scaled(self.size[1], self.size[0])

    def cut(self, sample: Frame) -> tuple[np.ndarray, np.ndarray]:
        window = np.s_[self.y : self.y + self.h, self.x : self.x + self.w]
        return _resized(sample.image[window], sample.depth[window], self.size)

    def frame(self, image, depth, colour, flipped) -> tuple[np.ndarray, np.ndarray]:
        return image, np.ascontiguousarray(depth)


@dataclass(frozen=True, slots=True)
class _Whole:
    """The whole image, letterboxed."""

    letterbox: Letterbox

    def camera(self, camera: Camera) -> Camera:
        return self.letterbox.camera(camera)

    def cut(self, sample: Frame) -> tuple[np.ndarray, np.ndarray]:
        inner = self.letterbox.inner_height, self.letterbox.inner_width
        return _resized(sample.image, sample.depth, inner)

    def frame(self, image, depth, colour, flipped) -> tuple[np.ndarray, np.ndarray]:
        width, height = self.letterbox.net_size
        whole = np.empty((height, width, 3), np.uint8)
        whole[:] = colour
        known = np.full((height, width), np.nan, np.float32)
        for outer, inner in ((whole, image), (known, depth)):
            # Opposite borders may differ by a pixel, so a flip exchanges them.
            self.letterbox.inner(outer[:, ::-1] if flipped else outer)[:] = (
                inner[:, ::-1] if flipped else inner
            )
        return whole, known


def _resized(image: np.ndarray, depth: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Image and depth (NaN where not positive and finite) at `size` (height, width)."""
    height, width = size
    # Area averaging is right for shrinking, but acts like nearest for enlarging.
    smaller = width < image.shape[1]
    out = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    target = cv2.resize(
        depth.astype(np.float32, copy=False), (width, height), interpolation=cv2.INTER_NEAREST_EXACT
    )
    target[~(np.isfinite(target) & (target > 0))] = np.nan
    return out, target


def _blank(image: np.ndarray, depth: np.ndarray, axis: int, band: int, colour: tuple[int, int, int]) -> None:
    if band:
        for array, value in ((image, colour), (depth, np.nan)):
            lines = array if axis == 0 else array.swapaxes(0, 1)
            lines[:band] = value
            lines[-band:] = value
