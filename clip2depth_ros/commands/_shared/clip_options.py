# SPDX-License-Identifier: Apache-2.0
"""`clip2depth evaluate --clip`: evaluates a CLIP alone, on the captioned views of a data set."""

from __future__ import annotations

import argparse
import itertools
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from clip2depth_ros import __version__
from clip2depth_ros.commands._shared import data_options
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.evaluation.clip_report import clip_in_words, judge_clip, write_clip_report
from clip2depth_ros.files.bounded import sha256_of
from clip2depth_ros.simulation import ROOMS
from clip2depth_ros.simulation.places import PLACES
from clip2depth_ros.simulation.views.captions import place_in
from clip2depth_ros.system.progress import progress
from clip2depth_ros.training.datasets import DataSet
from clip2depth_ros.training.views.augmentation import Augmentation

BATCH = 32
NOT_FOR_A_CLIP = (
    "checkpoint",
    "rule",
    "flip",
    "median_scaling",
    "scale_height",
    "scale_odometry",
    "scale_ranges",
)


def add_clip_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--clip",
        type=Path,
        metavar="FILE",
        help="evaluate a CLIP instead: how well it matches the captions and views of --data or --config; "
        "clip.safetensors of a training run",
    )
    parser.add_argument(
        "--backbone", default="mini", metavar="NAME", help="architecture of that CLIP (default: %(default)s)"
    )


def run_clip(args: argparse.Namespace) -> int:
    """Evaluate args.clip on the chosen data set; write the report and print a summary."""
    if args.input is not None or (args.data is None) == (args.config is None):
        raise Clip2DepthError(
            "a CLIP is evaluated on a data set with captions: give one of --data and --config."
        )
    if args.every < 1 or (args.limit is not None and args.limit < 1):
        raise Clip2DepthError("--every and --limit must be at least 1.")
    given = [f"--{name.replace('_', '-')}" for name in NOT_FOR_A_CLIP if getattr(args, name)]
    if given:
        raise Clip2DepthError(f"a CLIP gives no depth: remove {', '.join(given)}.")
    if find_spec("torch") is None or find_spec("open_clip") is None:
        raise Clip2DepthError(
            "a CLIP needs PyTorch and open_clip: pip install 'clip2depth_ros[train]' (a bundle does not)."
        )
    from clip2depth_ros.training.validation.clip_embeddings import ClipEmbeddings

    clip = ClipEmbeddings(args.backbone, args.clip, threads=args.threads)
    data = data_options.open_data(args)
    indices = list(itertools.islice(range(0, len(data), args.every), args.limit))
    if len(indices) < 2:
        raise Clip2DepthError(
            f"{data.name}: retrieval needs at least two views, but there is {len(indices)}."
        )
    views = (_view(data, index, clip.size) for index in progress(indices, "view", len(indices)))
    vectors, captions = [], []
    while batch := list(itertools.islice(views, BATCH)):
        images, texts = zip(*batch, strict=True)
        vectors.append(clip.of_images(np.stack(images)))
        captions += texts
    places = [place_in(caption, (*ROOMS, *PLACES)) for caption in captions]
    metrics = {
        "command": args.command_line,
        "program": f"clip2depth_ros {__version__}",
        "input": data.name,
        "clip": {
            "backbone": args.backbone,
            "sha256": sha256_of(args.clip),
            "height": clip.size[0],
            "width": clip.size[1],
        },
        **judge_clip(np.concatenate(vectors), captions, places, clip.of_texts),
    }
    write_clip_report(args.output, metrics)
    print(clip_in_words(metrics))
    print(f"Written to {args.output}: retrieval.html, retrieval.md, retrieval.json.")
    return 0


def _view(data: DataSet, index: int, size: tuple[int, int]) -> tuple[np.ndarray, str]:
    """The largest centered crop (height, width, 3) uint8 RGB of a sample, and its caption."""
    sample = data[index]
    if not sample.caption:
        raise Clip2DepthError(
            f"{sample.name} of {data.name} has no caption; only the simulator's views have captions."
        )
    view = Augmentation().apply(sample, size=size, canonical_focal_px=None, rng=np.random.default_rng(0))
    return view.image, view.caption
