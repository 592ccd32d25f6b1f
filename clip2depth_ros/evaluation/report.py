# SPDX-License-Identifier: Apache-2.0
"""The report of an evaluation: report.html, self-contained, and report.md with image files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from clip2depth_ros.evaluation.document import (
    Block,
    Heading,
    Paragraph,
    Picture,
    Table,
    write_html,
    write_markdown,
)
from clip2depth_ros.evaluation.plots import INSTALL, can_plot, overview
from clip2depth_ros.evaluation.temporal_consistency import MEANING as STEADY_MEANING
from clip2depth_ros.metrics.benchmark_rules import ERRORS, MEANING

_NAMES = {
    "abs_rel": "AbsRel",
    "sq_rel": "SqRel, m",
    "rmse": "RMSE, m",
    "rmse_log": "RMSE log",
    "log10": "log10",
    "delta1": "delta 1",
    "delta2": "delta 2",
    "delta3": "delta 3",
    "tae": "TAE",
    "tae_8": "TAE, every 8th",
    "opw": "OPW, m",
    "rtc": "rTC",
}


def write_report(folder: Path, metrics: dict, abs_rel: list[float], sheets: dict[str, np.ndarray]) -> None:
    """Write report.html, report.md and its images into `folder`.

    metrics: of Evaluation.finish; abs_rel: of each evaluated image, in order; sheets: of Examples.
    """
    blocks = [
        *_head(metrics),
        *_errors(metrics),
        *_distance(metrics, abs_rel),
        *_sequence(metrics),
        *_blockiness(metrics),
        *_sheets(sheets),
        *_definitions(),
    ]
    write_markdown(folder / "report.md", blocks)
    write_html(folder / "report.html", blocks)


def errors_in_words(metrics: dict) -> str:
    """Two or three lines for the terminal."""
    errors, images = metrics["errors"], metrics["images"]
    lines = [
        f"{images['judged']} of {images['seen']} images, rule '{metrics['rule']['name']}'"
        + (f", WITH {', '.join(metrics['marks'])}" if metrics["marks"] else "")
        + ": "
        + ", ".join(f"{_NAMES[name]} {errors[name]:.3f}" for name in ERRORS)
        + f"; {errors['coverage']:.1%} of the evaluated pixels known.",
        f"For comparison, AbsRel with all depth times {metrics['single_scale']['factor']:.2f}: "
        f"{metrics['single_scale']['abs_rel']:.3f}; with {metrics['constant']['metres']:.1f} m everywhere: "
        f"{metrics['constant']['abs_rel']:.3f}.",
    ]
    if metrics["sequence"]:
        found = metrics["sequence"]["depth"]
        lines.append(
            "In time: "
            + ", ".join(
                f"{_NAMES[name]} {_steady(name, found[name])}"
                for name in STEADY_MEANING
                if found[name] is not None
            )
            + "."
        )
    return "\n".join(lines)


def _head(metrics: dict) -> list[Block]:
    images, rule = metrics["images"], metrics["rule"]
    network, settings = metrics["network"], metrics["settings"]
    rows = [
        ("network", f"{network['name']} ({network['backbone']}), {network['kind']}"),
        ("weights", f"SHA-256 {network['sha256'][:16]}"),
        ("trained on", network["trained_on"]),
        ("engine", network["engine"]),
        ("images", f"{images['judged']} evaluated of {images['seen']}, from {metrics['input']}"),
        ("rule", f"{rule['name']}: {rule['meaning']}"),
        (
            "an unknown pixel",
            f"counts as {rule['depth_min']:g} m; depth is clipped to the cap"
            if rule["capped"]
            else "is left out; coverage is the known part",
        ),
        *settings.items(),
        ("program", metrics["program"]),
    ]
    blocks: list[Block] = [
        Heading(f"Evaluation of {network['name']}", 1),
        Paragraph(metrics["command"], code=True),
        Table(("", ""), rows),
    ]
    if metrics["marks"]:
        blocks.append(
            Paragraph(
                "Not the network's plain metric depth. With: " + "; ".join(metrics["marks"]) + ".", mark=True
            )
        )
    return blocks


def _errors(metrics: dict) -> list[Block]:
    errors, constant, scaled = metrics["errors"], metrics["constant"], metrics["single_scale"]
    title = f"Errors ({'; '.join(metrics['marks'])})" if metrics["marks"] else "Errors"
    means = [f"{errors[name]:.3f}" for name in (*ERRORS, "coverage", "scale")]
    return [
        Heading(title),
        Table(
            ("", *(_NAMES[name] for name in ERRORS), "coverage", "scale"),
            [
                ("mean over images", *means),
                _bound(f"all depth times {scaled['factor']:.2f}", scaled),
                _bound(f"{constant['metres']:.2f} m everywhere", constant),
            ],
        ),
        Paragraph(
            "The last two rows use the ground truth of these images. A robot can find one factor for all of "
            "them by its camera's height, odometry or a few ranges. The constant is the median of the "
            "ground-truth depth: a network that is not much better has learned little from the images."
        ),
    ]


def _definitions() -> list[Block]:
    names = (*ERRORS, "coverage", "scale")
    return [
        Heading("What the figures mean"),
        Table(("", ""), [(_NAMES.get(name, name), MEANING[name]) for name in names]),
        Paragraph(
            "Scale is the median over the images; all other figures are means over images of equal weight."
        ),
    ]


def _bound(label: str, found: dict) -> tuple[str, ...]:
    """A row of a baseline: AbsRel and delta 1."""
    return (
        label,
        *(f"{found[name]:.3f}" if name in found else "" for name in (*ERRORS, "coverage", "scale")),
    )


def _distance(metrics: dict, abs_rel: list[float]) -> list[Block]:
    rows = [
        (
            f"{row['near']:g}-{row['far']:g} m",
            f"{row['pixels']:.1%}",
            f"{row['abs_rel']:.3f}",
            f"{row['rmse']:.2f}",
            f"{row['bias']:.2f}",
            f"{row['median']:.2f}",
        )
        for row in metrics["against_distance"]
    ]
    blocks: list[Block] = [Heading("Error by distance, and its distribution")]
    if can_plot():
        blocks.append(Picture("pictures/plots.png", overview(metrics, abs_rel), "Plots of the errors"))
    else:
        blocks.append(Paragraph(f"Plots need matplotlib: {INSTALL}"))
    blocks += [
        Table(("ground-truth distance", "pixels", "AbsRel", "RMSE, m", "bias", "median ratio"), rows),
        Paragraph(
            "Over all pixels of all images. Bias is the geometric mean of depth / ground truth, the median "
            "ratio is its median."
        ),
    ]
    return blocks


def _sequence(metrics: dict) -> list[Block]:
    found = metrics["sequence"]
    if not found:
        return []
    # Without poses there is no TAE.
    names = [name for name in STEADY_MEANING if found["depth"][name] is not None]
    rows = [
        (label, *(_steady(name, found[key][name]) for name in names))
        for label, key in (("depth", "depth"), ("ground truth", "truth"))
    ]
    text = " ".join(f"{_NAMES[name]}: {STEADY_MEANING[name]}." for name in names)
    return [
        Heading("Temporal consistency"),
        Table(("", *(_NAMES[name] for name in names)), rows),
        Paragraph(
            text
            + " The figures of the ground truth are the lower bound: noise of the sensor and of the poses. "
            "OPW and rTC count the camera's forward motion as an error."
        ),
    ]


def _steady(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if name == "opw" else f"{value:.2%}"


def _blockiness(metrics: dict) -> list[Block]:
    found = metrics["blockiness"]
    if not found or not np.isfinite(found["ratio"]):
        return []
    return [
        Heading("Blockiness"),
        Paragraph(
            f"{found['ratio']:.2f}: mean step of the network's log depth across the borders of its "
            f"{found['patch']} pixel patches over the mean step inside them, where the ground truth has no "
            "edge. 1 means no blocks."
        ),
    ]


def _sheets(sheets: dict[str, np.ndarray]) -> list[Block]:
    blocks: list[Block] = [Heading("Best, median and worst images")]
    for label, picture in sheets.items():
        bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        content = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 72])[1].tobytes()
        blocks += [
            Heading(label.capitalize(), 3),
            Picture(f"pictures/{label}.jpg", content, f"{label} images"),
        ]
    return blocks
