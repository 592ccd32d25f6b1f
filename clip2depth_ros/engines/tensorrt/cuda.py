# SPDX-License-Identifier: Apache-2.0
"""Memory of a frame on a GPU, by CUDA's driver API: page-locked arrays, device copies, resizing, a stream.

NVIDIA's cuda-bindings calls the driver of the system, so nothing else of CUDA needs to be installed. Driver
resources are freed when nothing refers to them any more; an array that a caller kept stays readable.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import logging
import math
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from clip2depth_ros.camera import Letterbox
from clip2depth_ros.engines.base import EngineUnavailable, first_line
from clip2depth_ros.engines.tensorrt import device_letterbox
from clip2depth_ros.errors import Clip2DepthError

log = logging.getLogger(__name__)


RESIZE_TOLERANCE = 1  # gray levels between GPU and CPU, from rounding


class CudaError(RuntimeError):
    """A call of the driver failed; the message is the driver's reason."""


def device_index(device: str | None) -> int:
    """The number of a CUDA device given as None, "cuda" or "cuda:1". Raises Clip2DepthError."""
    name, _, number = (device or "cuda").partition(":")
    if name != "cuda" or (number and not number.isdecimal()) or (device or "").endswith(":"):
        raise Clip2DepthError(f"device '{device}' is unknown; known are: cpu, cuda, cuda:0, cuda:1, ...")
    return int(number or 0)


def import_driver():
    """The module cuda.bindings.driver. Raises EngineUnavailable when it is missing."""
    try:
        return importlib.import_module("cuda.bindings.driver")
    except (ImportError, OSError) as error:
        raise EngineUnavailable(
            f"needs NVIDIA's cuda-bindings for its GPU memory: pip install cuda-bindings "
            f"({first_line(error)})"
        ) from None


class _Device:
    """A CUDA device with its primary context, which TensorRT and PyTorch use too."""

    def __init__(self, index: int) -> None:
        self.driver = import_driver()
        self.call("cuInit", 0)
        number = self.call("cuDeviceGet", index)
        self.context = self.call("cuDevicePrimaryCtxRetain", number)
        release = weakref.finalize(self, self.driver.cuDevicePrimaryCtxRelease, number)
        release.atexit = False  # the system frees everything when the process ends

    def call(self, name: str, *arguments) -> Any:
        """The return values of a driver function without its status; a tuple unless one. Raises CudaError."""
        try:
            status, *values = getattr(self.driver, name)(*arguments)
        except RuntimeError as error:  # of the bindings, for a driver that is missing or lacks this function
            raise CudaError(f"{name}: {first_line(error)}") from None
        if int(status):
            message = self.driver.cuGetErrorString(status)[1]
            reason = message.decode(errors="replace") if message else f"error {int(status)}"
            raise CudaError(f"{name}: {reason}")
        return values[0] if len(values) == 1 else tuple(values)

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        """Makes this device the current one of the calling thread."""
        self.call("cuCtxPushCurrent", self.context)
        try:
            yield
        finally:
            self.call("cuCtxPopCurrent")

    def hold(self, name: str, *arguments, back: str) -> _Held:
        """The resource that a driver function creates; `back` is the name of the function that frees it."""
        with self.current():
            return _Held(self, self.call(name, *arguments), back)


class _Held:
    """A resource of the driver, freed when nothing refers to this object. The device lives as long."""

    def __init__(self, device: _Device, value, back: str) -> None:
        self.value = value
        weakref.finalize(self, _free, device, back, value).atexit = False

    def __int__(self) -> int:
        return int(self.value)


def _free(device: _Device, back: str, value) -> None:
    try:
        with device.current():
            device.call(back, value)
    except CudaError as error:  # an earlier call failed too, and its caller got the error
        log.debug("GPU memory cannot be freed: %s.", error)


def memory_in_use(index: int = 0) -> int:
    """Bytes of the device that are in use, by all processes. Raises CudaError, EngineUnavailable."""
    device = _Device(index)
    with device.current():
        free, total = device.call("cuMemGetInfo")
    return int(total) - int(free)


class DeviceArray:
    """An array on the device; PyTorch uses it without a copy, by `__cuda_array_interface__`."""

    def __init__(self, device: _Device, shape: tuple[int, ...], dtype) -> None:
        kind = np.dtype(dtype)
        self.nbytes = math.prod(shape) * kind.itemsize
        self._memory = device.hold("cuMemAlloc", max(1, self.nbytes), back="cuMemFree")
        self.address = int(self._memory)
        self.__cuda_array_interface__ = {
            "shape": shape, "typestr": kind.str, "data": (self.address, False), "version": 3,
        }  # fmt: skip


def _page_locked(device: _Device, shape: tuple[int, ...], dtype) -> np.ndarray:
    """Zeros in page-locked memory, which exists as long as the array or a view of it."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    held = device.hold("cuMemHostAlloc", max(1, size), 0, back="cuMemFreeHost")
    memory = (ctypes.c_uint8 * size).from_address(int(held))
    memory.held = held  # pyright: ignore[reportAttributeAccessIssue]
    array = np.frombuffer(memory, dtype).reshape(shape)  # pyright: ignore[reportCallIssue]
    array[:] = 0
    return array


class FrameBuffers:
    """The memory for one image and its depth, and the stream of their copies.

    image (H, W, 3) uint8 and depth (H, W) float32 are page-locked host arrays; `upload` and `download` queue
    their copies to and from the device, and return at once. Methods that queue work must be called within
    `on_device`. Raises EngineUnavailable when the GPU has no memory left.
    """

    def __init__(self, index: int, height: int, width: int) -> None:
        try:
            self.device = device = _Device(index)
            self.image = _page_locked(device, (height, width, 3), np.uint8)
            self.depth = _page_locked(device, (height, width), np.float32)
            self.device_image = DeviceArray(device, (1, height, width, 3), np.uint8)
            self.device_depth = DeviceArray(device, (1, height, width), np.float32)
            # a stream that does not wait for work of the same process on the default stream
            non_blocking = int(device.driver.CUstream_flags.CU_STREAM_NON_BLOCKING)
            self._stream = device.hold("cuStreamCreate", non_blocking, back="cuStreamDestroy")
        except CudaError as error:
            raise EngineUnavailable(f"the GPU gives no memory or stream ({first_line(error)})") from None

    @property
    def image_address(self) -> int:
        return self.device_image.address

    @property
    def depth_address(self) -> int:
        return self.device_depth.address

    @property
    def stream(self) -> int:
        """The CUDA stream's handle."""
        return int(self._stream)

    def on_device(self):
        """A context in which this device is the current one of the thread."""
        return self.device.current()

    def to_device(self, there: DeviceArray, here: np.ndarray) -> None:
        """Queue a copy to the device; `here` must not change until the copy is done."""
        address = here.ctypes.data
        self.device.call("cuMemcpyHtoDAsync", there.address, address, there.nbytes, self._stream.value)

    def to_host(self, here: np.ndarray, there: DeviceArray) -> None:
        """Queue a copy to the host."""
        address = here.ctypes.data
        self.device.call("cuMemcpyDtoHAsync", address, there.address, there.nbytes, self._stream.value)

    def upload(self) -> None:
        self.to_device(self.device_image, self.image)

    def return_image(self) -> None:
        """Queue the copy of the network's input, which was made on the device, to `image`."""
        self.to_host(self.image, self.device_image)

    def download(self) -> None:
        self.to_host(self.depth, self.device_depth)

    def wait(self) -> None:
        """Wait until all queued work is done. Raises CudaError when some of it failed."""
        with self.on_device():
            self.device.call("cuStreamSynchronize", self._stream.value)

    def large_image(self, letterbox: Letterbox) -> LargeImage | None:
        """The memory and kernel that resize images of the letterbox's size into `device_image`; None, with a
        warning in the log, if the GPU fails or its result differs from the CPU's.
        """
        try:
            large = LargeImage(self, letterbox)
            noise = np.random.default_rng(0).integers(0, 256, large.image.shape, np.uint8)
            np.copyto(large.image, noise)
            with self.on_device():
                large.upload()
            self.wait()
        except CudaError as error:
            log.warning(
                "Images are resized on the CPU because resizing on the GPU failed (%s).", first_line(error)
            )
            return None
        expected = letterbox.letterbox(noise, np.empty_like(self.image)).astype(np.int16)
        off = int(np.abs(expected - self.image).max())  # pyright: ignore[reportOperatorIssue]
        if off > RESIZE_TOLERANCE:
            log.warning("Images are resized on the CPU because the GPU is off by up to %d gray levels.", off)
            return None
        return large

    def times(self, work: Callable[[], None], repeats: int) -> np.ndarray:
        """Seconds between CUDA events before and after the work that `work` queues, once per repeat."""
        seconds = np.empty(repeats)
        device, stream = self.device, self._stream.value
        begin, end = (device.hold("cuEventCreate", 0, back="cuEventDestroy") for _ in range(2))
        with self.on_device():
            for i in range(repeats):
                device.call("cuEventRecord", begin.value, stream)
                work()
                device.call("cuEventRecord", end.value, stream)
                device.call("cuEventSynchronize", end.value)
                seconds[i] = device.call("cuEventElapsedTime", begin.value, end.value) / 1000
        return seconds

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record the work that `work` queues as a CUDA graph; returns a function that queues the graph.

        Raises CudaError when it cannot be captured.
        """
        device, stream = self.device, self._stream.value
        # other threads of the process may use the GPU during the capture
        mode = device.driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        with self.on_device():
            device.call("cuStreamBeginCapture", stream, mode)
            try:
                work()
            except BaseException:
                # the stream can be used again only after the end of the capture
                with contextlib.suppress(CudaError):
                    device.call("cuGraphDestroy", device.call("cuStreamEndCapture", stream))
                raise
            graph = device.call("cuStreamEndCapture", stream)
            try:
                executable = device.hold("cuGraphInstantiate", graph, 0, back="cuGraphExecDestroy")
            finally:
                device.call("cuGraphDestroy", graph)

        def replay() -> None:
            with self.on_device():
                device.call("cuGraphLaunch", executable.value, stream)

        return replay

    def close(self) -> None:
        """Wait for the queued work, then release the memory."""
        try:
            self.wait()
        except CudaError as error:
            log.warning("The GPU failed before its memory was freed: %s.", first_line(error))
        self.device_image = self.device_depth = self.image = self.depth = self._stream = self.device = None


class LargeImage:
    """A page-locked image of another size than the network's, and its resizing into a FrameBuffers' input.

    image: (height, width, 3) uint8, the letterbox's size. Raises CudaError.
    """

    def __init__(self, buffers: FrameBuffers, letterbox: Letterbox) -> None:
        device = buffers.device
        width, height = letterbox.size
        self.image = _page_locked(device, (height, width, 3), np.uint8)
        self._buffers = buffers
        self._on_device = DeviceArray(device, (height, width, 3), np.uint8)
        self._module = device.hold(
            "cuModuleLoadData", device_letterbox.PTX.read_bytes() + b"\0", back="cuModuleUnload"
        )
        with buffers.on_device():
            self._kernel = device.call(
                "cuModuleGetFunction", self._module.value, device_letterbox.KERNEL.encode()
            )
        rows = device_letterbox.taps(height, letterbox.inner_height)
        columns = device_letterbox.taps(width, letterbox.inner_width)
        self._taps = [self._kept(array) for array in (*rows, *columns)]
        buffers.wait()  # the copies must end before these arrays are freed
        red, green, blue = letterbox.border
        pointer, number = ctypes.c_void_p, ctypes.c_int
        row, row_weight, column, column_weight = (array.address for array in self._taps)
        arguments = (
            (self._on_device.address, pointer),
            (buffers.image_address, pointer),
            (width, number),
            *((size, number) for size in letterbox.net_size),
            *((offset, number) for offset in (letterbox.x, letterbox.y)),
            *((size, number) for size in (letterbox.inner_width, letterbox.inner_height)),
            (row, pointer),
            (row_weight, pointer),
            (rows[0].shape[1], number),
            (column, pointer),
            (column_weight, pointer),
            (columns[0].shape[1], number),
            (red | green << 8 | blue << 16, ctypes.c_uint),
        )
        self._arguments = tuple(zip(*arguments, strict=True))
        self._grid = [
            -(-size // block) for size, block in zip(letterbox.net_size, device_letterbox.BLOCK, strict=True)
        ]

    def _kept(self, array: np.ndarray) -> DeviceArray:
        there = DeviceArray(self._buffers.device, array.shape, array.dtype)
        with self._buffers.on_device():
            self._buffers.to_device(there, array)
        return there

    def upload(self) -> None:
        """Queue the image's copy, its resizing, and the copy of the resized image back; called on_device."""
        buffers = self._buffers
        buffers.to_device(self._on_device, self.image)
        buffers.device.call(
            "cuLaunchKernel", self._kernel, *self._grid, 1, *device_letterbox.BLOCK, 1, 0,
            buffers._stream.value, self._arguments, 0,
        )  # fmt: skip
        buffers.return_image()
