# SPDX-License-Identifier: Apache-2.0
"""A depth frame whose full-size arrays are computed on first access."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from clip2depth_ros.images.frame import NAN, STD_DEV_STEP, DepthFrame, Frame, FrameFacts
from clip2depth_ros.pipeline.geometry import Geometry


def _timed(make: Callable) -> Callable:
    """Adds the time of `make` to the frame's time of the stage unfit."""

    def made(self: LazyDepthFrame, *args: Any) -> Any:
        started = time.perf_counter()
        try:
            return make(self, *args)
        finally:
            self.facts.times["unfit"] += time.perf_counter() - started

    return made


class LazyDepthFrame(DepthFrame):
    """The pipeline's result. Every array must be read before the pipeline's next frame.

    net_depth: (net_height, net_width) float32, meters, NaN = unknown. net_std_dev: (inner_height,
    inner_width) float32, relative standard deviation of the pixels that the image covers, or None.
    scale_deviation: relative standard deviation of a common factor, independent of the pixels' own; NaN
    counts as 0. buffers: arrays of earlier frames, for reuse.
    """

    __slots__ = ("_buffers", "_frame", "_geometry", "_net_depth", "_net_std_dev", "_taken")

    def __init__(
        self,
        frame: Frame,
        geometry: Geometry,
        facts: FrameFacts,
        net_depth: np.ndarray,
        net_std_dev: np.ndarray | None,
        scale_deviation: float,
        buffers: dict[str, np.ndarray],
    ) -> None:
        # The properties keep their values in the slots of the base class, None until they are computed.
        DepthFrame.__init__(self, None, None, geometry.depth_camera, frame.stamp, frame.frame_id, facts)
        self._frame, self._geometry, self._buffers = frame, geometry, buffers
        self._net_depth, self._taken = net_depth, False
        self._net_std_dev = None
        if net_std_dev is not None:
            whole = self._kept("net_std_dev", net_std_dev.shape, np.float32)
            np.multiply(net_std_dev, net_std_dev, out=whole)
            whole += np.float32(np.nan_to_num(scale_deviation) ** 2)
            np.sqrt(whole, out=whole)
            unknown = self._kept("unknown", net_std_dev.shape, np.bool_)
            np.greater(geometry.letterbox.inner(net_depth), 0, out=unknown)
            np.logical_not(unknown, out=unknown)
            np.copyto(whole, NAN, where=unknown)
            self._net_std_dev = whole

    @property
    def shape(self) -> tuple[int, int]:
        """(h, w) of the depth, pixels."""
        return self._geometry.depth_shape

    @property
    def depth(self) -> np.ndarray:
        """(h, w) float32, meters along the optical axis, NaN = unknown."""
        made = _depth.__get__(self)
        return self.fill_depth(self.buffer("depth")) if made is None else made

    @depth.setter
    def depth(self, value: np.ndarray | None) -> None:
        _depth.__set__(self, value)

    @property
    def image(self) -> np.ndarray:
        """(h, w, 3) uint8 RGB, rectified, at the depth's resolution."""
        if _image.__get__(self) is None:
            _image.__set__(self, self._make_image())
        return _image.__get__(self)

    @image.setter
    def image(self, value: np.ndarray | None) -> None:
        _image.__set__(self, value)

    @property
    def std_dev(self) -> np.ndarray | None:
        """(h, w) float32 relative standard deviation of depth, NaN = unknown; None without the stabilizer."""
        if _std_dev.__get__(self) is None and self._net_std_dev is not None:
            _std_dev.__set__(self, self._make_std_dev())
        return _std_dev.__get__(self)

    @std_dev.setter
    def std_dev(self, value: np.ndarray | None) -> None:
        _std_dev.__set__(self, value)

    @_timed
    def fill_depth(self, out: np.ndarray) -> np.ndarray:
        made = _depth.__get__(self)
        if made is not None:
            np.copyto(out, made)
            return out
        self._take()
        self.depth = self._geometry.enlarge(out)
        return out

    @_timed
    def depth_at(self, rows: int, columns: int) -> np.ndarray:
        made = _depth.__get__(self)
        if made is not None:
            return made[::rows, ::columns]
        self._take()
        return self._geometry.sample((rows, columns))

    @_timed
    def std_dev_at(self, rows: int, columns: int) -> np.ndarray | None:
        if self._net_std_dev is None:
            return None
        return self._geometry.sample_nearest(self._net_std_dev, (rows, columns))

    @_timed
    def image_at(self, step: int) -> np.ndarray:
        made = _image.__get__(self)
        if made is not None:
            return made[::step, ::step]
        return self._geometry.colors(self._frame.image, self._frame.shrink, step)

    def coarse_depth(self) -> np.ndarray:
        return self._geometry.letterbox.inner(self._net_depth)

    def mask_at(self, mask: np.ndarray, rows: int, columns: int) -> np.ndarray:
        return self._geometry.letterbox.grid(self.shape, (rows, columns)).nearest(mask)

    def median_std_dev(self) -> float:
        few = self.std_dev_at(STD_DEV_STEP, STD_DEV_STEP)
        few = few[np.isfinite(few)] if few is not None else ()
        return float(np.median(few)) if len(few) else NAN

    def _take(self) -> None:
        """Prepare the letterbox, once a frame, for whatever enlarges the depth."""
        if not self._taken:
            self._geometry.letterbox.take(self._net_depth)
            self._taken = True

    @_timed
    def _make_image(self) -> np.ndarray:
        return self._geometry.depth_image(self._frame.image, self._frame.shrink)

    @_timed
    def _make_std_dev(self) -> np.ndarray:
        return self._geometry.enlarge_nearest(self._net_std_dev, self.buffer("std_dev"))

    def buffer(self, name: str) -> np.ndarray:
        """(h, w) float32 that belongs to the pipeline, the same one for every frame."""
        return self._kept(name, self.shape, np.float32)

    def _kept(self, name: str, shape: tuple[int, int], dtype: type) -> np.ndarray:
        buffer = self._buffers.get(name)
        if buffer is None or buffer.shape != shape:
            buffer = self._buffers[name] = np.empty(shape, dtype)
        return buffer


_depth, _image, _std_dev = (vars(DepthFrame)[name] for name in ("depth", "image", "std_dev"))
