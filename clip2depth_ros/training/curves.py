# SPDX-License-Identifier: Apache-2.0
"""The learning curve of a stage as an image, from its CSV logs, by matplotlib."""

from __future__ import annotations

import csv
from pathlib import Path

from clip2depth_ros.files.bounded import MAX_TABLE, read_bounded, reading

SHOWN = {"rmse_log": "RMSE log", "abs_rel": "AbsRel", "abs_rel_scaled": "AbsRel, each image scaled"}


def draw_curve(directory: Path, stage: str) -> Path:
    """Write STAGE-curve.png, training loss and validation errors, beside the logs; returns its path."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    training = _columns(directory / f"{stage}-training.csv")
    validation = _columns(directory / f"{stage}-validation.csv")
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    loss, errors = figure.subplots(1, 2)
    loss.plot(_thousands(training), training["loss"], color="tab:blue", linewidth=0.9)
    loss.set(title="Training loss", xlabel="thousand images")
    rate = loss.twinx()
    rate.plot(_thousands(training), training["lr"], color="0.6", linestyle=":", linewidth=0.9)
    rate.set(ylabel="learning rate (dotted)", ylim=(0, None))
    for name, label in SHOWN.items():
        errors.plot(_thousands(validation), validation[name], "o-", markersize=4, linewidth=0.9, label=label)
    best = min(range(len(validation["rmse_log"])), key=validation["rmse_log"].__getitem__)
    errors.axvline(_thousands(validation)[best], color="0.6", linestyle=":", label="kept")
    errors.set(title="Errors at validation", xlabel="thousand images", ylim=(0, None))
    errors.legend(fontsize="small")
    path = directory / f"{stage}-curve.png"
    figure.savefig(path, dpi=110)
    return path


def _thousands(log: dict[str, list[float]]) -> list[float]:
    return [images / 1000 for images in log["images"]]


def _columns(path: Path) -> dict[str, list[float]]:
    with reading(path):
        return _numbers(read_bounded(path, MAX_TABLE).decode().splitlines())


def _numbers(lines: list[str]) -> dict[str, list[float]]:
    rows = list(csv.DictReader(lines))
    return {name: [float(row[name]) for row in rows] for name in rows[0]}
