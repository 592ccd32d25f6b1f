# SPDX-License-Identifier: Apache-2.0
"""depth_node with bundles that have no metres: silent, with the reason, until a source has told the scale."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from clip2depth_ros.camera import Camera

pytest.importorskip("rclpy")
from clip2depth_ros.msg import DepthQuality
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image, LaserScan, PointCloud2

pytestmark = pytest.mark.ros
NAME = "/clip2depth"
WIDTH, HEIGHT, FOCAL = 160, 120, 130.0
CAMERA_HEIGHT, WALL = 0.6, 2.0


def room() -> np.ndarray:
    """Depth (H, W) of a wall 2 m ahead and a floor 0.6 m below."""
    _, y = Camera(WIDTH, HEIGHT, FOCAL, FOCAL, (WIDTH - 1) / 2, (HEIGHT - 1) / 2).axes()
    return np.minimum(WALL, CAMERA_HEIGHT / np.maximum(np.repeat(y[:, None], WIDTH, axis=1), 1e-3))


@pytest.mark.parametrize("kind", ["scale_free", "affine_inverse"])
def test_nothing_is_published_before_the_scale_is_known(
    graph, make_depth_node, fake_camera, make_bundle, kind, capfd
):
    outputs = {"scale_free": 0.05 * room(), "affine_inverse": (1 / room() + 0.2) / 0.7}
    bundle = make_bundle(outputs[kind].astype(np.float32), name=kind, depth_kind=kind, licence="CC-BY-NC-4.0")
    node = make_depth_node(bundle=str(bundle.path))
    camera = fake_camera()
    camera.stamp = time.time_ns()
    topics = {
        "depth/image_rect": Image,
        "depth/camera_info": CameraInfo,
        "depth/std_dev": Image,
        "points": PointCloud2,
        "scan": LaserScan,
    }
    heard = {topic: graph.listen(message, f"{NAME}/{topic}") for topic, message in topics.items()}
    quality = graph.listen(DepthQuality, f"{NAME}/quality")
    told = graph.listen(DiagnosticArray, "/diagnostics", queue=10)
    camera.wait_for_subscriber()

    def send_until(condition, what):
        def enough():
            camera.send_info(WIDTH, HEIGHT, FOCAL)
            camera.send(WIDTH, HEIGHT, info=False)
            graph.spin(0.03)
            return condition()

        graph.wait(enough, what)

    def warned():
        warned = [s for m in told for s in m.status if s.level == DiagnosticStatus.WARN]
        return [s for s in warned if "unknown" in s.message]

    send_until(lambda: len(quality) > 8 and warned(), "quality and the reason")
    assert not any(heard.values())
    assert {(q.scale_source, q.valid_fraction) for q in quality} == {("", 0.0)}
    assert all(math.isnan(q.latency) and math.isnan(q.floor_height) for q in quality)
    status = warned()[-1]
    assert "Nothing is published" in status.message and "height above the floor" in status.message
    assert any(v.key == "metres" and "unknown factor" in v.value for v in status.values)
    said = capfd.readouterr().err
    assert said.count("Nothing is published") == 1
    assert said.count("license of the weights: CC-BY-NC-4.0") == 1

    result = node.set_parameters_atomically([Parameter("scale.height", value=CAMERA_HEIGHT)])
    assert result.successful, result.reason
    # quality is published after the depth of the same frame
    send_until(lambda: all(heard.values()) and quality[-1].scale_source, "all outputs")
    depth = np.frombuffer(heard["depth/image_rect"][-1].data, "<f4").reshape(HEIGHT, WIDTH)
    np.testing.assert_allclose(depth, room(), rtol=0.06)
    assert quality[-1].scale_source == "height"
    assert 0 < quality[-1].scale_deviation < 0.2
