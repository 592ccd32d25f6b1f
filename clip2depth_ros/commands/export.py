# SPDX-License-Identifier: Apache-2.0
"""`clip2depth export`: a checkpoint becomes a bundle."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path

from clip2depth_ros.errors import Clip2DepthError

HELP = "write a trained checkpoint as a bundle that every engine runs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint", type=Path, required=True, help="checkpoint.safetensors of a training run"
    )
    parser.add_argument("--output", type=Path, required=True, help="folder of the bundle")
    parser.add_argument("--name", help="name of the bundle (default: the folder's name)")
    parser.add_argument(
        "--trained-on", help="what it was trained on, in words (default: what the checkpoint says)"
    )
    parser.add_argument("--licence", help="licence of the weights (default: the backbone's)")
    parser.add_argument(
        "--evaluate",
        type=int,
        default=0,
        metavar="VIEWS",
        help="measure the exported model on so many views of unseen simulated rooms, for the manifest",
    )
    parser.add_argument(
        "--check-seed", type=int, default=2_000_000, help="simulated room of the check sample"
    )


def run(args: argparse.Namespace) -> int:
    if find_spec("torch") is None or find_spec("open_clip") is None:
        raise Clip2DepthError("export needs PyTorch and open_clip: pip install 'clip2depth_ros[train]'")
    from clip2depth_ros.bundle.export import export_bundle
    from clip2depth_ros.network import load_checkpoint
    from clip2depth_ros.network.checkpoint import checkpoint_facts
    from clip2depth_ros.training import evaluation

    network = load_checkpoint(args.checkpoint)
    notes = checkpoint_facts(args.checkpoint)["notes"]
    trained_on = args.trained_on or notes.get("trained_on")
    if not trained_on:
        raise Clip2DepthError(
            f"{args.checkpoint} does not say what it was trained on: say it with --trained-on"
        )
    errors = {}
    if args.evaluate:
        errors["unseen simulated rooms"] = evaluation.evaluate_rooms(network, args.evaluate)
    sample = evaluation.held_out_views(
        1, network.size, network.canonical_focal_px, first_room=args.check_seed
    )
    bundle = export_bundle(
        network,
        args.output,
        name=args.name or args.output.resolve().name,
        trained_on=trained_on,
        check_image=sample.image[0],
        errors=errors,
        licence=args.licence,
    )
    size = (args.output / "model.onnx").stat().st_size / 1e6
    print(f"{args.output}: bundle '{bundle.name}', model.onnx {size:.1f} MB")
    for place, measured in errors.items():
        print(f"  {place}: " + ", ".join(f"{k} {v:.3g}" for k, v in measured.items()))
    return 0
