# SPDX-License-Identifier: Apache-2.0
"""The programs of the nodes. Only what is fast to import is imported before a signal can be answered."""

from __future__ import annotations

import os
import signal
import sys
import time
from importlib import import_module
from importlib.util import find_spec

from clip2depth_ros.ros import watchdog

AGAIN = 75
"""A node's exit code when its process has to begin anew (EX_TEMPFAIL of sysexits.h)."""
STARTED_AGAIN = "CLIP2DEPTH_STARTED_AGAIN"
"""Environment variable: when the program began anew, seconds since 1970."""
LEAST_APART = 60.0
"""Seconds between two such beginnings; what fails faster is not mended by another one."""


def depth_node() -> int:
    """Import and run depth_node."""
    return _run("depth_node")


def depth_nodes() -> int:
    """Import and run depth_nodes."""
    return _run("depth_nodes")


def camera_node() -> int:
    """Import and run camera_node."""
    return _run("camera_node")


def adapt_node() -> int:
    """Import and run adapt_node."""
    return _run("adapt_node")


def _run(program: str) -> int:
    """The exit code of the module's main. Where that is AGAIN this process runs the program anew instead."""
    _until_the_node_answers(program)
    main = import_module(f"clip2depth_ros.ros.{program}").main
    watchdog.start()
    code = main()
    watchdog.stop()
    now = time.time()
    if code == AGAIN and not 0 <= now - float(os.environ.get(STARTED_AGAIN, 0)) < LEAST_APART:
        os.environ[STARTED_AGAIN] = str(now)
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    return code


def _until_the_node_answers(program: str) -> None:
    """Python's own answer to SIGINT is a traceback out of whatever is being imported. Nothing is held yet.

    Ends the program with one sentence where ROS or the messages are missing: pip installs neither on Arm.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    for module, what in (("rclpy", "ROS 2"), ("clip2depth_ros.msg", "messages of this package")):
        if find_spec(module) is None:
            print(
                f"{program}: error: no {what} in this Python ({module} is missing): build the package with "
                "colcon on a ROS 2 installation and source its install/setup.bash. `clip2depth run` needs no "
                "ROS.",
                file=sys.stderr,
            )
            raise SystemExit(2)
