#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Cost of networks larger than mini in OpenVINO: more pixels, a wider decoder. Random weights.

    python benchmark/larger.py [--rounds N] [--threads N]

One image through each network in each precision in turn, N rounds; the median wall time in milliseconds and,
in brackets, the median ratio to mini in fp32 in the same round. int8: NNCF's post-training quantization of
all layers, without the accuracy control of `clip2depth export --int8`, so a lower bound; omitted without
NNCF. bf16 only if the processor supports it. Sizes are multiples of the encoder's stride, 32.
Needs PyTorch.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from clip2depth_ros.engines.openvino import computes_bf16
from clip2depth_ros.system.offline import import_nncf, openvino_core

# decoder width relative to mini, (height, width)
NETWORKS = {
    "mini, 224x160": (1, (160, 224)),
    "decoder twice as wide, 224x160": (2, (160, 224)),
    "mini, 320x224": (1, (224, 320)),
    "decoder twice as wide, 320x224": (2, (224, 320)),
    "decoder three times as wide, 320x224": (3, (224, 320)),
}
CALIBRATION = 20  # noise images: they only set ranges, which do not affect speed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=200, metavar="N")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="0: all cores")
    args = parser.parse_args()
    core = openvino_core()
    precisions = ["fp32", *(["bf16"] if computes_bf16() else []), *(["int8"] if find_spec("nncf") else [])]
    requests, images = {}, {}
    for name, (factor, size) in NETWORKS.items():
        model = core.read_model(network_file(factor, size))
        rng = np.random.default_rng(0)
        images[name] = rng.integers(0, 255, (CALIBRATION, 1, *size, 3), np.uint8)
        for precision in precisions:
            chosen = quantized(model, images[name]) if precision == "int8" else model
            hint = "bf16" if precision == "bf16" else "f32"
            options = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
            if args.threads:
                options["INFERENCE_NUM_THREADS"] = args.threads
            requests[name, precision] = core.compile_model(chosen, "CPU", options).create_infer_request()
    times = {key: [] for key in requests}
    for number in range(args.rounds + 3):
        for key, request in requests.items():
            began = time.perf_counter()
            request.infer([images[key[0]][0]])
            if number >= 3:
                times[key].append(time.perf_counter() - began)
    base = np.array(times[next(iter(times))])
    print(f"| ms (ratio) | {' | '.join(precisions)} |\n|---|{'---:|' * len(precisions)}")
    for name in NETWORKS:
        cells = [
            f"{1e3 * np.median(times[name, p]):.1f} ({np.median(np.array(times[name, p]) / base):.2f})"
            for p in precisions
        ]
        print(f"| {name} | {' | '.join(cells)} |")


def network_file(factor: int, size: tuple[int, int]) -> bytes:
    """The ONNX file of mini's architecture with random weights, seed 0."""
    import torch

    from clip2depth_ros.export.exporter import onnx_model
    from clip2depth_ros.network import Clip2Depth, create_clip, find_backbone

    torch.manual_seed(0)
    backbone = find_backbone("mini")
    clip = create_clip(backbone, None)
    wider = replace(backbone, decoder_widths=tuple(factor * width for width in backbone.decoder_widths))
    return onnx_model(Clip2Depth(clip, wider, size=size).eval())


def quantized(model: object, images: np.ndarray) -> object:
    """The model in 8 bits; the original is not changed."""
    nncf = import_nncf()
    return nncf.quantize(
        model.clone(),
        nncf.Dataset(list(images)),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(images),
    )


if __name__ == "__main__":
    main()
