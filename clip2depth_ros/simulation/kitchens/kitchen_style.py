# SPDX-License-Identifier: Apache-2.0
"""The common look of the cupboards of one kitchen."""

from __future__ import annotations

from typing import NamedTuple

from clip2depth_ros.simulation.scene.place_palette import PlacePalette
from clip2depth_ros.simulation.scene.plain_paints import BLACK, STEEL, WHITE
from clip2depth_ros.simulation.scene.scene import Paint


class Style(NamedTuple):
    """Properties shared by all runs of one kitchen."""

    front: Paint
    upper: Paint
    inside: Paint
    top: Paint
    plinth: Paint
    handle: Paint
    handles: str
    """'bar', 'knob', 'strip' (along the upper edge) or 'none'."""
    height: float
    """Height of the worktop's surface."""
    slab: float
    """Thickness of the worktop."""
    splash: Paint | None
    splash_height: float
    uppers: float
    """Fraction of the wall that wall cupboards cover."""
    upper_low: float
    upper_high: float
    steel: Paint
    """Paint of ovens, hoods and dishwashers."""


def kitchen_style(palette: PlacePalette) -> Style:
    """Draw a random look of one kitchen; the palette must have `front()` and `worktop()`."""
    rng = palette.rng
    front = palette.front()
    upper = front if rng.random() < 0.65 else palette.front() if rng.random() < 0.4 else WHITE
    top = palette.worktop()
    kind = rng.random()
    splash, high = None, 0.0
    if kind < 0.4:
        splash, high = palette.wall("tile"), float(rng.choice([0.3, 0.5, 0.6, 1.1]))
    elif kind < 0.5:
        splash, high = palette.plain("white", "grey", "light blue", "green", "red", "black", gloss=0.8), 0.5
    elif kind < 0.7:
        splash, high = top, float(rng.choice([0.06, 0.1, 0.5]))
    height = rng.uniform(0.86, 0.94)
    low = height + rng.uniform(0.45, 0.58)
    steel = STEEL if rng.random() < 0.6 else palette.plain("white", "black", gloss=0.6)
    return Style(
        front,
        upper,
        Paint(tuple(0.35 * c for c in front.rgb)),
        top,
        BLACK if rng.random() < 0.6 else front,
        palette.metal() if rng.random() < 0.8 else BLACK,
        str(rng.choice(["bar", "bar", "knob", "strip", "none"])),
        height,
        rng.uniform(0.025, 0.06),
        splash,
        high,
        float(rng.choice([0.0, 0.0, 0.35, 0.7, 1.0])),
        low,
        min(low + rng.uniform(0.55, 0.9), 2.25),
        steel,
    )
