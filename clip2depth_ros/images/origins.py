# SPDX-License-Identifier: Apache-2.0
"""The words of a frame's facts: why the temporal state was cleared, where motion and scale come from.

Each member is a str and compares equal to its text. Messages, CSV files and the log show that text.
"""

from __future__ import annotations

from enum import Enum


class _Word(str, Enum):
    """A str-valued enum that is also formatted as its text (enum.StrEnum needs Python 3.11)."""

    __str__ = str.__str__
    __format__ = str.__format__


class ResetReason(_Word):
    """Why the stabilizer forgot the past before a frame."""

    NONE = ""
    """It was not forgotten."""
    FIRST_FRAME = "first frame"
    """There is no past."""
    REQUESTED = "asked"
    """`reset` was called."""
    SIZE = "size"
    """The depth has another size."""
    CAMERA = "camera"
    """The camera's calibration changed."""
    TIME_BACKWARDS = "time ran back"
    """The stamp is before the last one."""
    GAP = "gap"
    """Too much time since the frame before."""
    CUT = "cut"
    """The image has nothing in common with the one before."""
    FLOW_PIXELS = "flow_pixels"
    """The setting of that name was changed."""


class MotionSource(_Word):
    """What gave the camera's motion since the frame before."""

    OFF = ""
    """The stabilizer is off."""
    VISUAL_ODOMETRY = "vision"
    """Estimated from the images."""
    ODOMETRY = "odometry"
    """The robot's odometry."""
    NONE = "none"
    """No motion was reliable."""


class ScaleOrigin(_Word):
    """Which source of scale was accepted last."""

    NONE = ""
    """No source so far."""
    HEIGHT = "height"
    """The camera's height above the floor."""
    ODOMETRY = "odometry"
    """The distance that the robot drove."""
    RANGES = "ranges"
    """Points of a range sensor."""
    MEMORY = "memory"
    """The file with the factors of earlier runs."""


class FrameWarning(str):
    """One sentence about a measurement that was not used.

    kind: what it is about, a fixed word. Sentences of one kind differ in their numbers only.
    """

    __slots__ = ("kind",)

    def __new__(cls, kind: str, text: str) -> FrameWarning:
        warning = super().__new__(cls, text)
        warning.kind = kind
        return warning

    def __getnewargs__(self) -> tuple[str, str]:
        return self.kind, str(self)
