# SPDX-License-Identifier: Apache-2.0
"""Why a recording teaches nothing."""

from __future__ import annotations

from clip2depth_ros.errors import Clip2DepthError


class Refusal(Clip2DepthError):
    """The recording is readable, but no better bundle can come of it; no bundle is written.

    reason: one word for programs: odometry_missing, too_short, parallax, texture, odometry_contradicts,
    no_gain.
    """

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason
