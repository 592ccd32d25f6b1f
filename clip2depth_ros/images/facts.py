# SPDX-License-Identifier: Apache-2.0
"""The table of everything that is reported about a frame: name, type, unit, meaning.

quality.csv of `clip2depth run`, the message DepthQuality, their summaries and docs/quality.md are filled from
it. A new fact is a row here, and a field of msg/DepthQuality.msg where the message has it.

python -m clip2depth_ros.images.facts > docs/quality.md
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np

from clip2depth_ros.images.frame import NAN, STAGES, DepthFrame


@dataclass(frozen=True, slots=True)
class Fact:
    """One row of the table."""

    name: str
    """Of the column and of the message's field."""
    type: str
    """As msg/DepthQuality.msg has it."""
    unit: str
    """"" for what has none."""
    meaning: str
    read: Callable[[DepthFrame], Any] | None = None
    """Gives the value; None: the writer of the file or the message fills it in."""
    in_csv: bool = True
    in_message: bool = True
    summary: str = ""
    """Key in summary.json; "" for what is not summarized."""
    reduce: Callable[[Sequence[Any]], Any] | None = None
    """Gives the value in the summary from the values of all frames."""


def known_median(numbers: Sequence[float] | np.ndarray) -> float | None:
    """Median of the finite numbers; None without any."""
    known = np.asarray(numbers, np.float64)
    known = known[np.isfinite(known)]
    return float(np.median(known)) if known.size else None


def median_of_logs(ratios: Sequence[float]) -> float | None:
    """Median of |log ratio| over the positive ratios; None without any."""
    with np.errstate(all="ignore"):
        return known_median(np.abs(np.log(np.asarray(ratios, np.float64))))


def shares(words: Sequence[str]) -> dict[str, float] | None:
    """Share of each word among those that are not empty, in alphabetical order; None without any."""
    counts = Counter(str(word) for word in words if word)
    total = sum(counts.values())
    return {word: count / total for word, count in sorted(counts.items())} if total else None


def _mean(numbers: Sequence[float]) -> float:
    return float(np.mean(numbers)) if numbers else 0.0


def _time(stage: str) -> Callable[[DepthFrame], float]:
    return lambda frame: frame.facts.times.get(stage, 0.0)


def _floor(name: str) -> Callable[[DepthFrame], float]:
    return lambda frame: NAN if frame.facts.floor is None else getattr(frame.facts.floor, name)


_STAGE_MEANINGS = {
    "rectify": "Always 0: undistortion is a part of fit_time.",
    "fit": "Undistorting the image and resizing it to the network's input.",
    "infer": "The network. Where cameras share an engine, the wait for the engine too.",
    "stabilize": "Fusion with the depth of earlier frames; 0 while the stabilizer is off.",
    "scale": "The floor and the factor to the robot's meters.",
    "unfit": "Depth, standard deviation and color in the sizes that are written or published.",
}


def _of_writer(name: str, type_: str, unit: str, meaning: str, **where: bool) -> Fact:
    return Fact(name, type_, unit, meaning, None, **where)


def _of_facts(name: str, type_: str, unit: str, meaning: str, **more: Any) -> Fact:
    return Fact(name, type_, unit, meaning, attrgetter(f"facts.{name}"), **more)


_CSV_ONLY, _MESSAGE_ONLY = {"in_message": False}, {"in_csv": False}

FACTS = (
    _of_writer("frame", "string", "", "Name of the image, and of its file in depth/.", **_CSV_ONLY),
    _of_writer("stamp", "float64", "s", "Time of exposure.", **_CSV_ONLY),
    _of_writer("header", "std_msgs/Header", "", "Stamp and frame_id of the image.", **_MESSAGE_ONLY),
    _of_writer("engine", "string", "", "The engine that ran the network.", **_MESSAGE_ONLY),
    _of_writer("bundle", "string", "", "Name in the bundle's manifest.", **_MESSAGE_ONLY),
    _of_writer(
        "latency",
        "float32",
        "s",
        "Age of the image when its depth was published, by the node's clock; NaN for a zero stamp.",
        **_MESSAGE_ONLY,
    ),
    *(Fact(f"{stage}_time", "float32", "s", _STAGE_MEANINGS[stage], _time(stage)) for stage in STAGES),
    _of_writer("publish_time", "float32", "s", "Points, scan and filling of the messages.", **_MESSAGE_ONLY),
    _of_writer("images_received", "uint64", "", "Since the node was activated.", **_MESSAGE_ONLY),
    _of_writer("frames_processed", "uint64", "", "Since the node was activated.", **_MESSAGE_ONLY),
    _of_writer(
        "frames_dropped",
        "uint64",
        "",
        "Replaced by a newer image, or left out by image.max_rate or load.max_cpu.",
        **_MESSAGE_ONLY,
    ),
    _of_writer("bad_images", "uint64", "", "Images that could not be used.", **_MESSAGE_ONLY),
    _of_facts(
        "valid_fraction",
        "float32",
        "",
        "Part of the depth image's pixels whose depth is known, 0 to 1.",
        summary="valid_fraction",
        reduce=_mean,
    ),
    _of_facts(
        "focal_scale",
        "float32",
        "",
        "Factor from the network's meters to this camera's: its focal length over the one that the network "
        "was trained for.",
    ),
    _of_facts(
        "temporal_error",
        "float32",
        "",
        "Median of abs(log(depth / expected depth)). Expected is the previous depth, moved by the camera's "
        "motion unless the stabilizer is off. NaN without a previous frame.",
        summary="temporal_error",
        reduce=known_median,
    ),
    _of_facts(
        "reset", "bool", "", "The temporal state was cleared before this frame.", summary="resets", reduce=sum
    ),
    _of_facts(
        "motion",
        "string",
        "",
        'Source of the camera\'s motion: "vision" (visual odometry), "odometry", "none" (none was '
        'reliable), "" (the stabilizer is off).',
        summary="motion",
        reduce=shares,
    ),
    _of_facts(
        "flicker",
        "float32",
        "",
        "Scale jitter: the scale of this frame's depth over the expected one, which the stabilizer removed. "
        "NaN without a previous frame.",
        summary="flicker",
        reduce=median_of_logs,
    ),
    Fact(
        "deviation",
        "float32",
        "",
        "Median over the pixels of the relative standard deviation of depth; NaN while it is not estimated.",
        DepthFrame.median_std_dev,
        summary="deviation",
        reduce=known_median,
    ),
    _of_facts(
        "scale",
        "float32",
        "",
        "Factor from the camera's meters to the robot's. Of a bundle that gives a disparity: 1 / meters for "
        "one unit of it.",
    ),
    _of_facts(
        "scale_deviation",
        "float32",
        "",
        "Relative standard deviation of that factor; NaN while no source was accepted.",
    ),
    _of_facts(
        "scale_source",
        "string",
        "",
        'Source that was accepted last: "height", "odometry", "ranges", "memory", "" for none.',
    ),
    _of_facts(
        "scale_age",
        "float32",
        "s",
        "Time since a source was accepted; NaN while none was.",
        **_MESSAGE_ONLY,
    ),
    _of_facts(
        "scale_shift",
        "float32",
        "1/m",
        "Of a bundle that gives a disparity: 1 / meters = scale * disparity + scale_shift. NaN for other "
        "bundles, and while it is not known.",
        **_CSV_ONLY,
    ),
    Fact(
        "floor_height",
        "float32",
        "m",
        "Height of the camera above the floor; NaN while the floor is not visible.",
        _floor("height"),
    ),
    Fact(
        "floor_pitch", "float32", "rad", "The camera's pitch, positive when it looks down.", _floor("pitch")
    ),
    Fact(
        "floor_roll",
        "float32",
        "rad",
        "The camera's roll, positive when its right side is down.",
        _floor("roll"),
    ),
    _of_writer("precision", "string", "", "The engine's arithmetic.", **_MESSAGE_ONLY),
    _of_writer(
        "engine_difference",
        "float32",
        "",
        "99th percentile of the relative difference on the bundle's sample when the engine was opened; NaN "
        "for an engine without a check.",
        **_MESSAGE_ONLY,
    ),
    _of_writer(
        "engine_choice",
        "string[]",
        "",
        "How the engine was selected: a sentence for each one that was tried.",
        **_MESSAGE_ONLY,
    ),
)


def read_facts(frame: DepthFrame) -> dict[str, Any]:
    """The values that a frame has by itself, by name. Call it before the pipeline's next frame."""
    # The stage times are first in the table and are read last: computing the median adds to unfit_time.
    return {fact.name: fact.read(frame) for fact in reversed(FACTS) if fact.read is not None}


SUMMARIZED = tuple(fact.name for fact in FACTS if fact.summary)


def summarized(values: dict[str, Sequence[Any]]) -> dict[str, Any]:
    """What summary.json has of the frames' values, by its keys.

    values: of each fact in SUMMARIZED, one value a frame.
    """
    return {fact.summary: fact.reduce(values[fact.name]) for fact in FACTS if fact.summary}


def summary_of(name: str, values: Sequence[Any]) -> Any:
    """The summary of one fact's values over the frames, as summary.json has it."""
    (fact,) = (fact for fact in FACTS if fact.name == name)
    return fact.reduce(values)


def scale_facts(last: Any) -> dict[str, Any] | None:
    """The scale at the end as summaries show it; None while no source was accepted.

    last: the last frame's FrameFacts or DepthQuality, or None for no frame.
    """
    if last is None or not last.scale_source:
        return None
    scale = {"value": last.scale, "deviation": last.scale_deviation, "source": str(last.scale_source)}
    shift = getattr(last, "scale_shift", NAN)
    return scale if np.isnan(shift) else scale | {"shift": shift}


def facts_markdown() -> str:
    """The text of docs/quality.md."""
    rows = [
        "# Facts of a frame\n",
        "Written by `python -m clip2depth_ros.images.facts` from `clip2depth_ros/images/facts.py`.\n",
        "`~/quality` is the message [DepthQuality](../msg/DepthQuality.msg) of `depth_node`. "
        "`clip2depth run` writes `quality.csv`. An unknown number is an empty cell in it, and its last "
        "columns are the errors against ground truth.\n",
        "| name | type | unit | `~/quality` | `quality.csv` | meaning |",
        "|---|---|---|---|---|---|",
    ]
    for fact in FACTS:
        where = ("yes" if there else "" for there in (fact.in_message, fact.in_csv))
        rows.append(f"| `{fact.name}` | {fact.type} | {fact.unit} | {' | '.join(where)} | {fact.meaning} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(facts_markdown(), end="")
