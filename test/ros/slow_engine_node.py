# SPDX-License-Identifier: Apache-2.0
"""depth_node with an engine whose opening takes until a file says how it ends: a process of its own.

    python slow_engine_node.py FOLDER [--deaf] --ros-args ...

FOLDER/end holds "open", "refuse" or "crash"; while it is not there, the engine is being built. --deaf: the
build cannot be interrupted and says nothing, like TensorRT's before version 10.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from clip2depth_ros.engines import open_engine
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.ros.nodes import node_engine
from clip2depth_ros.ros.nodes.depth_node import DepthNode, main

node_engine.OPEN_TIMEOUT = 0.3
node_engine.LOG_PERIOD = 0.5


def slow_engine(folder: Path, deaf: bool):
    """An open_engine for DepthNode."""

    def open_(bundle, name, *, progress, **options):
        end, started = folder / "end", time.monotonic()
        if deaf:
            progress("tensorrt fp16: building, minutes on a Jetson")
        while not end.exists():
            if not deaf:
                progress(f"tensorrt fp16: building, {time.monotonic() - started:.1f} s")
            time.sleep(0.05)
        how = end.read_text()
        if how == "refuse":
            raise Clip2DepthError("Engine tensorrt is refused: differs by 12.30%.")
        if how == "crash":
            raise RuntimeError("CUDA error 999")
        return open_engine(bundle, "openvino", **options)

    return open_


if __name__ == "__main__":
    folder, *arguments = sys.argv[1:]
    chosen = slow_engine(Path(folder), "--deaf" in arguments)
    sys.exit(main([a for a in arguments if a != "--deaf"], make=lambda: DepthNode(open_engine=chosen)))
