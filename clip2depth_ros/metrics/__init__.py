# SPDX-License-Identifier: Apache-2.0
"""Depth errors against ground truth, temporal consistency, and the rules of the benchmarks. No PyTorch."""
