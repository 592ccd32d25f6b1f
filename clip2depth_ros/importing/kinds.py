# SPDX-License-Identifier: Apache-2.0
"""What is known of published depth networks: a JSON file for each kind, beside this one."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from clip2depth_ros.errors import Clip2DepthError

_FOLDER = Path(__file__).parent / "kinds"

MEANINGS = ("metres", "inverse_metres", "scale_free", "disparity", "affine_points")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One published interface. Raises Clip2DepthError for a description that cannot be."""

    name: str
    title: str
    """The network's name, for people."""
    source: str = ""
    """Where people get the file."""
    licence: str
    """Of the weights."""
    trained_on: str = "not known"
    input: tuple[str, ...] = ()
    """Names that its exporters give to the image; () = the only input."""
    input_scale: float = 1.0
    """What white is in the network's own values before mean and std: 1 or 255."""
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """RGB; subtracted, in units of input_scale."""
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """RGB; divided by, in units of input_scale."""
    channels: str = "rgb"
    """Order of the colors: rgb or bgr."""
    height: int = 0
    width: int = 0
    """Default size, pixels; 0 = as the file says."""
    multiple: int = 1
    """Height and width must be multiples of this, pixels."""
    output: tuple[str, ...] = ()
    """Names that its exporters give to the output; () = the only output."""
    meaning: str
    """Of the output: metres, inverse_metres, scale_free (depth up to a factor), disparity (inverse depth
    up to factor and shift) or affine_points (points up to a shift along the optical axis)."""
    factor_output: tuple[str, ...] = ()
    """Names of an output that the depth is multiplied by."""
    mask: tuple[str, ...] = ()
    """Names of an output that says where depth is known; absent from some files."""
    mask_keeps: str = "above"
    """Depth is known where the mask is above or below the threshold."""
    mask_threshold: float = 0.5
    constants: dict[str, float] = field(default_factory=dict)
    """Further inputs, and what they are given."""
    canonical_focal_px: float | None = None
    """As in the manifest."""
    depth_min: float = 0.05
    depth_max: float = 100.0
    """As in the manifest."""

    def __post_init__(self) -> None:
        for name in ("input", "output", "factor_output", "mask", "mean", "std"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.meaning not in MEANINGS:
            raise Clip2DepthError(
                f"The output's meaning is one of {', '.join(MEANINGS)}, not {self.meaning!r}."
            )
        if self.channels not in ("rgb", "bgr"):
            raise Clip2DepthError(f"The order of colours is rgb or bgr, not {self.channels!r}.")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise Clip2DepthError(
                "mean and std take three numbers each (red, green, blue), std positive ones."
            )
        if not self.input_scale > 0:
            raise Clip2DepthError(f"The input's scale must be positive, it is {self.input_scale:g}.")

    @property
    def depth_kind(self) -> str:
        """As in the manifest."""
        return {"scale_free": "scale_free", "disparity": "affine_inverse"}.get(self.meaning, "metric")

    def with_changes(self, **changes: Any) -> Kind:
        """A copy in which what is not None has changed."""
        return replace(self, **{name: value for name, value in changes.items() if value is not None})


def kind_names() -> list[str]:
    """All kinds, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.json"))


def find_kind(name: str) -> Kind:
    """The kind of that name. Raises Clip2DepthError with the names that exist."""
    if name not in kind_names():
        raise Clip2DepthError(
            f"No kind of network is called '{name}'; known are: {', '.join(kind_names())}. Describe "
            "another one by --meaning, --licence and the input's options."
        )
    return Kind(name=name, **json.loads((_FOLDER / f"{name}.json").read_text(encoding="utf-8")))
