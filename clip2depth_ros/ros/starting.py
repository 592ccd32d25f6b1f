# SPDX-License-Identifier: Apache-2.0
"""The programs of the nodes. Only what is fast to import is imported before a signal can be answered."""

from __future__ import annotations

import signal
import sys
from importlib.util import find_spec


def depth_node() -> int:
    """Import and run depth_node."""
    _until_the_node_answers("depth_node")
    from clip2depth_ros.ros.depth_node import main

    return main()


def depth_nodes() -> int:
    """Import and run depth_nodes."""
    _until_the_node_answers()
    from clip2depth_ros.ros.depth_nodes import main

    return main()


def camera_node() -> int:
    """Import and run camera_node."""
    _until_the_node_answers("camera_node")
    from clip2depth_ros.ros.camera_node import main

    return main()


def adapt_node() -> int:
    """Import and run adapt_node."""
    _until_the_node_answers("adapt_node")
    from clip2depth_ros.ros.adapt_node import main

    return main()


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
