# SPDX-License-Identifier: Apache-2.0
"""Camera effects on a rendered image, and the errors of a network on its depth."""
