# SPDX-License-Identifier: Apache-2.0
"""Counts messages while the demo runs."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from dataclasses import dataclass, fields

import cv2
import numpy as np

from clip2depth_ros.demo.recording import decode, depth_of, stamp_of
from clip2depth_ros.io.results import TRUTH_RANGE
from clip2depth_ros.metrics.depth import depth_errors

KEPT = 64  # ground truth images kept until the node's depth of the same stamp arrives
EVERY = 4  # sampling step of the live error, pixels


@dataclass(frozen=True)
class Topics:
    """The topics that the demo subscribes to, by absolute name."""

    image: str = "/camera/image_raw"
    camera_info: str = "/camera/camera_info"
    odometry: str = "/camera/odometry"
    true_depth: str = "/camera/depth/image_rect"
    depth: str = "/clip2depth/depth/image_rect"
    depth_camera_info: str = "/clip2depth/depth/camera_info"
    points: str = "/clip2depth/points"
    quality: str = "/clip2depth/quality"

    def names(self) -> tuple[str, ...]:
        return tuple(getattr(self, f.name) for f in fields(self))


def errors_against(depth: np.ndarray, truth: np.ndarray) -> dict[str, float] | None:
    """Errors of a depth against ground truth, both (H, W) meters, at the truth's pixels if sizes differ."""
    if depth.shape != truth.shape:
        depth = cv2.resize(depth, truth.shape[::-1], interpolation=cv2.INTER_NEAREST)
    low, high = TRUTH_RANGE
    return depth_errors(depth, truth, depth_min=low, depth_max=high)


class Tally:
    """Statistics of the messages so far. `take` is called for every message, in order of arrival."""

    def __init__(self, topics: Topics):
        self.topics = topics
        self.counts = dict.fromkeys(topics.names(), 0)
        self.image_stamps: list[int] = []
        self.depth_stamps: list[int] = []
        self.latencies: list[float] = []  # seconds from an image's stamp to the arrival of its depth
        self.quality: list[object] = []  # the DepthQuality messages, decoded
        self.errors: dict[str, float] | None = None  # of the newest frame with ground truth
        # Whether the camera's images are rectified; otherwise ground truth does not match the node's depth.
        self.rectified = True
        self.last_arrival = 0.0  # time.monotonic() of the newest message
        self._truths: OrderedDict[int, np.ndarray] = OrderedDict()
        self._recent: deque[float] = deque(maxlen=30)

    def take(self, topic: str, message_type: str, raw: bytes, now: int) -> None:
        """Count one message. now: time of arrival, nanoseconds."""
        self.counts[topic] += 1
        self.last_arrival = time.monotonic()
        if topic == self.topics.image:
            self.image_stamps.append(stamp_of(raw))
        elif topic == self.topics.camera_info and self.counts[topic] == 1:
            self.rectified = not np.any(decode(raw, message_type).d)
        elif topic == self.topics.true_depth and self.rectified:
            self._truths[stamp_of(raw)] = depth_of(decode(raw, message_type))[::EVERY, ::EVERY]
            if len(self._truths) > KEPT:
                self._truths.popitem(last=False)
        elif topic == self.topics.depth:
            stamp = stamp_of(raw)
            self.depth_stamps.append(stamp)
            self.latencies.append((now - stamp) * 1e-9)
            self._recent.append(self.last_arrival)
            truth = self._truths.pop(stamp, None)
            if truth is not None:
                self.errors = errors_against(depth_of(decode(raw, message_type))[::EVERY, ::EVERY], truth)
        elif topic == self.topics.quality:
            self.quality.append(decode(raw, message_type))

    @property
    def frames_in(self) -> int:
        """Images that the camera sent: received, or lost on the way here but answered by a depth."""
        return len(self.image_stamps) + len(set(self.depth_stamps).difference(self.image_stamps))

    @property
    def frames_out(self) -> int:
        return len(self.depth_stamps)

    @property
    def is_drained(self) -> bool:
        """True if the depth of the newest image has arrived."""
        return bool(self.image_stamps) and self.depth_stamps[-1:] == self.image_stamps[-1:]

    def forget_unanswered(self) -> None:
        """Drop the images after the last depth: they were in transit when the camera was stopped."""
        if self.depth_stamps:
            last = max(self.depth_stamps)
            self.image_stamps = [stamp for stamp in self.image_stamps if stamp <= last]

    def rate(self) -> float:
        """Depth images per second over the last 30; NaN before the second one."""
        if len(self._recent) < 2 or self._recent[-1] <= self._recent[0]:
            return float("nan")
        return (len(self._recent) - 1) / (self._recent[-1] - self._recent[0])

    def line(self) -> str:
        """The state in one line."""
        parts = [f"in {self.frames_in:4d}  out {self.frames_out:4d}  {self.rate():5.1f} Hz"]
        if self.latencies:
            parts.append(f"latency {1e3 * float(np.median(self.latencies[-30:])):4.0f} ms")
        if self.errors is not None:
            parts.append(f"AbsRel {self.errors['abs_rel']:.2f}")
        return "  ".join(parts)
