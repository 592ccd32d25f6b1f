# SPDX-License-Identifier: Apache-2.0
"""Frames, depth frames, and their encodings as files, messages and pictures."""
