# SPDX-License-Identifier: Apache-2.0
"""Validation frames: whole recordings of the training data, never of a test split."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from clip2depth_ros.errors import Clip2DepthError

SPLITS = ("train", "validation", "test", "all")

GAP = 30
"""Unused frames between training and validation, where both come from one recording."""


def check_split(kind: str, split: str, *, official_test: bool) -> None:
    """Raises Clip2DepthError for a split that the data set does not have."""
    if split not in SPLITS:
        raise Clip2DepthError(f"{kind}: there is no split '{split}'; there are {', '.join(SPLITS)}.")
    if split == "test" and not official_test:
        raise Clip2DepthError(
            f"{kind}: these recordings have no official test split; keep the test recordings in a folder of "
            "their own and take split 'all' of it."
        )


def split_frames(recordings: Sequence[str], split: str, share: float, seed: int, where: str) -> np.ndarray:
    """Indices, ascending, of the frames that belong to `split`.

    recordings: the recording (scene, drive, sequence) of every frame, frames of one recording in their order.
    A `share` of the recordings, chosen by `seed` and their names, at least one, is for validation. Of a
    single recording, validation takes the end, after a gap. where: the data, for messages.
    """
    if split in ("all", "test"):
        return np.arange(len(recordings))
    if not 0 < share < 1:
        raise Clip2DepthError(f"{where}: validation_share must lie between 0 and 1, it is {share:g}.")
    names = sorted(set(recordings))
    if len(names) == 1:
        held_out = _end_of(len(recordings), share)
    else:
        # The order depends on each name alone, so that added recordings move few others between the splits.
        names.sort(key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())
        chosen = set(names[: min(len(names) - 1, max(1, round(share * len(names))))])
        held_out = np.array([recording in chosen for recording in recordings], np.int8)
    indices = np.flatnonzero(held_out == (1 if split == "validation" else 0))
    if not len(indices):
        raise Clip2DepthError(
            f"{where}: {len(recordings)} frames are too few to take validation frames from; "
            "use split 'all', or record more."
        )
    return indices


def _end_of(count: int, share: float) -> np.ndarray:
    """(count,): 0 training, 1 validation, -1 neither, for the frames of one recording."""
    validation = max(1, round(share * count))
    gap = min(GAP, count // 10)
    marks = np.zeros(count, np.int8)
    marks[max(0, count - validation - gap) :] = -1
    marks[count - validation :] = 1
    return marks
