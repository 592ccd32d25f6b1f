# SPDX-License-Identifier: Apache-2.0
"""depth_node on a graph: what it publishes, for whom, and from which images."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest

from clip2depth_ros.camera import Camera

pytest.importorskip("rclpy")
from clip2depth_ros.msg import DepthQuality
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_srvs.srv import Trigger

from clip2depth_ros.io.messages.camera_info import camera_from_info, fill_camera_info
from clip2depth_ros.outputs import PointCloud
from clip2depth_ros.ros.inputs.camera_input import CameraInput
from clip2depth_ros.ros.nodes.depth_node import DepthNode
from clip2depth_ros.ros.outputs.outgoing import CameraInfoMessage, CompressedMessage
from clip2depth_ros.ros.outputs.throttled_log import Notices

pytestmark = pytest.mark.ros
DEPTH, INFO = "/clip2depth/depth/image_rect", "/clip2depth/depth/camera_info"
POINTS, QUALITY = "/clip2depth/points", "/clip2depth/quality"


def send_until(graph, camera, condition, what, **options):
    """Send images until the condition is true: one image may be overtaken, or fall into a reconnection."""

    def sent_enough():
        if condition():
            return True
        camera.send(**options)
        graph.spin(0.1)
        return condition()

    graph.wait(sent_enough, what)


def change(node, **values):
    result = node.set_parameters_atomically(
        [Parameter(name.replace("__", "."), value=value) for name, value in values.items()]
    )
    assert result.successful, result.reason


def test_four_outputs_of_one_image(graph, make_depth_node, fake_camera):
    make_depth_node(points__stride=2)
    camera = fake_camera()
    depth, info = graph.listen(Image, DEPTH), graph.listen(CameraInfo, INFO)
    points, quality = graph.listen(PointCloud2, POINTS), graph.listen(DepthQuality, QUALITY)
    camera.wait_for_subscriber()
    send_until(graph, camera, lambda: quality and points and depth and info, "all four outputs")
    for messages in (depth, info, points, quality):
        assert messages[0].header == depth[0].header
        assert messages[0].header.frame_id == "optical"
    assert graph.stamps(depth)[0] in range(camera.stamp - 10**12, camera.stamp + 1)
    assert (depth[0].width, depth[0].height, depth[0].encoding) == (64, 48, "32FC1")
    assert (points[0].width, points[0].height) == (32, 24)
    assert camera_from_info(info[0], 64, 48).fx == 60.0
    first = quality[0]
    assert (first.engine, first.bundle, first.bad_images) == ("openvino", "tiny", 0)
    assert first.reset and math.isnan(first.temporal_error)
    assert first.latency > 1e6, "the fake camera's stamps are years old"
    assert min(first.fit_time, first.infer_time, first.unfit_time, first.publish_time) > 0
    assert first.valid_fraction == 1.0


def test_it_runs_where_opencv_is_the_only_engine(graph, make_depth_node, fake_camera, no_gpu, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setitem(sys.modules, "torch", None)
    make_depth_node()
    camera = fake_camera()
    quality = graph.listen(DepthQuality, QUALITY)
    camera.wait_for_subscriber()
    send_until(graph, camera, lambda: quality, "a quality message")
    assert (quality[0].engine, quality[0].precision, quality[0].valid_fraction) == ("opencv", "fp32", 1.0)


def test_the_cloud_lies_on_the_depth(graph, make_depth_node, fake_camera):
    make_depth_node(points__stride=3, points__edge_threshold=0.0)
    camera = fake_camera()
    depth, points, info = (
        graph.listen(Image, DEPTH),
        graph.listen(PointCloud2, POINTS),
        graph.listen(CameraInfo, INFO),
    )
    camera.wait_for_subscriber()
    send_until(graph, camera, lambda: points and depth and info, "depth and points")
    z = np.frombuffer(depth[0].data, "<f4").reshape(48, 64)
    cloud = np.frombuffer(points[0].data, "<f4").reshape(16, 22, 4)
    np.testing.assert_array_equal(cloud[..., 2], z[::3, ::3])
    k = info[0].k
    u = cloud[..., 0] / cloud[..., 2] * k[0] + k[2]
    v = cloud[..., 1] / cloud[..., 2] * k[4] + k[5]
    np.testing.assert_allclose(u, np.broadcast_to(np.arange(0, 64, 3), u.shape), atol=1e-3)
    np.testing.assert_allclose(v, np.broadcast_to(np.arange(0, 48, 3)[:, None], v.shape), atol=1e-3)


def test_nobody_listens_nothing_is_done(graph, make_depth_node, fake_camera):
    make_depth_node()
    camera = fake_camera()
    told = graph.listen(DiagnosticArray, "/diagnostics", queue=10)
    graph.wait(lambda: told and "No subscribers" in told[-1].status[0].message, "diagnostics that say so")
    assert camera.image.get_subscription_count() == 0
    assert camera.info.get_subscription_count() == 0

    subscription = graph.tester.create_subscription(DepthQuality, QUALITY, lambda _message: None, 1)
    camera.wait_for_subscriber()
    graph.tester.destroy_subscription(subscription)
    graph.wait(lambda: camera.image.get_subscription_count() == 0, "the node to leave the camera")
    graph.wait(lambda: camera.info.get_subscription_count() == 0, "the node to leave camera_info")


@pytest.mark.parametrize(("topic", "kind"), [(DEPTH, Image), (INFO, CameraInfo), (POINTS, PointCloud2)])
def test_each_output_alone_is_reason_enough(graph, make_depth_node, fake_camera, topic, kind):
    make_depth_node()
    camera = fake_camera()
    messages = graph.listen(kind, topic)
    camera.wait_for_subscriber()
    send_until(graph, camera, lambda: messages, topic)


def test_no_work_for_outputs_nobody_listens_to(graph, make_depth_node, fake_camera, monkeypatch):
    def refuse(*_arguments):
        raise AssertionError("nobody asked for that")

    monkeypatch.setattr(PointCloud, "build", refuse)
    monkeypatch.setattr(CameraInfoMessage, "fill", refuse)
    make_depth_node()
    camera = fake_camera()
    depth, quality = graph.listen(Image, DEPTH), graph.listen(DepthQuality, QUALITY)
    camera.wait_for_subscriber()
    send_until(graph, camera, lambda: depth and quality, "depth and quality")
    assert quality[-1].bad_images == 0


def test_parameters_act_at_once(graph, make_depth_node, fake_camera):
    node = make_depth_node()
    camera = fake_camera()
    depth, points = graph.listen(Image, DEPTH), graph.listen(PointCloud2, POINTS)
    camera.wait_for_subscriber()
    send_until(graph, camera, lambda: points and depth, "depth and points")
    change(node, depth__encoding="16UC1", points__stride=4)
    send_until(graph, camera, lambda: points[-1].width == 16 and depth[-1].encoding == "16UC1", "the change")
    metres, millimetres = (next(d for d in depth if d.encoding == e) for e in ("32FC1", "16UC1"))
    np.testing.assert_allclose(
        np.frombuffer(millimetres.data, "<u2"), np.frombuffer(metres.data, "<f4") * 1000, atol=0.51
    )
    change(node, points__max_range=0.11)
    send_until(
        graph, camera, lambda: np.isnan(np.frombuffer(points[-1].data, "<f4")[::4]).all(), "an empty cloud"
    )


def test_the_depth_may_have_its_own_size(graph, make_depth_node, fake_camera):
    make_depth_node(depth__width=32, depth__height=24)
    camera = fake_camera()
    depth, info = graph.listen(Image, DEPTH), graph.listen(CameraInfo, INFO)
    camera.wait_for_subscriber()
    send_until(graph, camera, lambda: depth and info, "depth")
    assert (depth[0].width, depth[0].height) == (32, 24) == (info[0].width, info[0].height)
    assert info[0].k[0] == 30.0


def test_clouds_may_be_fewer(graph, make_depth_node, fake_camera):
    make_depth_node(points__rate=5.0)
    camera = fake_camera()  # 33 ms between its stamps
    points, quality = graph.listen(PointCloud2, POINTS), graph.listen(DepthQuality, QUALITY)
    camera.wait_for_subscriber()
    send_until(graph, camera, lambda: len(quality) >= 20 and len(points) >= 3, "clouds")
    gaps = np.diff(graph.stamps(points)) * 1e-9
    assert gaps.min() >= 0.18
    assert len(points) <= len(quality) / 5
    before = len(points)
    camera.stamp -= 3600 * 10**9
    send_until(graph, camera, lambda: len(points) > before, "a cloud although time jumped back")


def test_an_unrectified_camera_is_rectified(graph, make_depth_node, fake_camera):
    make_depth_node()
    camera = fake_camera()
    depth, info = graph.listen(Image, DEPTH), graph.listen(CameraInfo, INFO)
    quality = graph.listen(DepthQuality, QUALITY)
    distorted = CameraInfo()
    fill_camera_info(distorted, Camera(64, 48, 60.0, 60.0, 31.5, 23.5, distortion=(-0.2, 0.05, 0, 0, 0)))
    camera.wait_for_subscriber()
    camera.info.publish(distorted)
    send_until(graph, camera, lambda: depth and info and quality, "depth", info=False)
    assert not any(info[0].d)
    assert quality[0].rectify_time > 1e-5


@pytest.mark.parametrize(
    ("rules", "parameters", "image", "info", "rectified"),
    [
        ((), {}, "/image", "/camera_info", False),
        (("image:=/cam/image_raw",), {}, "/cam/image_raw", "/cam/camera_info", False),
        (("image:=/cam/image_rect",), {}, "/cam/image_rect", "/cam/camera_info", True),
        (
            ("image:=/cam/image_rect",),
            {"image.rectified": "never"},
            "/cam/image_rect",
            "/cam/camera_info",
            False,
        ),
        (("image:=/rect/image",), {}, "/rect/image", "/rect/camera_info", False),
        (("image:=/rect/image",), {"image.rectified": "always"}, "/rect/image", "/rect/camera_info", True),
        (
            ("image:=front/image_raw", "__ns:=/robot"),
            {},
            "/robot/front/image_raw",
            "/robot/front/camera_info",
            False,
        ),
        (("image:=/cam/image_raw", "camera_info:=/info"), {}, "/cam/image_raw", "/info", False),
        (
            ("image:=/cam/image_raw",),
            {"camera_info_topic": "/other/info"},
            "/cam/image_raw",
            "/other/info",
            False,
        ),
        (
            ("image:=/cam/image_rect_color",),
            {"image_transport": "compressed"},
            "/cam/image_rect_color/compressed",
            "/cam/camera_info",
            True,
        ),
        (
            ("image:=/cam/image_raw/compressed",),
            {"image_transport": "compressed"},
            "/cam/image_raw/compressed",
            "/cam/camera_info",
            False,
        ),
        (
            ("image/compressed:=/cam/jpeg",),
            {"image_transport": "compressed"},
            "/cam/jpeg",
            "/cam/camera_info",
            False,
        ),
    ],
)
def test_topics_by_image_transports_rules(graph, rules, parameters, image, info, rectified):
    arguments = ["--ros-args", *(word for rule in rules for word in ("-r", rule))]
    overrides = [Parameter(name, value=value) for name, value in parameters.items()]
    node = graph.add(DepthNode(context=graph.context, cli_args=arguments, parameter_overrides=overrides))
    source = CameraInput(node, lambda: node.settings, Notices(node.get_logger()))
    assert (source.image_topic, source.info_topic, source.rectified) == (image, info, rectified)


@pytest.mark.parametrize(("width", "height"), [(64, 48), (640, 480)])
def test_compressed_images(graph, make_depth_node, fake_camera, width, height):
    """The larger is decoded smaller, from the second image on; its depth has the image's size still."""
    make_depth_node(image_transport="compressed")
    camera = fake_camera(compressed=True)
    depth = graph.listen(Image, DEPTH)
    camera.wait_for_subscriber()
    kept, rgb = CompressedMessage(), np.full((height, width, 3), 255, np.uint8)

    def depth_came():
        camera.stamp += 33_000_000
        camera.send_info(width, height, focal=60.0 * width / 64)
        camera.image.publish(kept.fill(rgb, 95, camera.stamp, "optical"))
        graph.spin(0.1)
        return len(depth) > 2

    graph.wait(depth_came, "depth")
    for message in depth:
        assert (message.width, message.height, message.header.frame_id) == (width, height, "optical")
        np.testing.assert_allclose(np.frombuffer(message.data, "<f4"), 1 / 1.1, rtol=0.01)
    assert isinstance(kept.message, CompressedImage)


def test_reset_forgets_the_past(graph, make_depth_node, fake_camera):
    make_depth_node()
    camera = fake_camera()
    quality = graph.listen(DepthQuality, QUALITY)
    camera.wait_for_subscriber()
    send_until(graph, camera, lambda: len(quality) >= 3, "three frames")
    assert [message.reset for message in quality] == [True] + [False] * (len(quality) - 1)
    assert not math.isnan(quality[1].temporal_error)
    client = graph.tester.create_client(Trigger, "/clip2depth/reset")
    graph.wait(client.service_is_ready, "the service")
    future = client.call_async(Trigger.Request())
    graph.wait(future.done, "the answer")
    assert future.result().success
    before = len(quality)
    send_until(graph, camera, lambda: len(quality) > before + 1, "two more frames")
    assert [message.reset for message in quality[before : before + 2]] == [True, False]
    assert math.isnan(quality[before].temporal_error)


def test_simulated_time(graph, make_depth_node, fake_camera):
    make_depth_node(use_sim_time=True)
    camera = fake_camera()
    quality, told = graph.listen(DepthQuality, QUALITY), graph.listen(DiagnosticArray, "/diagnostics")
    clock = graph.tester.create_publisher(Clock, "/clock", 10)
    camera.wait_for_subscriber()
    graph.wait(lambda: told, "diagnostics, although no simulator runs yet")

    def tick(seconds: float):
        message = Clock()
        message.clock.sec, message.clock.nanosec = divmod(camera.stamp + int(seconds * 1e9), 10**9)
        clock.publish(message)
        graph.spin(0.1)

    graph.wait(lambda: clock.get_subscription_count() > 0, "the node to listen to the clock")

    def latency_is_simulated():
        tick(0.033 + 0.25)
        camera.send()
        graph.spin(0.1)
        return quality and abs(quality[-1].latency - 0.25) < 0.05

    graph.wait(latency_is_simulated, "a latency in simulated time")
    before = len(quality)
    tick(-100.0)  # the simulator starts anew
    send_until(graph, camera, lambda: len(quality) > before, "a frame")
    assert quality[before].reset


def test_diagnostics_of_a_working_node(graph, make_depth_node, fake_camera):
    make_depth_node()
    camera = fake_camera()
    quality, told = graph.listen(DepthQuality, QUALITY), graph.listen(DiagnosticArray, "/diagnostics")
    camera.wait_for_subscriber()

    def facts():
        return {value.key: value.value for value in told[-1].status[0].values} if told else {}

    send_until(graph, camera, lambda: quality and float(facts().get("rate out (Hz)", 0)) > 0, "a rate")
    assert facts()["camera"] == "64x48"
    assert facts()["image topic"] == "/image"
    assert facts()["images lost on the way"] == "0"
    # The fake camera's stamps are years old, and nobody set use_sim_time.
    assert told[-1].status[0].level == DiagnosticStatus.WARN
    assert "use_sim_time" in told[-1].status[0].message
