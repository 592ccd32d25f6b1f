# SPDX-License-Identifier: Apache-2.0
"""The engine for CPUs: OpenVINO."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from clip2depth_ros.bundle import Bundle
from clip2depth_ros.bundle.library import INT8, MODEL
from clip2depth_ros.engines.base import Engine, EngineUnavailable, check_image
from clip2depth_ros.engines.checksummed import BrokenFile, read_checksummed, write_checksummed
from clip2depth_ros.engines.kind import Candidate, EngineKind, OpenOptions
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.system.offline import import_openvino, openvino_core
from clip2depth_ros.system.paths import user_folder

log = logging.getLogger(__name__)

# OpenVINO's names of the precisions. The layers of an int8 model that are not in 8 bits run in float32.
_HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}


_SUFFIX = ".compiled"


def computes_bf16() -> bool:
    """Whether OpenVINO finds bf16 instructions (AVX-512 BF16, AMX) in this processor; False without it."""
    return "BF16" in _capabilities()


def computes_int8() -> bool:
    """Whether OpenVINO multiplies in 8 bits on this processor; False without OpenVINO."""
    return "INT8" in _capabilities()


def _capabilities() -> list[str]:
    try:
        return openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    except (ImportError, RuntimeError):
        return []


class OpenVinoEngine(Engine):
    """Runs a bundle on the CPU, one frame at a time, with the lowest latency of a frame.

    threads: inference threads, 0 = all cores. cache_dir: compiled models, None = the user's cache folder.
    precision: "fp32"; "int8", the bundle's int8 model; or "bf16", which is slow if the processor has no
    instructions for it (`computes_bf16`). The precision is always passed to OpenVINO, which would otherwise
    choose one. rebuild: the cached model computed wrongly; compile it again and replace it.

    OpenVINO does not verify compiled models: damaged ones can crash it or give wrong depth. Therefore they
    are cached here with a checksum, and OpenVINO's own cache is not used. Raises EngineUnavailable when
    OpenVINO is missing or cannot run the model, Clip2DepthError when the bundle is damaged.
    """

    name = "openvino"

    def __init__(
        self,
        bundle: Bundle,
        *,
        threads: int = 0,
        cache_dir: str | Path | None = None,
        precision: str = "fp32",
        rebuild: bool = False,
    ) -> None:
        try:
            ov = import_openvino()
        except ImportError as error:
            raise EngineUnavailable(f"needs OpenVINO: pip install openvino ({error})") from None
        if precision not in _HINTS:
            raise EngineUnavailable(f"computes in fp32, bf16 or int8, not in {precision}")
        int8 = bundle.manifest.int8 if precision == "int8" else None
        if precision == "int8" and int8 is None:
            raise EngineUnavailable("the bundle contains no int8 model; clip2depth export --int8 creates one")
        self.manifest = bundle.manifest
        self.precision = precision
        self._tensor_type = ov.Tensor
        properties = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            # With pinning, two nodes on one computer would use the same cores and leave others idle.
            "ENABLE_CPU_PINNING": False,
        }
        if threads < 0:
            raise Clip2DepthError(f"threads must be 0 (all cores) or more, it is {threads}.")
        if threads:
            properties["INFERENCE_NUM_THREADS"] = threads
        core = openvino_core()
        self.device = core.get_property("CPU", "FULL_DEVICE_NAME")
        model_bytes = bundle.int8_model() if int8 else bundle.model()
        facts = {
            "model_sha256": (int8.sha256 if int8 else bundle.manifest.model_sha256).lower(),
            "openvino": ov.__version__,
            "cpu": self.device,
            "cpu_can": sorted(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")),
            "properties": properties,
        }
        folder = Path(cache_dir) if cache_dir else user_folder("cache", "openvino")
        path = folder / _file_name(bundle.name, facts)
        kept = None if rebuild else _read_kept(path, facts)
        self._compiled = None if kept is None else _imported(core, kept, properties, path)
        if self._compiled is not None:
            self.cached = path
        else:
            self._compiled = _compiled(core, bundle, INT8 if int8 else MODEL, model_bytes, properties)
            _keep(path, facts, self._compiled)
        self._request = self._compiled.create_infer_request()
        self._depth = self._request.get_output_tensor(0).data[0]
        self._image: np.ndarray | None = None

    def infer(self, image: np.ndarray) -> np.ndarray:
        if self._request is None:
            raise Clip2DepthError("The openvino engine was closed.")
        if image is not self._image:
            # The tensor shares the array's memory, so a buffer that the caller refills is wrapped only once.
            check_image(image, self.manifest)
            self._request.set_input_tensor(self._tensor_type(image[None], shared_memory=True))
            self._image = image
        self._request.infer(share_outputs=True)  # the output is then a view, not a copy
        return self._depth  # pyright: ignore[reportReturnType]

    def close(self) -> None:
        self._request = self._compiled = self._depth = self._image = None


def _compiled(core, bundle: Bundle, file: str, model_bytes: bytes, properties: dict):
    try:
        model = core.read_model(model_bytes)
    except RuntimeError as error:
        raise Clip2DepthError(
            f"Bundle {bundle.path}: OpenVINO cannot read {file} ({_last_line(error)}); export it again."
        ) from None
    _check_signature(bundle, file, model)
    try:
        return core.compile_model(model, "CPU", properties)
    except RuntimeError as error:
        raise EngineUnavailable(
            f"Bundle {bundle.path}: OpenVINO cannot run {file} on this CPU ({_last_line(error)})."
        ) from None


def _file_name(bundle: str, facts: dict) -> str:
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    return f"{re.sub(r'[^A-Za-z0-9_.-]', '_', bundle)[:64].lstrip('.')}-{digest}{_SUFFIX}"


def _read_kept(path: Path, facts: dict) -> bytes | None:
    """The compiled model from the cache; None unless it is intact and was compiled as `facts` say."""
    try:
        found, compiled = read_checksummed(path)
    except FileNotFoundError:
        return None
    except BrokenFile as error:
        log.warning("The compiled model %s %s; it is compiled again and replaced.", path, error)
        return None
    except OSError as error:
        log.warning("The compiled model %s cannot be read (%s); it is compiled again.", path, error.strerror)
        return None
    return compiled if found == facts else None


def _imported(core, kept: bytes, properties: dict, path: Path):
    try:
        return core.import_model(io.BytesIO(kept), "CPU", properties)
    except RuntimeError as error:
        log.warning(
            "OpenVINO rejects the compiled model %s (%s); it is compiled again.", path, _last_line(error)
        )
        return None


def _keep(path: Path, facts: dict, compiled) -> None:
    try:
        stream = compiled.export_model()
        write_checksummed(path, facts, stream if isinstance(stream, bytes) else stream.getvalue())
    except (OSError, RuntimeError) as error:
        # with a read-only home folder every start takes a second longer, nothing else
        log.warning("No cache for compiled models at %s: %s.", path.parent, _last_line(error))


def _check_signature(bundle: Bundle, file: str, model) -> None:
    """Raises Clip2DepthError, with the name of the tensor, unless input and output match the manifest."""
    manifest = bundle.manifest
    expected_in = [1, manifest.input_height, manifest.input_width, 3]
    expected_out = [1, manifest.input_height, manifest.input_width]
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise Clip2DepthError(
            f"Bundle {bundle.path}: {file} has {len(model.inputs)} inputs and {len(model.outputs)} outputs, "
            "expected one image and one depth."
        )
    for port, shape, kind in ((model.inputs[0], expected_in, "u8"), (model.outputs[0], expected_out, "f32")):
        actual = [str(d) for d in port.partial_shape]
        if actual != [str(d) for d in shape] or port.element_type.get_type_name() != kind:
            raise Clip2DepthError(
                f"Bundle {bundle.path}: {file} has {port.any_name} {port.element_type.get_type_name()} "
                f"[{', '.join(actual)}], expected {kind} {shape}."
            )


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else type(error).__name__


def _open(bundle: Bundle, options: OpenOptions) -> Engine:
    return OpenVinoEngine(
        bundle, threads=options.threads, precision=options.precision, rebuild=options.rebuild
    )


def _why_unavailable(device: str, precision: str | None) -> str:
    return "" if find_spec("openvino") else "not installed (pip install openvino)"


def _candidates(bundle: Bundle, device: str) -> Iterator[Candidate]:
    if native := computes_bf16():
        yield Candidate("bf16", "the processor computes bf16", as_accurate_as_fp32=True)
    no_bf16 = "bf16 was not chosen" if native else "the processor does not compute bf16"
    quantized = bundle.manifest.int8 is not None and computes_int8()
    if quantized:
        yield Candidate("int8", f"{no_bf16}, and the bundle contains an int8 model")
    no_int8 = "int8 was rejected" if quantized else "the bundle contains no int8 model"
    yield Candidate("fp32", f"{no_bf16}, and {no_int8}")


OPENVINO = EngineKind(_open, {"cpu": 1}, _candidates, _why_unavailable)
