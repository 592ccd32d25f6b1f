# SPDX-License-Identifier: Apache-2.0
"""Quantization of a bundle's network to 8 bits. Needs NNCF, ONNX Runtime and onnx: the extra `int8`."""

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
"""For each kind of scene."""
MOST_DEVIATION = 0.01
"""Largest mean relative error against the plain network's depth; layers that exceed it stay in float32."""
ROOM = 2.0
"""Ratio of the self-check's tolerance to the error on the check sample: processors round differently."""

_HEAVY = {"Conv", "ConvTranspose", "MatMul", "Gemm"}


def quantize(
    bundle: Bundle, images: Mapping[str, Sequence[np.ndarray]], folder: str | Path, *, seed: int = 0
) -> Bundle:
    """Write `bundle` to `folder` with an int8 model beside the plain one.

    images: keyed by kind of scene, (H, W, 3) uint8 RGB of the network's input size, at least LEAST_IMAGES of
    each. Four sixths calibrate. One sixth selects the layers that stay in float32: the most harmful layer
    first, until the mean relative error is at most MOST_DEVIATION. The last sixth measures the errors for the
    manifest, by kind. `seed` determines the split. `folder` may be the bundle's own. Nodes after the last
    convolution or product, which compute the meters, stay in float32.

    Raises Clip2DepthError without NNCF, with too few images, or if the errors in 8 bits are too large.
    """
    for kind, own in images.items():
        if len(own) < LEAST_IMAGES:
            raise Clip2DepthError(
                f"{kind}: {len(own)} images are too few for 8 bits, at least {LEAST_IMAGES} are needed."
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
            f"In 8 bits, the depth of the check sample differs by {on_sample:.1%} (99th percentile), more "
            f"than {MAX_INT8_TOLERANCE / ROOM:.1%}: not written."
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
    """A model's depth, computed by OpenVINO on the CPU: (H, W, 3) uint8 -> (H, W) float32."""

    def __init__(self, bundle: Bundle, model: bytes) -> None:
        core = openvino_core()
        hint = {"INFERENCE_PRECISION_HINT": "f32"}
        self._compiled = core.compile_model(core.read_model(model), "CPU", hint)
        self._disparity = bundle.manifest.depth_kind == "affine_inverse"

    def __call__(self, image: np.ndarray) -> np.ndarray:
        return np.array(self._compiled(image[None])[0])[0]

    def deviation(self, depth: np.ndarray, reference: np.ndarray) -> np.ndarray:
        """|depth - reference| / reference, at most 1, (N,), for all pixels that are known in the reference.

        The same definition as in the self-check, also for disparity. A pixel that is not a number counts as
        1.
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

    def accuracy(candidate: onnx.ModelProto, items: Iterable) -> tuple[float, list[float]]:
        """1 - the mean relative error, over all images and for each image."""
        depth = _Depth(bundle, candidate.SerializeToString())
        near = [1 - float(deviation(depth(image), reference).mean()) for image, reference in items]
        return float(np.mean(near)), near

    ranges = nncf.quantization.range_estimator.RangeEstimatorParametersSet
    nncf.set_log_level(30)  # warnings
    attention = any(node.op_type == "Softmax" for node in graph.graph.node)
    # NNCF prints progress bars to stdout, which is the command's output
    try:
        with contextlib.redirect_stdout(sys.stderr):
            made = nncf.quantize_with_accuracy_control(
                graph,
                nncf.Dataset([{image_name: image[None]} for image in calibrating]),
                nncf.Dataset(list(choosing)),
                accuracy,
                max_drop=MOST_DEVIATION,
                subset_size=len(calibrating),
                target_device=nncf.TargetDevice.CPU,
                model_type=nncf.ModelType.TRANSFORMER if attention else None,
                preset=nncf.QuantizationPreset.PERFORMANCE,
                ignored_scope=nncf.IgnoredScope(names=_tail(graph), validate=False),
                # the default, a mean of each image's maximum, clips far and near values
                advanced_quantization_parameters=nncf.AdvancedQuantizationParameters(
                    activations_range_estimator_params=ranges.MINMAX
                ),
                advanced_accuracy_restorer_parameters=nncf.AdvancedAccuracyRestorerParameters(
                    ranking_subset_size=len(choosing), num_ranking_workers=1
                ),
            )
    except Exception as error:  # exceptions of NNCF, ONNX Runtime and OpenVINO
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise Clip2DepthError(
            f"NNCF cannot quantize this network to 8 bits ({reason}): not written."
        ) from error
    if not any(
        tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) > 1
        for tensor in made.graph.initializer
    ):
        raise Clip2DepthError(
            f"No layer can be in 8 bits within {MOST_DEVIATION:.1%} of the plain depth: not written."
        )
    return made.SerializeToString()


def _tail(model) -> list[str]:
    """Names of the nodes after the last convolution or product."""
    reaching, names = set(), []
    for node in reversed(model.graph.node):
        if node.op_type in _HEAVY or reaching.intersection(node.output):
            reaching.update(node.input)
        elif node.input:
            names.append(node.name)
    return names
