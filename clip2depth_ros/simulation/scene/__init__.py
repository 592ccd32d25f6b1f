# SPDX-License-Identifier: Apache-2.0
"""A scene's bodies, materials, openings, people and light."""
