# SPDX-License-Identifier: Apache-2.0
"""The nodes, and what only a node can do."""
