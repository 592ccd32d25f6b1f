# SPDX-License-Identifier: Apache-2.0
"""Subscribers of the node: one that records everything, and visitors of one topic that start and stop.

watcher.py everything LOG       depth and quality until SIGTERM, a `RECORD` each
watcher.py TYPE TOPIC           counts messages until it is ended
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np

DEPTH, QUALITY = 0, 1
RECORD = np.dtype(
    [
        ("kind", "<i4"),
        ("stamp", "<i8"),
        ("arrived", "<i8"),
        ("wrong", "<i4"),  # number of depth values that are neither NaN nor positive and finite
        ("valid", "<f4"),
        ("received", "<i8"),
        ("processed", "<i8"),
        ("dropped", "<i8"),
        ("bad", "<i8"),
        ("latency", "<f4"),
    ]
)


def everything(log: str) -> None:
    import rclpy
    from clip2depth_ros.msg import DepthQuality
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import Image

    rclpy.init()
    node = rclpy.create_node("soak_watcher")
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(message, kind: int, **facts) -> None:
        record = np.zeros((), RECORD)
        stamp = message.header.stamp
        record["kind"], record["stamp"] = kind, stamp.sec * 10**9 + stamp.nanosec
        record["arrived"] = time.time_ns()
        for name, value in facts.items():
            record[name] = value
        os.write(file, record.tobytes())

    def depth(message) -> None:
        values = np.frombuffer(message.data, np.float32)[::7]
        known = values[~np.isnan(values)]
        whole = len(message.data) == 4 * message.width * message.height and message.encoding == "32FC1"
        wrong = int(np.count_nonzero(~((known > 0) & (known < 1e3)))) + (not whole)
        write(message, DEPTH, wrong=wrong, valid=known.size / max(1, values.size))

    def quality(message) -> None:
        write(
            message,
            QUALITY,
            received=message.images_received,
            processed=message.frames_processed,
            dropped=message.frames_dropped,
            bad=message.bad_images,
            latency=message.latency,
        )

    profile = QoSProfile(depth=200, reliability=ReliabilityPolicy.RELIABLE)
    node.create_subscription(Image, "clip2depth/depth/image_rect", depth, profile)
    node.create_subscription(DepthQuality, "clip2depth/quality", quality, profile)
    rclpy.spin(node)


def visitor(kind: str, topic: str) -> None:
    import rclpy
    import sensor_msgs.msg

    rclpy.init()
    node = rclpy.create_node(f"soak_visitor_{os.getpid()}")
    node.create_subscription(getattr(sensor_msgs.msg, kind), topic, lambda _: None, 5)
    rclpy.spin(node)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    everything(sys.argv[2]) if sys.argv[1] == "everything" else visitor(*sys.argv[1:3])
