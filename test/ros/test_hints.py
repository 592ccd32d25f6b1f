# SPDX-License-Identifier: Apache-2.0
"""Aiding measurements: odometry, IMU and ranges at an image's time, and their warnings."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

pytest.importorskip("rclpy")
from nav_msgs.msg import Odometry
from sensor_msgs.msg import Imu, LaserScan, PointCloud2, PointField, Range

from clip2depth_ros.camera.transforms import pose_matrix, quaternion_of, rotation_of
from clip2depth_ros.ros.inputs import aiding_input
from clip2depth_ros.ros.inputs.aiding_measurements import AidingMeasurements
from clip2depth_ros.ros.inputs.extrinsics import Extrinsics
from clip2depth_ros.ros.inputs.imu_input import ImuInput
from clip2depth_ros.ros.inputs.mounting import optical_in_base
from clip2depth_ros.ros.inputs.odometry_input import OdometryInput
from clip2depth_ros.ros.inputs.ranges_input import RangesInput
from clip2depth_ros.ros.outputs.outgoing import filled_header
from clip2depth_ros.ros.outputs.throttled_log import Notices
from clip2depth_ros.ros.parameters.depth_settings import DepthSettings
from clip2depth_ros.ros.parameters.robot_settings import (
    ImuSettings,
    MountingSettings,
    OdometrySettings,
    RangesSettings,
)

from .log_stand_in import Log

pytestmark = pytest.mark.ros
NAN, INF = math.nan, math.inf
T0 = 1_700_000_000_000_000_000
MS = 1_000_000
OPTICAL = "camera_optical_frame"
MOUNTING = MountingSettings(x=0.2, z=0.3, pitch=0.1)
SETTINGS = DepthSettings(
    mounting=MOUNTING,
    odometry=OdometrySettings(topic="odom"),
    imu=ImuSettings(topic="imu/data"),
    ranges=RangesSettings(topic="scan"),
)


class FakeNode:
    """The part of a node that an input uses."""

    def __init__(self):
        self.publishers = []

    def resolve_topic_name(self, topic):
        return f"/{topic}"

    def get_publishers_info_by_topic(self, _topic):
        return self.publishers


class Given:
    """An input with its surroundings; messages are passed to it like by its subscription."""

    def __init__(self, kind, topic, settings=SETTINGS):
        self.settings = settings
        self.log = Log()
        self.notices = Notices(self.log)
        self.node = FakeNode()
        extrinsics = Extrinsics(self.node, lambda: self.settings, self.notices)
        self.input = kind(self.node, topic, lambda: self.settings, self.notices, extrinsics)

    def change(self, **changes):
        self.settings = dataclasses.replace(self.settings, **changes)

    def send(self, message):
        self.input._on_message(message)

    def at(self, milliseconds, frame=OPTICAL):
        return self.input.at(T0 + round(milliseconds * MS), frame)


@pytest.fixture
def clock(monkeypatch):
    """The monotonic clock, which advances only when a test sets it."""
    now = [100.0]
    monkeypatch.setattr(aiding_input.time, "monotonic", lambda: now[0])
    return now


def stamped(message, milliseconds, frame_id):
    filled_header(message.header, T0 + round(milliseconds * MS), frame_id)
    return message


# Odometry


@pytest.fixture
def odometry(clock):
    given = Given(OdometryInput, "odom")
    return given


def moved(milliseconds, x=0.0, yaw=0.0, child="base_link", frame="odom"):
    message = stamped(Odometry(child_frame_id=child), milliseconds, frame)
    message.pose.pose.position.x = x
    q = message.pose.pose.orientation
    q.x, q.y, q.z, q.w = map(float, quaternion_of(pose_matrix(0, 0, 0, 0, 0, yaw)[:3, :3]))
    return message


def drive(given, start=0, end=1000, step=50, speed=1.0):
    for t in range(start, end + 1, step):
        given.send(moved(t, x=speed * t * 1e-3))
    given.at(end - 1)  # the first question after a beginning has no answer


def test_poses_are_interpolated(odometry):
    odometry.send(moved(0, x=1.0, yaw=0.0))
    odometry.send(moved(100, x=1.2, yaw=0.4))
    odometry.at(0)
    expected = pose_matrix(1.05, 0, 0, 0, 0, 0.1) @ optical_in_base(MOUNTING)
    np.testing.assert_allclose(odometry.at(25), expected, atol=1e-9)
    np.testing.assert_allclose(
        odometry.at(100), pose_matrix(1.2, 0, 0, 0, 0, 0.4) @ optical_in_base(MOUNTING), atol=1e-9
    )


def test_the_mounting_can_change_while_running(odometry):
    drive(odometry)
    odometry.change(mounting=MountingSettings(y=1.0))
    np.testing.assert_allclose(odometry.at(500)[:3, 3], [0.5, 1.0, 0.0], atol=1e-9)


def test_a_little_beyond_the_last_pose_the_motion_goes_on_and_no_farther(odometry):
    drive(odometry, speed=2.0)
    odometry.change(mounting=MountingSettings())
    assert odometry.at(1060)[0, 3] == pytest.approx(2.12)
    assert odometry.at(1101) is None
    assert odometry.at(-1) is None, "nothing is known of what was before the first pose"


def test_two_poses_in_a_hurry_are_no_speed(odometry):
    odometry.change(mounting=MountingSettings())
    for t, x in ((0, 0.0), (50, 0.0), (50.5, 0.001)):  # a millimeter of noise in half a millisecond
        odometry.send(moved(t, x=x))
    odometry.at(50)
    assert odometry.at(100)[0, 3] < 0.003


def test_across_a_gap_nothing_is_known(odometry):
    odometry.send(moved(0))
    odometry.send(moved(900))
    odometry.at(0)
    assert odometry.at(450) is None
    assert odometry.at(900) is not None


def test_a_jump_breaks_the_chain_for_one_frame_and_is_said_once(odometry):
    drive(odometry)
    for number, t in enumerate(range(1050, 1400, 50)):
        odometry.send(moved(t, x=5.0 + (0.0 if number < 4 else 3.0)))
    assert odometry.at(1150) is None, "the past of the second jump is forgotten"
    assert odometry.at(1300) is not None
    assert odometry.at(1020) is None
    (line,) = odometry.log.lines
    assert "/odom jumped by 4.00 m" in line


@pytest.mark.parametrize("speed", [0.05, 1.0, 40.0])
def test_driving_is_no_jump(odometry, speed):
    t, x, v = 0, 0.0, 0.0
    while t < 5000:
        odometry.send(moved(t, x=x))
        t += 20
        v = min(speed, v + 8.0 * 0.02)  # 8 m/s2, more than a sports car
        x += v * 0.02
    assert not odometry.log.lines
    assert odometry.input._poses[0][0][0] == 0.0, "nothing was forgotten"


def test_odometry_of_the_camera_itself_needs_no_mounting(odometry):
    for t in (0, 50):
        odometry.send(moved(t, x=1.0, child=OPTICAL))
    odometry.at(0)
    np.testing.assert_allclose(odometry.at(25), pose_matrix(1, 0, 0, 0, 0, 0), atol=1e-9)


def test_odometry_in_an_unknown_frame_is_not_used_and_reported_once(odometry):
    for t in range(0, 500, 50):
        odometry.send(moved(t, child="base_footprint"))
        assert odometry.at(t) is None
    (line,) = odometry.log.lines
    assert "in the frame 'base_footprint'" in line and "mounting.base_frame" in line
    assert "odometry frame" in odometry.notices.states
    odometry.change(mounting=MountingSettings(base_frame="base_footprint"))
    assert odometry.at(440) is not None
    assert not odometry.notices.states


def test_another_fixed_frame_is_another_odometry(odometry):
    drive(odometry)
    odometry.send(moved(1050, x=1.05, frame="map"))
    assert odometry.at(900) is None


@pytest.mark.parametrize("broken", [NAN, INF, 0.0])
def test_a_pose_that_is_none_costs_itself_only(odometry, broken):
    drive(odometry)
    message = moved(1050, x=1.05)
    message.pose.pose.orientation.w = broken
    message.pose.pose.orientation.z = 0.0
    for _ in range(20):
        odometry.send(message)
    assert odometry.at(1050)[0, 3] == pytest.approx(optical_in_base(MOUNTING)[0, 3] + 1.05)
    (line,) = odometry.log.lines
    assert line.startswith("A message on /odom is not used: its orientation")


# What all inputs have in common


def test_messages_without_a_stamp_are_rejected(odometry):
    odometry.send(Odometry())
    assert "has no time stamp" in odometry.log.lines[0]


def test_a_message_that_arrives_out_of_order_is_left_out(odometry):
    drive(odometry)
    odometry.send(moved(975, x=99.0))
    assert not odometry.log.lines
    assert odometry.at(975)[0, 3] < 2.0


def test_time_that_jumps_back_drops_messages(odometry):
    drive(odometry, 60_000, 61_000)
    odometry.send(moved(0, x=1.0))
    odometry.send(moved(50, x=1.0))
    assert odometry.at(60_500) is None
    assert odometry.at(25) is not None
    assert not odometry.log.lines, "a bag that begins anew is no jump"


def test_stamps_of_another_clock_are_reported_once_and_not_used(odometry, clock):
    for _ in range(40):
        clock[0] += 0.1
        odometry.send(moved((clock[0] - 100) * 1e3))
        assert odometry.input.at(T0 + round((clock[0] + 3600) * 1e9), OPTICAL) is None
    (line,) = odometry.log.lines
    assert "3700.0 s behind the images'" in line and "odometry is not used" in line
    assert odometry.at((clock[0] - 100) * 1e3) is not None
    assert not odometry.notices.states


def test_one_topic_of_a_bag_can_restart_before_the_other(odometry, clock):
    drive(odometry, 60_000, 61_000)
    for t in range(0, 900, 30):
        clock[0] += 0.03
        assert odometry.at(t) is None
    assert not odometry.log.lines


def test_silence_is_reported_with_its_reason(odometry, clock):
    odometry.input._last_arrival = clock[0]
    clock[0] += 4.9
    odometry.input.watch()
    assert not odometry.log.lines
    clock[0] += 0.2
    for _ in range(5):
        odometry.input.watch()
    assert odometry.log.lines == ["No odometry for 5 s: /odom has no publisher. It is not used meanwhile."]
    odometry.send(moved(0))
    odometry.input.watch()
    assert not odometry.notices.states


# IMU


@pytest.fixture
def imu(clock):
    return Given(ImuInput, "imu/data")


def tilted(milliseconds, rotation=None, acceleration=None, rate=(0.0, 0.0, 0.0), frame="base_link"):
    """An IMU's message; rotation (3, 3): its orientation, or None for an IMU that has none."""
    message = stamped(Imu(), milliseconds, frame)
    if rotation is None:
        message.orientation_covariance[0] = -1.0
    else:
        q = message.orientation
        q.x, q.y, q.z, q.w = map(float, quaternion_of(rotation))
    a, w = message.linear_acceleration, message.angular_velocity
    if acceleration is not None:
        a.x, a.y, a.z = map(float, acceleration)
    w.x, w.y, w.z = map(float, rate)
    return message


def test_down_from_orientation_for_any_heading(imu):
    for number, yaw in enumerate((0.0, 1.0, 3.0)):
        imu.send(tilted(10 * number, pose_matrix(0, 0, 0, 0.0, 0.2, yaw)[:3, :3]))
        down = imu.at(10 * number)
        # The robot leans forward by 0.2, and the camera looks down by another 0.1.
        np.testing.assert_allclose(down, [0, math.cos(0.3), math.sin(0.3)], atol=1e-9)


def test_down_from_acceleration_at_rest(imu):
    for t in range(0, 2000, 10):
        imu.send(tilted(t, acceleration=(0, 0, 9.81)))
    np.testing.assert_allclose(imu.at(2000), [0, math.cos(0.1), math.sin(0.1)], atol=1e-6)


def test_bumps_and_braking_hardly_tilt_gravity(imu):
    rng = np.random.default_rng(2)
    for t in range(0, 6000, 10):
        braking = -3.0 if 3000 < t < 3500 else 0.0
        imu.send(tilted(t, acceleration=rng.normal((braking, 0, 9.81), 0.5)))
        if t > 2000:
            error = np.degrees(np.arccos(min(1.0, imu.at(t) @ [0, math.cos(0.1), math.sin(0.1)])))
            assert error < 8
    assert error < 2


def test_the_gyroscope_rotates_gravity(imu):
    roll = 0.0
    for t in range(0, 1000, 10):
        roll = 0.5 * math.sin(t * 1e-3 * 4)
        rate = (0.5 * 4 * math.cos(t * 1e-3 * 4), 0, 0)
        up = pose_matrix(0, 0, 0, roll, 0, 0)[:3, :3].T @ [0, 0, 9.81]
        imu.send(tilted(t, acceleration=up, rate=rate))
    expected = (pose_matrix(0, 0, 0, roll, 0, 0) @ optical_in_base(MOUNTING))[:3, :3].T @ [0, 0, -1]
    np.testing.assert_allclose(imu.at(1000), expected, atol=0.03)


def test_an_imu_in_its_own_frame_needs_a_pose(imu):
    imu.send(tilted(0, np.eye(3), frame="imu_link"))
    assert imu.at(0) is None
    assert "imu.frame_id" in imu.log.lines[0]
    imu.change(imu=ImuSettings(topic="imu/data", frame_id="imu_link", roll=math.pi))
    np.testing.assert_allclose(imu.at(0), [0, -math.cos(0.1), -math.sin(0.1)], atol=1e-9)  # upside down
    imu.send(tilted(10, rotation_of(quaternion_of(optical_in_base(MOUNTING)[:3, :3])), frame=OPTICAL))
    np.testing.assert_allclose(imu.at(10), [0, math.cos(0.1), math.sin(0.1)], atol=1e-9)


def test_free_fall_and_invalid_values_give_nothing(imu):
    imu.send(tilted(0, acceleration=(0, 0, 0.5)))
    assert imu.at(0) is None
    imu.send(tilted(10, acceleration=(NAN, 0, 9.81)))
    without = tilted(20)
    without.linear_acceleration_covariance[0] = -1.0
    imu.send(without)
    assert imu.at(10) is None
    assert "is not finite" in imu.log.lines[0]


@pytest.mark.parametrize("spike", [200.0, 1e10, 1e300])
def test_a_spike_of_the_gyroscope_does_not_turn_gravity(imu, spike):
    for t in range(0, 1000, 10):
        imu.send(tilted(t, acceleration=(0, 0, 9.81), rate=(0, spike if t == 900 else 0, 0)))
        if t >= 890:
            np.testing.assert_allclose(imu.at(t), [0, math.cos(0.1), math.sin(0.1)], atol=1e-6)
    assert "angular velocity above 100 rad/s" in imu.log.lines[0]


def test_down_of_another_time_is_not_used(imu):
    imu.send(tilted(0, np.eye(3)))
    assert imu.at(90) is not None
    assert imu.at(110) is None


# Ranges


def ranges_of(kind, frame_id="laser", **changes):
    ranges = RangesSettings(topic="scan", type=kind, frame_id=frame_id, **changes)
    return Given(RangesInput, "scan", dataclasses.replace(SETTINGS, ranges=ranges))


def scan(milliseconds, ranges=(1.0, 2.0, 3.0), frame="laser"):
    message = LaserScan(angle_min=-0.5, angle_increment=0.5, range_min=0.1, range_max=10.0)
    message.ranges = list(ranges)
    return stamped(message, milliseconds, frame)


def test_a_scan_is_transformed_into_the_optical_frame(clock):
    given = ranges_of("laser_scan", x=0.2, z=0.1)
    given.change(mounting=MountingSettings(x=0.2, z=0.3))
    given.send(scan(0, ranges=(NAN, 2.0, INF)))
    points = given.at(20)
    np.testing.assert_allclose(points, [[0, 0.2, 2.0]], atol=1e-6)  # ahead, and 20 cm below the camera
    assert points.dtype == np.float32


def test_a_scan_is_used_once(clock):
    given = ranges_of("laser_scan")
    for t in range(0, 400, 100):
        given.send(scan(t, ranges=(t + 1000.0,) * 3))
        given.send(scan(t + 10, ranges=(2.0,) * 3))
    assert len(given.at(310)) == 3
    assert given.at(310) is None, "it was used, and those before it are late"
    assert not given.notices.states


def test_points_behind_the_camera_are_left_out(clock):
    given = ranges_of("laser_scan", yaw=math.pi)
    given.send(scan(0))
    assert given.at(0).shape == (0, 3)


@pytest.mark.parametrize("apart", [-101, 101])
def test_a_scan_of_another_time_is_not_used(clock, apart):
    given = ranges_of("laser_scan")
    given.send(scan(1000))
    assert given.at(1000 + apart) is None
    given.change(ranges=dataclasses.replace(given.settings.ranges, tolerance=0.2))
    assert len(given.at(1000 + apart)) == 3


def test_a_scan_in_a_wrong_frame_is_not_used_and_reported_once(clock):
    given = ranges_of("laser_scan", frame_id="front_laser")
    for t in range(0, 300, 33):
        given.send(scan(t, frame="rear_laser"))
        assert given.at(t) is None
    (line,) = given.log.lines
    assert "the frame 'rear_laser'" in line and "ranges.frame_id" in line
    assert "ranges frame" in given.notices.states
    given.send(scan(400, frame="front_laser"))
    assert given.at(400) is not None
    assert not given.notices.states


def test_a_time_of_flight_sensor_and_a_cloud(clock):
    given = ranges_of("range", frame_id="", x=5.0)
    given.change(mounting=MountingSettings())
    given.send(stamped(Range(min_range=0.1, max_range=4.0, range=1.5), 0, "base_link"))
    np.testing.assert_allclose(given.at(0), [[0, 0, 1.5]], atol=1e-6)

    given = ranges_of("point_cloud", frame_id="")
    fields = [PointField(name=n, offset=4 * i, datatype=7, count=1) for i, n in enumerate("xyz")]
    message = PointCloud2(height=1, width=2, point_step=12, row_step=24, fields=fields)
    message.data = np.array([[0, 0, 2], [NAN] * 3], np.float32).tobytes()
    given.send(stamped(message, 0, OPTICAL))
    np.testing.assert_allclose(given.at(0), [[0, 0, 2]])


def test_invalid_clouds_are_reported_with_their_count(clock):
    given = ranges_of("point_cloud", frame_id="")
    for t in range(0, 1000, 10):
        given.send(stamped(PointCloud2(height=1, width=2), t, OPTICAL))
    (line,) = given.log.lines
    assert "fields are none" in line


# All of them


def test_only_configured_inputs_are_subscribed():
    node, notices = FakeNode(), Notices(Log())
    none = AidingMeasurements(node, DepthSettings, notices)
    assert none.inputs == {} and none.at(T0, OPTICAL) == {}
    every = AidingMeasurements(node, lambda: SETTINGS, notices)
    assert every.at(T0, OPTICAL) == {"odometry": None, "gravity": None, "ranges": None}
    assert every.facts()["odometry"] == "0 messages on /odom"


def test_images_that_jump_back_clear_all_inputs():
    every = AidingMeasurements(FakeNode(), lambda: SETTINGS, Notices(Log()))
    every.inputs["gravity"]._on_message(tilted(0, np.eye(3)))
    assert every.at(T0, OPTICAL)["gravity"] is not None
    assert every.at(T0 - 10 * MS, OPTICAL)["gravity"] is None


HOSTILE = ("\n[ERROR] forged\x1b[2J\u202e" + "a" * 50_000, "b" * 50_000 + "\r\n")


@pytest.mark.parametrize("kind", ["odometry", "imu", "ranges"])
@pytest.mark.parametrize("frames", [HOSTILE, (HOSTILE[0], "base_link")])
def test_a_peer_whose_frame_ids_alternate_does_not_flood_the_log(clock, kind, frames):
    """Neither with two unknown frames, nor with one that comes and goes."""
    given = ranges_of("laser_scan") if kind == "ranges" else Given(*INPUTS[kind])
    seconds, rate = 40, 25
    for n in range(seconds * rate):
        frame, milliseconds = frames[n % 2], n * 1000 / rate
        if kind == "odometry":
            for t in (milliseconds, milliseconds + 2, milliseconds + 4):
                given.send(moved(t, child=frame))
                given.at(t)
        else:
            given.send(
                tilted(milliseconds, np.eye(3), frame=frame)
                if kind == "imu"
                else scan(milliseconds, frame=frame)
            )
        given.at(milliseconds)
        clock[0] += 1 / rate
    assert 1 <= len(given.log.lines) <= 3 + seconds / 5 + 1
    for line in [*given.log.lines, *given.notices.states.values()]:
        assert line.isprintable() and len(line) < 1000
    assert f"{kind} frame" in given.notices.states or frames[1] == "base_link"


INPUTS = {"odometry": (OdometryInput, "odom"), "imu": (ImuInput, "imu/data")}


def test_the_fields_of_a_cloud_are_bounded_in_its_refusal(clock):
    given = ranges_of("point_cloud")
    message = stamped(PointCloud2(), 0, "laser")
    message.fields = [PointField(name=text) for text in HOSTILE]
    for _ in range(100):
        given.send(message)
    (line,) = given.log.lines
    assert line.isprintable() and len(line) < 1000 and "its fields are" in line
