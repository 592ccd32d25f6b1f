# SPDX-License-Identifier: Apache-2.0
"""Errors of depth against ground truth, consistency in time, the rules of the benchmarks. No PyTorch."""
