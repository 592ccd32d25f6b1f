# SPDX-License-Identifier: Apache-2.0
"""Walls, and what hangs on them."""
