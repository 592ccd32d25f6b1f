# SPDX-License-Identifier: Apache-2.0
"""`clip2depth adapt` with few views of other places, because rendering all of them takes a minute."""

from __future__ import annotations

import sys

from clip2depth_ros.adaptation import rehearsal
from clip2depth_ros.cli import main

rehearsal.TRAINED, rehearsal.MEASURED = 24, 48

if __name__ == "__main__":
    sys.exit(main(["adapt", *sys.argv[1:]]))
