# SPDX-License-Identifier: Apache-2.0
"""Cameras of several encodings publish to depth_node, a process of its own, which gives their depth."""

from __future__ import annotations

import array

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")
from sensor_msgs.msg import CameraInfo, Image

from clip2depth_ros.camera import Camera
from clip2depth_ros.images.depth_images import read_depth
from clip2depth_ros.io.messages.camera_info import fill_camera_info
from clip2depth_ros.ros.outputs.outgoing import filled_header
from clip2depth_ros.ros.qos import volatile

pytestmark = [pytest.mark.ros, pytest.mark.slow]

WIDTH, HEIGHT = 640, 480
STEP = 704  # as hardware that aligns rows has it


def scene() -> np.ndarray:
    coarse = np.random.default_rng(2).integers(40, 216, (6, 8, 3), np.uint8)
    return cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


def stored(rgb: np.ndarray, encoding: str) -> tuple[np.ndarray, int]:
    """Bytes of a picture as a driver sends them, rows padded, and their step."""
    if encoding == "rgb8":
        return rgb, WIDTH * 3
    if encoding == "bayer_rggb8":
        mosaic = np.empty((HEIGHT, WIDTH), np.uint8)
        mosaic[::2, ::2], mosaic[1::2, 1::2] = rgb[::2, ::2, 0], rgb[1::2, 1::2, 2]
        mosaic[::2, 1::2], mosaic[1::2, ::2] = rgb[::2, 1::2, 1], rgb[1::2, ::2, 1]
        return mosaic, WIDTH
    planes = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420)
    y, u, v = planes[:HEIGHT], *planes[HEIGHT:].reshape(2, HEIGHT // 2, WIDTH // 2)
    if encoding == "nv12":
        rows = np.vstack([y, np.dstack([u, v]).reshape(HEIGHT // 2, WIDTH)])
        return np.pad(rows, ((0, 0), (0, STEP - WIDTH)), constant_values=255), STEP
    color = np.dstack([u, v]).repeat(2, 0).reshape(HEIGHT, WIDTH)  # U and V in turn, for pairs of pixels
    return np.dstack([y, color]), 2 * WIDTH  # yuv422_yuy2


def test_depth_of_webcams_and_libcamera(graph, start_process, tiny_bundle):
    start_process("depth_node", {"bundle": tiny_bundle.path, "stabilizer.enabled": False})
    depth = graph.listen(Image, "/clip2depth/depth/image_rect")
    image = graph.tester.create_publisher(Image, "/image", volatile(2, "reliable"))
    info = graph.tester.create_publisher(CameraInfo, "/camera_info", volatile(2, "reliable"))
    graph.wait(lambda: image.get_subscription_count() and info.get_subscription_count(), "the node")
    rgb, found = scene(), {}
    camera = Camera.from_fov(WIDTH, HEIGHT, 1.1)
    for number, encoding in enumerate(("rgb8", "yuv422_yuy2", "nv12", "bayer_rggb8")):
        data, step = stored(rgb, encoding)
        message, calibration = Image(), CameraInfo()
        message.width, message.height, message.step, message.encoding = WIDTH, HEIGHT, step, encoding
        message.data = array.array("B", data.tobytes())
        fill_camera_info(calibration, camera)
        stamps: list[int] = []

        def arrived(
            message=message, calibration=calibration, stamps=stamps, begin=1_700_000_000 + 1000 * number
        ):
            stamps.append((begin + len(stamps)) * 1_000_000_000)
            for one, publisher in ((calibration, info), (message, image)):
                filled_header(one.header, stamps[-1], "camera")
                publisher.publish(one)
            graph.spin(0.2)
            return set(graph.stamps(depth)) & set(stamps)

        graph.wait(arrived, f"depth of {encoding}")
        found[encoding] = read_depth(
            next(m for m, s in zip(depth, graph.stamps(depth), strict=True) if s in stamps)
        )
    truth = found.pop("rgb8")
    assert np.isfinite(truth).all() and truth.std() / truth.mean() > 0.05
    for encoding, measured in found.items():
        error = np.abs(np.log(measured / truth))
        assert np.median(error) < 0.01 and np.quantile(error, 0.99) < 0.05, encoding
