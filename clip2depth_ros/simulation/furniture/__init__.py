# SPDX-License-Identifier: Apache-2.0
"""Furniture, machines, and where they stand."""
