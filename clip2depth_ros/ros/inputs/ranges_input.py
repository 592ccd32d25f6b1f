# SPDX-License-Identifier: Apache-2.0
"""LaserScan, PointCloud2 or Range: measured points near an image's time, in the camera's optical frame."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from sensor_msgs.msg import LaserScan, PointCloud2, Range

from clip2depth_ros.io.messages.sensors import cloud_points, range_points, scan_points
from clip2depth_ros.ros.inputs.aiding_input import AidingInput

KINDS = {
    "laser_scan": (LaserScan, scan_points),
    "point_cloud": (PointCloud2, cloud_points),
    "range": (Range, range_points),
}


class RangesInput(AidingInput):
    """Gives (N, 3) float32, meters: points in front of the camera, in the optical frame.

    Each message is used for one image only, so that a slow sensor's points do not count several times.
    """

    what = "ranges"

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.message_type, self._points = KINDS[self._settings().ranges.type]
        self._waiting: deque[tuple[int, str, np.ndarray]] = deque(maxlen=self.QUEUE)

    def _take(self, message: Any, stamp: int) -> None:
        self._waiting.append((stamp, message.header.frame_id, self._points(message)))

    def _find(self, stamp: int, camera_frame: str) -> np.ndarray | None:
        settings = self._settings()
        near = min(self._waiting, key=lambda kept: abs(kept[0] - stamp), default=None)
        if near is None or abs(near[0] - stamp) > settings.ranges.tolerance * 1e9:
            return None
        while self._waiting and self._waiting[0][0] <= near[0]:
            self._waiting.popleft()
        transform = self._extrinsics.sensor_in_optical("ranges", near[1], camera_frame, near[0])
        transform = transform.astype(np.float32)
        points = near[2] @ transform[:3, :3].T + transform[:3, 3]
        return points[points[:, 2] > 0]

    def _forget(self) -> None:
        self._waiting.clear()
