# SPDX-License-Identifier: Apache-2.0
"""The batches of a stage, made by worker processes, in the order of the steps."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import cv2
from torch.utils.data import DataLoader, Dataset

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.training.configuration import Phase
from clip2depth_ros.training.views.batches import Batch

AHEAD = 3  # batches that each worker makes ahead of their use


class _Steps(Dataset):
    """A data set whose item i is the batch of step first + i."""

    def __init__(
        self, make: Callable[[int, Phase], Batch], phase: Callable[[int], Phase], first: int, end: int
    ) -> None:
        self._make, self._phase, self._first, self._end = make, phase, first, end

    def __len__(self) -> int:
        return self._end - self._first

    def __getitem__(self, index: int) -> Batch | Clip2DepthError:
        step = self._first + index
        try:
            return self._make(step, self._phase(step))
        except Clip2DepthError as error:
            return error  # returned, not raised: the loader would wrap it in a worker's traceback


def load_batches(
    make: Callable[[int, Phase], Batch],
    phase: Callable[[int], Phase],
    first: int,
    end: int,
    workers: int,
    *,
    spawn: bool = False,
) -> Iterator[Batch]:
    """make(step, phase(step)) for each step from `first` to before `end`, in that order.

    workers: processes that make them; 0 makes each batch in this process when it is requested. Any number of
    workers gives the same batches. spawn: start new processes instead of forks, which takes seconds and which
    OpenGL needs.
    """
    # here, not in the workers: in a forked process OpenCV's thread pool has no threads
    cv2.setNumThreads(1)
    workers = min(workers, len(os.sched_getaffinity(0)))
    loader = DataLoader(
        _Steps(make, phase, first, end),
        batch_size=None,
        shuffle=False,
        num_workers=workers,
        collate_fn=_as_it_is,
        prefetch_factor=AHEAD if workers else None,
        multiprocessing_context="spawn" if workers and spawn else None,
    )
    for batch in loader:
        if isinstance(batch, Clip2DepthError):
            raise batch
        yield batch


def _as_it_is(batch: Batch | Clip2DepthError) -> Batch | Clip2DepthError:
    return batch
