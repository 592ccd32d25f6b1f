# SPDX-License-Identifier: Apache-2.0
"""Interfaces of published depth networks: one JSON file for each kind, beside this module."""

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
    """One published interface. Raises Clip2DepthError for an invalid description."""

    name: str
    title: str
    """Name of the network for messages and documentation."""
    source: str = ""
    """Download address of the file."""
    licence: str
    """License of the weights."""
    trained_on: str = "not known"
    input: tuple[str, ...] = ()
    """Names of the image input in known exports; () = the only input."""
    input_scale: float = 1.0
    """Value of white before mean and std: 1 or 255."""
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """RGB; subtracted, in units of input_scale."""
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """RGB; divisor, in units of input_scale."""
    channels: str = "rgb"
    """Channel order: rgb or bgr."""
    height: int = 0
    width: int = 0
    """Default size, pixels; 0 = from the file."""
    multiple: int = 1
    """Height and width must be multiples of this, pixels."""
    output: tuple[str, ...] = ()
    """Names of the depth output in known exports; () = the only output."""
    meaning: str
    """Meaning of the output: metres, inverse_metres, scale_free (depth up to a factor), disparity (inverse
    depth up to factor and shift) or affine_points (points up to a shift along the optical axis)."""
    factor_output: tuple[str, ...] = ()
    """Names of an output by which the depth is multiplied."""
    mask: tuple[str, ...] = ()
    """Names of a mask output for valid depth; some files do not have it."""
    mask_keeps: str = "above"
    """Depth is valid where the mask is above or below the threshold."""
    mask_threshold: float = 0.5
    constants: dict[str, float] = field(default_factory=dict)
    """Other inputs and their constant values."""
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
                f"The output's meaning must be one of {', '.join(MEANINGS)}, not {self.meaning!r}."
            )
        if self.channels not in ("rgb", "bgr"):
            raise Clip2DepthError(f"The channel order must be rgb or bgr, not {self.channels!r}.")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise Clip2DepthError(
                "mean and std need three numbers each (red, green, blue); those of std must be positive."
            )
        if not self.input_scale > 0:
            raise Clip2DepthError(f"The input's scale must be positive, not {self.input_scale:g}.")

    @property
    def depth_kind(self) -> str:
        """As in the manifest."""
        return {"scale_free": "scale_free", "disparity": "affine_inverse"}.get(self.meaning, "metric")

    def with_changes(self, **changes: Any) -> Kind:
        """A copy with those changes that are not None."""
        return replace(self, **{name: value for name, value in changes.items() if value is not None})


def kind_names() -> list[str]:
    """The names of all kinds, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.json"))


def find_kind(name: str) -> Kind:
    """The kind of that name. Raises Clip2DepthError with the list of names if there is none."""
    if name not in kind_names():
        raise Clip2DepthError(
            f"Unknown kind of network '{name}'; known kinds: {', '.join(kind_names())}. Describe "
            "another network with --meaning, --licence and the input's options."
        )
    return Kind(name=name, **json.loads((_FOLDER / f"{name}.json").read_text(encoding="utf-8")))
