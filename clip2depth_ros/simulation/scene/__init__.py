# SPDX-License-Identifier: Apache-2.0
"""The bodies, materials, openings, people and lights of a scene."""
