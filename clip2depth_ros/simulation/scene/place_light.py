# SPDX-License-Identifier: Apache-2.0
"""Light of a place: lamps, daylight and sun, from overexposed to nearly dark. Meters."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from clip2depth_ros.simulation.scene.openings import Opening, Wall, in_front, walls_of
from clip2depth_ros.simulation.scene.palette import Palette
from clip2depth_ros.simulation.scene.place_kinds import OUTDOORS
from clip2depth_ros.simulation.scene.scene import Light, Paint, Scene

MAX_LIGHTS = 7


class Mood(NamedTuple):
    """One way to light a place: frequency, and the ranges of its powers (1 fully lights a white wall)."""

    share: float
    ambient: tuple[float, float]
    lamps: tuple[float, float]
    daylight: tuple[float, float]


_MOODS = {
    "even": Mood(0.34, (0.5, 0.7), (0.4, 0.8), (0.1, 0.5)),
    "bright": Mood(0.16, (0.6, 0.85), (0.5, 1.0), (0.3, 0.8)),
    "lamplit": Mood(0.20, (0.33, 0.48), (0.8, 1.3), (0.0, 0.2)),
    "daylit": Mood(0.16, (0.33, 0.48), (0.0, 0.15), (0.9, 1.4)),
    "dim": Mood(0.14, (0.27, 0.4), (0.4, 0.9), (0.0, 0.25)),
}
_DARK_KINDS = ("hall", "basement", "warehouse", "workshop", "storage room", "corridor")


def light_place(scene: Scene, palette: Palette, plan: list[list[Opening]]) -> None:
    """Set a place's lights and ambient light, hang its lamps, and add 'dark' or 'bright' to its words.

    plan: per wall, its openings (plan_openings); not used outdoors.
    """
    rng = palette.rng
    if scene.kind in OUTDOORS:
        _sun(scene, rng)
        return
    shares = np.array([mood.share for mood in _MOODS.values()])
    if scene.kind in _DARK_KINDS:
        shares = shares * (0.6, 0.4, 1.6, 0.8, 2.2)
    mood = str(rng.choice(list(_MOODS), p=shares / shares.sum()))
    powers = _MOODS[mood]
    tone = np.array([1.0, rng.uniform(0.88, 1.0), rng.uniform(0.74, 1.0)])
    if rng.random() < 0.3:
        tone = np.array([rng.uniform(0.88, 1.0), 1.0, rng.uniform(0.9, 1.02)])
    level = rng.uniform(*powers.ambient)
    scene.ambient = tuple(float(v) for v in level * (0.5 + 0.5 * tone) * (1.0, 1.0, rng.uniform(0.95, 1.08)))
    if mood == "bright":
        scene.words.append("bright")
    elif mood == "dim":
        scene.words.append("dark")
    _daylight(scene, rng, plan, rng.uniform(*powers.daylight))
    _lamps(scene, rng, tone, rng.uniform(*powers.lamps), mood)
    if rng.random() < 0.5 or not scene.lights:
        _wash(scene, rng, level)


def _lamps(scene: Scene, rng: np.random.Generator, tone: np.ndarray, power: float, mood: str) -> None:
    """Hang a grid of lamps, of which the first few are light sources; some may be off."""
    spacing = rng.uniform(2.6, 5.5)
    nx, ny = max(1, round(scene.width / spacing)), max(1, round(scene.length / spacing))
    nx, ny = min(nx, 6), min(ny, 6)
    style = str(rng.choice(["disc", "tube", "panel", "pendant", "bulb"], p=[0.2, 0.3, 0.22, 0.15, 0.13]))
    drop = 0.04 if style in ("disc", "panel") else float(rng.uniform(0.1, 0.3 if scene.height < 3 else 1.4))
    if style == "pendant":
        drop = float(min(rng.uniform(0.4, 1.0), scene.height - 1.9))
    lit = np.ones(nx * ny, bool)
    if mood in ("dim", "lamplit") and nx * ny > 1:
        lit = rng.random(nx * ny) < rng.uniform(0.25, 0.9)
    if mood == "daylit" and power < 0.05:
        lit[:] = False
    places = [
        ((i + 0.5) * scene.width / nx, (j + 0.5) * scene.length / ny) for i in range(nx) for j in range(ny)
    ]
    long_x = scene.width > scene.length
    for (x, y), on in zip(places, lit, strict=True):
        _hang(scene, x, y, scene.height - max(drop, 0.04), drop, style, tone if on else None, long_x)
    shining = [place for place, on in zip(places, lit, strict=True) if on]
    # More lamps than lights: neighboring lamps share a light.
    room = max(0, MAX_LIGHTS - 1 - len(scene.lights))
    groups = [shining[k :: min(room, len(shining))] for k in range(min(room, len(shining)))]
    # Lamps of large places are scaled to the size of the place.
    reach = (
        rng.uniform(0.0, 0.12)
        * min(1.0, 3.0 / scene.height)
        / max(1.0, math.hypot(scene.width, scene.length) / 8)
    )
    shadow = rng.random() < 0.12
    for k, group in enumerate(groups):
        x, y = np.mean(group, axis=0)
        color = power * rng.uniform(0.85, 1.1) * tone * len(group) ** 0.5 / max(1, len(groups)) ** 0.5
        scene.lights.append(
            Light(
                (float(x), float(y), scene.height - drop - 0.2),
                (0.0, 0.0, -1.0),
                tuple(float(v) for v in color),
                attenuation=(1.0, reach, 0.004 + 0.5 * reach),
                shadow=shadow and k == 0,
            )
        )


def _hang(
    scene: Scene, x: float, y: float, z: float, drop: float, style: str, tone: np.ndarray | None, long_x: bool
) -> None:
    """One lamp `drop` meters under the ceiling, glowing in its tone, or off if that is None."""
    a = scene.thing("lamp", x, y)
    if tone is None:
        glow = Paint((0.8, 0.8, 0.78), emission=0.1)
    else:
        glow = Paint(tuple(float(v) for v in tone), emission=1.0)
    cable = Paint((0.12, 0.12, 0.12))
    if style == "disc":
        a.ellipsoid((0, 0, z), (0.42, 0.42, 0.14), glow)
    elif style == "panel":
        a.box((0, 0, z + 0.03), (0.6, 0.6, 0.03), glow)
    elif style == "tube":
        size = (1.25, 0.09, 0.06) if long_x else (0.09, 1.25, 0.06)
        a.box((0, 0, z + 0.05), (size[0], size[1] + 0.06, 0.04), Paint((0.85, 0.85, 0.84)))
        a.box((0, 0, z), size, glow)
    elif style == "pendant":
        a.cylinder((0, 0, z), 0.18, 0.16, Paint((0.3, 0.3, 0.32)))
        a.ellipsoid((0, 0, z - 0.06), (0.3, 0.3, 0.1), glow)
    else:
        a.sphere((0, 0, z), 0.06, glow)
    if drop > 0.15:
        a.cylinder((0, 0, z + drop / 2), 0.006, drop, cable)


def _daylight(scene: Scene, rng: np.random.Generator, plan: list[list[Opening]], power: float) -> None:
    """Daylight from the windows, at most three of them; it decreases into the room."""
    if power < 0.05:
        return
    windows = [
        (wall, o) for wall, row in zip(walls_of(scene), plan, strict=True) for o in row if o.kind == "window"
    ]
    windows.sort(key=lambda pair: -pair[1].width * (pair[1].high - pair[1].low))
    sky = np.array([rng.uniform(0.86, 1.0), 0.96, 1.0])
    for wall, o in windows[:3]:
        x, y = in_front(wall, o.start + o.width / 2, 0.15)
        inward = (-math.sin(wall.yaw), math.cos(wall.yaw), -0.35)
        color = power * min(1.2, 0.5 + 0.3 * o.width) / math.sqrt(min(3, len(windows))) * sky
        scene.lights.append(
            Light(
                (x, y, (o.low + o.high) / 2),
                inward,
                tuple(float(v) for v in color),
                attenuation=(1.0, 0.08, 0.03),
            )
        )
        if rng.random() < 0.35 * power:
            _sunlit(scene, rng, wall, o)


def _sunlit(scene: Scene, rng: np.random.Generator, wall: Wall, o: Opening) -> None:
    """The patch of sunlight on the floor from a window."""
    slope, aside = rng.uniform(0.5, 1.6), rng.uniform(-0.6, 0.6)
    near, far = max(o.low, 0.1) / slope, o.high / slope
    if far > 0.9 * (scene.length if abs(math.cos(wall.yaw)) > 0.5 else scene.width):
        return
    a = scene.thing("floor", wall.x, wall.y, wall.yaw)
    warm = Paint((1.0, 0.95, 0.85), specular=0.0, emission=0.7, alpha=float(rng.uniform(0.25, 0.55)))
    middle = (near + far) / 2
    panes = max(1, round(o.width / 0.8))
    width = o.width / panes
    for k in range(panes):
        x = o.start + (k + 0.5) * width + aside * middle
        if 0.5 * width < x < wall.length - 0.5 * width:
            a.box((x, middle, 0.0045), (width - 0.08, far - near, 0.001), warm)


def _wash(scene: Scene, rng: np.random.Generator, level: float) -> None:
    """A weak parallel light, so that faces of different orientation differ, as in reflected light."""
    if len(scene.lights) >= MAX_LIGHTS:
        return
    yaw = rng.uniform(0, 2 * math.pi)
    direction = (math.cos(yaw), math.sin(yaw), float(rng.uniform(-1.0, 0.2)))
    color = level * rng.uniform(0.2, 0.6) * np.array([1.0, rng.uniform(0.9, 1.0), rng.uniform(0.8, 1.05)])
    scene.lights.append(Light((0, 0, 3), direction, tuple(float(v) for v in color), parallel=True))


def _sun(scene: Scene, rng: np.random.Generator) -> None:
    """Outdoors: an overcast sky, or a sun over a blue one."""
    overcast = rng.random() < 0.4
    sky = np.array([0.9, 0.97, 1.05]) if not overcast else np.array([1.0, 1.0, 1.0])
    level = rng.uniform(0.5, 0.75) if overcast else rng.uniform(0.28, 0.45)
    scene.ambient = tuple(float(v) for v in level * sky)
    yaw, low = rng.uniform(0, 2 * math.pi), rng.uniform(0.25, 1.3)
    direction = (math.cos(yaw) * math.cos(low), math.sin(yaw) * math.cos(low), -math.sin(low))
    power = rng.uniform(0.1, 0.3) if overcast else rng.uniform(0.6, 0.9)
    warm = np.array([1.0, 0.97, 0.9 if low > 0.5 else 0.78])
    scene.lights.append(Light((0, 0, 20), direction, tuple(float(v) for v in power * warm), parallel=True))
    scene.words.append("bright")
