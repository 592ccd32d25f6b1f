# SPDX-License-Identifier: Apache-2.0
"""What a costmap should show of a simulated drive, a model of nav2's layers, and how well a grid agrees."""
