# SPDX-License-Identifier: Apache-2.0
"""Another bundle for a running node: opened and checked next to the running engine, then handed over."""

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
from clip2depth_ros.ros.nodes.node_engine import trigger

# The longest time until the parameter's setter gets an answer, seconds. A missing bundle is known by
# then, and the camera's images do not wait longer than this for the executor.
ANSWER_TIMEOUT = 0.1

# The longest time, seconds, that a cancelled loader that cannot be interrupted delays the next one, so that
# several in a row do not take the processor from the running engine.
CANCEL_TIMEOUT = 30.0


@dataclass(frozen=True)
class Successor:
    """A bundle whose engine has passed the check and is ready to run."""

    asked: str
    """The bundle, as the parameter names it."""
    bundle: Bundle
    engine: Engine


class _Unchanged(Clip2DepthError):
    """The bundle is the running one."""


class BundleSwap:
    """Opens one successor at a time; a later request cancels an earlier one.

    For the executor's thread only, except :meth:`refuse`, which may be called from any thread.

    Args:
        node: an rclpy node that is spun by one thread.
        on_ready: called with the Successor; its engine then belongs to the called function.
        on_refused: called with the bundle as the parameter names it, and the reason.
    """

    def __init__(
        self, node: Any, on_ready: Callable[[Successor], None], on_refused: Callable[[str, str], None]
    ) -> None:
        self._logger = node.get_logger()
        self._on_ready = on_ready
        self._on_refused = on_refused
        self._asked = ""
        self._found: list[Bundle] = []
        self._loader: EngineLoader | None = None
        self._former: EngineLoader | None = None
        self._refusals: list[tuple[str, str]] = []
        # It exists as long as the node, because a thread may trigger it while the node is being cleaned up.
        self._changed = node.create_guard_condition(self._on_end)

    def begin(
        self,
        asked: str,
        open_engine: Callable[[Bundle, Callable[[str], None]], Engine],
        running: Bundle,
    ) -> None:
        """Begin to open a bundle, unless it is the running one; cancels a bundle that is being opened.

        open_engine: called in a thread, with the bundle and a function that takes lines of progress.
        Raises Clip2DepthError if the bundle is found to be missing within ANSWER_TIMEOUT; nothing changes
        then.
        """
        found: list[Bundle] = []
        known = threading.Event()
        former = self._loader or self._former
        if former is not None and former.has_ended:
            former = self._former = None

        def open_(progress: Callable[[str], None]) -> Engine:
            bundle = open_bundle(asked)
            if bundle.path == running.path and bundle.manifest == running.manifest:
                raise _Unchanged
            found.append(bundle)
            known.set()
            if former is not None:
                former.wait(CANCEL_TIMEOUT)
            progress("being opened")  # raises if it was cancelled
            return open_engine(bundle, progress)

        def end() -> None:
            known.set()
            trigger(self._changed)

        loader = EngineLoader(open_, end).start()
        known.wait(ANSWER_TIMEOUT)
        if loader.has_ended and not found:
            try:
                loader.take()
            except _Unchanged:
                self.cancel()
                return
            except Clip2DepthError:
                raise
            except Exception as error:
                raise Clip2DepthError(f"Bundle '{asked}': {type(error).__name__}: {error}.") from error
        self.cancel()
        self._asked, self._found, self._loader = asked, found, loader

    def cancel(self) -> None:
        """Cancel the bundle that is being opened. Returns at once."""
        if self._loader is not None:
            self._loader.cancel()
            self._former = self._loader
        self._loader = None

    def refuse(self, asked: str, reason: str) -> None:
        """Call `on_refused` on the executor's thread."""
        self._refusals.append((asked, reason))
        trigger(self._changed)

    def facts(self) -> dict[str, Any]:
        """Values for the diagnostics."""
        return {} if self._loader is None else {"next bundle": f"{self._asked}: {self._loader.progress}"}

    def _on_end(self) -> None:
        while self._refusals:
            self._on_refused(*self._refusals.pop(0))
        loader = self._loader
        if loader is None or not loader.has_ended:
            return
        self._loader = None
        try:
            engine = loader.take()
        except _Unchanged:
            return
        except Clip2DepthError as error:
            self._on_refused(self._asked, str(error))
        except Exception as error:
            self._logger.error(f"The engine failed unexpectedly:\n{traceback.format_exc()}")
            self._on_refused(self._asked, f"{type(error).__name__}: {error}.")
        else:
            self._on_ready(Successor(self._asked, self._found[0], engine))
