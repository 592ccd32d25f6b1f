# SPDX-License-Identifier: Apache-2.0
"""What the steps of an engine's choice mean."""

from __future__ import annotations

from clip2depth_ros.engines.base import PRECISIONS


def was_passed_over(step: str) -> bool:
    """True for a step of `Engine.choice` in which an engine that is there was tried in vain: it computed
    wrongly, or would not run. One that is not installed, or has no device, is nothing to worry about.
    """
    what, _, end = step.partition(": ")
    return what.split()[-1] in PRECISIONS and not end.startswith("chosen")
