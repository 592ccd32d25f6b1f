# SPDX-License-Identifier: Apache-2.0
"""Parameters: declared, validated, written as YAML and Markdown from the settings classes."""
