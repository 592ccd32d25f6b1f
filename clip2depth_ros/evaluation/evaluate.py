# SPDX-License-Identifier: Apache-2.0
"""An evaluation: frames go through a pipeline one by one; each gives a row, and all give the means."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np

from clip2depth_ros.camera import Letterbox
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.evaluation.blocks import Blockiness, patch_stride
from clip2depth_ros.evaluation.engine_wrappers import Watched
from clip2depth_ros.evaluation.examples import Examples
from clip2depth_ros.evaluation.tally import Tally
from clip2depth_ros.evaluation.temporal_consistency import Steadiness
from clip2depth_ros.files.replacing import write_whole, writing
from clip2depth_ros.images.frame import DepthFrame, Frame
from clip2depth_ros.metrics.benchmark_rules import ERRORS, Rule
from clip2depth_ros.metrics.ground_truth import GroundTruth
from clip2depth_ros.pipeline import Pipeline

COLUMNS = ("image", "stamp", *ERRORS, "coverage", "scale", "pixels", "blockiness", "applied_scale", "seconds")


class Evaluation:
    """Evaluates the depth of frames by a benchmark's rule, and writes images.csv row by row.

    pipeline: its engine must be `watched`, whose output gives the blockiness. rule: of a benchmark.
    median_scaling: scale each image's depth by its median first. marks: other changes of the depth, in words,
    which every row and file states. temporal: False leaves out the comparison of consecutive frames, which
    takes most of the time.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        watched: Watched,
        rule: Rule,
        folder: Path,
        *,
        median_scaling: bool = False,
        marks: tuple[str, ...] = (),
        temporal: bool = True,
    ) -> None:
        self.rule, self.folder = rule, folder
        self.marks = (*marks, "median scaling") if median_scaling else tuple(marks)
        self.frames = self.without_truth = 0
        self.examples = Examples()
        self.tally = Tally()
        self._pipeline, self._watched, self._median_scaling = pipeline, watched, median_scaling
        self._truth = GroundTruth()
        self._steadiness = Steadiness() if temporal else None
        stride = patch_stride(watched.manifest.backbone)
        self._blockiness = Blockiness(stride) if stride else None
        self._letterbox: Letterbox | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = (folder / "images.csv").open("w", newline="", encoding="utf-8")
        except OSError as error:
            raise Clip2DepthError(f"Cannot write to {folder}: {error.strerror}.") from None
        self._rows = csv.writer(self._file)
        self._rows.writerow([*COLUMNS, "marks"])

    def add(self, frame: Frame, *, follows: bool = True) -> None:
        """Evaluate one frame. follows: False when it does not continue the sequence of the last one."""
        result = self._pipeline.process(frame)
        truth = self._truth.of(frame, result)
        self.frames += 1
        if self._steadiness is not None:
            self._steadiness.add(
                result.depth, truth, result.image, result.camera, frame.pose, follows=follows
            )
        judged = None
        if truth is not None:
            judged = self.rule.evaluate(result.depth, truth, median_scaling=self._median_scaling)
        if judged is None:
            self.without_truth += 1
            return
        self.tally.add(judged)
        name = frame.name or f"{self.frames - 1:06d}"
        shown = result.depth * np.float32(judged.scale) if self._median_scaling else result.depth
        self.examples.add(name, result.image, shown, judged.truth, judged.errors["abs_rel"])
        numbers = [
            *(judged.errors[error] for error in ERRORS),
            judged.coverage,
            judged.scale,
            judged.pixels,
            self._blocks(result, truth),
            result.facts.scale,
            sum(result.facts.times.values()),
        ]
        row = ["" if math.isnan(number) else f"{number:.6g}" for number in numbers]
        with writing(self.folder / "images.csv"):
            self._rows.writerow([name, f"{frame.stamp / 1e9:.6f}", *row, "; ".join(self.marks)])

    def finish(self, facts: dict) -> dict:
        """Write metrics.json, with `facts` of the caller and all results; returns its content.

        Raises Clip2DepthError when no image could be evaluated.
        """
        with writing(self.folder / "images.csv"):
            self._file.flush()
        if not self.tally.images:
            raise Clip2DepthError(
                f"None of the {self.frames} images has ground-truth depth that counts under the rule "
                f"'{self.rule.name}' ({self.rule.meaning})."
            )
        metrics = facts | {
            "marks": list(self.marks),
            "rule": asdict(self.rule),
            "images": {
                "seen": self.frames,
                "judged": self.tally.images,
                "without_truth": self.without_truth,
                "judged_pixels": self.tally.pixels,
            },
            "errors": self.tally.mean(),
            "constant": self.tally.constant(),
            "single_scale": self.tally.single_scale(),
            "blockiness": self._blockiness
            and {"ratio": self._blockiness.mean(), "patch": self._blockiness.stride},
            "sequence": self._steadiness and self._steadiness.mean(),
            "against_distance": self.tally.against_distance(),
            "histograms": self.tally.histograms(),
        }
        text = json.dumps(_plain(metrics), indent=2, allow_nan=False)
        write_whole(self.folder / "metrics.json", text + "\n")
        return metrics

    def close(self) -> None:
        """Finish images.csv. Closing twice is allowed."""
        self._file.close()

    def __enter__(self) -> Evaluation:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _blocks(self, result: DepthFrame, truth: np.ndarray) -> float:
        """Blockiness of the network's output, before any further processing."""
        if self._blockiness is None:
            return math.nan
        depth = self._watched.depth
        size = truth.shape[::-1]
        if self._letterbox is None or self._letterbox.size != size:
            self._letterbox = Letterbox(size, depth.shape[1], depth.shape[0])
        box = self._letterbox
        inner = box.inner(depth)
        truth = cv2.resize(truth, inner.shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        return self._blockiness.add(inner, truth, (box.x, box.y))


def _plain(value):
    """Six digits, and null for NaN and infinity."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
