# SPDX-License-Identifier: Apache-2.0
"""The arguments that choose bundle and engine, and the engine that they choose, with its progress."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Callable

from clip2depth_ros.bundle import Bundle
from clip2depth_ros.bundle.library import DEFAULT_BUNDLE
from clip2depth_ros.engines import ENGINE_NAMES, PRECISIONS, Engine, open_engine
from clip2depth_ros.engines.loader import EngineOpening, end_process
from clip2depth_ros.system.progress import StatusLine

# How often a command that waits for its engine looks up, seconds; and its exit code when it is interrupted.
LISTEN = 0.2
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
        help="what runs the network; auto: tensorrt or tensorrt_rtx where they see a GPU, else pytorch with "
        "CUDA, else openvino, pytorch on the CPU, opencv (default: %(default)s)",
    )
    add_precision_argument(parser)


def add_precision_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="arithmetic of the network (default: the engine's fastest that passes the bundle's check)",
    )


class BuildLine:
    """What a build says on stderr: one line that is written over on a terminal, plain lines elsewhere.

    May be called from any thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._line = StatusLine(sys.stderr, interval=10.0)
        self._last = ""

    def __call__(self, text: str) -> None:
        with self._lock:
            # Another step than the one before, and not the same step further on, is always worth its line.
            if text.partition(",")[0] != self._last.partition(",")[0]:
                self._line.finish()
            self._last = text
            self._line.show(text)

    def __enter__(self) -> BuildLine:
        return self

    def __exit__(self, *_) -> None:
        self._line.finish()


def open_chosen_engine(args: argparse.Namespace, bundle: Bundle) -> Engine:
    """The engine that the arguments choose, checked; a build shows how far it is. Raises Clip2DepthError.

    It is opened in a thread, for Python hears no Ctrl-C while its main thread is inside TensorRT's builder.
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

        opening = EngineOpening(open_, lambda: None)
        try:
            opening.start()
            while not opening.wait(LISTEN):
                pass
        except KeyboardInterrupt:
            opening.abandon()
            end_process(INTERRUPTED)
            raise
        return opening.take()
