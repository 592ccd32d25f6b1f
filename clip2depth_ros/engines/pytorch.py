# SPDX-License-Identifier: Apache-2.0
"""PyTorch as an engine, on CUDA or on the CPU: the reference, and the engine of GPUs without TensorRT."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack
from importlib.util import find_spec

import numpy as np

from clip2depth_ros.bundle import Bundle
from clip2depth_ros.camera import Letterbox
from clip2depth_ros.engines import probe
from clip2depth_ros.engines.base import (
    FLOATS,
    PRECISIONS,
    Engine,
    EngineUnavailable,
    check_image,
    first_line,
    infers_alike,
)
from clip2depth_ros.engines.graph import plain_graph, without_slices
from clip2depth_ros.engines.half_precision import half_graph
from clip2depth_ros.engines.kind import CPU, Candidate, EngineKind, OpenOptions
from clip2depth_ros.engines.tensorrt import cuda
from clip2depth_ros.errors import Clip2DepthError


def import_torch():
    """The torch module. Raises EngineUnavailable when it is missing or sees no CUDA device."""
    try:
        import torch
    except (ImportError, OSError) as error:
        raise EngineUnavailable(f"not installed ({first_line(error)})") from None
    if not torch.cuda.is_available():
        raise EngineUnavailable(
            f"PyTorch {torch.__version__} sees no CUDA device; it may be a build for the CPU only"
        )
    return torch


class PyTorchEngine(Engine):
    """Runs a bundle's ONNX graph as a torch module, converted by onnx2torch.

    precision: "fp32"; "fp16" (CUDA only), with the same graph as TensorRT; "bf16", with autocast. threads: on
    the CPU, 0 = all cores; the setting applies to PyTorch in the whole process. device: "cpu", "cuda",
    "cuda:1", ..., None = "cuda". buffers: the memory of a frame and its CUDA stream; None on the CPU and
    after `close`. Raises EngineUnavailable when PyTorch, onnx2torch or the device is missing.
    """

    name = "pytorch"

    def __init__(
        self, bundle: Bundle, *, precision: str = "fp32", threads: int = 0, device: str | None = None
    ) -> None:
        if precision not in PRECISIONS:
            raise Clip2DepthError(
                f"No precision is called '{precision}'; known are: {', '.join(PRECISIONS)}."
            )
        if precision not in FLOATS:
            raise EngineUnavailable(f"computes in {', '.join(FLOATS)}, not in {precision}")
        if threads < 0:
            raise Clip2DepthError(f"threads must be 0 (all cores) or more, it is {threads}.")
        self._module = self.buffers = self._asked = self._large = None
        on_cpu = device == "cpu"
        index = 0 if on_cpu else cuda.device_index(device)
        if not on_cpu:
            gpu = probe.require_gpu(index)
            import_torch()
        elif precision == "fp16":
            raise EngineUnavailable("computes in fp32 or bf16 on the CPU")
        try:
            import torch
            from onnx2torch import convert
        except (ImportError, OSError) as error:
            raise EngineUnavailable(f"not installed ({first_line(error)})") from None
        self._torch = torch
        self.manifest = bundle.manifest
        self.precision = precision
        height, width = self.manifest.input_height, self.manifest.input_width
        graph = without_slices(plain_graph(bundle.model()))
        if precision == "fp16":
            # autocast would cast the weights again for every frame
            graph = half_graph(graph, precision)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # PyTorch warns about how onnx2torch makes its tensors
                module = convert(graph).eval().requires_grad_(False)
        except (NotImplementedError, KeyError, RuntimeError, ValueError) as error:
            raise EngineUnavailable(f"onnx2torch cannot read the network ({first_line(error)})") from None
        if on_cpu:
            if threads:
                torch.set_num_threads(threads)
            self.device = f"CPU, {torch.get_num_threads()} threads, PyTorch {torch.__version__}"
            self._depth = np.empty((height, width), np.float32)
        else:
            self.device = f"{gpu.name}, PyTorch {torch.__version__}"
            self.buffers = cuda.FrameBuffers(index, height, width)
            try:
                where = torch.device("cuda", index)
                # the same memory and the same stream, as PyTorch objects
                self._image_there = torch.as_tensor(self.buffers.device_image, device=where)
                self._depth_there = torch.as_tensor(self.buffers.device_depth, device=where)
                self._stream = torch.cuda.ExternalStream(self.buffers.stream, device=where)
                module = module.to(where)
                torch.cuda.synchronize(where)
            except RuntimeError as error:
                self.buffers.close()
                raise EngineUnavailable(f"no memory on the GPU ({first_line(error)})") from None
        self._autocast = torch.bfloat16 if precision == "bf16" else None
        self._module = module

    def infer(self, image: np.ndarray) -> np.ndarray:
        self._check_open()
        large = self._large
        is_large = large is not None and image.shape == large.image.shape
        if not is_large:
            check_image(image, self.manifest)
        try:
            if self.buffers is None:
                self._depth[:] = self._forward(self._torch.from_numpy(image)[None], "cpu").numpy()[0]
                return self._depth
            np.copyto(large.image if is_large else self.buffers.image, image)
            return self._infer_on_gpu(large.upload if is_large else self.buffers.upload)
        # what PyTorch raises for an operator that it cannot run
        except (RuntimeError, TypeError, IndexError) as error:
            raise EngineUnavailable(f"PyTorch fails on {self.device} ({first_line(error)})") from None

    def prepare(self, size: tuple[int, int]) -> None:
        self._check_open()
        if self.buffers is None or size == self._asked:
            return
        self._forget_prepared()
        self._asked = size
        net_size = self.manifest.input_width, self.manifest.input_height
        large = self.buffers.large_image(Letterbox(size, *net_size)) if size != net_size else None
        if large is None:
            return
        self._large, self.prepared, self.network_input = large, size, self.buffers.image
        if not infers_alike(self):
            self._forget_prepared()

    def queueing(self) -> AbstractContextManager:
        """The context in which `queue_network` may be called; on CUDA only."""
        self._check_open()
        return self._torch.cuda.stream(self._stream)

    def queue_network(self) -> None:
        """Queue the network alone on the stream, without the copies, for the last image inferred.

        For measuring its time on the device.
        """
        self._forward(self._image_there, "cuda")

    def close(self) -> None:
        self._forget_prepared()
        self._module = self._image_there = self._depth_there = None
        if self.buffers is not None:
            buffers, self.buffers = self.buffers, None
            buffers.close()

    def _check_open(self) -> None:
        if self._module is None:
            raise Clip2DepthError("The pytorch engine was closed.")

    def _forget_prepared(self) -> None:
        self._large = self.prepared = self.network_input = None

    def _infer_on_gpu(self, upload: Callable[[], None]) -> np.ndarray:
        buffers = self.buffers
        with buffers.on_device(), self._torch.cuda.stream(self._stream):
            upload()
            self._depth_there.copy_(self._forward(self._image_there, "cuda"))
            buffers.download()
        buffers.wait()
        return buffers.depth  # pyright: ignore[reportReturnType]

    def _forward(self, image, device_type: str):
        with ExitStack() as stack:
            stack.enter_context(self._torch.inference_mode())
            if self._autocast is not None:
                stack.enter_context(self._torch.autocast(device_type, dtype=self._autocast))
            return self._module(image).float()


def _open(bundle: Bundle, options: OpenOptions) -> Engine:
    return PyTorchEngine(bundle, precision=options.precision, threads=options.threads, device=options.device)


def _why_unavailable(device: str, precision: str | None) -> str:
    """On CUDA the driver is asked first, so that a machine without a GPU does not import PyTorch."""
    if device == CPU:
        return "" if find_spec("torch") else "not installed (pip install 'clip2depth_ros[pytorch]')"
    if precision is not None and precision not in FLOATS:
        return f"has no {precision}"
    gpu = probe.gpu_facts(cuda.device_index(device))
    return f"no CUDA device ({gpu})" if isinstance(gpu, str) else ""


def _candidates(bundle: Bundle, device: str) -> Iterable[Candidate]:
    return (Candidate("fp32"),) if device == CPU else (Candidate("fp16"), Candidate("fp32"))


PYTORCH = EngineKind(_open, {"cuda": 3, "cpu": 2}, _candidates, _why_unavailable)
