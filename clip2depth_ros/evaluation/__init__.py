# SPDX-License-Identifier: Apache-2.0
"""Evaluation of a network's depth by the rules of the benchmarks, with a report."""
