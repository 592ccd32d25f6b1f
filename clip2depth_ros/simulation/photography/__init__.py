# SPDX-License-Identifier: Apache-2.0
"""What a camera makes of a rendered picture, and a network of its depth."""
