# SPDX-License-Identifier: Apache-2.0
"""The output folder of `clip2depth run`: depth images, a table of the frames, a summary and a video."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.files.replacing import PartialFile, cannot_write, writing
from clip2depth_ros.images.depth_images import Millimeters
from clip2depth_ros.images.facts import FACTS, SUMMARIZED, read_facts, scale_facts, summarized
from clip2depth_ros.images.frame import STAGES, DepthFrame, Floor, Frame, FrameFacts
from clip2depth_ros.images.visualization import VideoWriter, side_by_side
from clip2depth_ros.metrics.depth import depth_errors, mean_errors
from clip2depth_ros.metrics.ground_truth import GroundTruth

ERRORS = ("abs_rel", "abs_rel_scaled", "rmse", "delta1")

# Ground truth between these depths is compared, meters: the range of the usual sensors.
TRUTH_RANGE = (0.1, 80.0)

# Of quality.csv, in its order; after them come the errors against ground truth.
COLUMN_FACTS = tuple(fact for fact in FACTS if fact.in_csv)
COLUMNS = tuple(fact.name for fact in COLUMN_FACTS)

# Bytes that are reserved on the disk for summary.json from the beginning.
SUMMARY_ROOM = 2**15

PART = ".png.part"

# Warnings in the summary, at most.
MAX_WARNINGS = 50

MEANING = {
    "stopped": "why the run ended before the end of its input, null when it did not",
    "times": "seconds; total is from the image to its depth, without reading and writing files",
    "temporal_error": "median over the frames of the median |log depth - log expected depth|; expected is "
    "the previous depth, moved by the camera's motion unless the stabilizer is off",
    "resets": "frames before which the temporal state was cleared",
    "motion": "part of the frames whose motion came from vision (visual odometry), odometry, or none of them",
    "flicker": "scale jitter: median over the frames of |log(the frame's own scale / the expected one)|, "
    "which the stabilizer removed",
    "deviation": "relative standard deviation of depth, median over pixels and frames",
    "scale": "factor on the bundle's meters, its relative standard deviation and its source, at the end; "
    "with a shift for a bundle that gives a disparity: 1 / meters = value * output + shift",
    "frames_without_metres": "frames whose depth is unknown because no source of scale was accepted yet",
    "floor": "in the written depth: the camera's height above it, meters, its pitch (positive looks down) "
    "and roll (positive has the right side down), radians; medians over the frames in which it was found",
    "warnings": "measurements of other sensors that were not used, the first of them",
    "abs_rel": "mean |depth - truth| / truth without any scaling, mean over the frames; truth: ground truth",
    "abs_rel_scaled": "the same after scaling each frame's depth by the median of truth / depth",
    "rmse": "meters, mean over the frames",
    "delta1": "part of the pixels within a factor of 1.25 of the truth, mean over the frames",
    "truth_range": "meters; only ground truth between them is compared",
}


class ResultFolder:
    """Writes the results of one frame after the other.

    depth/STEM.png (16 bit, millimeters, 0 = unknown or beyond 65.535 m), quality.csv (a row per frame),
    summary.json, and, given fps, film.mp4. Raises Clip2DepthError when the folder cannot be written; the
    files of the frames before are complete, and finish() still writes the summary, whose space is reserved.
    """

    def __init__(self, folder: Path, *, fps: float | None = None) -> None:
        self.folder = folder
        self.frames = 0
        self._summary: PartialFile | None = None
        try:
            (folder / "depth").mkdir(parents=True, exist_ok=True)
            for abandoned in (folder / "depth").glob(f".*{PART}"):
                abandoned.unlink()
            # Unbuffered: a full disk is detected at the frame whose row does not fit.
            self._file = (folder / "quality.csv").open("wb", buffering=0)
            self._write_row([*COLUMNS, *ERRORS])
            self._summary = PartialFile(folder / "summary.json", reserve=SUMMARY_ROOM)
        except OSError as error:
            raise Clip2DepthError(f"Cannot write to {folder}: {error.strerror}.") from None
        self._film = VideoWriter(folder / "film.mp4", min(fps, 60.0)) if fps else None
        self._millimetres = Millimeters()
        self._truth = GroundTruth()
        self._names: set[str] = set()
        self._facts: list[FrameFacts] = []
        self._values: dict[str, list[Any]] = {name: [] for name in SUMMARIZED}
        self._warnings: list[str] = []
        self._without_metres = 0
        self._errors: list[dict[str, float]] = []
        self._size: tuple[int, int] | None = None
        self._camera = None

    def add(self, frame: Frame, result: DepthFrame) -> None:
        """Write one frame's depth, its row and its image in the video."""
        name = self._own_name(frame.name)
        path = self.folder / "depth" / f"{name}.png"
        truth = self._truth.of(frame, result)
        errors = None
        if truth is not None:
            low, high = TRUTH_RANGE
            errors = depth_errors(result.depth, truth, depth_min=low, depth_max=high)
        facts = result.facts
        values = read_facts(result)
        known = values | {"frame": name, "stamp": frame.stamp / 1e9}
        row = [CELLS[fact.type](known[fact.name]) for fact in COLUMN_FACTS]
        row += [_number(errors[e]) if errors else "" for e in ERRORS]
        # One right after the other, so that an interrupt between them is unlikely.
        self._write_depth(path, result.depth)
        try:
            self._write_row(row)
        except BaseException as error:
            path.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise cannot_write(self.folder / "quality.csv", error) from error
            raise
        self._facts.append(facts)
        for fact, of_frames in self._values.items():
            of_frames.append(values[fact])
        self._warnings += (f"{name}: {text}" for text in facts.warnings)
        if facts.no_metres and self._without_metres == 0:
            self._warnings.append(f"{name}: {facts.no_metres}")
        self._without_metres += bool(facts.no_metres)
        if errors:
            self._errors.append(errors)
        self._size, self._camera = result.depth.shape[::-1], result.camera
        self.frames += 1
        if self._film is not None:
            self._film.write(self._video_image(name, result, truth, errors))

    def finish(self, facts: dict) -> dict:
        """Write summary.json from `facts` and from the frames, and return its content.

        The video is finished first. If that fails, the summary has the error, and Clip2DepthError is raised.
        """
        film_error = None
        try:
            if self._film is not None:
                self._film.close()
        except Clip2DepthError as error:
            film_error, self._film = error, None
            facts = facts | {"stopped": facts.get("stopped") or str(error)}
        all_facts = self._facts
        stages = {stage: np.array([f.times.get(stage, 0.0) for f in all_facts]) for stage in STAGES}
        if self.frames:
            stages["total"] = sum(stages.values())
        errors = None
        if self._errors:
            mean = mean_errors(self._errors)
            errors = {"frames": len(self._errors), "truth_range": TRUTH_RANGE} | {e: mean[e] for e in ERRORS}
        camera = self._camera
        summary = facts | {
            "frames": self.frames,
            "depth_size": self._size,
            "camera": camera and {k: getattr(camera, k) for k in ("width", "height", "fx", "fy", "cx", "cy")},
            "focal_scale": all_facts[-1].focal_scale if all_facts else 1.0,
            "times": {
                stage: {"median": float(np.median(times)), "p95": float(np.percentile(times, 95))}
                for stage, times in stages.items()
                if times.size
            },
            **summarized(self._values),
            "scale": scale_facts(all_facts[-1] if all_facts else None),
            "frames_without_metres": self._without_metres,
            "floor": _floor([f.floor for f in all_facts if f.floor is not None]),
            "warnings": self._warnings[:MAX_WARNINGS],
            "errors": errors,
            "film": "film.mp4" if self._film is not None and self.frames else None,
            "meaning": MEANING,
        }
        text = json.dumps(_rounded(summary), indent=2, allow_nan=False)
        with writing(self.folder / "summary.json"):
            self._summary.write(text.encode() + b"\n")
            self._summary.put_in_place()
        if film_error is not None:
            raise film_error
        return summary

    def _write_depth(self, path: Path, depth: np.ndarray) -> None:
        """Write the PNG completely or not at all."""
        # The lowest compression: twice as fast as the default, files a tenth larger.
        ok, coded = cv2.imencode(".png", self._millimetres.of(depth), [cv2.IMWRITE_PNG_COMPRESSION, 1])
        part = path.with_name(f".{path.stem}{PART}")
        with writing(path):
            if not ok:
                raise OSError("OpenCV cannot encode it")
            # Does not follow a link of that name.
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                with open(os.open(part, flags, 0o666), "wb", buffering=0) as file:
                    _write_all(file, coded)
                os.replace(part, path)
            except BaseException:  # also an interrupt
                part.unlink(missing_ok=True)
                raise

    def _write_row(self, row: list) -> None:
        """Append a row to quality.csv completely or not at all. Raises OSError."""
        line = io.StringIO()
        csv.writer(line).writerow(row)
        begin = self._file.tell()
        try:
            _write_all(self._file, line.getvalue().encode())
        except BaseException:
            self._file.truncate(begin)
            self._file.seek(begin)
            raise

    def close(self) -> None:
        """Finish the files. Closing twice is allowed."""
        self._file.close()
        if self._summary is not None:
            self._summary.discard()
        if self._film is not None:
            self._film.close()

    def __enter__(self) -> ResultFolder:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _own_name(self, stem: str) -> str:
        """The frame's stem, with a number where it occurred before (a.jpg and a.png)."""
        stem = stem or f"{self.frames:06d}"
        name, count = stem, 1
        while name in self._names:
            count += 1
            name = f"{stem}_{count}"
        self._names.add(name)
        return name

    @staticmethod
    def _video_image(
        name: str, result: DepthFrame, truth: np.ndarray | None, errors: dict | None
    ) -> np.ndarray:
        columns = [("image", result.image), ("depth", result.depth)]
        if result.raw is not None:
            columns[1:] = [("the network's depth", result.raw), ("stable depth", result.depth)]
        if truth is not None:
            columns.append(("true depth", truth))
        caption = f"{name}   {sum(result.facts.times.values()) * 1e3:.0f} ms"
        if result.facts.scale_source:
            caption += f"   scale {result.facts.scale:.3f}"
        if errors:
            caption += f"   AbsRel {errors['abs_rel']:.3f}"
        return side_by_side(columns, caption=caption)


def _write_all(file: io.RawIOBase, content: bytes | np.ndarray) -> None:
    """Write everything: one call writes what fits on the disk, and only the next one fails."""
    left = memoryview(content).cast("B")
    while left:
        left = left[file.write(left) :]


def _floor(floors: list[Floor]) -> dict | None:
    if not floors:
        return None
    names = ("height", "pitch", "roll")
    medians = {name: float(np.median([getattr(floor, name) for floor in floors])) for name in names}
    return medians | {"frames": len(floors)}


def _number(number: float) -> str:
    return "" if np.isnan(number) else f"{number:.6g}"


CELLS = {"string": str, "bool": int, "float32": _number, "float64": "{:.6f}".format}
"""A value of quality.csv, by the fact's type."""


def _rounded(value):
    """Numbers with six digits, which are enough for each of them."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value
