# SPDX-License-Identifier: Apache-2.0
"""`clip2depth import`: write another project's depth network (an ONNX file) as a bundle."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path

from clip2depth_ros.errors import Clip2DepthError

HELP = "write a published depth network's ONNX file as a bundle"

MEANINGS = ("metres", "inverse_metres", "scale_free", "disparity")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL.onnx", help="ONNX file of the network")
    parser.add_argument(
        "--as",
        dest="kind",
        metavar="KIND",
        help="kind of network, see docs/import.md; without it, describe the network with the options below",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="BUNDLE", help="folder of the bundle")
    parser.add_argument("--name", help="name of the bundle (default: the folder's name)")
    parser.add_argument(
        "--size",
        type=_size,
        metavar="WxH",
        help="size of the image, pixels (default: from the file or the kind)",
    )
    parser.add_argument("--licence", help="license of the weights (default: from the kind)")
    parser.add_argument("--trained-on", help="training data, in words (default: from the kind)")
    parser.add_argument(
        "--check-image",
        type=Path,
        metavar="FILE",
        help="photograph for the check sample (default: a simulated room)",
    )
    parser.add_argument(
        "--factor",
        type=float,
        help="if known: meters are factor * output, or 1 / (factor * output + shift) for a "
        "disparity; the bundle is then metric",
    )
    parser.add_argument("--shift", type=float, help="shift of a disparity, with --factor")
    described = parser.add_argument_group(
        "a network that is not listed, or that differs from its listed kind"
    )
    described.add_argument("--input-name", metavar="NAME", help="name of the image input")
    described.add_argument(
        "--input-scale", type=float, metavar="S", help="value of white before mean and std: 1 or 255"
    )
    described.add_argument(
        "--mean", type=float, nargs=3, metavar=("R", "G", "B"), help="in units of the scale"
    )
    described.add_argument(
        "--std", type=float, nargs=3, metavar=("R", "G", "B"), help="in units of the scale"
    )
    described.add_argument("--channels", choices=("rgb", "bgr"), help="channel order")
    described.add_argument("--output-name", metavar="NAME", help="name of the depth output")
    described.add_argument("--meaning", choices=MEANINGS, help="meaning of the output")
    described.add_argument(
        "--mask-name",
        metavar="NAME",
        help="output that is above 0.5 where depth is valid (or as the kind defines)",
    )
    described.add_argument(
        "--constant",
        type=_constant,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="value of another input; may be repeated",
    )
    described.add_argument(
        "--canonical-focal",
        type=float,
        metavar="PIXELS",
        help="focal length of the input for which the network's meters are correct, pixels",
    )
    described.add_argument(
        "--depth-range",
        type=float,
        nargs=2,
        metavar=("MIN", "MAX"),
        help="valid range of the depth, meters",
    )


def run(args: argparse.Namespace) -> int:
    if find_spec("onnx") is None:
        raise Clip2DepthError("import needs the onnx package: pip install onnx")
    from clip2depth_ros.images.compressed import read_rgb
    from clip2depth_ros.importing import import_model

    kind, given = _kind(args), _given(args)
    if given is not None and kind.depth_kind == "metric":
        raise Clip2DepthError(
            f"--factor is for networks without metric output, but {kind.title} gives meters."
        )
    if kind.meaning == "disparity" and given is not None and args.shift is None:
        raise Clip2DepthError(
            "A disparity needs --shift beside --factor: 1 / meters = factor * output + shift."
        )
    image = None if args.check_image is None else read_rgb(args.check_image)
    size = None if args.size is None else args.size[::-1]
    imported = import_model(
        args.model, kind, args.output, check_image=image, name=args.name, size=size, given=given
    )
    manifest = imported.bundle.manifest
    megabytes = (args.output / "model.onnx").stat().st_size / 1e6
    print(
        f"{args.output}: bundle '{manifest.name}', {manifest.input_width}x{manifest.input_height}, "
        f"model.onnx {megabytes:.1f} MB, output {manifest.depth_kind}"
    )
    print(f"  license of the weights: {manifest.licence}")
    for note in imported.notes:
        print(f"  {note}")
    if manifest.depth_kind != "metric":
        print(
            "  Its output is not metric: the node publishes nothing until height, odometry or ranges "
            "have set the scale (docs/import.md)."
        )
    return 0


def _kind(args: argparse.Namespace):
    from clip2depth_ros.importing import Kind, find_kind

    if args.kind is not None:
        kind = find_kind(args.kind)
    else:
        if args.meaning is None or args.licence is None:
            raise Clip2DepthError(
                "give the kind of network with --as, or describe it with at least --meaning and --licence."
            )
        kind = Kind(
            name="described", title="the network described", licence=args.licence, meaning=args.meaning
        )
    low, high = args.depth_range or (None, None)
    return kind.with_changes(
        licence=args.licence,
        trained_on=args.trained_on,
        input=args.input_name and (args.input_name,),
        input_scale=args.input_scale,
        mean=args.mean,
        std=args.std,
        channels=args.channels,
        output=args.output_name and (args.output_name,),
        meaning=args.meaning,
        mask=args.mask_name and (args.mask_name,),
        constants=kind.constants | dict(args.constant),
        canonical_focal_px=args.canonical_focal,
        depth_min=low,
        depth_max=high,
    )


def _given(args: argparse.Namespace) -> tuple[float, float] | None:
    if args.factor is None:
        if args.shift is not None:
            raise Clip2DepthError("--shift needs --factor.")
        return None
    if not args.factor > 0:
        raise Clip2DepthError(f"--factor must be positive, not {args.factor:g}.")
    return args.factor, args.shift or 0.0


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"'{text}' is not a size; use a format such as 518x392")
    return int(width), int(height)


def _constant(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=VALUE") from None
