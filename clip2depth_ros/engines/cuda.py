# SPDX-License-Identifier: Apache-2.0
"""A frame's memory on a GPU: page-locked arrays, their device copies, resizing, a stream; by PyTorch."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np

from clip2depth_ros.camera import Letterbox
from clip2depth_ros.engines.base import EngineUnavailable, first_line
from clip2depth_ros.engines.device_fit import DeviceFit
from clip2depth_ros.errors import Clip2DepthError

log = logging.getLogger(__name__)


FIT_TOLERANCE = 1  # grey levels between GPU and CPU: rounding


def device_index(device: str | None) -> int:
    """The number of a CUDA device given as None, "cuda" or "cuda:1". Raises Clip2DepthError."""
    name, _, number = (device or "cuda").partition(":")
    if name != "cuda" or (number and not number.isdecimal()) or (device or "").endswith(":"):
        raise Clip2DepthError(f"device '{device}' is unknown; known are: cpu, cuda, cuda:0, cuda:1, ...")
    return int(number or 0)


def import_torch():
    """The torch module. Raises EngineUnavailable when it is missing or sees no CUDA device."""
    try:
        import torch
    except (ImportError, OSError) as error:
        raise EngineUnavailable(f"needs PyTorch for its GPU memory ({first_line(error)})") from None
    if not torch.cuda.is_available():
        raise EngineUnavailable(
            f"PyTorch {torch.__version__} sees no CUDA device; is it a build for the CPU alone?"
        )
    return torch


class FrameBuffers:
    """One image in, one depth out, and the stream that they travel on.

    image (H, W, 3) uint8 and depth (H, W) float32 are page-locked host arrays; `upload` and `download` queue
    their copies to and from the device, and return at once.
    """

    def __init__(self, index: int, height: int, width: int) -> None:
        torch = import_torch()
        self._torch = torch
        self._device = torch.device("cuda", index)
        try:
            self._pinned_image = torch.zeros((1, height, width, 3), dtype=torch.uint8).pin_memory()
            self._pinned_depth = torch.zeros((1, height, width), dtype=torch.float32).pin_memory()
            self.device_image = self._pinned_image.to(self._device)
            self.device_depth = self._pinned_depth.to(self._device)
            self._stream = torch.cuda.Stream(self._device)
            torch.cuda.synchronize(self._device)
        except RuntimeError as error:
            raise EngineUnavailable(f"no memory on the GPU ({first_line(error)})") from None
        self.image = self._pinned_image.numpy()[0]
        self.depth = self._pinned_depth.numpy()[0]

    @property
    def image_address(self) -> int:
        return self.device_image.data_ptr()

    @property
    def depth_address(self) -> int:
        return self.device_depth.data_ptr()

    @property
    def stream(self) -> int:
        """The CUDA stream's handle."""
        return self._stream.cuda_stream

    def on_device(self):
        """A context in which this device is the thread's current one."""
        return self._torch.cuda.device(self._device)

    def on_stream(self):
        """A context in which torch queues its work on this stream."""
        return self._torch.cuda.stream(self._stream)

    def upload(self) -> None:
        """Queue the image's copy; called on_stream, as download is."""
        self.device_image.copy_(self._pinned_image, non_blocking=True)

    def return_image(self) -> None:
        """Queue the copy of the network's input, made on the device, to `image`."""
        self._pinned_image.copy_(self.device_image, non_blocking=True)

    def download(self) -> None:
        self._pinned_depth.copy_(self.device_depth, non_blocking=True)

    def wait(self) -> None:
        """Until everything queued is done. Raises RuntimeError when some of it failed."""
        self._stream.synchronize()

    def large_image(self, letterbox: Letterbox) -> LargeImage | None:
        """What brings images of the letterbox's size into `device_image`; None, with a warning, where the GPU
        does not do that as the CPU does.
        """
        try:
            large = LargeImage(self, letterbox)
            noise = np.random.default_rng(0).integers(0, 256, large.image.shape, np.uint8)
            np.copyto(large.image, noise)
            with self.on_device(), self.on_stream():
                large.upload()
            self.wait()
        except RuntimeError as error:
            log.warning("Images are resized on the CPU: the GPU fails at it (%s).", first_line(error))
            return None
        expected = letterbox.fit(noise, np.empty_like(self.image)).astype(np.int16)
        off = int(np.abs(expected - self.image).max())
        if off > FIT_TOLERANCE:
            log.warning("Images are resized on the CPU: the GPU's are off by up to %d grey levels.", off)
            return None
        return large

    def times(self, work: Callable[[], None], repeats: int) -> np.ndarray:
        """Seconds between CUDA events before and after what `work` queues, once per repeat."""
        seconds = np.empty(repeats)
        begin, end = (self._torch.cuda.Event(enable_timing=True) for _ in range(2))
        with self.on_stream():
            for i in range(repeats):
                begin.record()
                work()
                end.record()
                end.synchronize()
                seconds[i] = begin.elapsed_time(end) / 1000
        return seconds

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record what `work` queues on the stream as a CUDA graph; returns what queues all of it at once.

        Raises RuntimeError when it cannot be captured.
        """
        graph = self._torch.cuda.CUDAGraph()
        # other threads of the process may use the GPU meanwhile
        with (
            self.on_device(),
            self._torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"),
        ):
            work()

        def replay() -> None:
            with self.on_stream():
                graph.replay()

        return replay

    def close(self) -> None:
        try:
            self.wait()
        except RuntimeError as error:
            log.warning("The GPU failed before its memory was given back: %s.", first_line(error))
        self.device_image = self.device_depth = self._pinned_image = self._pinned_depth = None
        self.image = self.depth = None


class LargeImage:
    """An image of another size than the network's, page-locked, and its way into a FrameBuffers' input.

    image: (height, width, 3) uint8, the letterbox's size.
    """

    def __init__(self, buffers: FrameBuffers, letterbox: Letterbox) -> None:
        torch = buffers._torch
        width, height = letterbox.size
        self._pinned = torch.zeros((height, width, 3), dtype=torch.uint8).pin_memory()
        self._on_device = self._pinned.to(buffers.device_image.device)
        self._buffers = buffers
        self._fit = DeviceFit(torch, letterbox, buffers.device_image.device)
        self.image = self._pinned.numpy()

    def upload(self) -> None:
        """Queue the image's copy, its resizing, and the small image's copy back; called on_stream."""
        self._on_device.copy_(self._pinned, non_blocking=True)
        self._fit(self._on_device, self._buffers.device_image[0])
        self._buffers.return_image()
