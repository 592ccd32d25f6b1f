#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Entry point of the containers: sets up ROS, the workspace and PATH, then runs the command.
set -e
. "/opt/ros/$ROS_DISTRO/setup.bash"
. /opt/clip2depth/ws/install/setup.bash
export PATH="/opt/clip2depth/venv/bin:$PATH"
exec "$@"
