# SPDX-License-Identifier: Apache-2.0
"""The folder that `clip2depth run` leaves: depth images, a row per frame, a summary and a film."""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.files.replacing import PartialFile, cannot_write, writing
from clip2depth_ros.images.depth_images import Millimeters
from clip2depth_ros.images.frame import STAGES, DepthFrame, Floor, Frame, FrameFacts
from clip2depth_ros.images.visualization import VideoWriter, side_by_side
from clip2depth_ros.metrics.depth import depth_errors, mean_errors
from clip2depth_ros.metrics.ground_truth import GroundTruth

ERRORS = ("abs_rel", "abs_rel_scaled", "rmse", "delta1")

# True depth is compared from near to far, metres: all that the usual sensors measure.
TRUTH_RANGE = (0.1, 80.0)

# Of quality.csv, in its order; after them come the errors against true depth.
COLUMNS = (
    "frame",
    "stamp",
    *(f"{stage}_time" for stage in STAGES),
    "valid_fraction",
    "focal_scale",
    "temporal_error",
    "reset",
    "motion",
    "flicker",
    "deviation",
    "scale",
    "scale_deviation",
    "scale_source",
    "scale_shift",
    "floor_height",
    "floor_pitch",
    "floor_roll",
)

# Bytes that summary.json may take; they are kept free for it from the beginning.
SUMMARY_ROOM = 2**15

PART = ".png.part"

# Warnings that the summary holds; more of them say nothing new.
MAX_WARNINGS = 50

MEANING = {
    "stopped": "why the run ended before its input did, null when it did not",
    "times": "seconds; total is from the image to its depth, reading and writing files left out",
    "temporal_error": "median over the frames of the median |log depth - log expected depth|; expected is "
    "the previous depth, carried along by the camera's motion unless the stabilizer is off",
    "resets": "frames before which the past was forgotten",
    "motion": "part of the frames whose motion came from vision, from odometry, or from neither",
    "flicker": "median over the frames of |log(the frame's own scale / the expected one)|, which the "
    "stabilizer took out",
    "deviation": "relative standard deviation of depth, median over pixels and frames",
    "scale": "factor on the bundle's metres, its relative standard deviation and its source, at the end; "
    "with a "
    "shift, of a bundle that gives a disparity: 1 / metres = value * output + shift",
    "frames_without_metres": "frames of which all depth is unknown, since no source had told the scale yet",
    "floor": "of the published depth: the camera's height above it, metres, its pitch (positive looks down) "
    "and roll (positive has the right side down), radians, medians over the frames in which it was found",
    "warnings": "what other sensors said and was not used, the first of them",
    "abs_rel": "mean |depth - truth| / truth, in metres as they come, mean over the frames",
    "abs_rel_scaled": "the same after scaling each frame's depth by the median of truth / depth",
    "rmse": "metres, mean over the frames",
    "delta1": "part of the pixels within a factor of 1.25 of the truth, mean over the frames",
    "truth_range": "metres; only true depth between them counts",
}


class ResultFolder:
    """Writes results as they come.

    depth/STEM.png (16 bit, millimetres, 0 = unknown or beyond 65.535 m), quality.csv (a row per frame),
    summary.json, and, given fps, film.mp4. Raises Clip2DepthError when the folder cannot be written; what was
    written by then is whole, and finish() still writes the summary, for which room is kept.
    """

    def __init__(self, folder: Path, *, fps: float | None = None) -> None:
        self.folder = folder
        self.frames = 0
        self._summary: PartialFile | None = None
        try:
            (folder / "depth").mkdir(parents=True, exist_ok=True)
            for abandoned in (folder / "depth").glob(f".*{PART}"):
                abandoned.unlink()
            # Unbuffered: a row that does not fit on the disk is noticed with its frame.
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
        self._deviations: list[float] = []
        self._warnings: list[str] = []
        self._without_metres = 0
        self._errors: list[dict[str, float]] = []
        self._size: tuple[int, int] | None = None
        self._camera = None

    def add(self, frame: Frame, result: DepthFrame) -> None:
        """Write one frame's depth, row and picture."""
        name = self._own_name(frame.name)
        path = self.folder / "depth" / f"{name}.png"
        truth = self._truth.of(frame, result)
        errors = None
        if truth is not None:
            low, high = TRUTH_RANGE
            errors = depth_errors(result.depth, truth, depth_min=low, depth_max=high)
        facts = result.facts
        deviation = result.median_deviation()
        row = [name, f"{frame.stamp / 1e9:.6f}", *(_text(facts.times.get(stage, 0.0)) for stage in STAGES)]
        row += [_text(n) for n in (facts.valid_fraction, facts.focal_scale, facts.temporal_error)]
        row += [int(facts.reset), facts.motion, _text(facts.flicker), _text(deviation)]
        row += [_text(facts.scale), _text(facts.scale_deviation), facts.scale_source]
        row += [_text(facts.scale_shift)]
        floor = facts.floor
        row += [_text(n) for n in (floor.height, floor.pitch, floor.roll)] if floor else [""] * 3
        row += [_text(errors[e]) if errors else "" for e in ERRORS]
        # One right after the other, so that an interrupt hardly ever comes between them.
        self._write_depth(path, result.depth)
        try:
            self._write_row(row)
        except BaseException as error:
            path.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise cannot_write(self.folder / "quality.csv", error) from error
            raise
        self._facts.append(facts)
        self._deviations.append(deviation)
        self._warnings += (f"{name}: {text}" for text in facts.warnings)
        if facts.no_metres and self._without_metres == 0:
            self._warnings.append(f"{name}: {facts.no_metres}")
        self._without_metres += bool(facts.no_metres)
        if errors:
            self._errors.append(errors)
        self._size, self._camera = result.depth.shape[::-1], result.camera
        self.frames += 1
        if self._film is not None:
            self._film.write(self._picture(name, result, truth, errors))

    def finish(self, facts: dict) -> dict:
        """Write summary.json with what the caller knows and what the frames gave; returns it.

        The film is finished before. Where that fails, the summary says so, and so does the Clip2DepthError.
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
            "valid_fraction": float(np.mean([f.valid_fraction for f in all_facts])) if all_facts else 0.0,
            "temporal_error": _known_median([f.temporal_error for f in all_facts]),
            "resets": sum(f.reset for f in all_facts),
            "motion": _parts([f.motion for f in all_facts]),
            "flicker": _known_median(np.abs(np.log([f.flicker for f in all_facts]))),
            "deviation": _known_median(self._deviations),
            "scale": _last_scale(all_facts),
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
        """The PNG, whole or not at all."""
        # The lightest compression: twice as fast as the default, a tenth larger.
        ok, coded = cv2.imencode(".png", self._millimetres.of(depth), [cv2.IMWRITE_PNG_COMPRESSION, 1])
        part = path.with_name(f".{path.stem}{PART}")
        with writing(path):
            if not ok:
                raise OSError("OpenCV cannot encode it")
            # Not through a link that lies there.
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                with open(os.open(part, flags, 0o666), "wb", buffering=0) as file:
                    _write_all(file, coded)
                os.replace(part, path)
            except BaseException:  # an interrupt, too
                part.unlink(missing_ok=True)
                raise

    def _write_row(self, row: list) -> None:
        """Append a row to quality.csv, whole or not at all. Raises OSError."""
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
    """A raw file writes as much as fits, and fails only at the next try."""
    left = memoryview(content).cast("B")
    while left:
        left = left[file.write(left) :]


def _known_median(numbers: Sequence[float] | np.ndarray) -> float | None:
    known = np.asarray(numbers, np.float64)
    known = known[np.isfinite(known)]
    return float(np.median(known)) if known.size else None


def _parts(words: list[str]) -> dict[str, float] | None:
    """How large a part each word has; None where there is none."""
    counts = Counter(word for word in words if word)
    total = sum(counts.values())
    return {word: count / total for word, count in sorted(counts.items())} if total else None


def _last_scale(facts: list[FrameFacts]) -> dict | None:
    """The scale at the end; None where nobody ever told it."""
    if not facts or not facts[-1].scale_source:
        return None
    last = facts[-1]
    scale = {"value": last.scale, "deviation": last.scale_deviation, "source": last.scale_source}
    return scale | ({} if np.isnan(last.scale_shift) else {"shift": last.scale_shift})


def _floor(floors: list[Floor]) -> dict | None:
    if not floors:
        return None
    names = ("height", "pitch", "roll")
    medians = {name: float(np.median([getattr(floor, name) for floor in floors])) for name in names}
    return medians | {"frames": len(floors)}


def _text(number: float) -> str:
    return "" if np.isnan(number) else f"{number:.6g}"


def _rounded(value):
    """Six digits are more than any of these figures deserves, and easier to read."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value
