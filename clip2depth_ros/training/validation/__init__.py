# SPDX-License-Identifier: Apache-2.0
"""Errors of a network during training, and its CLIP by itself."""
