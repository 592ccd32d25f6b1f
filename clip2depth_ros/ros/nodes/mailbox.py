# SPDX-License-Identifier: Apache-2.0
"""Passes images from the executor's thread to the worker thread: one slot, which holds the newest image."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from typing import Any

from clip2depth_ros.engines.turns import Turn


@dataclasses.dataclass
class Counts:
    """Number of images since the mailbox was made, by result.

    received = processed + dropped + bad + those in progress.
    """

    received: int = 0
    processed: int = 0
    dropped: int = 0
    bad: int = 0


class Mailbox:
    """One slot for the newest image, and one for the newest camera_info.

    `put`, `put_info`, `interpose` and `close` are for the executor's thread, `take` and `wait_for_info` for
    the worker thread.

    turn: the worker thread waits for it after an image has arrived, and then takes the newest image.
    """

    def __init__(self, turn: Turn | None = None) -> None:
        self._turn = turn or Turn()
        self._changed = threading.Condition()
        self._image: Any = None
        self._info: Any = None
        self._work: Callable[[], None] | None = None
        self._closed = False
        self._counts = Counts()

    def put(self, image: Any) -> None:
        """Store an image; one that was not taken yet is dropped."""
        with self._changed:
            self._counts.received += 1
            if self._image is not None:
                self._counts.dropped += 1
            self._image = image
            self._changed.notify_all()

    def skip(self) -> None:
        """Count an image that is left out on purpose as received and dropped."""
        with self._changed:
            self._counts.received += 1
            self._counts.dropped += 1

    def put_info(self, info: Any) -> None:
        """Store a camera_info; None when the camera is gone."""
        with self._changed:
            self._info = info
            self._changed.notify_all()

    def interpose(self, work: Callable[[], None]) -> None:
        """Have the worker thread call `work` between two images, at the latest before it takes the next one.

        There is one slot for it. A closed mailbox does not call it.
        """
        with self._changed:
            self._work = work
            self._changed.notify_all()

    def close(self) -> None:
        """Let `take` and `wait_for_info` return. A waiting image is dropped."""
        with self._changed:
            self._closed = True
            self.clear()
            self._changed.notify_all()

    def clear(self) -> None:
        """Drop the waiting image, if there is one."""
        with self._changed:
            if self._image is not None:
                self._counts.dropped += 1
            self._image = None

    def take(self) -> Any:
        """Wait for an image and for the turn, and take the newest image; None once the mailbox is closed.

        Interposed work is called here, in the caller's thread.
        """
        while True:
            with self._changed:
                if self._image is None:  # it was cleared during the wait for the turn
                    self._turn.leave()
                self._changed.wait_for(lambda: self._image is not None or self._work or self._closed)
                if self._closed or (self._work is None and self._turn.is_mine):
                    image, self._image = self._image, None
                    return image
                work, self._work = self._work, None
            if work is not None:
                work()
            else:
                self._turn.enter()

    def wait_for_info(self, fits: Callable[[Any], bool], timeout: float) -> Any:
        """Wait for a camera_info for which `fits` is true, and return it.

        None if a newer image came first, if `timeout` seconds passed, or if the mailbox was closed.
        """

        def fitting() -> bool:
            return self._info is not None and fits(self._info)

        def over() -> bool:
            return self._closed or self._image is not None or fitting()

        with self._changed:
            if timeout > 0 and not over():
                self._turn.leave()  # the other cameras do not wait for this one's camera_info
                self._changed.wait_for(over, timeout)
            return self._info if fitting() else None

    @property
    def info(self) -> Any:
        """The newest camera_info, None if none came yet."""
        return self._info

    def count(self, what: str) -> None:
        """Count one image as `processed`, `dropped` or `bad`."""
        with self._changed:
            setattr(self._counts, what, getattr(self._counts, what) + 1)

    @property
    def counts(self) -> Counts:
        """A copy of the counts."""
        with self._changed:
            return dataclasses.replace(self._counts)
