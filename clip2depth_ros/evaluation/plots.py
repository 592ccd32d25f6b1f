# SPDX-License-Identifier: Apache-2.0
"""Plots of an evaluation, by matplotlib, which only this module needs."""

from __future__ import annotations

import io
from importlib.util import find_spec

import numpy as np

INSTALL = "pip install 'clip2depth_ros[evaluate]'"


def can_plot() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def overview(metrics: dict, abs_rel: list[float]) -> bytes:
    """A PNG of four plots: error by distance, AbsRel of each image, histograms of error and of depth.

    metrics: the content of metrics.json; abs_rel: of each evaluated image, in order.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6.4), layout="constrained")
    FigureCanvasAgg(figure)
    distance, images, errors, depths = figure.subplots(2, 2).ravel()

    rows = metrics["against_distance"]
    middle = [(row["near"] + row["far"]) / 2 for row in rows]
    distance.plot(middle, [row["abs_rel"] for row in rows], "o-", color="tab:red", label="AbsRel")
    distance.plot(
        middle, [row["bias"] - 1 for row in rows], "s--", color="tab:blue", label="depth / ground truth - 1"
    )
    distance.bar(
        middle,
        [row["pixels"] for row in rows],
        width=[0.9 * (row["far"] - row["near"]) for row in rows],
        color="0.85",
        label="share of pixels",
        zorder=0,
    )
    distance.axhline(0, color="0.5", linewidth=0.8)
    distance.set(title="Error by distance", xlabel="ground-truth distance, m")
    distance.legend(fontsize="small")

    images.plot(range(len(abs_rel)), abs_rel, ".", markersize=3 if len(abs_rel) > 100 else 8, color="tab:red")
    images.axhline(metrics["errors"]["abs_rel"], color="0.3", linewidth=0.8, label="mean")
    images.axhline(metrics["constant"]["abs_rel"], color="tab:gray", linestyle=":", label="the best constant")
    images.set(title="AbsRel of each image, in order", xlabel="image", ylim=(0, None))
    images.xaxis.get_major_locator().set_params(integer=True)
    images.legend(fontsize="small")

    found = metrics["histograms"]
    errors.stairs(found["ratio"], found["ratio_edges"], fill=True, color="tab:red", alpha=0.6)
    errors.axvline(1.0, color="0.3", linewidth=0.8)
    errors.axvspan(0.8, 1.25, color="tab:green", alpha=0.12, label="within delta 1")
    errors.set_xscale("log", base=2)
    errors.set_xticks([0.25, 0.5, 1, 2, 4], ["1/4", "1/2", "1", "2", "4"])
    errors.set(title="Error of the pixels", xlabel="depth / ground truth", ylabel="share of the pixels")
    errors.legend(fontsize="small")

    depths.stairs(found["truth"], found["depth_edges"], fill=True, color="0.75", label="ground truth")
    depths.stairs(found["depth"], found["depth_edges"], color="tab:red", label="network")
    depths.set_xscale("log")
    seen = np.array(found["truth"]) + np.array(found["depth"]) > 1e-4
    places = np.flatnonzero(seen)
    low, high = found["depth_edges"][places[0]], found["depth_edges"][places[-1] + 1]
    ticks = [t for t in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100) if low <= t <= high]
    depths.set_xticks(ticks, [f"{t:g}" for t in ticks])
    depths.minorticks_off()
    depths.set(title="Depth", xlabel="m", ylabel="share of the pixels", xlim=(low, high))
    depths.legend(fontsize="small")

    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=75, metadata={"Software": None})
    return file.getvalue()
