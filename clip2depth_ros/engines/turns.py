# SPDX-License-Identifier: Apache-2.0
"""Whose turn it is: who waits longest goes first."""

from __future__ import annotations

import threading
from collections import deque


class Queue:
    """A semaphore that is first come, first served, which Python's is not; a context manager.

    places: so many threads are in it at once; the others wait in the order in which they came.
    """

    def __init__(self, places: int) -> None:
        self._lock = threading.Lock()
        self._free = places
        self._waiting: deque[threading.Lock] = deque()

    def enter(self) -> None:
        """Take a place, waiting for it if need be."""
        with self._lock:
            if self._free:
                self._free -= 1
                return
            gate = threading.Lock()
            gate.acquire()
            self._waiting.append(gate)
        gate.acquire()

    def leave(self) -> None:
        """Give the place to the one that waits longest, or back."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1

    def __enter__(self) -> None:
        self.enter()

    def __exit__(self, *_: object) -> None:
        self.leave()


class Turn:
    """One camera's place in a queue, for one thread. Without a queue it is always this camera's turn."""

    def __init__(self, queue: Queue | None = None) -> None:
        self._queue = queue
        self._is_mine = False

    @property
    def is_mine(self) -> bool:
        """True between `enter` and `leave`."""
        return self._is_mine or self._queue is None

    def enter(self) -> None:
        """Wait for the turn."""
        if not self.is_mine:
            self._queue.enter()
            self._is_mine = True

    def leave(self) -> None:
        """Let the next one have its turn. Leaving twice is allowed."""
        if self._is_mine:
            self._is_mine = False
            self._queue.leave()
