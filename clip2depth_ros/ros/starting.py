# SPDX-License-Identifier: Apache-2.0
"""The programs of the nodes. Only what is fast to import is imported before a signal can be answered."""

from __future__ import annotations

import signal


def depth_node() -> int:
    """Import and run depth_node."""
    _until_the_node_answers()
    from clip2depth_ros.ros.depth_node import main

    return main()


def depth_nodes() -> int:
    """Import and run depth_nodes."""
    _until_the_node_answers()
    from clip2depth_ros.ros.depth_nodes import main

    return main()


def camera_node() -> int:
    """Import and run camera_node."""
    _until_the_node_answers()
    from clip2depth_ros.ros.camera_node import main

    return main()


def adapt_node() -> int:
    """Import and run adapt_node."""
    _until_the_node_answers()
    from clip2depth_ros.ros.adapt_node import main

    return main()


def _until_the_node_answers() -> None:
    """Python's own answer to SIGINT is a traceback out of whatever is being imported. Nothing is held yet."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
