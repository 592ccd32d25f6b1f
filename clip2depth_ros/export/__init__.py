# SPDX-License-Identifier: Apache-2.0
"""From a checkpoint to a bundle, and a bundle's network in 8 bits."""
