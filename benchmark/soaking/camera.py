# SPDX-License-Identifier: Apache-2.0
"""A camera with planned misbehavior: changes of size, encoding or clock, pauses, broken images.

    camera.py FRAMES.npz LOG SEED STARTED SECONDS RATE

The plan is a function of the seed and of the time since STARTED, so that a restarted camera continues it.
Every image is recorded in LOG (`RECORD`) before it is published.
"""

from __future__ import annotations

import array
import os
import sys
import time
from pathlib import Path

import cv2
import numpy as np

PHASE = 15.0
"""Duration of one behavior, seconds."""
RECORD = np.dtype([("stamp", "<i8"), ("sent", "<i8"), ("good", "?"), ("phase", "<i4")])
ENCODINGS = ("rgb8", "bgr8", "mono8", "bgra8", "yuv422_yuy2", "nv12", "bayer_rggb8")
SIZES = ((640, 480), (320, 240), (800, 600), (1280, 720))
BEHAVIORS = ("plain", "plain", "size", "encoding", "encoding", "clock", "pause", "broken")


def plan(seed: int, phase: int) -> tuple[str, tuple[int, int], str, float]:
    """Behavior, size, encoding and the clock's error in seconds of a phase. The first phase is normal."""
    rng = np.random.default_rng([seed, phase])
    behavior = BEHAVIORS[int(rng.integers(len(BEHAVIORS)))] if phase else "plain"
    size = SIZES[int(rng.integers(1, len(SIZES)))] if behavior == "size" else SIZES[0]
    encoding = ENCODINGS[int(rng.integers(len(ENCODINGS)))] if behavior == "encoding" else "rgb8"
    clock = float(rng.choice((-3600.0, -1.0, 1.0, 3600.0))) if behavior == "clock" else 0.0
    return behavior, size, encoding, clock


def encoded(rgb: np.ndarray, encoding: str) -> np.ndarray:
    """rgb: (H, W, 3) uint8. Returns the rows of the message's data, (rows, bytes) uint8."""
    height, width = rgb.shape[:2]
    if encoding == "rgb8":
        return rgb.reshape(height, -1)
    if encoding == "bgr8":
        return np.ascontiguousarray(rgb[..., ::-1]).reshape(height, -1)
    if encoding == "mono8":
        return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    if encoding == "bgra8":
        return cv2.cvtColor(rgb, cv2.COLOR_RGB2BGRA).reshape(height, -1)
    if encoding == "yuv422_yuy2":
        return cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_YUY2).reshape(height, -1)
    if encoding == "nv12":
        planes = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420).reshape(-1)
        luma, chroma = planes[: height * width], planes[height * width :]
        return np.concatenate([luma, chroma.reshape(2, -1).T.reshape(-1)]).reshape(-1, width)
    mosaic = rgb[..., 1].copy()
    mosaic[0::2, 0::2], mosaic[1::2, 1::2] = rgb[0::2, 0::2, 0], rgb[1::2, 1::2, 2]
    return mosaic


def main(frames: str, log: str, seed: int, started: float, seconds: float, rate: float) -> None:
    import rclpy
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import CameraInfo, Image

    from clip2depth_ros.camera import Camera
    from clip2depth_ros.io.messages.camera_info import fill_camera_info
    from clip2depth_ros.ros.outputs.outgoing import filled_header

    with np.load(frames) as kept:
        pictures, focal = kept["images"], float(kept["fx"])
    # forward and backward, so that the view never jumps
    pictures = np.concatenate([pictures, pictures[-2:0:-1]])
    rclpy.init()
    node = rclpy.create_node("soak_camera")
    quality = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
    images = node.create_publisher(Image, "camera/image_raw", quality)
    infos = node.create_publisher(CameraInfo, "camera/camera_info", quality)
    waited = time.monotonic() + 60
    while not (images.get_subscription_count() and infos.get_subscription_count()):
        if time.monotonic() > waited:
            raise SystemExit("no subscriber within 60 s")
        rclpy.spin_once(node, timeout_sec=0.05)
    time.sleep(0.5)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    current, number, due = -1, 0, time.time()
    while (now := time.time()) < started + seconds:
        phase = max(0, int((now - started) / PHASE))
        if phase != current:
            current = phase
            behavior, (width, height), encoding, clock = plan(seed, phase)
            rng = np.random.default_rng([seed, phase, 1])
            rows = [encoded(cv2.resize(p, (width, height)), encoding) for p in pictures]
            fx = focal * width / pictures.shape[2]
            info = CameraInfo()
            fill_camera_info(info, Camera(width, height, fx, fx, (width - 1) / 2, (height - 1) / 2))
            message = Image(width=width, height=height, encoding=encoding, step=rows[0].shape[1])
            message.data = array.array("B", bytes(rows[0].size))
            due = max(due, time.time())  # no burst to make up for the time of encoding
        if behavior == "pause" and now < started + phase * PHASE + 0.6 * PHASE:
            time.sleep(0.1)
            due = time.time()
            continue
        time.sleep(max(0.0, due - time.time()))
        broken = behavior == "broken" and rng.random() < 0.2
        sent = message
        if broken:
            sent = Image(width=width, height=height, encoding=encoding, step=message.step)
            sent.data = array.array("B", bytes(int(rng.integers(0, rows[0].size))))
            sent.encoding = str(rng.choice([encoding, "rgb9", "", "32FC1"]))
        else:
            np.frombuffer(message.data, np.uint8)[:] = rows[number % len(rows)].reshape(-1)
        stamp = time.time_ns() + int(clock * 1e9)
        for header in (sent.header, info.header):
            filled_header(header, stamp, "camera_optical")
        os.write(file, np.array((stamp, time.time_ns(), not broken, phase), RECORD).tobytes())
        infos.publish(info)
        images.publish(sent)
        number += 1
        due = max(due + 1 / rate, time.time() - 1 / rate)
    time.sleep(1.0)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), *map(float, sys.argv[4:7]))
