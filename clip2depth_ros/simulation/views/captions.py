# SPDX-License-Identifier: Apache-2.0
"""One sentence that describes the contents of a view and their distances."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.simulation.scene.scene import Scene, Thing
from clip2depth_ros.simulation.small_things.dressing import SMALL
from clip2depth_ros.simulation.walls.wall_clutter import HUNG

_UNNAMED = {"wall", "floor", "ceiling", "outside", "next room", "lamp"}
_UNNAMED |= {"cable", "cable duct", "socket", "pavement"}
_NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}
_PLURALS = {
    "shelf": "shelves",
    "box": "boxes",
    "person": "people",
    "wall shelf": "wall shelves",
    "chest of drawers": "chests of drawers",
    "sheet of paper": "sheets of paper",
    "stack of paper": "stacks of paper",
    "pile of books": "piles of books",
    "row of books": "rows of books",
    "pile of things": "piles of things",
    "whiteboard on wheels": "whiteboards on wheels",
}
_NO_ARTICLE = {"papers", "tools", "pipes", "coats", "pens", "leaning boards", "wood", "cloth"}
_SMALL = (set(SMALL) | set(HUNG)) - {"picture", "clock", "whiteboard", "wall shelf", "radiator", "curtain"}
"""Things that a caption mentions only sometimes if larger things are visible."""


def visible_things(
    scene: Scene, depth: np.ndarray, camera: Camera, pose: np.ndarray
) -> list[tuple[Thing, float]]:
    """Named things whose middle is visible in the image, with their distance in meters, nearest first."""
    seen = []
    for thing in scene.things:
        if thing.name in _UNNAMED or thing.radius == 0:
            continue
        x, y, z = pose[:3, :3].T @ (thing.centre - pose[:3, 3])
        if z < 0.2:
            continue
        u, v = camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy
        if not (0 <= u < camera.width - 0.5 and 0 <= v < camera.height - 0.5):
            continue
        measured = depth[round(v), round(u)]
        if np.isfinite(measured) and abs(measured - z) < max(0.25, thing.radius):
            seen.append((thing, float(measured)))
    return sorted(seen, key=lambda pair: pair[1])


def describe(
    scene: Scene, depth: np.ndarray, camera: Camera, pose: np.ndarray, rng: np.random.Generator
) -> str:
    """A caption such as 'a small kitchen with a wooden table about 2 metres away and two chairs'."""
    seen = visible_things(scene, depth, camera, pose)
    finite = depth[np.isfinite(depth)]
    middle = float(np.median(finite)) if finite.size else 0.0
    place = scene.kind
    adjectives = [w for w in scene.words if w in ("dark", "bright")]
    area = scene.width * scene.length
    if area < 10:
        adjectives.append("small")
    elif area > 40:
        adjectives.append("large")
    if adjectives and rng.random() < 0.8:
        place = f"{adjectives[int(rng.integers(len(adjectives)))]} {place}"
    phrases = _phrases(seen, rng)
    where = _pick(rng, ("in", "in", "inside")) + " " + _article(place)
    if not phrases:
        what = "a view" if middle > 1.2 else _pick(rng, ("a close view", "something close"))
        return f"{what} {where}, {_range(middle, rng)}"
    listed = _join(phrases)
    form = int(rng.integers(5))
    if form == 0:
        text = f"{listed} {where}"
    elif form == 1:
        text = f"{_article(place)} with {listed}"
    elif form == 2:
        text = f"a robot's view {where} with {listed}"
    elif form == 3:
        text = f"a photo {where}: {listed}"
    else:
        text = f"{listed}, {_article(place)}"
    extra = [w for w in scene.words if "floor" in w or w == "carpet"]
    if extra and rng.random() < 0.3:
        text += f", {extra[0]}"
    if rng.random() < 0.5:
        text += f", {_range(middle, rng)}"
    return text


def place_in(caption: str, kinds: Iterable[str]) -> str | None:
    """The kind of place, one of `kinds`, that a caption of :func:`describe` names, or None."""
    names = "|".join(re.escape(kind) for kind in kinds)
    # The place ends its part of the sentence; things named after a place, such as an office chair, do not.
    found = re.search(
        rf"(?:^|\b(?:in|inside) |, )an? (?:(?:dark|bright|small|large) )*({names})(?= with |[,:]|$)", caption
    )
    return found[1] if found else None


def _phrases(seen: list[tuple[Thing, float]], rng: np.random.Generator) -> list[str]:
    groups: dict[str, list[tuple[Thing, float]]] = {}
    for thing, distance in seen:
        groups.setdefault(thing.name, []).append((thing, distance))
    names = list(groups)
    if len(names) > 4:
        weights = np.array([0.2 if name in _SMALL else 1.0 for name in names])
        chances = None if (weights == 1.0).all() else weights / weights.sum()
        keep = sorted(rng.choice(len(names), 4, replace=False, p=chances))
        names = [names[k] for k in keep]
    phrases = []
    for name in names:
        members = groups[name]
        thing, distance = members[0]
        if len(members) > 1:
            plural = name if name in _NO_ARTICLE else _PLURALS.get(name, name + "s")
            phrase = plural if name in _NO_ARTICLE else f"{_NUMBERS.get(len(members), 'many')} {plural}"
        elif name in _NO_ARTICLE:
            phrase = name
        else:
            phrase = _article(f"{thing.words} {name}" if thing.words and rng.random() < 0.6 else name)
        if rng.random() < 0.5:
            phrase += " " + _distance(distance, rng)
        phrases.append(phrase)
    return phrases


def _distance(meters: float, rng: np.random.Generator) -> str:
    if rng.random() < 0.35:
        return (
            "very close"
            if meters < 0.7
            else "nearby"
            if meters < 1.7
            else "far away"
            if meters > 4
            else "further away"
        )
    if meters < 0.8:
        return _pick(rng, ("less than a metre away", "half a metre away"))
    rounded = f"{meters:.1f}" if meters < 2.5 and rng.random() < 0.5 else f"{meters:.0f}"
    unit = "metre" if rounded in ("1", "1.0") else "metres"
    return _pick(rng, ("about {} {} away", "{} {} away", "at {} {}")).format(rounded.removesuffix(".0"), unit)


def _range(meters: float, rng: np.random.Generator) -> str:
    if meters < 1.0:
        return _pick(rng, ("everything is near", "a close-up", "surfaces within a metre"))
    if meters < 2.2:
        return _pick(rng, ("most of it within two metres", "a near scene", "the wall is near"))
    if meters < 3.8:
        return _pick(rng, ("about three metres deep", "a middle distance", "the wall a few metres away"))
    return _pick(rng, ("a far wall", "a wide open space", "most of it more than four metres away"))


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _join(phrases: list[str]) -> str:
    return phrases[0] if len(phrases) == 1 else ", ".join(phrases[:-1]) + " and " + phrases[-1]


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]
