# SPDX-License-Identifier: Apache-2.0
"""Batches of augmented training views."""
