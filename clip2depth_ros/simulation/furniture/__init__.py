# SPDX-License-Identifier: Apache-2.0
"""Furniture and machines, and their placement."""
