# SPDX-License-Identifier: Apache-2.0
"""Export of a checkpoint as a bundle, and quantization of a bundle's network to 8 bits."""
