# SPDX-License-Identifier: Apache-2.0
"""Another bundle for a node that runs: opened and checked beside the engine, and given when it is ready."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from clip2depth_ros.bundle import Bundle, open_bundle
from clip2depth_ros.engines import Engine
from clip2depth_ros.engines.loader import EngineLoader
from clip2depth_ros.errors import Clip2DepthError

# Who sets the parameter is answered after so long at the latest, seconds: a bundle that is not there is known
# by then, and the camera's images wait no longer than that for the executor.
PATIENCE = 0.1

# An opening that was called off but cannot be interrupted delays the next one by so much, seconds, so that
# several in a row do not share the processor with the engine that runs. One that hangs delays no longer.
FORMER = 30.0


@dataclass(frozen=True)
class Successor:
    """A bundle whose engine has passed the check, and is ready to run."""

    asked: str
    """The bundle as the parameter names it."""
    bundle: Bundle
    engine: Engine


class _Unchanged(Clip2DepthError):
    """The bundle is the one that runs."""


class BundleSwap:
    """Opens one successor at a time; a later one calls an earlier one off.

    All of it is for the executor's thread, but :meth:`refuse` is for any.

    Args:
        node: an rclpy node that is spun by one thread.
        on_ready: called with the Successor, whose engine then belongs to the callee.
        on_refused: called with the bundle as it was asked for and a reason.
    """

    def __init__(
        self, node: Any, on_ready: Callable[[Successor], None], on_refused: Callable[[str, str], None]
    ) -> None:
        self._logger = node.get_logger()
        self._on_ready = on_ready
        self._on_refused = on_refused
        self._asked = ""
        self._found: list[Bundle] = []
        self._opening: EngineLoader | None = None
        self._former: EngineLoader | None = None
        self._refusals: list[tuple[str, str]] = []
        # It lives as long as the node, for a thread may still pull it while the node is being cleaned up.
        self._bell = node.create_guard_condition(self._on_end)

    def begin(
        self,
        asked: str,
        open_engine: Callable[[Bundle, Callable[[str], None]], Engine],
        running: Bundle,
    ) -> None:
        """Begin to open a bundle, unless it is the one that runs; whatever was being opened is called off.

        open_engine: called in a thread, with the bundle and a callable for lines of progress.
        Raises Clip2DepthError when it is known at once that there is no such bundle; nothing changes then.
        """
        found: list[Bundle] = []
        known = threading.Event()
        former = self._opening or self._former
        if former is not None and former.has_ended:
            former = self._former = None

        def open_(progress: Callable[[str], None]) -> Engine:
            bundle = open_bundle(asked)
            if bundle.path == running.path and bundle.manifest == running.manifest:
                raise _Unchanged
            found.append(bundle)
            known.set()
            if former is not None:
                former.wait(FORMER)
            progress("being opened")  # raises when it is not wanted any more
            return open_engine(bundle, progress)

        def end() -> None:
            known.set()
            self._bell.trigger()

        opening = EngineLoader(open_, end).start()
        known.wait(PATIENCE)
        if opening.has_ended and not found:
            try:
                opening.take()
            except _Unchanged:
                self.call_off()
                return
            except Clip2DepthError:
                raise
            except Exception as error:
                raise Clip2DepthError(f"Bundle '{asked}': {type(error).__name__}: {error}.") from error
        self.call_off()
        self._asked, self._found, self._opening = asked, found, opening

    def call_off(self) -> None:
        """Open nothing any more. Returns at once."""
        if self._opening is not None:
            self._opening.cancel()
            self._former = self._opening
        self._opening = None

    def refuse(self, asked: str, reason: str) -> None:
        """Have `on_refused` called on the executor's thread."""
        self._refusals.append((asked, reason))
        self._bell.trigger()

    def facts(self) -> dict[str, Any]:
        """For the diagnostics."""
        return {} if self._opening is None else {"next bundle": f"{self._asked}: {self._opening.progress}"}

    def _on_end(self) -> None:
        while self._refusals:
            self._on_refused(*self._refusals.pop(0))
        opening = self._opening
        if opening is None or not opening.has_ended:
            return
        self._opening = None
        try:
            engine = opening.take()
        except _Unchanged:
            return
        except Clip2DepthError as error:
            self._on_refused(self._asked, str(error))
        except Exception as error:
            self._logger.error(f"The engine failed unexpectedly:\n{traceback.format_exc()}")
            self._on_refused(self._asked, f"{type(error).__name__}: {error}.")
        else:
            self._on_ready(Successor(self._asked, self._found[0], engine))
