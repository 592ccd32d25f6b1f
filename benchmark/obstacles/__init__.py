# SPDX-License-Identifier: Apache-2.0
"""True obstacles of a simulated drive, a model of nav2's layers, and the comparison of grids with them."""
