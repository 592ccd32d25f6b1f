# SPDX-License-Identifier: Apache-2.0
"""Entry points of the nodes. Slow imports are done after SIGINT has a handler."""

from __future__ import annotations

import os
import signal
import sys
import time
from importlib import import_module
from importlib.util import find_spec

from clip2depth_ros.ros import watchdog

RESTART = 75
"""A node's exit code when its process must be restarted (EX_TEMPFAIL of sysexits.h)."""
RESTARTED_AT = "CLIP2DEPTH_STARTED_AGAIN"
"""Environment variable: time of the last restart, seconds since 1970."""
MIN_RESTART_SECONDS = 60.0
"""Least seconds between two restarts: if the node fails sooner, a restart does not help."""


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
    """Run the module's main and return its exit code; on RESTART, replace this process by a new one."""
    _until_the_node_answers(program)
    main = import_module(f"clip2depth_ros.ros.nodes.{program}").main
    watchdog.start()
    code = main()
    watchdog.stop()
    now = time.time()
    if code == RESTART and not 0 <= now - float(os.environ.get(RESTARTED_AT, 0)) < MIN_RESTART_SECONDS:
        os.environ[RESTARTED_AT] = str(now)
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    return code


def _until_the_node_answers(program: str) -> None:
    """Let SIGINT end the process during the imports, without Python's traceback.

    Exits with a message when rclpy or the messages are missing: pip does not install them on Arm.
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
