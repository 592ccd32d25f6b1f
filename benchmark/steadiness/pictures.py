# SPDX-License-Identifier: Apache-2.0
"""Visualization: videos of raw beside stabilized depth, and one image of pixels over time."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from benchmark.steadiness.methods import AVERAGE, OWN, RAW, run
from benchmark.steadiness.sequences import FrameSequence
from clip2depth_ros.images.visualization import (
    BACKGROUND,
    VideoWriter,
    color_depth,
    legend,
    save_image,
    side_by_side,
    text_strip,
)

FULL = 0.2
"""Log depth that is shown in full red (farther) or blue (nearer)."""
YELLOW = (255, 255, 0)


def color_difference(difference: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB of (H, W) log depth: white is 0, red farther, blue nearer, gray unknown (NaN)."""
    share = np.clip(difference / FULL, -1.0, 1.0)
    known = np.isfinite(share)
    share = np.where(known, share, 0.0)
    picture = np.full((*difference.shape, 3), 255.0)
    picture[..., 1] -= 205 * np.abs(share)
    picture[..., 2] -= 205 * np.clip(share, 0, 1)
    picture[..., 0] -= 205 * np.clip(-share, 0, 1)
    picture[~known] = 90
    return np.rint(picture).astype(np.uint8)


def depth_range(sequence: FrameSequence) -> tuple[float, float]:
    """Ends of the color scale, meters: the first and last percent of the depths are outside."""
    values = np.concatenate([d[::8, ::8].ravel() for d in sequence.raw[::5]])
    low, high = np.nanpercentile(values, (1, 99))
    return round(float(low), 1), round(float(high), 1)


def write_video(sequence: FrameSequence, path: Path, fps: float = 15.0) -> Path:
    """Video of image, raw depth, stabilized depth and its standard deviation (white 0, black 20 %)."""
    outcome = run(OWN, sequence)
    near, far = depth_range(sequence)
    with VideoWriter(path, fps) as film:
        for index, image in enumerate(sequence.images):
            std_dev = np.nan_to_num(outcome.deviations[index], nan=1.0)
            std_dev = np.repeat(
                np.rint(255 * np.clip(1 - std_dev / 0.2, 0, 1)).astype(np.uint8)[..., None], 3, -1
            )
            columns = [
                ("image", image),
                ("raw", sequence.raw[index]),
                ("stable", outcome.depths[index]),
                ("standard deviation", std_dev),
            ]
            if sequence.truth[index] is not None:
                columns.append(("true", sequence.truth[index]))
            caption = f"{sequence.name}   frame {index}   ego-motion: {outcome.sources[index]}"
            film.write(side_by_side(columns, near=near, far=far, caption=caption))
    return path


def write_image(sequence: FrameSequence, path: Path, frame: int = 60) -> Path:
    """One image column over time: raw, averaged, stabilized and true depth, below one full frame.

    Scale jitter appears as vertical stripes; consistent depth is smooth. As many frames as the image is wide.
    """
    near, far = depth_range(sequence)
    height, width = sequence.raw[0].shape
    column = width // 2
    image = sequence.images[frame].copy()
    image[:, column - 1 : column + 1] = YELLOW
    kinds = {"raw": RAW, "exponential average 0.2": AVERAGE, "stabilizer": OWN}
    depths = {label: run(method, sequence).depths for label, method in kinds.items()}
    depths["true depth (grey: unknown)"] = sequence.truth
    count = min(width, len(sequence))
    words = [
        _words(
            width, height, "Over time:", "the yellow column", f"in {count} frames,", "from left to right."
        ),
        _words(width, height, "Its change", "from frame to frame:", "red farther,", "blue nearer."),
    ]
    columns = [np.vstack([text_strip(f"frame {frame}", width), image, *words])]
    for label, frames in depths.items():
        over_time = np.stack([depth[:, column] for depth in frames[:count]], axis=1)
        with np.errstate(invalid="ignore"):
            change = np.diff(np.log(over_time), axis=1, prepend=np.nan)
        slices = [color_depth(over_time, near, far), color_difference(change)]
        slices = [cv2.copyMakeBorder(s, 2, 0, 0, width - count, cv2.BORDER_CONSTANT) for s in slices]
        columns.append(np.vstack([text_strip(label, width), color_depth(frames[frame], near, far), *slices]))
    gap = np.zeros((columns[0].shape[0], 2, 3), np.uint8)
    rows = [part for pair in zip([gap] * len(columns), columns, strict=True) for part in pair][1:]
    picture = np.hstack(rows)
    return save_image(path, np.vstack([picture, legend(picture.shape[1], near, far)]), quality=80)


def _words(width: int, height: int, *lines: str) -> np.ndarray:
    """Lines of text in a panel, (height + 2, width, 3) uint8 RGB."""
    field = np.full((height + 2, width, 3), BACKGROUND, np.uint8)
    text = np.vstack([text_strip(line, width) for line in lines])[: height + 2]
    top = (height + 2 - text.shape[0]) // 2
    field[top : top + text.shape[0]] = text
    return field
