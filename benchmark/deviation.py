#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does a bundle's decoder know where its depth is wrong? Heads on its frozen features against plain rankings.

    python benchmark/deviation.py [--bundle NAME] --root ROOT --test FOLDER ... [--first-place SEED]

A head reads the frozen network's features and gives log b, b being the scale of a Laplace distribution of log
depth; its loss is |log depth - log truth| / b + log b. "local" reads the decoder's last features around a
pixel and the deepest ones at it, "frame" the mean of the deepest over the image too. Both are trained on
simulated places that the network has not seen and, for a quarter, on the real frames of mini_near.yaml; ROOT
holds these frames. One factor makes 68 % of the validation pixels (half simulated, half real) lie within one
standard deviation.

Places count equally. "in the image" ranks the pixels of each image, "all pixels" those of all images of a
group. AbsRel of the 100, 80, 60 and 40 % most certain pixels, as it is | after scaling each image by its
median | and the mean error of log depth.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from clip2depth_ros.bundle import open_bundle
from clip2depth_ros.bundle.library import DEFAULT_BUNDLE
from clip2depth_ros.commands.train import find_config
from clip2depth_ros.network import Clip2Depth, create_clip, find_backbone
from clip2depth_ros.training.configuration import read_recipe
from clip2depth_ros.training.datasets import below, open_data_set
from clip2depth_ros.training.recovery import load_bundle_weights
from clip2depth_ros.training.views.batches import Batch, BatchMaker, fixed_batch

BATCH, SAMPLES = 48, 96  # images of a batch, pixels taken of each
STEP = 4  # pixels of the image for one of the features
FRAMES = 24  # of a folder, at most, evenly picked
COVERAGE = (1.0, 0.8, 0.6, 0.4)
WIDTH, EPOCHS, RATE = 32, 6, 3e-3


class Features:
    """The frozen network, with the decoder's last and deepest features.

    `of` gives inputs (B, N, C) of the heads for a grid of every fourth pixel, the last `deepest` of which are
    those of the whole image, and log depth (B, H, W).
    """

    def __init__(self, bundle, recipe, images: np.ndarray) -> None:
        wanted = recipe.network
        backbone = find_backbone(wanted.backbone)
        network = Clip2Depth(
            create_clip(backbone), backbone, size=wanted.size, depth_range=wanted.depth_range,
            canonical_focal_px=wanted.canonical_focal_px,
        )  # fmt: skip
        load_bundle_weights(network, bundle, images)
        self._network = network.requires_grad_(False).freeze_mirror().eval()
        self._network.to(memory_format=torch.channels_last)
        self._seen: dict[str, torch.Tensor] = {}
        for name, block in (("deep", network.decoder.refine[0]), ("last", network.decoder.refine[-1])):
            block.register_forward_hook(lambda *given, name=name: self._seen.update({name: given[-1]}))

    @torch.no_grad()
    def of(self, images: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            depth = self._network(torch.from_numpy(images))
        deep, last = (self._seen[name].float() for name in ("deep", "last"))
        self.deepest = deep.shape[1]
        size = last.shape[-2:]
        near = functional.unfold(last, 3, padding=1)
        under = functional.interpolate(deep, size=size, mode="bilinear", align_corners=False).flatten(2)
        whole = deep.mean((2, 3))[..., None].expand(*deep.shape[:2], size[0] * size[1])
        return torch.cat([near, under, whole], 1).transpose(1, 2), torch.log(depth.float())


def on_grid(maps: np.ndarray) -> np.ndarray:
    """(B, N): the maps (B, H, W) at the pixels of the features."""
    return maps[:, STEP // 4 :: STEP, STEP // 4 :: STEP].reshape(len(maps), -1)


def known_log(depth: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Log of the depth, NaN where unknown or outside the limits."""
    return np.log(np.where((depth > limits[0]) & (depth < limits[1]), depth, np.nan))


class Image(NamedTuple):
    group: str
    place: str
    error: np.ndarray  # log depth - log truth, (N,)
    ranks: dict[str, np.ndarray]  # by name, (N,): larger is less certain
    inputs: torch.Tensor  # (N, C)


def look(group: str, place: str, batch: Batch, features: Features) -> list[Image]:
    inputs, log_depth = features.of(batch.image)
    log_depth = log_depth.numpy()
    error = on_grid(log_depth) - on_grid(known_log(batch.depth, (0.1, 20.0)))
    found = []
    for i, image in enumerate(batch.image):
        known = np.isfinite(error[i])
        if np.count_nonzero(known) < 50:
            continue
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
        smooth = cv2.GaussianBlur(log_depth[i], (0, 0), 1)
        slope = np.hypot(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1))
        detail = cv2.GaussianBlur(np.abs(cv2.Laplacian(gray, cv2.CV_32F)), (0, 0), 3)
        maps = {
            "edges of depth": cv2.GaussianBlur(slope, (0, 0), 2),
            "far": log_depth[i],
            "near": -log_depth[i],
            "dark": -cv2.GaussianBlur(gray, (0, 0), 2),
            "without detail": -detail,
            "with detail": detail,
        }
        ranks = {name: on_grid(each[None])[0][known] for name, each in maps.items()}
        found.append(Image(group, place, error[i][known], ranks, inputs[i][torch.from_numpy(known)].half()))
    return found


def train(inputs: torch.Tensor, error: torch.Tensor, seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    mean, std = inputs.mean(0), inputs.std(0) + 1e-3
    head = nn.Sequential(nn.Linear(inputs.shape[1], WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1))
    nn.init.zeros_(head[2].weight)
    optimizer = torch.optim.AdamW(head.parameters(), RATE, weight_decay=0.05)
    inputs, size = (inputs - mean) / std, 1024
    steps = EPOCHS * len(error) // size
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * 0.5 * (1 + math.cos(math.pi * step / steps)) + 1e-5
        chosen = torch.randint(len(error), (size,))
        log_b = head(inputs[chosen])[:, 0]
        loss = (error[chosen].abs() * torch.exp(-log_b) + log_b).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():  # the normalization becomes a part of the first layer
        head[0].bias -= head[0].weight @ (mean / std)
        head[0].weight /= std
    return head


def quantile(values: np.ndarray, weights: np.ndarray, share: float) -> float:
    order = np.argsort(values)
    return float(values[order][np.searchsorted(np.cumsum(weights[order]), share * weights.sum())])


def curve(errors: np.ndarray, rank: np.ndarray, weights: np.ndarray) -> list[float]:
    """The mean of the errors over the most certain part of the pixels, for each coverage."""
    order = np.argsort(rank, kind="stable")
    sums = np.cumsum(weights[order])
    ends = [max(1, int(np.searchsorted(sums, part * sums[-1] * (1 - 1e-9)) + 1)) for part in COVERAGE]
    return [float(np.average(errors[order][:end], weights=weights[order][:end])) for end in ends]


def place_weights(images: list[Image]) -> list[float]:
    """One weight for each image, so that places count equally; divided by the image's pixels."""
    places = [image.place for image in images]
    return [1 / places.count(image.place) / len(image.error) for image in images]


def report(group: str, images: list[Image], factors: dict[str, float]) -> None:
    weights = place_weights(images)
    each = np.concatenate([np.full(len(i.error), w) for i, w in zip(images, weights, strict=True)])
    whole = np.array([w * len(i.error) for i, w in zip(images, weights, strict=True)])
    print(f"\n{group}: {len(images)} images of {len({image.place for image in images})} places")
    error = np.concatenate([np.abs(image.error) for image in images])
    for name in factors:
        b = factors[name] * np.exp(np.concatenate([image.ranks[name] for image in images]))
        off = error / (math.sqrt(2) * b)
        score = np.average(error / b + np.log(b), weights=each)
        inside = " ".join(f"{np.average(off < n, weights=each):.0%}" for n in (1, 2))
        print(
            f"  {name:15} negative log likelihood {score:.3f}, within 1 and 2 standard deviations: {inside}"
        )
    shown = [name for name in images[0].ranks if name != "constant"]
    for title in ("in the image", "all pixels"):
        print(f"  {title}")
        for name in (*shown, "the true error"):
            columns = []
            for kind in ("plain", "scaled", "log"):
                errors = [measured(image.error, kind) for image in images]
                ranks = [image.ranks.get(name, e) for image, e in zip(images, errors, strict=True)]
                if title == "all pixels":
                    values = curve(np.concatenate(errors), np.concatenate(ranks), each)
                else:
                    curves = [curve(e, r, np.ones(len(e))) for e, r in zip(errors, ranks, strict=True)]
                    values = np.average(curves, axis=0, weights=whole)
                columns.append(" ".join(f"{value:.3f}" for value in values))
            print(f"    {name:15} " + " | ".join(columns))


def measured(error: np.ndarray, kind: str) -> np.ndarray:
    if kind == "log":
        return np.abs(error)
    return np.abs(np.exp(error - (np.median(error) if kind == "scaled" else 0)) - 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", default=DEFAULT_BUNDLE, metavar="NAME")
    parser.add_argument("--root", type=Path, required=True, help="folder of mini_near.yaml's real frames")
    parser.add_argument("--test", type=Path, nargs="+", default=[], metavar="FOLDER", help="RGB-D folders")
    parser.add_argument("--cache", type=Path, help="folder for rendered views")
    parser.add_argument("--images", type=int, default=2400, help="images that train the heads")
    parser.add_argument("--places", type=int, default=640, help="simulated places that they show")
    parser.add_argument(
        "--first-place", type=int, default=100_000, help="seed of the first; none may have trained the bundle"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the heads")
    args = parser.parse_args()
    if not args.root.is_dir():
        parser.error(f"--root: {args.root} is not a folder")
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    recipe = read_recipe(find_config(Path("mini_near.yaml")))
    places = {"kind": "places", "size": [192, 256], "seed": args.first_place, "places": args.places}

    def opened(entry: dict):
        data_set = open_data_set(below(entry, args.root), cache=args.cache)
        data_set.prepare()
        return data_set

    real = [entry for entry in recipe.data.training if entry["kind"] == "rgbd"]
    weights = tuple(float(entry["weight"]) for entry in real)
    focal, size = recipe.network.canonical_focal_px, recipe.network.size
    augmentation = recipe.depth.augmentation
    recorded = BatchMaker(tuple(map(opened, real)), weights, augmentation, (args.seed, 2), focal)
    simulated = BatchMaker((opened(places),), (1.0,), augmentation, (args.seed, 1), focal)
    features = Features(open_bundle(args.bundle), recipe, simulated(0, size=size, count=16).image)

    rng = np.random.default_rng(args.seed)
    inputs, errors = [], []
    for step in range(args.images // BATCH):
        batch = (recorded if step % 4 == 3 else simulated)(step, size=size, count=BATCH)
        given, log_depth = features.of(batch.image)
        error = on_grid(log_depth.numpy()) - on_grid(known_log(batch.depth, recipe.network.depth_range))
        for i in range(BATCH):
            known = np.flatnonzero(np.isfinite(error[i]))
            if len(known):
                chosen = rng.choice(known, SAMPLES)
                inputs.append(given[i, torch.from_numpy(chosen)].half())
                errors.append(error[i, chosen])
        if step % 10 == 9:
            print(f"{(step + 1) * BATCH} images", file=sys.stderr, flush=True)

    images = []
    validation = [entry for entry in recipe.data.validation if entry["kind"] == "rgbd"]
    folders = [("real validation frames", entry["root"], opened(entry)) for entry in validation]
    for folder in args.test:
        entry = {"kind": "rgbd", "root": str(folder.resolve()), "split": "all"}
        folders.append(("recordings", folder.name, opened(entry)))
    unseen = opened(places | {"split": "validation", "validation_places": 64})
    for group, place, data_set in (*folders, ("unseen simulated places", "places", unseen)):
        count = 4 * FRAMES if data_set is unseen else FRAMES
        batch = fixed_batch((data_set,), count, size=size, canonical_focal_px=focal)
        images += look(group, place, batch, features)

    table, error = torch.cat(inputs).float(), torch.from_numpy(np.concatenate(errors)).float()
    for name, width in (("head: local", table.shape[1] - features.deepest), ("head: frame", table.shape[1])):
        head = train(table[:, :width], error, args.seed)
        for image in images:
            with torch.no_grad():
                image.ranks[name] = head(image.inputs[:, :width].float())[:, 0].numpy()
    for image in images:
        image.ranks["constant"] = np.zeros(len(image.error), np.float32)

    groups = ("unseen simulated places", "real validation frames", "recordings")
    calibrating = [[image for image in images if image.group == group] for group in groups[:2]]
    share = np.concatenate(
        [
            np.full(len(image.error), weight / sum(w * len(i.error) for i, w in zip(own, ws, strict=True)))
            for own in calibrating
            for ws in [place_weights(own)]
            for image, weight in zip(own, ws, strict=True)
        ]
    )
    factors = {}
    for name in ("constant", "head: local", "head: frame"):
        off = [np.abs(i.error) / (math.sqrt(2) * np.exp(i.ranks[name])) for own in calibrating for i in own]
        factors[name] = quantile(np.concatenate(off), share, 0.68)
    for group in groups:
        if chosen := [image for image in images if image.group == group]:
            report(group, chosen, factors)
    print("\nby place: mean error of log depth; mean of b / negative log likelihood")
    for place in dict.fromkeys(image.place for image in images):
        own = [image for image in images if image.place == place]
        weights = np.concatenate([np.full(len(i.error), 1 / len(i.error)) for i in own])
        error = np.concatenate([np.abs(image.error) for image in own])
        stated = []
        for name in factors:
            b = factors[name] * np.exp(np.concatenate([image.ranks[name] for image in own]))
            score = np.average(error / b + np.log(b), weights=weights)
            stated.append(f"{name} {np.average(b, weights=weights):.2f} / {score:.2f}")
        print(f"  {place:20} {np.average(error, weights=weights):.2f}; " + ", ".join(stated))


if __name__ == "__main__":
    main()
