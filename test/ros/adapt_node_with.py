# SPDX-License-Identifier: Apache-2.0
"""adapt_node as a process of its own, with a stand-in for the command.

    python adapt_node_with.py MODE --ros-args ...

MODE: of adapt_stand_in.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

from clip2depth_ros.ros.nodes.adapt_node import AdaptNode, main

if __name__ == "__main__":
    mode = sys.argv.pop(1)
    command = (sys.executable, str(Path(__file__).with_name("adapt_stand_in.py")), mode)
    sys.exit(main(make=lambda: AdaptNode(command=command)))
