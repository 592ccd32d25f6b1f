# SPDX-License-Identifier: Apache-2.0
"""The losses, and what they need of two frames that follow each other."""
