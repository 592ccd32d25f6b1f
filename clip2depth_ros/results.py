# SPDX-License-Identifier: Apache-2.0
"""The folder that `clip2depth run` leaves: depth images, a row per frame, a summary and a film."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np

from clip2depth_ros.depth_images import Millimetres
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.frame import DepthFrame, Frame
from clip2depth_ros.pictures import Film, side_by_side
from clip2depth_ros.training.metrics import depth_errors, mean_errors

STAGES = ("rectify", "fit", "infer", "unfit")
ERRORS = ("abs_rel", "abs_rel_scaled", "rmse", "delta1")

# True depth is compared from near to far, metres: all that the usual sensors measure.
TRUTH_RANGE = (0.1, 80.0)

MEANING = {
    "times": "seconds; total is from the image to its depth, reading and writing files left out",
    "temporal_error": "median over the frames of the median |log depth - log previous depth|",
    "abs_rel": "mean |depth - truth| / truth, in metres as they come, mean over the frames",
    "abs_rel_scaled": "the same after scaling each frame's depth by the median of truth / depth",
    "rmse": "metres, mean over the frames",
    "delta1": "part of the pixels within a factor of 1.25 of the truth, mean over the frames",
    "truth_range": "metres; only true depth between them counts",
}


class ResultFolder:
    """Writes results as they come.

    depth/STEM.png (16 bit, millimetres, 0 = unknown or beyond 65.535 m), quality.csv (a row per frame),
    summary.json, and, given fps, film.mp4. Raises Clip2DepthError when the folder cannot be written.
    """

    def __init__(self, folder: Path, *, fps: float | None = None) -> None:
        self.folder = folder
        self.frames = 0
        try:
            (folder / "depth").mkdir(parents=True, exist_ok=True)
            self._file = (folder / "quality.csv").open("w", newline="", encoding="utf-8")
        except OSError as error:
            raise Clip2DepthError(f"Cannot write to {folder}: {error.strerror}.") from None
        self._rows = csv.writer(self._file)
        self._rows.writerow(
            ["frame", "stamp", *STAGES, "valid_fraction", "focal_scale", "temporal_error", "reset", *ERRORS]
        )
        self._film = Film(folder / "film.mp4", min(fps, 60.0)) if fps else None
        self._millimetres = Millimetres()
        self._names: set[str] = set()
        self._times: dict[str, list[float]] = {stage: [] for stage in STAGES}
        self._valid: list[float] = []
        self._temporal: list[float] = []
        self._errors: list[dict[str, float]] = []
        self._size: tuple[int, int] | None = None
        self._camera = None
        self._focal_scale = 1.0

    def add(self, frame: Frame, result: DepthFrame) -> None:
        """Write one frame's depth, row and picture."""
        name = self._own_name(frame.name)
        path = self.folder / "depth" / f"{name}.png"
        # The lightest compression: twice as fast as the default, a tenth larger.
        if not cv2.imwrite(str(path), self._millimetres.of(result.depth), [cv2.IMWRITE_PNG_COMPRESSION, 1]):
            raise Clip2DepthError(f"Cannot write {path}; is the disk full?")
        truth = _truth_for(frame, result)
        errors = None
        if truth is not None:
            low, high = TRUTH_RANGE
            errors = depth_errors(result.depth, truth, depth_min=low, depth_max=high)
        facts = result.facts
        numbers = [facts.times.get(stage, 0.0) for stage in STAGES]
        numbers += [facts.valid_fraction, facts.focal_scale, facts.temporal_error]
        row = [name, f"{frame.stamp / 1e9:.6f}", *(_text(n) for n in numbers), int(facts.reset)]
        self._rows.writerow(row + [_text(errors[e]) if errors else "" for e in ERRORS])
        for stage, seconds in zip(STAGES, numbers, strict=False):
            self._times[stage].append(seconds)
        self._valid.append(facts.valid_fraction)
        self._temporal.append(facts.temporal_error)
        if errors:
            self._errors.append(errors)
        self._size, self._camera = result.depth.shape[::-1], result.camera
        self._focal_scale = facts.focal_scale
        if self._film is not None:
            self._film.write(self._picture(name, result, truth, errors))
        self.frames += 1

    def finish(self, facts: dict) -> dict:
        """Write summary.json with what the caller knows and what the frames gave; returns it."""
        stages = {stage: np.array(times) for stage, times in self._times.items()}
        if self.frames:
            stages["total"] = sum(stages.values())
        temporal = np.array(self._temporal)[np.isfinite(self._temporal)]
        errors = None
        if self._errors:
            mean = mean_errors(self._errors)
            errors = {"frames": len(self._errors), "truth_range": TRUTH_RANGE} | {e: mean[e] for e in ERRORS}
        camera = self._camera
        summary = facts | {
            "frames": self.frames,
            "depth_size": self._size,
            "camera": camera and {k: getattr(camera, k) for k in ("width", "height", "fx", "fy", "cx", "cy")},
            "focal_scale": self._focal_scale,
            "times": {
                stage: {"median": float(np.median(times)), "p95": float(np.percentile(times, 95))}
                for stage, times in stages.items()
                if times.size
            },
            "valid_fraction": float(np.mean(self._valid)) if self._valid else 0.0,
            "temporal_error": float(np.median(temporal)) if temporal.size else None,
            "errors": errors,
            "film": "film.mp4" if self._film is not None and self.frames else None,
            "meaning": MEANING,
        }
        text = json.dumps(_rounded(summary), indent=2, allow_nan=False)
        (self.folder / "summary.json").write_text(text + "\n", encoding="utf-8")
        return summary

    def close(self) -> None:
        """Finish the files. Closing twice is allowed."""
        self._file.close()
        if self._film is not None:
            self._film.close()

    def __enter__(self) -> ResultFolder:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _own_name(self, stem: str) -> str:
        """The frame's stem, made different where a folder holds a.jpg and a.png."""
        stem = stem or f"{self.frames:06d}"
        name, count = stem, 1
        while name in self._names:
            count += 1
            name = f"{stem}_{count}"
        self._names.add(name)
        return name

    @staticmethod
    def _picture(name: str, result: DepthFrame, truth: np.ndarray | None, errors: dict | None) -> np.ndarray:
        columns = [("image", result.image), ("depth", result.depth)]
        if truth is not None:
            columns.append(("true depth", truth))
        caption = f"{name}   {sum(result.facts.times.values()) * 1e3:.0f} ms"
        if errors:
            caption += f"   AbsRel {errors['abs_rel']:.3f}"
        return side_by_side(columns, caption=caption)


def _truth_for(frame: Frame, result: DepthFrame) -> np.ndarray | None:
    """True depth at the result's size; None where it does not fit the rectified image."""
    if frame.depth is None or (frame.camera is not None and not frame.camera.is_rectified):
        return None
    size = result.depth.shape[::-1]
    if frame.depth.shape == result.depth.shape:
        return frame.depth
    return cv2.resize(frame.depth, size, interpolation=cv2.INTER_NEAREST_EXACT)


def _text(number: float) -> str:
    return "" if np.isnan(number) else f"{number:.6g}"


def _rounded(value):
    """Six digits are more than any of these figures deserves, and easier to read."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value
