# SPDX-License-Identifier: Apache-2.0
"""A bundle's network in 8 bits, beside the plain one. Needs NNCF, ONNX Runtime and onnx: the extra `int8`."""

from __future__ import annotations

import contextlib
import math
import platform
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from clip2depth_ros import __version__
from clip2depth_ros.bundle import Bundle, Quantized
from clip2depth_ros.bundle.manifest import MAX_INT8_TOLERANCE
from clip2depth_ros.engines.base import LEAST_DISPARITY, check_image, first_line
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.system.offline import import_nncf, openvino_core

LEAST_IMAGES = 24
"""Of each kind of scene."""
MOST_DEVIATION = 0.01
"""Mean relative deviation from the plain network's depth up to which layers stay in 8 bits."""
ROOM = 2.0
"""The self-check's tolerance over the deviation on the check sample: processors round in other places."""

_HEAVY = {"Conv", "ConvTranspose", "MatMul", "Gemm"}


def quantize(
    bundle: Bundle, images: Mapping[str, Sequence[np.ndarray]], folder: str | Path, *, seed: int = 0
) -> Bundle:
    """Write `bundle` to `folder` with an int8 model beside the plain one.

    images: by kind of scene, (H, W, 3) uint8 RGB of the network's input size, at least LEAST_IMAGES of each.
    Four of six calibrate, one chooses the layers that stay in float32, the one most harmful first until the
    mean deviation is MOST_DEVIATION at most; the last measures what the manifest then says, by kind. Which is
    which, `seed` decides. `folder` may be the bundle's own. What follows the last convolution or product,
    which makes meters, is never in 8 bits.

    Raises Clip2DepthError without NNCF, with too few images, and where the network is too far off in 8 bits.
    """
    for kind, own in images.items():
        if len(own) < LEAST_IMAGES:
            raise Clip2DepthError(
                f"{kind}: {len(own)} images are too few for 8 bits, it takes {LEAST_IMAGES} or more."
            )
        for image in own:
            check_image(image, bundle.manifest)
    model = bundle.model()
    plain = _Depth(bundle, model)
    rng = np.random.default_rng(seed)
    shuffled = {kind: [own[i] for i in rng.permutation(len(own))] for kind, own in images.items()}
    parts = [{kind: own[number::6] for kind, own in shuffled.items()} for number in range(6)]
    calibrating = [image for part in parts[:4] for own in part.values() for image in own]
    choosing = [(image, plain(image)) for own in parts[4].values() for image in own]
    content = _in_8_bits(bundle, model, calibrating, choosing, plain.deviation)
    quantized = _Depth(bundle, content)
    deviation = {
        kind: float(np.mean([plain.deviation(quantized(image), plain(image)).mean() for image in own]))
        for kind, own in parts[5].items()
    }
    sample, expected = bundle.check()
    on_sample = float(np.percentile(plain.deviation(quantized(sample), expected), 99))
    tolerance = math.ceil(ROOM * on_sample * 1000) / 1000
    if not tolerance <= MAX_INT8_TOLERANCE:
        raise Clip2DepthError(
            f"In 8 bits the depth of the check sample is {on_sample:.1%} off (99th percentile), more than "
            f"{MAX_INT8_TOLERANCE / ROOM:.1%}: not written."
        )
    facts = Quantized(
        tolerance=max(tolerance, 0.01),
        deviation=deviation,
        created_with=(
            f"clip2depth_ros {__version__}, NNCF {import_nncf().__version__}, Python "
            f"{platform.python_version()}, {len(calibrating)} images: {', '.join(images)}"
        ),
    )
    return Bundle.write(
        folder, model, replace(bundle.manifest, int8=facts), sample, expected, int8_model=content
    )


class _Depth:
    """A model's depth by OpenVINO on the CPU: (H, W, 3) uint8 -> (H, W) float32."""

    def __init__(self, bundle: Bundle, model: bytes) -> None:
        core = openvino_core()
        hint = {"INFERENCE_PRECISION_HINT": "f32"}
        self._compiled = core.compile_model(core.read_model(model), "CPU", hint)
        self._disparity = bundle.manifest.depth_kind == "affine_inverse"

    def __call__(self, image: np.ndarray) -> np.ndarray:
        return np.array(self._compiled(image[None])[0])[0]

    def deviation(self, depth: np.ndarray, reference: np.ndarray) -> np.ndarray:
        """|depth - reference| / reference of all pixels that the reference knows; (N,), 1 at most each.

        As the self-check has it, for a disparity too. A pixel that is no number counts 1.
        """
        known = np.isfinite(reference) & (reference > 0)
        if not known.any():
            return np.zeros(1)
        floor = LEAST_DISPARITY * np.median(reference[known]) if self._disparity else 0.0
        error = np.abs(depth[known] - reference[known]) / np.maximum(reference[known], floor)
        return np.minimum(np.nan_to_num(error, nan=1.0, posinf=1.0), 1.0)


def _in_8_bits(
    bundle: Bundle,
    model: bytes,
    calibrating: Sequence[np.ndarray],
    choosing: Sequence[tuple[np.ndarray, np.ndarray]],
    deviation: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> bytes:
    nncf = import_nncf()
    import onnx

    graph = onnx.load_from_string(model)
    for number, node in enumerate(graph.graph.node):
        node.name = node.name or f"node/{number}"
    image_name = graph.graph.input[0].name

    def judge(candidate: onnx.ModelProto, items: Iterable) -> tuple[float, list[float]]:
        """1 - the mean deviation, over all images and by image."""
        depth = _Depth(bundle, candidate.SerializeToString())
        near = [1 - float(deviation(depth(image), reference).mean()) for image, reference in items]
        return float(np.mean(near)), near

    ranges = nncf.quantization.range_estimator.RangeEstimatorParametersSet
    nncf.set_log_level(30)  # warnings
    attention = any(node.op_type == "Softmax" for node in graph.graph.node)
    # its progress bars are no output of the command
    try:
        with contextlib.redirect_stdout(sys.stderr):
            made = nncf.quantize_with_accuracy_control(
                graph,
                nncf.Dataset([{image_name: image[None]} for image in calibrating]),
                nncf.Dataset(list(choosing)),
                judge,
                max_drop=MOST_DEVIATION,
                subset_size=len(calibrating),
                target_device=nncf.TargetDevice.CPU,
                model_type=nncf.ModelType.TRANSFORMER if attention else None,
                preset=nncf.QuantizationPreset.PERFORMANCE,
                ignored_scope=nncf.IgnoredScope(names=_tail(graph), validate=False),
                # the default, a mean over images of each one's largest value, cuts off what is far and near
                advanced_quantization_parameters=nncf.AdvancedQuantizationParameters(
                    activations_range_estimator_params=ranges.MINMAX
                ),
                advanced_accuracy_restorer_parameters=nncf.AdvancedAccuracyRestorerParameters(
                    ranking_subset_size=len(choosing), num_ranking_workers=1
                ),
            )
    except Exception as error:  # NNCF's, ONNX Runtime's and OpenVINO's own
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise Clip2DepthError(f"NNCF cannot bring this network to 8 bits ({reason}): not written.") from error
    if not any(
        tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) > 1
        for tensor in made.graph.initializer
    ):
        raise Clip2DepthError(
            f"Within {MOST_DEVIATION:.1%} of the plain depth no layer stays in 8 bits: not written."
        )
    return made.SerializeToString()


def _tail(model) -> list[str]:
    """Names of the nodes from which no convolution or product is reached."""
    reaching, names = set(), []
    for node in reversed(model.graph.node):
        if node.op_type in _HEAVY or reaching.intersection(node.output):
            reaching.update(node.input)
        elif node.input:
            names.append(node.name)
    return names
