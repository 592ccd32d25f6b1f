# SPDX-License-Identifier: Apache-2.0
"""Views and their augmentation, losses, metrics, the trainer, and the recipe that ties them together."""
