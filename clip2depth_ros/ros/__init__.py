# SPDX-License-Identifier: Apache-2.0
"""The ROS room: two nodes and the codec between messages and the pipeline. Only this room imports rclpy."""
