# SPDX-License-Identifier: Apache-2.0
"""A robot's drive through a room: path, wheels, images."""
