# SPDX-License-Identifier: Apache-2.0
"""Single views of rooms and places, with captions."""
