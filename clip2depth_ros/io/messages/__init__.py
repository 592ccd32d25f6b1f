# SPDX-License-Identifier: Apache-2.0
"""Codecs between ROS messages and arrays. They read any object with a message's fields, and need no ROS."""
