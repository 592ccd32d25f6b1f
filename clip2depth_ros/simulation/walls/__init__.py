# SPDX-License-Identifier: Apache-2.0
"""Walls and the things on them."""
