# SPDX-License-Identifier: Apache-2.0
"""camera_node and depth_node as two processes, and the test as the third party that listens to both."""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")
from clip2depth_ros.msg import DepthQuality
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, LaserScan, PointCloud2

from clip2depth_ros.camera import Camera

pytestmark = [pytest.mark.ros, pytest.mark.slow]


@pytest.fixture(scope="module")
def drive(tmp_path_factory) -> Path:
    """Real frames where they are at hand (rgbd/hall), else made-up ones of the same size and layout."""
    hall = Path(os.environ.get("CLIP2DEPTH_RGBD", "../shared/rgbd")) / "hall"
    if hall.is_dir():
        return hall
    folder = tmp_path_factory.mktemp("drive")
    (folder / "rgb").mkdir()
    rng = np.random.default_rng(11)
    coarse = rng.integers(0, 256, (60, 90, 3), np.uint8)
    wide = cv2.resize(coarse, (900, 600), interpolation=cv2.INTER_CUBIC)
    for number in range(50):
        cv2.imwrite(str(folder / f"rgb/{number:06d}.jpg"), wide[:480, 5 * number : 5 * number + 640])
    Camera(640, 480, 525.0, 525.0, 319.5, 239.5).to_file(folder / "camera.json")
    return folder


def published(camera) -> int:
    """How many images the camera says it has published, once it has ended."""
    found = re.search(r"(\d+) images published", camera.text())
    assert found, camera.text()
    return int(found.group(1))


@pytest.mark.parametrize("reliability", ["best_effort", "reliable"])
def test_one_of_each_output_for_every_image_and_nothing_lost(
    graph, start_process, tiny_bundle, drive, reliability
):
    # With a queue of one, an image that a starved process fetches too late is overwritten, uncounted.
    node = start_process(
        "depth_node", {"bundle": tiny_bundle.path, "image.queue": 50}, "-r", "image:=image_raw"
    )
    camera = start_process("camera_node", {"source": drive, "rate": 30.0, "wait_for_subscribers": 2})
    sent = graph.listen(CameraInfo, "/camera_info", "reliable")
    depth = graph.listen(Image, "/clip2depth/depth/image_rect", reliability)
    info = graph.listen(CameraInfo, "/clip2depth/depth/camera_info", reliability)
    points = graph.listen(PointCloud2, "/clip2depth/points", reliability)
    quality = graph.listen(DepthQuality, "/clip2depth/quality", "reliable")
    topics = ("/camera_info", "/clip2depth/depth/image_rect", "/clip2depth/points", "/clip2depth/quality")
    graph.wait(lambda: all(map(graph.tester.count_publishers, topics)), "both nodes' topics")
    graph.spin(1.0)
    # Everybody knows everybody: this second subscriber is what the camera still waits for.
    graph.tester.create_subscription(Image, "/image_raw", lambda _bytes: None, 1, raw=True)
    graph.wait(lambda: camera.process.poll() is not None, "the camera's end")
    assert camera.process.returncode == 0
    images = published(camera)

    def accounted_for() -> bool:
        last = quality[-1] if quality else None
        return last is not None and last.images_received == images and last.frames_processed == len(quality)

    graph.wait(accounted_for, f"the last of {images} images, of {[q.images_received for q in quality[-1:]]}")
    graph.wait(lambda: len(points) >= len(quality) and len(depth) >= len(quality), "the last cloud")
    graph.spin(0.3)  # what should not come would come now

    last = quality[-1]
    assert last.frames_processed + last.frames_dropped == images >= 50
    assert last.bad_images == 0
    assert len(quality) >= 5, "hardly a frame was processed"
    processed = graph.stamps(quality)
    assert processed == sorted(set(processed))
    for messages in (depth, info, points):
        assert Counter(graph.stamps(messages)) == Counter(processed), "one of each, with the image's stamp"
    assert set(processed) <= set(graph.stamps(sent))
    frame_ids = {message.header.frame_id for message in (*sent, *depth, *info, *points, *quality)}
    assert len(frame_ids) == 1 and frame_ids != {""}
    for message in depth:
        assert (message.width, message.height, len(message.data)) == (640, 480, 640 * 480 * 4)
    for message in points:
        assert (message.width, message.height, len(message.data)) == (320, 240, 320 * 240 * 16)
    assert 0 < np.median([message.latency for message in quality]) < 30
    latencies = np.array([message.latency for message in quality]) * 1e3
    print(
        f"{reliability}: {images} images, {last.frames_processed} processed, latency median "
        f"{np.median(latencies):.1f} ms, maximum {latencies.max():.1f} ms"
    )
    assert node.end() == 0


def test_steady_metric_depth_of_a_drive(graph, start_process):
    pytest.importorskip("mujoco")
    node = start_process(
        "depth_node", {"bundle": "mini", "odometry.topic": "odometry"}, "-r", "image:=image_raw"
    )
    graph.wait(lambda: graph.tester.count_publishers("/clip2depth/scan"), "the depth node")
    camera = start_process("camera_node", {"source": "sim:1", "rate": 8.0, "wait_for_subscribers": 1})
    depth = graph.listen(Image, "/clip2depth/depth/image_rect")
    std_dev = graph.listen(Image, "/clip2depth/depth/std_dev")
    scan = graph.listen(LaserScan, "/clip2depth/scan")
    quality = graph.listen(DepthQuality, "/clip2depth/quality")

    def told_by_odometry() -> bool:
        return any(message.scale_source == "odometry" for message in quality)

    graph.wait(lambda: len(scan) > 10 and len(std_dev) > 10 and told_by_odometry(), "a scale and scans")
    assert camera.end() == 0
    graph.spin(0.5)
    for messages in (scan, std_dev):
        assert set(graph.stamps(messages)) <= set(graph.stamps(depth))
    assert {message.header.frame_id for message in scan} == {"camera_optical_frame_level"}
    assert {message.motion for message in quality} <= {"vision", "odometry", "none"}
    assert {message.motion for message in quality} & {"vision", "odometry"}
    steps = np.diff(np.log([message.scale for message in quality]))
    assert np.abs(steps).max() < 0.0205
    values = np.frombuffer(std_dev[-1].data, "<f4")
    known = np.isfinite(np.frombuffer(depth[-1].data, "<f4"))
    assert (values[known] > 0).all() and np.isnan(values[~known]).all()
    readings = np.concatenate([message.ranges for message in scan])
    assert np.isfinite(readings).any(), "no obstacle in any scan of a furnished room"
    print([(round(m.scale, 3), m.scale_source, m.motion, round(m.floor_height, 2)) for m in quality[::5]])
    assert node.end() == 0


def test_odometry_tells_the_scale_of_a_real_kitchen(graph, start_process, rgbd):
    """The true poses, played as odometry of a camera that is carried through a kitchen."""
    node = start_process(
        "depth_node", {"bundle": "mini", "odometry.topic": "odometry"}, "-r", "image:=image_raw"
    )
    graph.wait(lambda: graph.tester.count_publishers("/clip2depth/quality"), "the depth node")
    quality = graph.listen(DepthQuality, "/clip2depth/quality")
    camera = start_process(
        "camera_node", {"source": rgbd / "kitchen", "rate": 6.0, "wait_for_subscribers": 1}
    )
    graph.wait(lambda: quality and quality[-1].scale_source == "odometry", "a scale by odometry")
    assert camera.end() == 0 and node.end() == 0
    last = quality[-1]
    assert 0 < last.scale_deviation < 0.5
    assert 0.9 < last.scale < 1.1, "the right one is 0.95"
    assert last.images_received > len(quality) / 2
    assert "is not used" not in node.text() and "jumped" not in node.text(), node.text()


def test_compressed_images_between_two_processes(graph, start_process, tiny_bundle, drive):
    node = start_process(
        "depth_node", {"bundle": tiny_bundle.path, "image_transport": "compressed"}, "-r", "image:=image_raw"
    )
    images = graph.listen(CompressedImage, "/image_raw/compressed")
    depth = graph.listen(Image, "/clip2depth/depth/image_rect")
    camera = start_process(
        "camera_node",
        {"source": drive, "image_transport": "compressed", "wait_for_subscribers": 2, "every": 5},
    )
    graph.wait(lambda: len(depth) >= 3, "depth of compressed images")
    assert set(graph.stamps(depth)) <= set(graph.stamps(images))
    assert node.end() == 0
    graph.wait(lambda: camera.process.poll() is not None, "the camera's end")


def test_a_signal_while_frames_are_processed(graph, start_process, tiny_bundle, drive):
    node = start_process("depth_node", {"bundle": tiny_bundle.path}, "-r", "image:=image_raw")
    camera = start_process("camera_node", {"source": drive, "rate": 60.0, "loop": True})
    points = graph.listen(PointCloud2, "/clip2depth/points")
    graph.wait(lambda: len(points) >= 3, "clouds")
    assert node.end(signal.SIGINT) == 0
    assert camera.end(signal.SIGTERM) == 0
    for process in (node, camera):
        assert "Traceback" not in process.text()
        assert "rror" not in process.text(), process.text()
