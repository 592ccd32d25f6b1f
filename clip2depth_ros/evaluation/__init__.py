# SPDX-License-Identifier: Apache-2.0
"""How good is a network's depth? Judged by the rules of the benchmarks, with a report that a person reads."""
