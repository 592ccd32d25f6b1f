# SPDX-License-Identifier: Apache-2.0
"""depth_node with stabilizer, scale and scan, in a room whose depth is known exactly."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from clip2depth_ros.camera import Camera

pytest.importorskip("rclpy")
from clip2depth_ros.msg import DepthQuality
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from nav_msgs.msg import Odometry
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image, Imu, LaserScan
from std_srvs.srv import Trigger

from clip2depth_ros.camera.transforms import rotation_of
from clip2depth_ros.ros.inputs import level_frame
from clip2depth_ros.ros.outputs.outgoing import filled_header
from clip2depth_ros.ros.outputs.throttled_log import Notices
from clip2depth_ros.ros.parameters.depth_settings import DepthSettings
from clip2depth_ros.settings import PointsSettings, ScaleSettings, ScanSettings, StabilizerSettings

pytestmark = pytest.mark.ros
DEPTH, STD_DEV = "/clip2depth/depth/image_rect", "/clip2depth/depth/std_dev"
OLD_STD_DEV = "/clip2depth/depth/confidence"
SCAN, QUALITY = "/clip2depth/scan", "/clip2depth/quality"
WIDTH, HEIGHT, FOCAL = 160, 120, 130.0
CAMERA_HEIGHT, PITCH, WALL = 0.5, 0.15, 3.0


def room(floor: bool = True) -> np.ndarray:
    """Depth (H, W) of a wall 3 m ahead and a floor half a metre below; the camera looks a little down."""
    _, y = Camera(WIDTH, HEIGHT, FOCAL, FOCAL, (WIDTH - 1) / 2, (HEIGHT - 1) / 2).axes()
    y = np.repeat(np.asarray(y)[:, None], WIDTH, axis=1)
    down = np.sin(PITCH) + np.cos(PITCH) * y
    wall = WALL / (np.cos(PITCH) - np.sin(PITCH) * y)
    return np.minimum(wall, CAMERA_HEIGHT / np.maximum(down, 1e-3)) if floor else wall


@pytest.fixture(scope="module")
def bundles(make_bundle):
    """Bundles that see that room, and its wall alone."""
    return {"room": make_bundle(room(), name="room"), "wall": make_bundle(room(floor=False), name="wall")}


class Scene:
    """A depth node that sees the room, a camera that stands still in it, and somebody who listens."""

    def __init__(self, graph, make_depth_node, fake_camera, bundle, *topics, **parameters):
        self.graph = graph
        self.node = make_depth_node(bundle=str(bundle.path), **parameters)
        self.camera = fake_camera()
        self.camera.stamp = time.time_ns()
        kinds = {DEPTH: Image, STD_DEV: Image, OLD_STD_DEV: Image, SCAN: LaserScan}
        self.quality = graph.listen(DepthQuality, QUALITY)
        self.told = graph.listen(DiagnosticArray, "/diagnostics", queue=10)
        self.heard = {topic: graph.listen(kinds[topic], topic) for topic in topics}
        self.camera.wait_for_subscriber()

    def send_until(self, condition, what, before_each=lambda: None):
        def sent_enough():
            if condition():
                return True
            before_each()
            self.camera.send_info(WIDTH, HEIGHT, FOCAL)
            self.camera.send(WIDTH, HEIGHT, info=False)
            self.graph.spin(0.03)
            return condition()

        self.graph.wait(sent_enough, what)

    def more(self, count, what="more frames", **options):
        """Images until so many more have become depth; their qualities."""
        before = len(self.quality)
        self.send_until(lambda: len(self.quality) >= before + count, what, **options)
        return self.quality[before:]

    def set(self, **values):
        result = self.node.set_parameters_atomically(
            [Parameter(name.replace("__", "."), value=value) for name, value in values.items()]
        )
        assert result.successful, result.reason

    def warnings(self):
        return [s.message for m in self.told for s in m.status if s.level == DiagnosticStatus.WARN]


@pytest.fixture
def scene(graph, make_depth_node, fake_camera, bundles):
    return lambda bundle, *topics, **parameters: Scene(
        graph, make_depth_node, fake_camera, bundles[bundle], *topics, **parameters
    )


def pixels(message, kind="<f4"):
    return np.frombuffer(message.data, kind).reshape(message.height, message.width)


def test_scan_std_dev_and_quality_of_one_image(scene, graph, capfd):
    made = scene("room", SCAN, STD_DEV, DEPTH, mounting__pitch=PITCH)
    heard = made.heard
    made.send_until(lambda: heard[SCAN] and heard[STD_DEV] and len(made.quality) > 5, "both")
    graph.spin(0.3)  # what belongs to the last of them
    std_dev = heard[STD_DEV][0]
    assert (std_dev.encoding, std_dev.width, std_dev.height) == ("32FC1", WIDTH, HEIGHT)
    assert std_dev.header in [message.header for message in heard[DEPTH]]
    assert (pixels(std_dev) > 0).all() and np.median(pixels(std_dev)) < 0.5

    scan, quality = heard[SCAN][-1], made.quality[-1]
    assert scan.header.frame_id == "optical_level"
    assert scan.header.stamp in [message.header.stamp for message in heard[DEPTH]]
    angles = scan.angle_min + scan.angle_increment * np.arange(len(scan.ranges))
    assert angles[-1] == pytest.approx(scan.angle_max, abs=1e-5)
    ranges = np.array(scan.ranges)
    seen = np.isfinite(ranges)
    assert seen.mean() > 0.9
    np.testing.assert_allclose(ranges[seen], WALL / np.cos(angles[seen]), rtol=0.03)
    assert (scan.range_min, scan.range_max) == pytest.approx((0.1, 10.0))
    assert scan.scan_time == pytest.approx(0.033, abs=0.2)

    assert quality.floor_height == pytest.approx(CAMERA_HEIGHT, rel=0.03)
    assert quality.floor_pitch == pytest.approx(PITCH, abs=0.02)
    assert quality.floor_roll == pytest.approx(0.0, abs=0.02)
    assert 0 < quality.deviation < 0.5
    assert min(quality.stabilize_time, quality.scale_time) > 0
    assert (quality.scale, quality.scale_source, quality.focal_scale) == (1.0, "", 1.0)
    assert math.isnan(quality.scale_deviation) and math.isnan(quality.scale_age)
    # tf2_msgs is no wheel on PyPI; where it is installed, there is nothing to say.
    assert capfd.readouterr().err.count("tf2_msgs is not installed") == (level_frame.TFMessage is None)


def test_without_a_floor_there_is_no_scan_until_the_height_is_told(scene):
    made = scene("wall", SCAN)

    def time_flies():
        made.camera.stamp += 300_000_000

    made.send_until(
        lambda: "floor" in made.node._notices.states,
        "the reason why there is no scan",
        before_each=time_flies,
    )
    assert "scale.height" in made.node._notices.states["floor"]
    assert not made.heard[SCAN]
    made.set(scale__height=CAMERA_HEIGHT, mounting__pitch=PITCH)
    made.send_until(lambda: made.heard[SCAN], "a scan")
    middle = np.array(made.heard[SCAN][-1].ranges)
    assert np.nanmedian(middle) == pytest.approx(WALL, rel=0.1)
    assert "floor" not in made.node._notices.states


def test_an_imu_tells_the_scan_which_way_is_down(scene, graph):
    made = scene("wall", SCAN, scale__height=CAMERA_HEIGHT, imu__topic="imu", scan__publish_tf=False)
    publisher = graph.tester.create_publisher(Imu, "/imu", 10)
    graph.wait(lambda: publisher.get_subscription_count() > 0, "the node to listen")

    def tilt():
        message = Imu()
        filled_header(message.header, made.camera.stamp + 33_000_000, "optical")
        message.orientation_covariance[0] = -1.0
        up = 9.81 * np.array([0, -math.cos(PITCH), -math.sin(PITCH)])  # at rest it measures upwards
        a = message.linear_acceleration
        a.x, a.y, a.z = map(float, up)
        publisher.publish(message)

    def level():
        return made.heard[SCAN] and abs(np.nanmin(made.heard[SCAN][-1].ranges) / WALL - 1) < 0.03

    made.send_until(level, "a scan by the IMU's level", before_each=tilt)
    assert not {"tf", "imu frame"} & set(made.node._notices.states)


def test_the_old_name_of_std_dev_has_the_same_messages_and_one_warning(scene, graph, capfd):
    """A standard deviation is large where depth is bad, so ~/depth/confidence was the wrong name."""
    made = scene("room", STD_DEV)
    made.more(2)
    assert OLD_STD_DEV not in capfd.readouterr().err, "nobody subscribes to it"
    filled = []
    message = made.node._outputs._std_dev_message
    fill = message.fill
    message.fill = lambda *given: filled.append(1) or fill(*given)
    old = graph.listen(Image, OLD_STD_DEV)
    made.send_until(lambda: len(old) > 5, "the old topic")
    graph.spin(0.3)
    new = {(m.header.stamp.sec, m.header.stamp.nanosec): m for m in made.heard[STD_DEV]}
    for message in old:
        assert new[message.header.stamp.sec, message.header.stamp.nanosec] == message
    assert len(filled) <= len(made.heard[STD_DEV]), "made once for both"
    said = capfd.readouterr().err
    assert said.count("is deprecated") == 1 and f"subscribe to {STD_DEV}" in said


def test_the_stabilizer_switches_while_running(scene):
    made = scene("room", STD_DEV)
    assert made.more(3)[-1].motion in ("vision", "none")
    made.set(stabilizer__enabled=False)
    made.send_until(lambda: made.quality[-1].motion == "", "a frame without it")
    after = made.more(2)[-1]
    assert after.motion == "" and math.isnan(after.deviation) and not math.isnan(after.temporal_error)
    assert np.isnan(pixels(made.heard[STD_DEV][-1])).all(), "unknown, not silent"
    made.set(stabilizer__enabled=True, stabilizer__memory=0.5)
    made.send_until(lambda: made.quality[-1].motion != "", "a frame with it")
    assert made.quality[-1].deviation > 0


def test_the_cameras_height_tells_the_scale_which_freezes_and_resets(scene, graph):
    made = scene("room", DEPTH, mounting__pitch=PITCH)
    assert made.more(3)[-1].scale == 1.0
    made.set(scale__height=2 * CAMERA_HEIGHT)
    made.send_until(lambda: made.quality[-1].scale > 1.9, "the scale to be found")
    scales = np.array([message.scale for message in made.quality])
    assert (scales[1:] / scales[:-1]).max() < 1.0201, "no step of more than 2 %"
    graph.spin(0.3)  # the depth of the last of them
    last = made.quality[-1]
    assert last.scale_source == "height" and last.scale_deviation < 0.1 and last.scale_age < 1.0
    nearest = next(m for m in made.heard[DEPTH] if m.header == last.header)
    np.testing.assert_allclose(np.median(pixels(nearest) / room()), last.scale, rtol=0.02)

    made.set(scale__freeze=True)
    made.more(2)
    made.set(scale__height=CAMERA_HEIGHT)
    held = [message.scale for message in made.more(5)]
    assert np.ptp(held) < 1e-6 and held[0] > 1.9
    made.set(scale__freeze=False)
    made.send_until(lambda: made.quality[-1].scale < 1.8, "the scale to follow again")

    client = graph.tester.create_client(Trigger, "/clip2depth/reset")
    graph.wait(client.service_is_ready, "the service")
    future = client.call_async(Trigger.Request())
    graph.wait(future.done, "the answer")
    made.send_until(lambda: made.quality[-1].reset, "the reset")
    assert next(m for m in made.quality[::-1] if m.reset).scale < 1.1


def test_a_pause_keeps_the_scale(scene, graph):
    made = scene("room", scale__height=2 * CAMERA_HEIGHT, mounting__pitch=PITCH)
    made.send_until(lambda: made.quality and made.quality[-1].scale > 1.8, "the scale to be found")
    made.camera.stamp -= 60_000_000_000  # a bag that begins anew
    made.send_until(lambda: made.quality[-1].reset, "the jump")
    assert made.quality[-1].scale > 1.7


def test_a_restart_remembers_the_scale(scene, tmp_path):
    memory = tmp_path / "scales.json"
    made = scene("room", scale__height=2 * CAMERA_HEIGHT, mounting__pitch=PITCH, scale__memory=str(memory))
    made.send_until(lambda: made.quality and made.quality[-1].scale > 1.9, "the scale to be found")
    for step in ("deactivate", "cleanup"):
        assert getattr(made.node, f"trigger_{step}")() == TransitionCallbackReturn.SUCCESS
    assert "room/optical" in memory.read_text()
    made.set(scale__height=0.0)
    made.graph.spin(0.5)  # what was published before the restart may still be on its way
    before = len(made.quality)
    for step in ("configure", "activate"):
        assert getattr(made.node, f"trigger_{step}")() == TransitionCallbackReturn.SUCCESS
    made.camera.wait_for_subscriber()
    made.send_until(lambda: len(made.quality) > before, "a frame after the restart")
    assert made.quality[before].scale == pytest.approx(2.0, rel=0.05)
    assert made.quality[before].scale_source == "memory"


def test_odometry_that_does_not_come_is_missed(scene, graph):
    made = scene("room", odometry__topic="odom", image__timeout=0.3)
    made.send_until(lambda: any("/odom has no publisher" in text for text in made.warnings()), "a warning")
    publisher = graph.tester.create_publisher(Odometry, "/odom", 10)

    def drive():
        message = Odometry(child_frame_id="base_link")
        filled_header(message.header, made.camera.stamp, "odom")
        publisher.publish(message)

    made.send_until(
        lambda: "odometry silence" not in made.node._notices.states, "odometry", before_each=drive
    )
    made.more(3, before_each=drive)
    assert made.node._aiding.inputs["odometry"].received > 0


def test_a_scale_that_nobody_tells_is_missed(scene):
    made = scene("wall", scale__height=1.0, scale__timeout=1.0)
    made.send_until(
        lambda: any("No source of scale was accepted for 1 s" in text for text in made.warnings()),
        "a warning",
    )
    made.set(scale__freeze=True)
    made.send_until(lambda: "scale" not in made.node._notices.states, "the warning's end")


def test_the_level_frame_is_announced_where_tf2_msgs_is(monkeypatch):
    class Publisher:
        sent = []

        def publish(self, message):
            (t,) = message.transforms
            self.sent.append((t.header.frame_id, t.child_frame_id, t.header.stamp.sec, t.transform))

    class Node:
        def create_publisher(self, _kind, topic, _qos):
            assert topic == "/tf"
            return Publisher()

        def destroy_publisher(self, _publisher):
            pass

    class Message:
        def __init__(self, transforms):
            self.transforms = transforms

    monkeypatch.setattr(level_frame, "TFMessage", Message)
    level = level_frame.LevelFrame(Node(), Notices(None))
    c, s = math.cos(PITCH), math.sin(PITCH)
    in_level = np.array([[0, -s, c], [-1, 0, 0], [0, -c, -s]])  # a camera that looks down
    level.publish(in_level, 5_000_000_000, "optical", "optical_level")
    ((parent, child, stamp, transform),) = Publisher.sent
    assert (parent, child, stamp) == ("optical", "optical_level", 5)
    q = transform.rotation
    np.testing.assert_allclose(rotation_of(np.array([q.x, q.y, q.z, q.w])), in_level.T, atol=1e-9)
    assert transform.translation.x == transform.translation.y == transform.translation.z == 0.0
    level.destroy()


def test_the_defaults_are_the_stages_own():
    settings = DepthSettings()
    assert settings.stabilizer == StabilizerSettings()
    scale = settings.scale_settings()
    for own, node in ((ScaleSettings(), scale), (ScanSettings(), settings.scan)):
        assert vars(own).items() <= vars(node).items()
    assert vars(PointsSettings()).items() <= vars(settings.points).items()
    assert not settings.has_scale_source


def test_what_does_not_go_together_is_refused(scene):
    made = scene("room")
    refused = made.node.set_parameters_atomically([Parameter("scan.max_height", value=0.05)])
    assert not refused.successful and "scan.min_height" in refused.reason
    for name, value in (("scale.height", -1.0), ("scale.height", math.nan), ("stabilizer.gate", 0.0)):
        assert not made.node.set_parameters([Parameter(name, value=value)])[0].successful
