# SPDX-License-Identifier: Apache-2.0
"""State of adapt_node that is kept over restarts: the bundle in use, the earlier ones, the offered one."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.files.bounded import read_bounded
from clip2depth_ros.keyframes import write_whole

MOST_BYTES = 2**20
"""Of the file."""


@dataclass
class AdaptState:
    """In a JSON file that is replaced as a whole. Bundles are named as in the depth node's parameter."""

    applied: str = ""
    """The adapted bundle that the depth node was given; "" for none."""
    before: list[str] = field(default_factory=list)
    """Earlier bundles, the most recent one last."""
    offered: str = ""
    """A better bundle that waits for approval; "" for none."""
    learned: int = -1
    """Number of the newest keyframe that the network has learned from."""
    outcome: str = ""
    """How the last run ended: better, refused or failed, with the reason."""
    measures: dict[str, Any] = field(default_factory=dict)
    """Measurements of the last run."""

    @classmethod
    def read(cls, path: Path) -> AdaptState:
        """The state in a file; a new one where the file is missing or damaged."""
        try:
            fields = json.loads(read_bounded(path, MOST_BYTES))
            state = cls(**fields)
        except (Clip2DepthError, ValueError, TypeError, RecursionError):
            return cls()
        fits = all(isinstance(getattr(state, name), type(value)) for name, value in asdict(cls()).items())
        return state if fits and all(isinstance(name, str) for name in state.before) else cls()

    def write(self, path: Path) -> None:
        """Replace the file. Raises OSError."""
        write_whole(path, json.dumps(asdict(self), indent=2).encode())
