# SPDX-License-Identifier: Apache-2.0
"""What the selection of an engine tried, and with what outcome."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Outcome(Enum):
    """What became of an attempt."""

    CHOSEN = "chosen"
    """The engine opened and passed the self-check; it runs the bundle."""
    UNAVAILABLE = "unavailable"
    """The engine is not installed, or this machine has no device for it. Nothing is wrong."""
    REJECTED = "rejected"
    """The engine is installed, but it did not open, failed, or computed a wrong depth."""
    INACCURATE = "inaccurate"
    """The engine passed the check in a precision that was not requested, but is less accurate than fp32."""
    SHARED = "shared"
    """Another camera of this process had opened the engine before."""
    SWAPPED = "swapped"
    """The engine of a new bundle replaced the engine of the bundle before while the node was running."""


@dataclass(frozen=True)
class Attempt:
    """One engine, in one precision, and its outcome. `str` gives one line of text."""

    engine: str
    """Name of the engine."""
    precision: str | None
    """One of engines.base.PRECISIONS; None when the engine is unavailable in every precision."""
    outcome: Outcome
    reason: str
    """Why; one clause without a full stop at its end, or an error message."""
    device: str = ""
    """"CUDA" or "the CPU" for an engine that runs on both, else ""."""

    @property
    def is_warning(self) -> bool:
        """Whether the user should know about it: an installed engine failed."""
        return self.outcome is Outcome.REJECTED

    def __str__(self) -> str:
        words = [self.engine, f"on {self.device}" if self.device else "", self.precision or ""]
        return f"{' '.join(filter(None, words))}: {_TEXTS[self.outcome].format(self.reason)}"


_TEXTS = {
    Outcome.CHOSEN: "chosen, {}",
    Outcome.UNAVAILABLE: "{}",
    Outcome.REJECTED: "{}",
    Outcome.INACCURATE: "not chosen, {}",
    Outcome.SHARED: "shared, {}",
    Outcome.SWAPPED: "swapped in, {}",
}
