# SPDX-License-Identifier: Apache-2.0
"""Arguments and code that several subcommands share."""
