# SPDX-License-Identifier: Apache-2.0
"""Things on tables, desks, benches and shelves."""
