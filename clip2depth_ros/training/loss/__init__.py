# SPDX-License-Identifier: Apache-2.0
"""The losses, and the warping between consecutive frames."""
