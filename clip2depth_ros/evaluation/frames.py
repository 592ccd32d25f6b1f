# SPDX-License-Identifier: Apache-2.0
"""The images of a training data set as frames of the pipeline."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from clip2depth_ros.images.frame import Frame
from clip2depth_ros.training.datasets.base import DataSet


def data_frames(data: DataSet, *, every: int = 1, limit: int | None = None) -> Iterator[tuple[Frame, bool]]:
    """Every n-th sample, up to a limit: its frame, and whether it continues the recording of the last one."""
    last = None
    for index in itertools.islice(range(0, len(data), every), limit):
        sample = data[index]
        stamp = sample.stamp if sample.stamp is not None else index
        frame = Frame(sample.image, stamp, "camera", sample.camera, sample.name, sample.depth, sample.pose)
        yield frame, last is not None and _follows(data, last, index, every)
        last = index


def _follows(data: DataSet, first: int, index: int, steps: int) -> bool:
    at: int | None = first
    for _ in range(steps):
        at = None if at is None else data.following(at)
    return at == index
