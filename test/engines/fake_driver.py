# SPDX-License-Identifier: Apache-2.0
"""A stand-in for cuda.bindings.driver: a GPU's memory, streams and graphs in plain memory.

What a stream was given runs when somebody waits for it, as on a GPU. The one kernel is computed by NumPy.
`calls` records every call with its arguments, so that a test can put them to the real module.
"""

from __future__ import annotations

import ctypes
import enum
import itertools
import time
import types

import numpy as np

OK, NO_MEMORY, NOT_PERMITTED, ILLEGAL = 0, 2, 900, 700
_TEXTS = {
    NO_MEMORY: b"out of memory",
    NOT_PERMITTED: b"operation not permitted when stream is capturing",
    ILLEGAL: b"an illegal memory access was encountered",
}


class CUstreamCaptureMode(enum.IntEnum):
    CU_STREAM_CAPTURE_MODE_THREAD_LOCAL = 1


class CUstream_flags(enum.IntEnum):
    CU_STREAM_NON_BLOCKING = 1


class Stream:
    """What was queued, or is being recorded for a graph."""

    def __init__(self) -> None:
        self.queue: list = []
        self.recording: list | None = None

    def put(self, work) -> None:
        (self.queue if self.recording is None else self.recording).append(work)

    def run(self) -> None:
        queue, self.queue = self.queue, []
        for work in queue:
            work()


class FakeDriver(types.ModuleType):
    """The module. fail: names of functions that answer with an error, and the error."""

    CUstreamCaptureMode, CUstream_flags = CUstreamCaptureMode, CUstream_flags

    def __init__(self) -> None:
        super().__init__("cuda.bindings.driver")
        self.calls: list[tuple] = []
        self.fail: dict[str, int] = {}
        self.held: dict[int, object] = {}
        self.contexts = 0  # retained and not released
        self.pushed: list[int] = []
        self.launches: list[str] = []  # what frames are made of: upload, kernel, download, graph
        self._numbers = itertools.count(1)

    def __getattribute__(self, name: str):
        value = super().__getattribute__(name)
        if not name.startswith("cu"):
            return value

        def call(*arguments):
            self.calls.append((name, *arguments))
            if name in self.fail:
                return (self.fail[name], None)
            return value(*arguments)

        return call

    def _hold(self, thing, number: int | None = None):
        number = next(self._numbers) if number is None else number
        self.held[number] = thing
        return OK, number

    def _let_go(self, number: int):
        assert self.pushed, "no context is current"
        del self.held[int(number)]
        return (OK,)

    def cuInit(self, flags):
        return (OK,)

    def cuDeviceGet(self, index):
        return OK, index

    def cuDevicePrimaryCtxRetain(self, device):
        self.contexts += 1
        return OK, 77

    def cuDevicePrimaryCtxRelease(self, device):
        self.contexts -= 1
        return (OK,)

    def cuCtxPushCurrent(self, context):
        self.pushed.append(context)
        return (OK,)

    def cuCtxPopCurrent(self):
        return OK, self.pushed.pop()

    def cuMemGetInfo(self):
        assert self.pushed, "no context is current"
        return OK, 3 << 30, 8 << 30

    def cuGetErrorString(self, status):
        return OK, _TEXTS.get(status)

    def cuMemHostAlloc(self, size, flags):
        memory = (ctypes.c_uint8 * size)(*(7,) * min(size, 64))
        return self._hold(memory, ctypes.addressof(memory))

    cuMemAlloc = lambda self, size: self.cuMemHostAlloc(size, 0)  # noqa: E731
    cuMemFree = cuMemFreeHost = cuStreamDestroy = cuEventDestroy = cuGraphExecDestroy = cuGraphDestroy = (
        _let_go
    )
    cuModuleUnload = _let_go

    def cuStreamCreate(self, flags):
        return self._hold(Stream())

    def stream(self, number) -> Stream:
        assert self.pushed, "no context is current"
        return self.held[int(number)]

    def cuStreamSynchronize(self, stream):
        try:
            self.stream(stream).run()
        except IllegalAccess:
            return (ILLEGAL,)
        return (OK,)

    def _copy(self, there, here, size, stream, what):
        self.launches.append(what)
        self.stream(stream).put(lambda: ctypes.memmove(int(there), int(here), size))
        return (OK,)

    def cuMemcpyHtoDAsync(self, there, here, size, stream):
        return self._copy(there, here, size, stream, "upload")

    def cuMemcpyDtoHAsync(self, here, there, size, stream):
        return self._copy(here, there, size, stream, "download")

    def cuEventCreate(self, flags):
        return self._hold([0.0])

    def cuEventRecord(self, event, stream):
        place = self.held[event]
        self.stream(stream).put(lambda: place.__setitem__(0, time.perf_counter()))
        return (OK,)

    def cuEventSynchronize(self, event):
        for thing in list(self.held.values()):
            if isinstance(thing, Stream):
                thing.run()
        return (OK,)

    def cuEventElapsedTime(self, begin, end):
        return OK, 1000 * (self.held[end][0] - self.held[begin][0])

    def cuStreamBeginCapture(self, stream, mode):
        assert mode is CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        self.stream(stream).recording = []
        return (OK,)

    def cuStreamEndCapture(self, stream):
        stream = self.stream(stream)
        recorded, stream.recording = stream.recording, None
        return self._hold(recorded)

    def cuGraphInstantiate(self, graph, flags):
        return self._hold(list(self.held[graph]))

    def cuGraphLaunch(self, executable, stream):
        self.launches.append("graph")
        self.stream(stream).queue.extend(self.held[executable])
        return (OK,)

    def cuModuleLoadData(self, image):
        assert image.endswith(b"\0") and b".entry letterbox(" in image
        return self._hold("module")

    def cuModuleGetFunction(self, module, name):
        assert self.held[module] == "module" and name == b"letterbox"
        return OK, 4711

    def cuLaunchKernel(self, function, gx, gy, gz, bx, by, bz, shared, stream, parameters, extra):
        assert function == 4711 and gz == bz == 1 and shared == extra == 0
        values, kinds = parameters
        assert len(values) == len(kinds) == 16
        net_width, net_height = values[3:5]
        assert 0 <= gx * bx - net_width < bx and 0 <= gy * by - net_height < by
        self.launches.append("kernel")
        self.stream(stream).put(lambda: letterbox(*values))
        return (OK,)


class IllegalAccess(Exception):
    """Raised by work on a stream that fails."""


def _array(address: int, shape: tuple[int, ...], dtype) -> np.ndarray:
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer((ctypes.c_uint8 * size).from_address(int(address)), dtype).reshape(shape)


def letterbox(
    image, out, width, net_width, net_height, left, top, inner_width, inner_height,
    rows, row_weights, row_taps, columns, column_weights, column_taps, border,
) -> None:  # fmt: skip
    """letterbox.cu in NumPy."""
    rows, row_weights = (
        _array(a, (inner_height, row_taps), t) for a, t in ((rows, "i4"), (row_weights, "f4"))
    )
    columns, column_weights = (
        _array(a, (inner_width, column_taps), t) for a, t in ((columns, "i4"), (column_weights, "f4"))
    )
    image = _array(image, (int(rows.max()) + 1, width, 3), np.uint8)
    out = _array(out, (net_height, net_width, 3), np.uint8)
    out[:] = [border >> shift & 255 for shift in (0, 8, 16)]
    lines = np.einsum("ik,ikwc->iwc", row_weights, image[rows].astype(np.float32))
    small = np.einsum("jk,ijkc->ijc", column_weights, lines[:, columns])
    out[top : top + inner_height, left : left + inner_width] = np.rint(small).clip(0, 255)
