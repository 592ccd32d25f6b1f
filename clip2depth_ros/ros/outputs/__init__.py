# SPDX-License-Identifier: Apache-2.0
"""Publishers: depth, points, scan, quality, diagnostics; the throttled log."""
