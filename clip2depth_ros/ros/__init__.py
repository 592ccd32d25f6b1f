# SPDX-License-Identifier: Apache-2.0
"""The ROS 2 nodes with their inputs, outputs and parameters. Only this package imports rclpy."""
