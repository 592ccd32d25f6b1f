# SPDX-License-Identifier: Apache-2.0
"""The CPU engine: OpenVINO."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np

from clip2depth_ros.bundle import Bundle
from clip2depth_ros.engines.base import Engine, EngineUnavailable, check_image
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.offline import import_openvino

log = logging.getLogger(__name__)

_HINTS = {"fp32": "f32", "bf16": "bf16"}  # OpenVINO's names


def default_cache() -> Path:
    """Where compiled models are kept: $XDG_CACHE_HOME or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clip2depth" / "openvino"


class OpenVinoEngine(Engine):
    """Runs a bundle on the CPU, one frame at a time, as fast as one frame can be.

    threads: inference threads, 0 = all cores. cache_dir: compiled models, None = default_cache().
    precision: "fp32", or "bf16" where the processor has it; OpenVINO would pick bf16 by itself, and depth
    that depends on the processor's model is not what a bundle's check sample promises.
    """

    name = "openvino"

    def __init__(
        self,
        bundle: Bundle,
        *,
        threads: int = 0,
        cache_dir: str | Path | None = None,
        precision: str = "fp32",
    ) -> None:
        try:
            ov = import_openvino()
        except ImportError as error:
            raise EngineUnavailable(f"needs OpenVINO: pip install openvino ({error})") from None
        if precision not in _HINTS:
            raise EngineUnavailable(f"computes in {' or '.join(_HINTS)}, not in {precision}")
        self.manifest = bundle.manifest
        self.precision = precision
        self._tensor_type = ov.Tensor
        properties = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            # Pinned to the first cores, two nodes on one computer would share a core and leave others idle.
            "ENABLE_CPU_PINNING": False,
        }
        if threads < 0:
            raise Clip2DepthError(f"threads must be 0 (all cores) or more, it is {threads}.")
        if threads:
            properties["INFERENCE_NUM_THREADS"] = threads
        cache = Path(cache_dir) if cache_dir else default_cache()
        try:
            cache.mkdir(parents=True, exist_ok=True)
            properties["CACHE_DIR"] = str(cache)
        except OSError as error:
            # A read-only home costs a second at every start, no more.
            log.warning("No cache for compiled models at %s: %s.", cache, error.strerror)
        core = ov.Core()
        model_bytes = bundle.model()
        try:
            model = core.read_model(model_bytes)
        except RuntimeError as error:
            raise Clip2DepthError(
                f"Bundle {bundle.path}: OpenVINO cannot read model.onnx ({_last_line(error)}); export it "
                "again."
            ) from None
        _check_signature(bundle, model)
        try:
            self._compiled = core.compile_model(model, "CPU", properties)
        except RuntimeError as error:
            raise EngineUnavailable(
                f"Bundle {bundle.path}: OpenVINO cannot run model.onnx on this CPU ({_last_line(error)})."
            ) from None
        self.device = core.get_property("CPU", "FULL_DEVICE_NAME")
        self._request = self._compiled.create_infer_request()
        self._depth = self._request.get_output_tensor(0).data[0]
        self._image: np.ndarray | None = None

    def infer(self, image: np.ndarray) -> np.ndarray:
        if self._request is None:
            raise Clip2DepthError("The openvino engine was closed.")
        if image is not self._image:
            # The tensor is the array's own memory, so a caller who refills one buffer is wrapped once.
            check_image(image, self.manifest)
            self._request.set_input_tensor(self._tensor_type(image[None], shared_memory=True))
            self._image = image
        self._request.infer()
        return self._depth

    def close(self) -> None:
        self._request = self._compiled = self._depth = self._image = None


def _check_signature(bundle: Bundle, model) -> None:
    """A model that does not take and give what the manifest says is refused by name, not by a crash later."""
    manifest = bundle.manifest
    expected_in = [1, manifest.input_height, manifest.input_width, 3]
    expected_out = [1, manifest.input_height, manifest.input_width]
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise Clip2DepthError(
            f"Bundle {bundle.path}: model.onnx has {len(model.inputs)} inputs and {len(model.outputs)} "
            "outputs, "
            "expected one image and one depth."
        )
    for port, shape, kind in ((model.inputs[0], expected_in, "u8"), (model.outputs[0], expected_out, "f32")):
        actual = [str(d) for d in port.partial_shape]
        if actual != [str(d) for d in shape] or port.element_type.get_type_name() != kind:
            raise Clip2DepthError(
                f"Bundle {bundle.path}: model.onnx has {port.any_name} {port.element_type.get_type_name()} "
                f"[{', '.join(actual)}], expected {kind} {shape}."
            )


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else type(error).__name__
