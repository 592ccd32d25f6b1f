# SPDX-License-Identifier: Apache-2.0
"""PyTorch as an engine, on CUDA or on the CPU: the reference, and what runs where TensorRT does not."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import ExitStack

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
            f"PyTorch {torch.__version__} sees no CUDA device; is it a build for the CPU alone?"
        )
    return torch


class PyTorchEngine(Engine):
    """Runs a bundle's ONNX graph as a torch module, made by onnx2torch.

    precision: "fp32"; "fp16" (CUDA only) by the very graph that TensorRT is given; "bf16" by autocast.
    threads: on the CPU, 0 = all cores; they are PyTorch's own, and so of the whole process. device: "cpu",
    "cuda", "cuda:1", ..., None = "cuda". Raises EngineUnavailable when PyTorch, onnx2torch or the device is
    missing.
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
        self._module = self._buffers = self._letterbox = self._large = None
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
            # autocast would cast the weights anew for every frame
            graph = half_graph(graph, precision)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch's, of how onnx2torch makes its tensors
                module = convert(graph).eval().requires_grad_(False)
        except (NotImplementedError, KeyError, RuntimeError, ValueError) as error:
            raise EngineUnavailable(f"onnx2torch does not read the network ({first_line(error)})") from None
        if on_cpu:
            if threads:
                torch.set_num_threads(threads)
            self.device = f"CPU, {torch.get_num_threads()} threads, PyTorch {torch.__version__}"
            self._depth = np.empty((height, width), np.float32)
        else:
            self.device = f"{gpu.name}, PyTorch {torch.__version__}"
            self._buffers = cuda.FrameBuffers(index, height, width)
            try:
                where = torch.device("cuda", index)
                # the same memory and the same stream, in torch's words
                self._image_there = torch.as_tensor(self._buffers.device_image, device=where)
                self._depth_there = torch.as_tensor(self._buffers.device_depth, device=where)
                self._stream = torch.cuda.ExternalStream(self._buffers.stream, device=where)
                module = module.to(where)
                torch.cuda.synchronize(where)
            except RuntimeError as error:
                self._buffers.close()
                raise EngineUnavailable(f"no memory on the GPU ({first_line(error)})") from None
        self._autocast = torch.bfloat16 if precision == "bf16" else None
        self._module = module

    def infer(self, image: np.ndarray) -> np.ndarray:
        if self._module is None:
            raise Clip2DepthError("The pytorch engine was closed.")
        check_image(image, self.manifest)
        try:
            if self._buffers is None:
                self._depth[:] = self._forward(self._torch.from_numpy(image)[None], "cpu").numpy()[0]
                return self._depth
            np.copyto(self._buffers.image, image)
            return self._infer_on_gpu(self._buffers.upload)
        except (
            RuntimeError,
            TypeError,
            IndexError,
        ) as error:  # what torch raises for an operator it cannot run
            raise EngineUnavailable(f"PyTorch fails on {self.device} ({first_line(error)})") from None

    def fits(self, letterbox: Letterbox) -> bool:
        if self._module is None:
            raise Clip2DepthError("The pytorch engine was closed.")
        if self._buffers is not None and letterbox != self._letterbox:
            self._letterbox = letterbox
            self._large = self._buffers.large_image(letterbox)
            if self._large is not None and not infers_alike(self, letterbox):
                self._large = None
        return self._large is not None

    def infer_image(self, image: np.ndarray, fitted: np.ndarray) -> np.ndarray:
        if self._module is None or self._large is None:
            raise Clip2DepthError("The pytorch engine was closed, or was not asked whether it fits images.")
        np.copyto(self._large.image, image)
        try:
            depth = self._infer_on_gpu(self._large.upload)
        except RuntimeError as error:
            raise EngineUnavailable(f"PyTorch fails on {self.device} ({first_line(error)})") from None
        np.copyto(fitted, self._buffers.image)
        return depth

    def device_times(self, repeats: int) -> np.ndarray:
        if self._module is None:
            raise Clip2DepthError("The pytorch engine was closed.")
        if self._buffers is None:
            return super().device_times(repeats)
        with self._torch.cuda.stream(self._stream):
            return self._buffers.times(lambda: self._forward(self._image_there, "cuda"), repeats)

    def close(self) -> None:
        self._module = self._large = self._image_there = self._depth_there = None
        if self._buffers is not None:
            buffers, self._buffers = self._buffers, None
            buffers.close()

    def _infer_on_gpu(self, upload: Callable[[], None]) -> np.ndarray:
        buffers = self._buffers
        with buffers.on_device(), self._torch.cuda.stream(self._stream):
            upload()
            self._depth_there.copy_(self._forward(self._image_there, "cuda"))
            buffers.download()
        buffers.wait()
        return buffers.depth

    def _forward(self, image, device_type: str):
        with ExitStack() as stack:
            stack.enter_context(self._torch.inference_mode())
            if self._autocast is not None:
                stack.enter_context(self._torch.autocast(device_type, dtype=self._autocast))
            return self._module(image).float()
