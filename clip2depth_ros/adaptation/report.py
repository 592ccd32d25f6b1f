# SPDX-License-Identifier: Apache-2.0
"""The report of an adaptation: report.html and report.md with a before/after sheet, and the logs."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import cv2
import numpy as np

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.evaluation.document import (
    Block,
    Heading,
    Paragraph,
    Picture,
    Table,
    write_html,
    write_markdown,
)
from clip2depth_ros.evaluation.examples import color_ratio
from clip2depth_ros.evaluation.tally import Tally
from clip2depth_ros.images.visualization import legend, sheet, side_by_side
from clip2depth_ros.metrics.benchmark_rules import find_rule

ROWS = 4
"""Number of images in the before/after sheet."""


def write_report(folder: Path, adaptation) -> None:
    """Write summary.json, report.html, report.md and pictures/ into `folder`, and copy the logs there.

    adaptation: after its run, whether adapted or refused. Raises Clip2DepthError where the folder cannot be
    written.
    """
    summary = adaptation.summary
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
        blocks = [*_head(summary), *_measures(summary), *_logs(adaptation.work)]
        if getattr(adaptation, "after_depths", None) is not None:
            blocks += _distance(adaptation)
            blocks += [
                Heading("Before and after"),
                _picture("pictures/before-after.jpg", before_after(adaptation)),
            ]
        write_markdown(folder / "report.md", blocks)
        write_html(folder / "report.html", blocks)
        for log in adaptation.work.glob("*.csv"):
            shutil.copy2(log, folder / log.name)
        if (adaptation.work / "tensorboard").is_dir():
            shutil.copytree(adaptation.work / "tensorboard", folder / "tensorboard", dirs_exist_ok=True)
    except OSError as error:
        raise Clip2DepthError(f"Cannot write the report to {folder}: {error.strerror}.") from None


def in_words(summary: dict) -> str:
    """A few lines for the terminal."""
    lines = []
    for name, found in summary.get("kept_out", {}).items():
        lines.append(f"kept out, {name}: {found['before']:.4f} before, {found['after']:.4f} after")
    for where, found in summary.get("errors", {}).items():
        if found["before"]:
            lines.append(
                f"AbsRel against the recording's depth, {where.replace('_', ' ')}: "
                f"{found['before']['abs_rel']:.3f} before, {found['after']['abs_rel']:.3f} after"
            )
    if "floor" in summary:
        lines.append(_floor_in_words(summary["floor"]))
    return "\n".join(lines)


def before_after(adaptation, rows: int = ROWS) -> np.ndarray:
    """(H, W, 3) uint8 RGB: held-out images with their depth before and after, and ground truth if known."""
    frames = adaptation.frames
    numbers = adaptation.kept_out
    numbers = numbers[np.linspace(0, len(numbers) - 1, min(rows, len(numbers))).round().astype(int)]
    rows_, columns = frames.inner
    pictures = []
    for i in numbers:
        image = np.ascontiguousarray(frames.images[i][rows_, columns])
        before, after = adaptation.old_depths[i], adaptation.after_depths[i]
        panels = [("kept-out image", image), ("before", before), ("after", after)]
        if frames.truth is not None:
            truth = frames.truth[i]
            with np.errstate(invalid="ignore", divide="ignore"):
                errors = [np.nanmean(np.abs(d / truth - 1)) for d in (before, after)]
                ratios = [color_ratio(d / truth) for d in (before, after)]
            panels[1] = (f"before, AbsRel {errors[0]:.2f}", before)
            panels[2] = (f"after, AbsRel {errors[1]:.2f}", after)
            panels += [
                ("measured depth", truth),
                ("error before", ratios[0]),
                ("error after: red too far", ratios[1]),
            ]
        pictures.append(side_by_side(panels, with_legend=False))
    return np.vstack([sheet(pictures), legend(pictures[0].shape[1])])


def _head(summary: dict) -> list[Block]:
    recording = summary.get("recording", {})
    rows = [
        ("outcome", summary["outcome"]),
        ("adapted from", summary["bundle"]),
        ("trained", summary.get("trains", "-")),
        ("recording", f"{recording.get('seconds', 0):.1f} s, {recording.get('frames', 0)} frames"),
        (
            "keyframes",
            f"{recording.get('keyframes', 0)}; {recording.get('trained', 0)} trained on, "
            f"{recording.get('overlapping', 0)} more by their overlap, "
            f"{recording.get('kept_out', 0)} kept out",
        ),
        (
            "frames left out",
            ", ".join(f"{k} {v}" for k, v in (recording.get("left_out") or {}).items()) or "none",
        ),
    ]
    blocks: list[Block] = [Heading("Adaptation to a place", 1), Table(("", ""), rows)]
    if "sentence" in summary:
        blocks.append(Paragraph(f"Refused: {summary['sentence']}", mark=True))
    if "odometry" in summary:
        found = summary["odometry"]
        blocks.append(
            Paragraph(
                f"Odometry against the images: corners lie {found['off_line']:.2f} pixels off their epipolar "
                f"lines in a median pair, and triangulated depth is {found['scale']:.2f} times the old "
                "depth."
            )
        )
    if "floor" in summary:
        blocks.append(Paragraph(_floor_in_words(summary["floor"])))
    return blocks


def _floor_in_words(found: dict) -> str:
    if not found["keyframes"]:
        return "No floor was found at the given height; the meters are the odometry's."
    text = f"The floor was found in {found['keyframes']} keyframes."
    if "odometry_factor" in found:
        text += (
            f" By the camera's height above it, the odometry measures {found['odometry_factor']:.3f} times "
            "the true distance; this is corrected."
        )
    return text


def _measures(summary: dict) -> list[Block]:
    rows = [
        (f"{name}, kept-out images", f"{found['before']:.4f}", f"{found['after']:.4f}")
        for name, found in summary.get("kept_out", {}).items()
    ]
    for where, found in summary.get("errors", {}).items():
        for error in found["before"]:
            name = "AbsRel" if error == "abs_rel" else "AbsRel, each image scaled"
            rows.append(
                (
                    f"{name}, {where.replace('_', ' ')}",
                    f"{found['before'][error]:.3f}",
                    f"{found['after'][error]:.3f}",
                )
            )
    if not rows:
        return []
    return [
        Heading("Measures"),
        Table(("", "before", "after"), rows),
        Paragraph(
            "Photometric: difference of an image from others that are warped into it by depth and odometry; "
            "it selected the step and decided about the bundle. Consistency: mean log difference of the "
            "depths of two views. Floor: mean log difference from the depth that the camera's height gives. "
            "AbsRel, where the recording has depth, is for this report only: it was not "
            "used for training or selection."
        ),
    ]


def _distance(adaptation) -> list[Block]:
    if adaptation.frames.truth is None:
        return []
    rule, tables = find_rule("none"), []
    for depths in (adaptation.old_depths, adaptation.after_depths):
        tally = Tally()
        for i in adaptation.kept_out:
            judged = rule.evaluate(depths[i], adaptation.frames.truth[i], median_scaling=False)
            if judged is not None:
                tally.add(judged)
        if not tally.images:
            return []
        tables.append({(row["near"], row["far"]): row for row in tally.against_distance()})
    rows = [
        (
            f"{near:g}-{far:g} m",
            f"{a['pixels']:.1%}",
            f"{a['abs_rel']:.3f}",
            f"{tables[1][near, far]['abs_rel']:.3f}",
        )
        for (near, far), a in tables[0].items()
        if (near, far) in tables[1]
    ]
    return [
        Heading("Error against distance, kept-out images"),
        Table(("ground-truth distance", "pixels", "AbsRel before", "AbsRel after"), rows),
    ]


def _logs(work: Path) -> list[Block]:
    file = work / "adapt-validation.csv"
    if not file.is_file():
        return []
    with file.open() as log:
        rows = list(csv.reader(log))
    return [
        Heading("Held-out images during training"),
        Table(tuple(rows[0]), [tuple(r) for r in rows[1:]]),
    ]


def _picture(name: str, picture: np.ndarray) -> Picture:
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    content = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
    return Picture(name, content, "Kept-out images, depth before and after")
