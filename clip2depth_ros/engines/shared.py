# SPDX-License-Identifier: Apache-2.0
"""One engine for several cameras: opened once, used in turn, closed with the last of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from clip2depth_ros.bundle import Bundle
from clip2depth_ros.engines.attempts import Attempt, Outcome
from clip2depth_ros.engines.base import Engine, check_image
from clip2depth_ros.engines.selection import open_engine
from clip2depth_ros.engines.turns import Queue, Turn
from clip2depth_ros.errors import Clip2DepthError

# Number of cameras that have taken an image and not finished inference: one in the engine, and one that
# prepares its image meanwhile. With more, images would age while they wait; with one, the engine would idle.
UNDER_WAY = 2

# How often a camera that waits for another camera's engine calls `progress`, which can cancel it; seconds.
POLL_PERIOD = 0.2


class EnginePool:
    """The engines of one process. All methods may be called from any thread.

    open_engine: makes an engine, with the arguments of :func:`clip2depth_ros.engines.open_engine`.
    """

    def __init__(self, open_engine: Callable[..., Engine] = open_engine) -> None:
        self._open_engine = open_engine
        self._changed = threading.Condition()
        self._engines: list[_Opened] = []
        self._being_opened: dict[_Key, str] = {}
        self._chosen: set[str] = set()
        self._cameras = Queue(UNDER_WAY)
        self._device = Queue(1)

    def turn(self) -> Turn:
        """The turn of one more camera. The camera waits for it before it takes an image."""
        return Turn(self._cameras)

    def open(
        self,
        turn: Turn,
        bundle: Bundle,
        name: str = "auto",
        *,
        progress: Callable[[str], None] = lambda _line: None,
        **options: Any,
    ) -> SharedEngine:
        """A camera's handle to the engine that `open_engine` returns for the other arguments.

        The engine is opened unless the process has the same one already. While another camera opens it,
        `progress` is called with that camera's progress; an exception from it ends the wait. turn: of the
        camera, left after each image. Raises what `open_engine` raises.
        """
        key = _Key(bundle, name, options)
        with self._changed:
            while (found := self._found(key)) is None and key in self._being_opened:
                progress(self._being_opened[key])
                self._changed.wait(POLL_PERIOD)
            if found is not None:
                found.users += 1
                return SharedEngine(self, found, turn, is_shared=True)
            self._being_opened[key] = "another camera is opening the engine"

        def tell(line: str) -> None:
            with self._changed:
                if key in self._being_opened:  # TensorRT's own thread may report late
                    self._being_opened[key] = line
            progress(line)

        opened = None
        try:
            opened = _Opened(key, self._open_engine(bundle, name, progress=tell, **options))
            return SharedEngine(self, opened, turn)
        finally:
            with self._changed:
                del self._being_opened[key]
                if opened is not None:
                    self._engines.append(opened)
                    if name == "auto":
                        self._chosen.add(opened.engine.name)
                self._changed.notify_all()

    def _found(self, key: _Key) -> _Opened | None:
        """The engine that fits a request; "auto" fits every engine that "auto" chose before."""
        for opened in self._engines:
            names = {opened.engine.name, opened.key.name}
            asked = {"auto", *self._chosen} if key.name == "auto" else {key.name}
            if names & asked and opened.key.is_of(key):
                return opened
        return None

    def _give_back(self, opened: _Opened, handle: SharedEngine) -> None:
        with self._changed:
            opened.users -= 1
            opened.prepared_for.discard(handle)
            if opened.users:
                return
            self._engines.remove(opened)
        with self._device:
            opened.engine.close()


class _Key:
    """What must be equal for two cameras to share an engine."""

    def __init__(self, bundle: Bundle, name: str, options: dict[str, Any]) -> None:
        self.name = name
        self._rest = (bundle.path, bundle.manifest, tuple(sorted(options.items())))

    def is_of(self, other: _Key) -> bool:
        """Whether they are equal apart from the engine's name."""
        return self._rest == other._rest

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.name == other.name and self.is_of(other)

    def __hash__(self) -> int:
        return hash((self.name, self._rest[0]))  # a manifest is not hashable


class _Opened:
    """An engine and its users."""

    def __init__(self, key: _Key, engine: Engine) -> None:
        self.key = key
        self.engine = engine
        self.users = 1
        self.prepared_for: set[SharedEngine] = set()
        """The handles whose images the engine resizes; their images have one size."""


class SharedEngine(Engine):
    """One camera's handle to an engine of an EnginePool, which creates it. For one thread, as every engine.

    The engines of a pool infer one image at a time, and the camera that has waited longest goes first. As
    with every engine, the arrays that a handle returns belong to the handle: another camera's call does not
    change them. Closing the last handle closes the engine.
    """

    def __init__(self, pool: EnginePool, opened: _Opened, turn: Turn, *, is_shared: bool = False) -> None:
        engine = opened.engine
        self.name, self.device, self.precision = engine.name, engine.device, engine.precision
        self.manifest, self.difference, self.cached = engine.manifest, engine.difference, engine.cached
        self.attempts = engine.attempts
        if is_shared:
            reason = "another camera of this process opened this engine"
            self.attempts += (Attempt(self.name, self.precision, Outcome.SHARED, reason),)
        self._pool = pool
        self._opened: _Opened | None = opened
        self._turn = turn
        self._depth = np.empty((self.manifest.input_height, self.manifest.input_width), np.float32)
        self._asked: tuple[int, int] | None = None

    def infer(self, image: np.ndarray) -> np.ndarray:
        is_prepared = self.prepared is not None and image.shape[1::-1] == self.prepared
        if not is_prepared:  # the engine itself may be prepared for another camera's images
            check_image(image, self.manifest)
        with self._pool._device:
            engine = self._open().engine
            np.copyto(self._depth, engine.infer(image))
            if is_prepared:
                np.copyto(self.network_input, engine.network_input)
        self._turn.leave()
        return self._depth

    def prepare(self, size: tuple[int, int]) -> None:
        """As with every engine. `prepared` is also None while the engine is prepared for another size, for
        other cameras.

        Preparing the same size again changes nothing and does not wait for the engine.
        """
        if size == self._asked:
            return
        with self._pool._device:
            opened = self._open()
            opened.prepared_for.discard(self)
            self.prepared = self.network_input = None
            if all(other.prepared == size for other in opened.prepared_for):
                opened.engine.prepare(size)
                if opened.engine.prepared == size:
                    opened.prepared_for.add(self)
                    self.prepared = size
                    self.network_input = np.empty((*self._depth.shape, 3), np.uint8)
        self._asked = size

    def close(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            self._pool._give_back(opened, self)

    def _open(self) -> _Opened:
        if self._opened is None:
            raise Clip2DepthError(f"The {self.name} engine was closed.")
        return self._opened
