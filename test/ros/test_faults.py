# SPDX-License-Identifier: Apache-2.0
"""What goes wrong with cameras: each mishap costs its own image and is said, and the node works on."""

from __future__ import annotations

import array
import math
import re
import struct

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")
from clip2depth_ros.msg import DepthQuality
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.parameter import Parameter
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image, LaserScan

from benchmark.machine.memory import peak_memory, reset_peak_memory
from clip2depth_ros.ros.outputs.outgoing import filled_header

pytestmark = pytest.mark.ros
BEST_EFFORT = QoSReliabilityPolicy.BEST_EFFORT
DEPTH, QUALITY = "/clip2depth/depth/image_rect", "/clip2depth/quality"


class Scene:
    """A depth node, its camera, and somebody who listens."""

    def __init__(self, graph, make_depth_node, fake_camera, *, camera=None, **parameters):
        self.graph = graph
        self.node = make_depth_node(**parameters)
        self.camera = fake_camera(**(camera or {}))
        self.depth = graph.listen(Image, DEPTH)
        self.quality = graph.listen(DepthQuality, QUALITY)
        self.told = graph.listen(DiagnosticArray, "/diagnostics", queue=10)

    def connect(self):
        self.camera.wait_for_subscriber()
        return self

    def level(self):
        """The level and the reason of the newest diagnostics."""
        return (self.told[-1].status[0].level, self.told[-1].status[0].message) if self.told else (None, "")

    def counted(self, key: str) -> int:
        return int({v.key: v.value for v in self.told[-1].status[0].values}[key]) if self.told else -1

    def send_until(self, condition, what, **options):
        def sent_enough():
            if condition():
                return True
            self.camera.send(**options)
            self.graph.spin(0.1)
            return condition()

        self.graph.wait(sent_enough, what)

    def listen_to_scan(self):
        return self.graph.listen(LaserScan, "/clip2depth/scan")

    def works(self, what="depth", **options):
        """Images still become depth."""
        before = len(self.quality)
        self.send_until(lambda: len(self.quality) > before, what, **options)


@pytest.fixture
def scene(graph, make_depth_node, fake_camera):
    return lambda **options: Scene(graph, make_depth_node, fake_camera, **options)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (dict(data=array.array("B", bytes(1000))), "holds 1000 bytes"),
        (dict(data=array.array("B")), "holds 0 bytes"),
        (dict(encoding="32FC1"), "encoding is '32FC1'"),
        (dict(encoding="nv16"), "encoding is 'nv16'"),
        (dict(encoding="nv12"), "make it 13824;"),
        (dict(height=0, data=array.array("B")), "64x0"),
    ],
)
def test_a_bad_image_costs_one_frame(scene, capfd, fault, words):
    made = scene().connect()
    made.works()
    for _ in range(5):
        made.camera.send(changes=fault)
        made.graph.spin(0.1)
    made.works("depth after bad images")
    assert made.quality[-1].bad_images + made.quality[-1].frames_dropped >= 5
    assert made.quality[-1].bad_images >= 1
    said = capfd.readouterr().err
    assert said.count(words) == 1, "it is said once in a while, not for each"
    assert "Traceback" not in said


def test_every_image_is_accounted_for(scene):
    made = scene(image__queue=50).connect()
    for number in range(40):
        made.camera.send(changes={"encoding": "nonsense"} if number % 3 == 0 else None)
        made.graph.spin(0.01)
    made.graph.wait(lambda: made.counted("images received") >= 40, "diagnostics of all images")
    received = made.counted("images received")
    kinds = ("frames processed", "frames dropped", "bad images")
    assert sum(made.counted(kind) for kind in kinds) == received == 40
    assert made.counted("bad images") > 0


def test_without_camera_info_it_says_so_once_and_waits_for_it(scene, capfd):
    made = scene(image__timeout=0.3).connect()
    made.send_until(lambda: made.level()[0] == DiagnosticStatus.ERROR, "an error level", info=False)
    assert "nobody" not in made.level()[1] and "without camera_info on /camera_info" in made.level()[1]
    for _ in range(10):
        made.camera.send(info=False)
        made.graph.spin(0.1)
    assert not made.depth
    assert capfd.readouterr().err.count("without camera_info") == 1
    made.works("depth once camera_info comes")
    made.send_until(lambda: made.level()[0] != DiagnosticStatus.ERROR, "the level to fall")


def test_a_field_of_view_may_stand_in_for_camera_info(scene):
    made = scene(image__timeout=0.3)
    made.graph.tester.destroy_publisher(made.camera.info)
    made.connect()
    made.send_until(lambda: made.level()[0] == DiagnosticStatus.ERROR, "an error level", info=False)
    assert "it has no publisher" in made.level()[1] and "horizontal_fov" in made.level()[1]
    assert made.node.set_parameters([Parameter("horizontal_fov", value=1.2)])[0].successful
    made.works("depth with horizontal_fov", info=False)
    made.send_until(lambda: made.level()[0] == DiagnosticStatus.WARN, "a warning", info=False)


def test_with_a_field_of_view_a_single_image_is_enough(scene):
    made = scene(horizontal_fov=1.2)
    made.graph.tester.destroy_publisher(made.camera.info)
    made.connect()
    made.camera.send(info=False)
    made.graph.wait(lambda: made.depth, "depth of the only image")


def test_a_field_of_view_stands_in_for_a_silent_camera_info_too(scene):
    made = scene(horizontal_fov=1.2).connect()  # the camera has a camera_info topic but sends nothing on it
    made.works(info=False)


def test_an_uncalibrated_camera(scene, capfd):
    made = scene().connect()

    def said():
        made.camera.send_info(focal=0.0)
        made.camera.send(info=False)
        made.graph.spin(0.1)
        return "not calibrated" in capfd.readouterr().err

    made.graph.wait(said, "a warning")
    assert not made.depth
    made.node.set_parameters([Parameter("horizontal_fov", value=1.2)])
    made.works("depth with horizontal_fov", info=False)


def test_a_camera_info_of_another_size(scene, capfd):
    made = scene().connect()

    def said():
        made.camera.send_info(640, 480)
        made.camera.send(info=False)
        made.graph.spin(0.2)
        return "64x48 pixels, but camera_info is for 640x480" in capfd.readouterr().err

    made.graph.wait(said, "a warning")
    made.works()
    assert made.quality[-1].bad_images >= 1


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        (dict(k=[1e-3, 0, 31.5, 0, 1e-3, 23.5, 0, 0, 1]), "87 degrees"),
        (dict(k=[1e9, 0, 31.5, 0, 1e9, 23.5, 0, 0, 1]), "half a degree"),
        (dict(k=[60.0, 0, 1e12, 0, 60.0, 23.5, 0, 0, 1]), "87 degrees"),
        (dict(k=[60.0, 0, 31.5, 0, 6e-3, 23.5, 0, 0, 1]), "87 degrees"),
        (dict(k=[60.0, 0, 31.5, 0, 6.0, 23.5, 0, 0, 1]), "factor of 5"),
        (dict(k=[math.nan, 0, 31.5, 0, 60.0, 23.5, 0, 0, 1]), "fx must be finite"),
        (dict(d=[0.1] * 5, distortion_model="\x1b[31m\n" + "x" * 50_000), "'.x1b.31m.nxxx"),
    ],
)
def test_a_camera_info_that_no_camera_has_costs_its_frame(scene, capfd, numbers, words):
    made = scene().connect()
    made.listen_to_scan()
    made.works()
    bad = made.quality[-1].bad_images
    for _ in range(5):
        made.camera.send_info(changes={"p": [0.0] * 12} | numbers)
        made.graph.spin(0.05)
        made.camera.send(info=False)
        made.graph.spin(0.1)
    made.works("depth after a camera_info of a camera")
    assert made.quality[-1].bad_images > bad
    said = capfd.readouterr().err
    assert len(re.findall(words, said)) == 1 and "Traceback" not in said and len(said) < 5000


def test_a_compressed_image_that_unpacks_to_gigabytes_costs_one_frame(
    graph, make_depth_node, fake_camera, capfd
):
    made = Scene(
        graph, make_depth_node, fake_camera, camera={"compressed": True}, image_transport="compressed"
    ).connect()
    header = (
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">IIBBBBB", 30000, 30000, 1, 0, 0, 0, 0) + bytes(40)
    )
    good = cv2.imencode(".png", np.full((48, 64, 3), 99, np.uint8))[1].tobytes()

    def message(data: bytes) -> CompressedImage:
        made.camera.stamp += 33_000_000
        sent = CompressedImage(format="png\x1b[2J" + "y" * 50_000, data=array.array("B", data))
        filled_header(sent.header, made.camera.stamp, "optical")
        return sent

    def sent_good():
        made.camera.send_info()
        made.camera.image.publish(message(good))
        made.graph.spin(0.1)
        return made.quality

    before = reset_peak_memory()
    for _ in range(5):
        made.camera.send_info()
        made.camera.image.publish(message(header))
        made.graph.spin(0.1)
    made.graph.wait(sent_good, "depth after the bombs")
    assert made.quality[-1].bad_images >= 1
    said = capfd.readouterr().err
    assert said.count("30000x30000") == 1 and "\x1b[2J" not in said and len(said) < 5000
    assert peak_memory() - before < 200e6


def test_a_camera_info_that_comes_after_its_image(scene):
    made = scene().connect()

    def processed():
        made.camera.send(info=False)
        made.graph.spin(0.05)
        made.camera.send_info()
        made.graph.spin(0.2)
        return made.quality

    made.graph.wait(processed, "depth")
    assert made.quality[0].frames_dropped + made.quality[0].bad_images == made.quality[0].images_received - 1


def test_time_that_jumps_back_forgets_the_past(scene):
    made = scene().connect()
    made.send_until(lambda: len(made.quality) >= 3, "three frames")
    assert not made.quality[-1].reset
    before = len(made.quality)
    made.camera.stamp -= 60_000_000_000
    made.send_until(lambda: len(made.quality) > before + 1, "two more frames")
    assert [message.reset for message in made.quality[before : before + 2]] == [True, False]
    assert math.isnan(made.quality[before].temporal_error)


def test_the_resolution_may_change_mid_stream(scene):
    made = scene().connect()
    made.works()
    made.works("depth of the larger images", width=128, height=96)
    made.send_until(lambda: made.depth[-1].width == 128, "larger depth", width=128, height=96)
    assert next(m for m in made.quality if m.header == made.depth[-1].header or m.reset)
    made.send_until(lambda: made.depth[-1].width == 64, "smaller depth again")
    assert len(made.depth[-1].data) == 64 * 48 * 4


def test_a_camera_that_stops_is_missed_once(scene, capfd):
    made = scene(image__timeout=0.5).connect()
    made.works()
    made.graph.wait(lambda: made.level()[0] == DiagnosticStatus.ERROR, "an error level")
    made.graph.spin(1.0)
    said = capfd.readouterr().err
    assert said.count("No image for 0.5 s") == 1
    assert "/image has 1 publisher(s) offering reliable" in said
    made.send_until(lambda: made.level()[0] != DiagnosticStatus.ERROR, "the level to fall")
    made.graph.wait(lambda: made.level()[0] == DiagnosticStatus.ERROR, "the next silence")
    assert capfd.readouterr().err.count("No image for 0.5 s") == 1


def test_a_wrong_topic_is_told_with_the_right_ones(graph, make_depth_node, fake_camera):
    make_depth_node(image__timeout=0.3)
    fake_camera(namespace="/front")
    graph.listen(Image, DEPTH)
    told = graph.listen(DiagnosticArray, "/diagnostics", queue=10)
    graph.wait(lambda: told and told[-1].status[0].level == DiagnosticStatus.ERROR, "an error level")
    reason = told[-1].status[0].message
    assert "/image has no publisher" in reason and "/front/image" in reason
    assert "/clip2depth" not in reason


def test_a_topic_of_another_type_is_told(graph, other_graph, make_depth_node):
    other_graph.tester.create_publisher(CompressedImage, "/image", 1)
    make_depth_node(image__timeout=0.3)
    graph.listen(Image, DEPTH)
    told = graph.listen(DiagnosticArray, "/diagnostics", queue=10)
    graph.wait(lambda: told and "CompressedImage" in told[-1].status[0].message, "the reason")
    assert told[-1].status[0].level == DiagnosticStatus.ERROR
    assert "image_transport" in told[-1].status[0].message


def test_a_camera_whose_qos_does_not_fit(scene, capfd):
    made = scene(image__reliability="reliable", camera=dict(reliability="best_effort"))
    made.graph.wait(lambda: "qos /image" in made.node._notices.states, "the event")
    said = capfd.readouterr().err
    assert "/image offers a reliability QoS" in said and "image.reliability" in said
    made.graph.wait(lambda: made.level()[0] == DiagnosticStatus.WARN, "a warning level")


@pytest.mark.parametrize("reliability", ["reliable", "best_effort"])
def test_the_reliability_follows_the_cameras(scene, reliability):
    made = scene(camera=dict(reliability=reliability)).connect()
    made.works()
    assert made.node._input.reliability == reliability
    # A second camera on the same topic that can only be heard as Best Effort.
    made.graph.tester.create_publisher(Image, "/image", QoSProfile(depth=1, reliability=BEST_EFFORT))
    made.graph.wait(lambda: made.node._input.reliability == "best_effort", "the other subscription")
    made.works("depth after that")
    assert not made.node._notices.states


def test_a_subscriber_whose_qos_does_not_fit(graph, make_depth_node, capfd):
    node = make_depth_node()
    latched = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
    graph.tester.create_subscription(Image, DEPTH, lambda _message: None, latched)
    graph.wait(lambda: node._notices.states, "the event")
    said = capfd.readouterr().err
    assert "A subscriber of /clip2depth/depth/image_rect requests a durability QoS" in said


def test_an_error_nobody_thought_of_costs_one_frame(scene, monkeypatch, capfd):
    made = scene().connect()
    made.works()
    process, failures = made.node._pipeline.process, [1]

    def fail_once(frame):
        if failures:
            raise ZeroDivisionError(f"surprise {failures.pop()}")
        return process(frame)

    monkeypatch.setattr(made.node._pipeline, "process", fail_once)
    made.works("depth after a surprise")
    assert "surprise 1" in capfd.readouterr().err
    assert made.quality[-1].bad_images == 1


def test_images_lost_on_the_way_are_counted(make_depth_node):
    from clip2depth_ros.ros.inputs.camera_input import CameraInput
    from clip2depth_ros.ros.outputs.throttled_log import Notices

    node = make_depth_node(active=False)
    source = CameraInput(node, lambda: node.settings, Notices(node.get_logger()))

    def take(sequence, publisher="a"):
        source._on_image(Image(), {"publication_sequence_number": sequence, "publisher_gid": publisher})
        return source.lost

    assert [take(7), take(8), take(11), take(12)] == [0, 0, 2, 2]
    assert take(500, "b") == 2, "another publisher counts for itself"
    assert take(1) == 2, "the first one was started again"
    assert take(3) == 3
    for unknown in (2**64 - 1, None):
        assert take(unknown) == 3
    source._on_image(Image(), object())
    assert source.mailbox.counts.received == 10


def test_a_subscription_that_fails_is_said_and_tried_again(scene, monkeypatch, capfd):
    made = scene().connect()
    made.works()
    create, failures = made.node.create_subscription, [1, 2]

    def fail_twice(*arguments, **options):
        if failures:
            failures.pop()
            raise RuntimeError("no more sockets")
        return create(*arguments, **options)

    monkeypatch.setattr(made.node, "create_subscription", fail_twice)
    made.node._input.close()
    made.works("depth at the third attempt")
    assert not failures
    assert "Cannot subscribe to /image: no more sockets" in capfd.readouterr().err
