# SPDX-License-Identifier: Apache-2.0
"""Turns of several cameras: the camera that has waited longest goes first."""

from __future__ import annotations

import threading
from collections import deque


class Queue:
    """A semaphore that serves threads in the order of their arrival, which Python's does not; a context
    manager.

    places: how many threads hold it at once; the others wait in the order of their arrival.
    """

    def __init__(self, places: int) -> None:
        self._lock = threading.Lock()
        self._free = places
        self._waiting: deque[threading.Lock] = deque()

    def enter(self) -> None:
        """Take a place; wait until one is free."""
        with self._lock:
            if self._free:
                self._free -= 1
                return
            gate = threading.Lock()
            gate.acquire()
            self._waiting.append(gate)
        gate.acquire()

    def leave(self) -> None:
        """Pass the place to the thread that has waited longest, or free it."""
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
    """One camera's place in a queue, for one thread. Without a queue it is always the camera's turn."""

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
        """Give the turn to the next camera. Leaving twice is allowed."""
        if self._is_mine:
            self._is_mine = False
            self._queue.leave()
