# SPDX-License-Identifier: Apache-2.0
"""One engine for several cameras: opened once, used in turn, closed with the last of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from clip2depth_ros.bundle import Bundle
from clip2depth_ros.camera import Letterbox
from clip2depth_ros.engines.base import Engine
from clip2depth_ros.engines.selection import open_engine
from clip2depth_ros.engines.turns import Queue, Turn
from clip2depth_ros.errors import Clip2DepthError

# Cameras that have taken an image and not inferred it yet: one in the engine, and one that makes its image
# ready meanwhile. With more, images would grow old while they wait; with one, the engine would wait.
UNDER_WAY = 2

# A camera that waits for an engine that another one opens looks so often whether it is still wanted, seconds.
PERIOD = 0.2


class EnginePool:
    """The engines of one process. All methods are for any thread.

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
        """The turn of one more camera, which it waits for before it takes an image."""
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
        """A camera's handle to the engine that `open_engine` gives for the other arguments.

        It is opened if none of the process's engines is the same. While another camera opens it, `progress`
        is told how far that is; what it raises ends the waiting. turn: the camera's, left after each image.
        Raises what `open_engine` raises.
        """
        key = _Key(bundle, name, options)
        with self._changed:
            while (found := self._found(key)) is None and key in self._being_opened:
                progress(self._being_opened[key])
                self._changed.wait(PERIOD)
            if found is not None:
                found.users += 1
                return SharedEngine(self, found, turn, "shared: the engine is another camera's already")
            self._being_opened[key] = "another camera opens the engine"

        def tell(line: str) -> None:
            with self._changed:
                if key in self._being_opened:  # TensorRT's own thread may come late
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
        """The engine that runs what is asked for; "auto" is what it was before."""
        for opened in self._engines:
            names = {opened.engine.name, opened.key.name}
            asked = {"auto", *self._chosen} if key.name == "auto" else {key.name}
            if names & asked and opened.key.is_of(key):
                return opened
        return None

    def _give_back(self, opened: _Opened, handle: SharedEngine) -> None:
        with self._changed:
            opened.users -= 1
            opened.fitted.pop(handle, None)
            if opened.users:
                return
            self._engines.remove(opened)
        with self._device:
            opened.engine.close()


class _Key:
    """What makes two openings the same."""

    def __init__(self, bundle: Bundle, name: str, options: dict[str, Any]) -> None:
        self.name = name
        self._rest = (bundle.path, bundle.manifest, tuple(sorted(options.items())))

    def is_of(self, other: _Key) -> bool:
        """Whether they differ in the engine's name only."""
        return self._rest == other._rest

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.name == other.name and self.is_of(other)

    def __hash__(self) -> int:
        return hash((self.name, self._rest[0]))  # a manifest is not hashable


class _Opened:
    """An engine and who uses it."""

    def __init__(self, key: _Key, engine: Engine) -> None:
        self.key = key
        self.engine = engine
        self.users = 1
        self.fitted: dict[SharedEngine, Letterbox] = {}
        """Whose images the engine fits itself. All letterboxes are equal: an engine has one at a time."""


class SharedEngine(Engine):
    """One camera's handle to an engine of an EnginePool; made there. For one thread, as every engine.

    The engines of a pool infer one at a time, and who waits longest goes first. Depth belongs to the handle,
    as it does to an engine: another camera's call does not touch it. Closing the last handle closes the
    engine.
    """

    def __init__(self, pool: EnginePool, opened: _Opened, turn: Turn, step: str = "") -> None:
        engine = opened.engine
        self.name, self.device, self.precision = engine.name, engine.device, engine.precision
        self.manifest, self.difference, self.cached = engine.manifest, engine.difference, engine.cached
        self.choice = (*engine.choice, step) if step else engine.choice
        self._pool = pool
        self._opened: _Opened | None = opened
        self._turn = turn
        self._depth = np.empty((self.manifest.input_height, self.manifest.input_width), np.float32)
        self._asked: Letterbox | None = None
        self._fits = False

    def infer(self, image: np.ndarray) -> np.ndarray:
        return self._own(lambda engine: engine.infer(image))

    def fits(self, letterbox: Letterbox) -> bool:
        """As every engine's; False also while it fits other cameras' images by another letterbox.

        Asked again with the same letterbox it answers the same, without waiting for the engine.
        """
        if letterbox != self._asked:
            with self._pool._device:
                opened = self._open()
                opened.fitted.pop(self, None)
                self._fits = all(other == letterbox for other in opened.fitted.values())
                self._fits = self._fits and opened.engine.fits(letterbox)
                if self._fits:
                    opened.fitted[self] = letterbox
            self._asked = letterbox
        return self._fits

    def infer_image(self, image: np.ndarray, fitted: np.ndarray) -> np.ndarray:
        return self._own(lambda engine: engine.infer_image(image, fitted))

    def device_times(self, repeats: int) -> np.ndarray:
        with self._pool._device:
            return self._open().engine.device_times(repeats)

    def close(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            self._pool._give_back(opened, self)

    def _own(self, infer: Callable[[Engine], np.ndarray]) -> np.ndarray:
        """Depth in the handle's own memory; then it is the next camera's turn."""
        with self._pool._device:
            np.copyto(self._depth, infer(self._open().engine))
        self._turn.leave()
        return self._depth

    def _open(self) -> _Opened:
        if self._opened is None:
            raise Clip2DepthError(f"The {self.name} engine was closed.")
        return self._opened
