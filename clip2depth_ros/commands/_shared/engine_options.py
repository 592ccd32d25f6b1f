# SPDX-License-Identifier: Apache-2.0
"""The arguments for bundle and engine, and opening the engine with a display of its progress."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Callable

from clip2depth_ros.bundle import Bundle
from clip2depth_ros.bundle.library import DEFAULT_BUNDLE
from clip2depth_ros.engines import ENGINE_NAMES, PRECISIONS, Engine, open_engine
from clip2depth_ros.engines.loader import EngineLoader, end_process
from clip2depth_ros.system.progress import StatusLine

# How often a command that waits for its engine checks for Ctrl-C, seconds; and its exit code after it.
POLL_PERIOD = 0.2
INTERRUPTED = 130


def add_bundle_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--bundle", default=DEFAULT_BUNDLE, metavar="NAME_OR_PATH", help="default: %(default)s"
    )


def add_engine_choice(parser: argparse.ArgumentParser) -> None:
    """--engine and --precision."""
    parser.add_argument(
        "--engine",
        default="auto",
        choices=("auto", *ENGINE_NAMES),
        help="what runs the network; auto: the first that works of tensorrt, tensorrt_rtx, pytorch on a GPU, "
        "openvino, pytorch and opencv on the CPU (default: %(default)s)",
    )
    add_precision_argument(parser)


def add_precision_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="arithmetic of the network (default: the engine's fastest that passes the bundle's check)",
    )


class BuildLine:
    """The progress of a build on stderr: one line that is overwritten on a terminal, plain lines elsewhere.

    May be called from any thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._line = StatusLine(sys.stderr, interval=10.0)
        self._last = ""

    def __call__(self, text: str) -> None:
        with self._lock:
            # A new step always gets its own line; progress within a step overwrites the line.
            if text.partition(",")[0] != self._last.partition(",")[0]:
                self._line.finish()
            self._last = text
            self._line.show(text)

    def __enter__(self) -> BuildLine:
        return self

    def __exit__(self, *_) -> None:
        self._line.finish()


def open_chosen_engine(args: argparse.Namespace, bundle: Bundle) -> Engine:
    """The engine by the arguments, after its check; shows the progress of a build. Raises Clip2DepthError.

    It is opened in a thread, because Python cannot handle Ctrl-C while its main thread is in TensorRT's
    builder.
    """
    if terms := bundle.terms():
        print(terms, file=sys.stderr)
    with BuildLine() as line:

        def open_(progress: Callable[[str], None]) -> Engine:
            def tell(text: str) -> None:
                progress(text)
                line(text)

            return open_engine(
                bundle,
                args.engine,
                threads=getattr(args, "threads", 0),
                precision=args.precision,
                cache_dir=getattr(args, "engine_cache", None),
                progress=tell,
            )

        loader = EngineLoader(open_, lambda: None)
        try:
            loader.start()
            while not loader.wait(POLL_PERIOD):
                pass
        except KeyboardInterrupt:
            loader.cancel()
            end_process(INTERRUPTED)
            raise
        return loader.take()
