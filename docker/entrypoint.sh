#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The containers' entry: a shell in which ROS, the workspace and its programs are found.
set -e
. "/opt/ros/$ROS_DISTRO/setup.bash"
. /opt/clip2depth/ws/install/setup.bash
export PATH="/opt/clip2depth/venv/bin:$PATH"
exec "$@"
