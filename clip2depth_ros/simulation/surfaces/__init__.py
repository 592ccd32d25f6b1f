# SPDX-License-Identifier: Apache-2.0
"""Textures of surfaces, by seed."""
