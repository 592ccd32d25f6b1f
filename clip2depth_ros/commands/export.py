# SPDX-License-Identifier: Apache-2.0
"""`clip2depth export`: write a checkpoint as a bundle, or a bundle as a plain ONNX file."""

from __future__ import annotations

import argparse
import math
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from clip2depth_ros.bundle import Bundle, open_bundle
from clip2depth_ros.camera import Letterbox
from clip2depth_ros.commands._shared.calibration_options import calibration_images
from clip2depth_ros.engines import FLOATS
from clip2depth_ros.engines.plain import LAYOUTS, write_plain
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.files.bounded import MAX_TABLE, load_json, sha256_of
from clip2depth_ros.images.compressed import read_rgb

HELP = "write a trained checkpoint as a bundle, a bundle in 8 bits, or as an ONNX file for other programs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--checkpoint", type=Path, help="checkpoint.safetensors of a training run: written as a bundle"
    )
    source.add_argument(
        "--bundle",
        metavar="NAME_OR_PATH",
        help="a bundle: written as a plain ONNX file for trtexec, DeepStream and Isaac ROS, with a "
        "README of its inputs and outputs, or with --int8 as a bundle; needs no PyTorch",
    )
    parser.add_argument(
        "--output", type=Path, required=True, help="folder of the bundle, or of the ONNX file"
    )
    parser.add_argument(
        "--layout",
        choices=LAYOUTS,
        help=f"with --bundle: input format, image bytes or float planes in 0..1 (default: {LAYOUTS[0]})",
    )
    parser.add_argument(
        "--precision", choices=FLOATS, help="with --bundle: precision of the graph (default: fp32)"
    )
    parser.add_argument(
        "--int8",
        action="store_true",
        help="also write the network in 8 bits into the bundle, for CPUs without bf16; needs NNCF and some "
        "minutes. With --bundle: that bundle, and --output may be its own folder",
    )
    parser.add_argument(
        "--calibration",
        action="append",
        default=[],
        metavar="INPUT",
        help="with --int8: images similar to those of the application: a folder, video or bag; may be "
        "repeated, once for each kind of scene (default: simulated places, rooms and near things)",
    )
    parser.add_argument(
        "--blend",
        nargs=2,
        metavar=("NAME_OR_PATH", "PART"),
        help="with --checkpoint: interpolate between this bundle, from which the training started, and the "
        "checkpoint; PART of the checkpoint's weights, 0 to 1",
    )
    parser.add_argument("--name", help="name of the bundle (default: the folder's name)")
    parser.add_argument(
        "--trained-on", help="what it was trained on, in words (default: from the checkpoint)"
    )
    parser.add_argument("--licence", help="license of the weights (default: the backbone's)")
    parser.add_argument(
        "--report",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="output folder of `clip2depth evaluate` on this checkpoint, for the manifest; may be repeated",
    )
    parser.add_argument(
        "--evaluate",
        type=int,
        default=0,
        metavar="VIEWS",
        help="measure the exported model on this many views of unseen simulated rooms, for the manifest",
    )
    check = parser.add_mutually_exclusive_group()
    check.add_argument(
        "--check-seed", type=int, default=2_000_000, help="seed of the check sample's simulated room"
    )
    check.add_argument(
        "--check-image",
        type=Path,
        metavar="FILE",
        help="photograph for the check sample; needs no simulator",
    )


def run(args: argparse.Namespace) -> int:
    if args.blend and args.checkpoint is None:
        raise Clip2DepthError("--blend is for --checkpoint.")
    if args.calibration and not args.int8:
        raise Clip2DepthError("--calibration is for --int8.")
    if args.int8 and (
        missing := [name for name in ("nncf", "onnxruntime", "onnx") if find_spec(name) is None]
    ):
        raise Clip2DepthError(f"--int8 needs {', '.join(missing)}: pip install 'clip2depth_ros[int8]'")
    if args.bundle is not None and args.int8:
        if args.layout or args.precision:
            raise Clip2DepthError("--layout and --precision are for a plain ONNX file, --int8 for a bundle.")
        _quantize(open_bundle(args.bundle), args)
        return 0
    if args.bundle is not None:
        return _plain(args)
    if args.layout or args.precision:
        raise Clip2DepthError(
            "--layout and --precision are for --bundle; a bundle works with every precision."
        )
    if args.blend and args.report:
        raise Clip2DepthError("--report is of the checkpoint's own weights, not of a blend: use --evaluate.")
    if find_spec("torch") is None or find_spec("open_clip") is None:
        raise Clip2DepthError("export needs PyTorch and open_clip: pip install 'clip2depth_ros[train]'")
    from clip2depth_ros.export.exporter import export_bundle
    from clip2depth_ros.network import load_checkpoint
    from clip2depth_ros.network.checkpoint import checkpoint_facts

    blend = _blend(*args.blend) if args.blend else None
    network = load_checkpoint(args.checkpoint)
    notes = checkpoint_facts(args.checkpoint)["notes"]
    trained_on = args.trained_on or notes.get("trained_on")
    if not trained_on:
        raise Clip2DepthError(
            f"{args.checkpoint} does not record its training data: give it with --trained-on"
        )
    errors = dict(_measured(report, args.checkpoint) for report in args.report)
    if args.check_image is not None:
        check_image = _photograph(args.check_image, network.size)
    else:
        views = _rooms().held_out_views(
            1, network.size, network.canonical_focal_px, first_room=args.check_seed
        )
        check_image = views.image[0]
    if blend is not None:
        from clip2depth_ros.training.recovery import blend_with_bundle

        other, part = blend
        blend_with_bundle(network, other, part, check_image[None])
        trained_on += (
            f" Weights: {part:g} of this training, the rest of bundle {other.name} "
            f"(model {other.manifest.model_sha256[:12]})."
        )
    if args.evaluate:
        errors["unseen simulated rooms"] = _rooms().evaluate_rooms(network, args.evaluate)
    bundle = export_bundle(
        network,
        args.output,
        name=args.name or args.output.resolve().name,
        trained_on=trained_on,
        check_image=check_image,
        errors=errors,
        licence=args.licence,
    )
    size = (args.output / "model.onnx").stat().st_size / 1e6
    print(f"{args.output}: bundle '{bundle.name}', model.onnx {size:.1f} MB")
    for place, measured in errors.items():
        numbers = (f"{k} {v:.3g}" for k, v in measured.items() if isinstance(v, (int, float)))
        print(f"  {place}: " + ", ".join(numbers))
    if args.int8:
        _quantize(bundle, args)
    return 0


def _blend(name: str, text: str) -> tuple[Bundle, float]:
    """The bundle to blend with, and the part of the checkpoint's weights."""
    try:
        part = float(text)
    except ValueError:
        part = math.nan
    if not 0 <= part <= 1:
        raise Clip2DepthError(f"--blend needs a bundle and a number from 0 to 1, not '{text}'.")
    return open_bundle(name), part


def _quantize(bundle: Bundle, args: argparse.Namespace) -> None:
    from clip2depth_ros.export.quantization import quantize

    written = quantize(bundle, calibration_images(bundle.manifest, args.calibration), args.output)
    facts, size = written.manifest.int8, len(written.int8_model()) / 1e6
    print(f"{args.output}: bundle '{written.name}', model_int8.onnx {size:.1f} MB")
    for kind, deviation in facts.deviation.items():
        print(f"  {kind}: {deviation:.2%} mean difference from the plain model's depth")
    print(f"  self-check: tolerance {facts.tolerance:.1%} on the check sample")


def _plain(args: argparse.Namespace) -> int:
    bundle = open_bundle(args.bundle)
    path = write_plain(
        bundle, args.output, layout=args.layout or LAYOUTS[0], precision=args.precision or "fp32"
    )
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB; its README.md describes inputs and outputs.")
    return 0


def _rooms():
    """The module of simulated rooms. Raises Clip2DepthError if MuJoCo is not installed."""
    if find_spec("mujoco") is None:
        raise Clip2DepthError(
            "simulated rooms need MuJoCo: pip install 'clip2depth_ros[sim]', or omit --evaluate and "
            "give a photograph for the check sample with --check-image."
        )
    from clip2depth_ros.training.validation import unseen_rooms

    return unseen_rooms


def _measured(report: Path, checkpoint: Path) -> tuple[str, dict]:
    """Name and errors of an evaluation folder. Raises Clip2DepthError if it belongs to other weights."""
    path = report / "metrics.json"
    try:
        metrics = load_json(path, MAX_TABLE)
        what, weights = metrics["input"], metrics["network"]["sha256"]
        errors = {"images": metrics["images"]["judged"], "rule": metrics["rule"]["name"], **metrics["errors"]}
        marks = metrics["marks"]
    except (ValueError, KeyError, TypeError):
        raise Clip2DepthError(f"{path} is not a result of `clip2depth evaluate`.") from None
    if weights != sha256_of(checkpoint):
        raise Clip2DepthError(
            f"{report} belongs to other weights than {checkpoint}: evaluate this checkpoint."
        )
    # The manifest is distributed; the path of the data folder means nothing on another machine.
    name = what.partition(" of ")[0] if " of " in what else Path(what).name
    return name, errors | ({"with": "; ".join(marks)} if marks else {})


def _photograph(path: Path, size: tuple[int, int]) -> np.ndarray:
    """(height, width, 3) uint8 RGB: the whole photograph, letterboxed to the network's input."""
    image = read_rgb(path)
    height, width = size
    box = Letterbox((image.shape[1], image.shape[0]), width, height)
    return box.letterbox(image, np.empty((height, width, 3), np.uint8))
