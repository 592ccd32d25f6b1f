# SPDX-License-Identifier: Apache-2.0
"""Reading files with size limits, and writing files atomically."""
