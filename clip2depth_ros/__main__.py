# SPDX-License-Identifier: Apache-2.0
"""`python -m clip2depth_ros` is `clip2depth`."""

import sys

from clip2depth_ros.cli import main

sys.exit(main())
