# SPDX-License-Identifier: Apache-2.0
"""The one error that people are meant to read."""


class Clip2DepthError(ValueError):
    """A known mistake, said in one sentence: what was wrong, where, and what to do.

    The command line prints it on one line and exits with 2; nodes log it and carry on or stay inactive.
    """
