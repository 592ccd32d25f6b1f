# SPDX-License-Identifier: Apache-2.0
"""The engines of NVIDIA GPUs: TensorRT, 8.5 to 11, and TensorRT RTX."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

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
from clip2depth_ros.engines.cache import (
    RTX,
    BuildCancelled,
    EngineKey,
    cached_engine,
    engine_folder,
    read_kernels,
    write_kernels,
)
from clip2depth_ros.engines.kind import Candidate, EngineKind, OpenOptions
from clip2depth_ros.engines.tensorrt import cuda
from clip2depth_ros.engines.tensorrt.builder import build, check_targets, import_tensorrt, is_rtx, make, named
from clip2depth_ros.errors import Clip2DepthError

log = logging.getLogger(__name__)


class TensorRtEngine(Engine):
    """Runs a bundle on a CUDA device, with a TensorRT engine that is built once and cached.

    precision: "fp16", "bf16" (TensorRT 10 or later, compute capability 8.0 or later) or "fp32". cache_dir:
    folder of built engines, None = the user's cache folder. progress: called with one line at a time while
    TensorRT builds. device: "cuda", "cuda:1", ..., None = the first. rebuild: the cached engine computed
    wrongly; build it again. graph: whether a frame is one CUDA graph, else its steps are queued one by one.
    buffers: the memory of a frame and its CUDA stream; None after `close`.

    For each frame the image is copied to the device once and the depth is copied back once, both through
    page-locked memory and on the engine's own stream; the image is resized and normalized on the device.
    Raises EngineUnavailable when there is no GPU, no TensorRT, or the network cannot be built.
    """

    name = "tensorrt"

    def __init__(
        self,
        bundle: Bundle,
        *,
        precision: str = "fp16",
        cache_dir: str | Path | None = None,
        progress: Callable[[str], None] | None = None,
        device: str | None = None,
        rebuild: bool = False,
    ) -> None:
        _check_precision(precision)
        self.buffers = None
        index = cuda.device_index(device)
        gpu = probe.require_gpu(index)
        trt = import_tensorrt(self.name)
        if is_rtx(trt):
            check_targets(trt, precision, [gpu.compute_capability])
        elif precision == "bf16" and float(gpu.compute_capability) < 8:
            raise EngineUnavailable(f"{gpu.name} (compute capability {gpu.compute_capability}) has no bf16")
        self.manifest = bundle.manifest
        self.precision = precision
        self.device = f"{gpu.name}, {named(trt)}"
        height, width = self.manifest.input_height, self.manifest.input_width
        # before everything else, because TensorRT needs a CUDA context when it builds
        buffers = cuda.FrameBuffers(index, height, width)
        model = bundle.model()
        name = "" if is_rtx(trt) else gpu.name
        key = _key(bundle, trt, name, gpu.compute_capability, precision)
        machine = f"{gpu.name}, driver {gpu.driver}, CUDA {gpu.cuda}"
        kernels = read_kernels(key, machine, cache_dir) if is_rtx(trt) and not rebuild else None

        cancelled: list[BuildCancelled] = []

        def tell(line: str) -> None:
            try:
                if progress is not None:
                    progress(f"{self.name} {precision}: {line}")
            except BuildCancelled as error:
                cancelled.append(error)
                raise

        try:
            with buffers.on_device():
                (self._engine, self._context, kept), self.cached = cached_engine(
                    key,
                    build=lambda timing: build(trt, model, precision, timing, tell, [gpu.compute_capability]),
                    load=lambda plan: _open(trt, plan, (height, width), kernels),
                    cache_dir=cache_dir,
                    rebuild=rebuild,
                    progress=tell,
                )
            if cancelled:  # a TensorRT that cannot be stopped built the engine anyway; it is in the cache
                raise cancelled[0]
            self._context.set_tensor_address("image", buffers.image_address)
            self._context.set_tensor_address("depth", buffers.depth_address)
            self.buffers = buffers
            self._asked: tuple[int, int] | None = None
            self._large: cuda.LargeImage | None = None
            self._frame(
                buffers.upload
            )  # before the capture, because the first run may allocate and initialize
            self._wait()
            if kept is not None:
                with buffers.on_device():
                    compiled = bytes(kept.serialize())
                if compiled != kernels:
                    write_kernels(key, machine, compiled, cache_dir)
            self._kernels = kept  # the context uses the memory of this cache
            self._queue, self.graph = self._captured(buffers.upload)
        except BaseException:
            self.buffers = self._engine = self._context = None
            buffers.close()
            raise

    def infer(self, image: np.ndarray) -> np.ndarray:
        buffers = self._opened()
        if self._large is not None and image.shape == self._large.image.shape:
            np.copyto(self._large.image, image)
            self._queue_large()
        else:
            check_image(image, self.manifest)
            np.copyto(buffers.image, image)
            self._queue()
        self._wait()
        return buffers.depth  # pyright: ignore[reportReturnType]

    def prepare(self, size: tuple[int, int]) -> None:
        buffers = self._opened()
        if size == self._asked:
            return
        self._forget_prepared()  # a graph refers to the buffers
        self._asked = size
        net_size = self.manifest.input_width, self.manifest.input_height
        large = buffers.large_image(Letterbox(size, *net_size)) if size != net_size else None
        if large is None:
            return
        self._queue_large, _ = self._captured(large.upload)
        self._large, self.prepared, self.network_input = large, size, buffers.image
        if not infers_alike(self):
            self._forget_prepared()

    def queueing(self) -> AbstractContextManager:
        """The context in which `queue_network` may be called."""
        return self._opened().on_device()

    def queue_network(self) -> None:
        """Queue the network alone on the stream, without the copies, for the last image inferred.

        For measuring its time on the device. Raises EngineUnavailable when TensorRT refuses.
        """
        if not self._context.execute_async_v3(self._opened().stream):
            raise EngineUnavailable(f"TensorRT does not run the network on {self.device}")

    def close(self) -> None:
        if self.buffers is None:
            return
        buffers, self.buffers = self.buffers, None
        # a graph refers to the buffers and to the context, the context to its engine
        self._forget_prepared()
        self._queue = None
        self._context = None
        self._engine = self._kernels = None
        buffers.close()

    def _opened(self) -> cuda.FrameBuffers:
        """The buffers. Raises Clip2DepthError when the engine is closed."""
        if self.buffers is None:
            raise Clip2DepthError(f"The {self.name} engine was closed.")
        return self.buffers

    def _forget_prepared(self) -> None:
        self._queue_large = self._large = self.prepared = self.network_input = None

    def _frame(self, upload: Callable[[], None]) -> None:
        """Queue the work of one frame; `upload` queues the work that fills the network's input."""
        with self.buffers.on_device():  # any thread may call
            upload()
            self.queue_network()
            self.buffers.download()

    def _wait(self) -> None:
        try:
            self.buffers.wait()
        except RuntimeError as error:
            raise EngineUnavailable(f"TensorRT fails on {self.device} ({first_line(error)})") from None

    def _captured(self, upload: Callable[[], None]) -> tuple[Callable[[], None], bool]:
        """The function that queues the work of a frame, and whether that is one CUDA graph."""
        frame = partial(self._frame, upload)
        try:
            return self.buffers.capture(frame), True
        except (RuntimeError, EngineUnavailable) as error:
            log.warning(
                "The network is not captured as a CUDA graph (%s); its steps are queued one by one.",
                first_line(error),
            )
            return frame, False


class TensorRtRtxEngine(TensorRtEngine):
    """Runs a bundle on an NVIDIA desktop GPU with TensorRT RTX. It builds in seconds, or ahead elsewhere.

    The kernels that it compiles for the GPU at the first run are cached next to the engine.
    """

    name = RTX


def build_ahead(
    bundle: Bundle,
    targets: Sequence[str],
    *,
    precision: str = "fp16",
    cache_dir: str | Path | None = None,
    progress: Callable[[str], None] | None = None,
    rebuild: bool = False,
) -> Path:
    """The file of the TensorRT RTX engine for these compute capabilities; it is built if there is none.

    No GPU is needed. rebuild: build it even if there is one. The engine has not been run; open_engine checks
    it. Raises EngineUnavailable when TensorRT RTX is not installed or cannot build it, Clip2DepthError when
    the file cannot be written.
    """
    _check_precision(precision)
    trt = import_tensorrt(RTX)
    check_targets(trt, precision, targets)
    model = bundle.model()
    # sorted, so that the same targets give the same file
    targets = sorted(set(targets), key=lambda target: [int(number) for number in target.split(".")])
    key = _key(bundle, trt, "", ",".join(targets), precision)
    folder = engine_folder(cache_dir)
    if rebuild:
        (folder / key.file_name).unlink(missing_ok=True)

    def tell(line: str) -> None:
        if progress is not None:
            progress(f"{RTX} {precision}: {line}")

    _, found = cached_engine(
        key,
        build=lambda timing: build(trt, model, precision, timing, tell, targets),
        load=lambda plan: plan,
        cache_dir=cache_dir,
        progress=tell,
    )
    path = found or folder / key.file_name
    if not path.is_file():
        raise Clip2DepthError(f"The engine cannot be written to {folder}: give another folder with --cache.")
    return path


def _check_precision(precision: str) -> None:
    if precision not in PRECISIONS:
        raise Clip2DepthError(f"No precision is called '{precision}'; known are: {', '.join(PRECISIONS)}.")
    if precision not in FLOATS:
        raise EngineUnavailable(f"computes in {', '.join(FLOATS)}, not in {precision}")


def _key(bundle: Bundle, trt, gpu: str, compute_capability: str, precision: str) -> EngineKey:
    manifest = bundle.manifest
    return EngineKey(
        bundle=bundle.name,
        model_sha256=manifest.model_sha256.lower(),  # Bundle.model() verifies it
        tensorrt=trt.__version__,
        gpu=gpu,
        compute_capability=compute_capability,
        precision=precision,
        input_shape=(1, manifest.input_height, manifest.input_width, 3),
        library=trt.__name__,
    )


def _open(trt, plan: bytes, size: tuple[int, int], kernels: bytes | None):
    """Engine, context and, for TensorRT RTX, the kernel cache filled with `kernels`, of a serialized engine.

    Raises EngineUnavailable when the engine is not one of this network.
    """
    runtime = make(trt, trt.Runtime)
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise EngineUnavailable(f"{named(trt)} does not accept this engine")
    found = {}
    for name in (engine.get_tensor_name(i) for i in range(engine.num_io_tensors)):
        found[name] = (
            engine.get_tensor_mode(name),
            engine.get_tensor_dtype(name),
            tuple(engine.get_tensor_shape(name)),
        )
    expected = {
        "image": (trt.TensorIOMode.INPUT, trt.uint8, (1, *size, 3)),
        "depth": (trt.TensorIOMode.OUTPUT, trt.float32, (1, *size)),
    }
    if found != expected:
        raise EngineUnavailable(f"the engine has the inputs and outputs {found}, expected {expected}")
    cache = None
    if is_rtx(trt):
        config = engine.create_runtime_config()
        cache = config.create_runtime_cache()
        if kernels is not None and not cache.deserialize(kernels):
            log.info("The cached kernels belong to another machine or version; they are compiled again.")
        config.set_runtime_cache(cache)
        context = engine.create_execution_context(config)
    else:
        context = engine.create_execution_context()
    if context is None:
        raise EngineUnavailable("no memory on the GPU for this engine")
    return engine, context, cache


def _kind(engine: type[TensorRtEngine], place: int) -> EngineKind:
    """One of the two; place: its position in the order of trying."""

    def open_(bundle: Bundle, options: OpenOptions) -> Engine:
        return engine(
            bundle,
            precision=options.precision,
            cache_dir=options.cache_dir,
            progress=options.progress,
            device=options.device,
            rebuild=options.rebuild,
        )

    def why_unavailable(device: str, precision: str | None) -> str:
        if precision is not None and precision not in FLOATS:
            return f"has no {precision}"
        gpu = probe.gpu_facts(cuda.device_index(device))
        if isinstance(gpu, str):
            return f"no CUDA device ({gpu})"
        try:
            trt = import_tensorrt(engine.name)
            if is_rtx(trt):
                check_targets(trt, "fp32", [gpu.compute_capability])
        except EngineUnavailable as error:
            return str(error)
        return ""

    return EngineKind(open_, {"cuda": place}, _candidates, why_unavailable)


def _candidates(bundle: Bundle, device: str) -> Iterable[Candidate]:
    return Candidate("fp16"), Candidate("fp32")


TENSORRT = _kind(TensorRtEngine, 1)
TENSORRT_RTX = _kind(TensorRtRtxEngine, 2)
