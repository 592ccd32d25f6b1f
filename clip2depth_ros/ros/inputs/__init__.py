# SPDX-License-Identifier: Apache-2.0
"""Subscriptions: images, aiding measurements, tf."""
