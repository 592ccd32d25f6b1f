# SPDX-License-Identifier: Apache-2.0
"""The demo's output: video, image sheet, table and summary, made from the recording."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clip2depth_ros.demo.live import Tally, Topics, errors_against
from clip2depth_ros.demo.recording import decode, depth_of, read_recording, stamp_of
from clip2depth_ros.images.facts import scale_facts, summary_of
from clip2depth_ros.images.frame import STAGES
from clip2depth_ros.images.origins import MotionSource
from clip2depth_ros.images.visualization import FAR, NEAR, VideoWriter, save_image, sheet, side_by_side
from clip2depth_ros.io.messages.images import ImageCodec
from clip2depth_ros.metrics.depth import mean_errors

PANEL_HEIGHT = 240  # pixels of each image in the video
SHEET_PANELS = 8
WAITING = 50  # largest number of incomplete frames


@dataclass(slots=True)
class Match:
    """The recorded data of one image, matched by stamp."""

    stamp: int
    image: np.ndarray | None = None
    """(H, W, 3) uint8 RGB."""
    depth: np.ndarray | None = None
    """(h, w) float32, meters, NaN = unknown."""
    truth: np.ndarray | None = None
    """(h, w) float32, meters, NaN = unknown: ground truth, if available."""


def depth_stamps(folder: Path, topics: Topics) -> list[int]:
    """Stamps of the recorded depth images in their order, nanoseconds."""
    return sorted(stamp_of(raw) for _, _, raw, _ in read_recording(folder, {topics.depth}))


def matches(folder: Path, topics: Topics, has_truth: bool) -> Iterator[Match]:
    """The images of a recording that have a depth, each with its depth and its ground truth, matched by
    stamp.

    has_truth: whether to wait for ground truth.
    """
    codec = ImageCodec()
    waiting: dict[int, Match] = {}
    for topic, _, raw, message_type in read_recording(
        folder, {topics.image, topics.depth, topics.true_depth}
    ):
        match = waiting.setdefault(stamp_of(raw), Match(stamp_of(raw)))
        message = decode(raw, message_type)
        if topic == topics.image:
            match.image = codec.decode(message).copy()
        elif topic == topics.depth:
            match.depth = depth_of(message)
        else:
            match.truth = depth_of(message)
        while waiting:
            first = waiting[min(waiting)]
            complete = first.image is not None and first.depth is not None
            if not (complete and (first.truth is not None or not has_truth)) and len(waiting) <= WAITING:
                break
            del waiting[first.stamp]
            if complete:
                yield first
    yield from (m for _, m in sorted(waiting.items()) if m.image is not None and m.depth is not None)


def draw(
    folder: Path,
    tally: Tally,
    video_path: Path,
    sheet_path: Path,
    *,
    near: float = NEAR,
    far: float = FAR,
    progress: Callable[[str], None] = lambda _text: None,
) -> list[dict[str, float]]:
    """Write video and image sheet from the recording in `folder`; return the errors of each frame, if any."""
    errors: list[dict[str, float]] = []
    stamps = depth_stamps(folder, tally.topics)
    latencies = dict(zip(tally.depth_stamps, tally.latencies, strict=True))
    on_sheet = set(np.linspace(0, len(stamps) - 1, SHEET_PANELS).round().astype(int).tolist())
    panels: list[np.ndarray] = []
    has_truth = tally.rectified and tally.counts[tally.topics.true_depth] > 0
    with VideoWriter(video_path, video_rate(stamps)) as video:
        found = matches(folder, tally.topics, has_truth)
        for number, match in enumerate(found):
            caption = (
                f"{(match.stamp - stamps[0]) * 1e-9:5.1f} s   latency {1e3 * latencies[match.stamp]:.0f} ms"
            )
            columns = [("image", match.image), ("depth by clip2depth_ros", match.depth)]
            if has_truth and match.truth is not None:
                columns.append(("true depth", match.truth))
                error = errors_against(match.depth, match.truth)
                if error is not None:
                    errors.append(error)
                    metric, shape = error["abs_rel"], error["abs_rel_scaled"]
                    caption += f"   AbsRel {metric:.2f}, {shape:.2f} after median scaling"
            panel = side_by_side(columns, near=near, far=far, caption=caption, height=PANEL_HEIGHT)
            video.write(panel)
            if number in on_sheet:
                panels.append(panel)
            progress(f"video: {number + 1} of {len(stamps)} frames")
    save_image(sheet_path, sheet(panels, columns=2))
    return errors


def video_rate(stamps: list[int]) -> float:
    """Frame rate at which a video of these stamps plays in real time, Hz."""
    seconds = (stamps[-1] - stamps[0]) * 1e-9 if stamps else 0.0
    return float(np.clip((len(stamps) - 1) / seconds, 1.0, 60.0)) if seconds > 0 else 10.0


def summary(tally: Tally, errors: list[dict[str, float]]) -> dict[str, Any]:
    """The contents of the table, for summary.json: times in seconds, None where unknown."""
    counts, topics = tally.counts, tally.topics
    last: Any = tally.quality[-1] if tally.quality else None
    span = (tally.depth_stamps[-1] - tally.depth_stamps[0]) * 1e-9 if tally.frames_out > 1 else 0.0
    result: dict[str, Any] = {
        "engine": last.engine if last else None,
        "bundle": last.bundle if last else None,
        "frames_in": tally.frames_in,
        "frames_out": tally.frames_out,
        "dropped": tally.frames_in - tally.frames_out,
        "dropped_by_node": int(last.frames_dropped) if last else None,
        "depth_camera_infos": counts[topics.depth_camera_info],
        "clouds": counts[topics.points],
        "rate": (tally.frames_out - 1) / span if span > 0 else None,
        "latency": {
            "median": float(np.median(tally.latencies)),
            "p95": float(np.percentile(tally.latencies, 95)),
            "max": float(np.max(tally.latencies)),
        },
        "stage_times_median": {
            stage: float(np.median([getattr(q, f"{stage}_time") for q in tally.quality]))
            for stage in (*STAGES, "publish")
            if tally.quality
        },
        "steadiness": _temporal_consistency(tally.quality),
        "scale": scale_facts(last),
        "errors": mean_errors(errors) | {"frames": len(errors)} if errors else None,
    }
    return result


def _temporal_consistency(quality: list[Any]) -> dict[str, float | None]:
    """Temporal consistency of depth, from the quality messages; None where unknown.

    temporal_error: median; flicker: median of |log scale jitter|; motion_known: fraction of the frames after
    the first for which the camera motion is known.
    """

    later = [q.motion for q in quality if q.motion and np.isfinite(q.flicker)]
    return {
        **{
            name: summary_of(name, [getattr(q, name) for q in quality])
            for name in ("temporal_error", "flicker")
        },
        "motion_known": sum(motion != MotionSource.NONE for motion in later) / len(later) if later else None,
    }


def table(facts: dict[str, Any]) -> str:
    """The summary as a table."""

    def milliseconds(seconds: float) -> str:
        return f"{1e3 * seconds:.0f} ms"

    rate = f"{facts['rate']:.1f} depth images a second" if facts["rate"] else "only one depth image"
    rows = [
        ("network", f"{facts['bundle']} on {facts['engine']}"),
        ("frames", f"{facts['frames_in']} in, {facts['frames_out']} out, {facts['dropped']} dropped"),
        ("beside each depth", f"{facts['depth_camera_infos']} camera_info, {facts['clouds']} point clouds"),
        ("rate", rate),
        (
            "latency",
            f"median {milliseconds(facts['latency']['median'])}, 95 % "
            f"{milliseconds(facts['latency']['p95'])}, longest {milliseconds(facts['latency']['max'])}"
            "  (image's stamp to depth received, in a third process)",
        ),
    ]
    if facts["stage_times_median"]:
        stages = (f"{name} {1e3 * value:.1f}" for name, value in facts["stage_times_median"].items())
        rows.append(("stages, median ms", ", ".join(stages)))
    consistency = facts["steadiness"]
    if consistency["temporal_error"] is not None:
        text = f"{consistency['temporal_error']:.2%} from frame to frame"
        if consistency["flicker"] is not None:
            text += f" after {consistency['flicker']:.1%} of scale jitter was removed"
        if consistency["motion_known"] is not None:
            text += f"; camera motion known in {consistency['motion_known']:.0%}"
        rows.append(("depth departs by", text + "  (medians)"))
    if facts["scale"]:
        scale = facts["scale"]
        text = f"{scale['value']:.2f} at the end, by {scale['source']}, standard deviation "
        rows.append(("factor to metres", text + f"{scale['deviation']:.1%}"))
    if facts["errors"]:
        e = facts["errors"]
        rows.append(
            (
                "error, true depth",
                f"AbsRel {e['abs_rel']:.3f}, {e['abs_rel_scaled']:.3f} after median scaling, "
                f"delta1 {e['delta1']:.3f}  (mean of {e['frames']} frames)",
            )
        )
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"  {name:<{width}}  {value}" for name, value in rows)
