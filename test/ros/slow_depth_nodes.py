# SPDX-License-Identifier: Apache-2.0
"""depth_nodes whose engines take a while for an image, and fail while a file is there: a process of its own.

    python slow_depth_nodes.py SECONDS FOLDER CAMERA ... --ros-args ...

The engine fails while FOLDER/fault exists. FOLDER/opened has a line for each engine that was opened.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from clip2depth_ros.engines import open_engine
from clip2depth_ros.engines.base import EngineUnavailable
from clip2depth_ros.engines.shared import EnginePool
from clip2depth_ros.ros.nodes.depth_nodes import main


def slow_engine(seconds: float, folder: Path):
    """An open_engine for an EnginePool."""

    def open_(bundle, name, *, progress, **options):
        engine = open_engine(bundle, "openvino", progress=progress, **options)
        with (folder / "opened").open("a") as file:
            file.write(f"{bundle.name}\n")
        infer = engine.infer

        def slowly(image):
            time.sleep(seconds)
            if (folder / "fault").exists():
                raise EngineUnavailable("CUDA error 999")
            return infer(image)

        engine.infer = slowly
        return engine

    return open_


if __name__ == "__main__":
    seconds, folder, *arguments = sys.argv[1:]
    sys.exit(main(arguments, pool=EnginePool(slow_engine(float(seconds), Path(folder)))))
