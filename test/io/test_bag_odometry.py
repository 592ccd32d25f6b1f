# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.io import open_source
from clip2depth_ros.io.bag_odometry import BagOdometry

rosbag2 = pytest.importorskip("rosbags.rosbag2")
typesys = pytest.importorskip("rosbags.typesys")
STORE = typesys.get_typestore(typesys.Stores.ROS2_HUMBLE)
T = STORE.types
MOUNTING = (0.3, 0.1, 0.5, 0.0, 0.2, 0.0)


def header(stamp: int, frame_id: str):
    return T["std_msgs/msg/Header"](T["builtin_interfaces/msg/Time"](*divmod(stamp, 10**9)), frame_id)


def image(stamp: int):
    data = np.zeros(24 * 32 * 3, np.uint8)
    return T["sensor_msgs/msg/Image"](header(stamp, "optical"), 24, 32, "rgb8", 0, 96, data)


def odometry(stamp: int, x: float, yaw: float, child: str = "base_link"):
    vector, turn = T["geometry_msgs/msg/Vector3"], T["geometry_msgs/msg/Quaternion"]
    pose = T["geometry_msgs/msg/Pose"](
        T["geometry_msgs/msg/Point"](x, 0.0, 0.0), turn(0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2))
    )
    twist = T["geometry_msgs/msg/Twist"](vector(0.0, 0.0, 0.0), vector(0.0, 0.0, 0.0))
    none = np.zeros(36)
    return T["nav_msgs/msg/Odometry"](
        header(stamp, "odom"),
        child,
        T["geometry_msgs/msg/PoseWithCovariance"](pose, none),
        T["geometry_msgs/msg/TwistWithCovariance"](twist, none),
    )


def write_bag(path, **topics) -> None:
    """topics: name -> list of (record time, message)."""
    with rosbag2.Writer(path, version=9, storage_plugin=rosbag2.StoragePlugin.MCAP) as writer:
        for name, entries in topics.items():
            kind = entries[0][1].__msgtype__
            connection = writer.add_connection(f"/{name}", kind, typestore=STORE)
            for time, message in entries:
                writer.write(connection, time, STORE.serialize_cdr(message, kind))


MS = 1_000_000


@pytest.fixture
def bag(tmp_path):
    """Images every 100 ms from 1 s on; odometry every 40 ms from 1.1 s to 1.5 s, recorded late.

    The robot drives at 1 m/s and turns at 0.5 rad/s.
    """
    stamps = [1000 * MS + i * 100 * MS for i in range(7)]
    driven = [1100 * MS + i * 40 * MS for i in range(11)]
    write_bag(
        tmp_path / "bag",
        image_raw=[(t, image(t)) for t in stamps],
        odom=[(t + 250 * MS, odometry(t, t * 1e-9 - 1, 0.5 * (t * 1e-9 - 1))) for t in driven],
    )
    return tmp_path / "bag"


def test_the_camera_moves_as_the_robot_does(bag):
    """Between the messages' stamps, through the mounting, whenever they were recorded."""
    with open_source(bag, odometry=True, mounting=MOUNTING) as source:
        assert source.has_odometry and not source.has_depth
        frames = list(source)
    assert [f.odometry is None for f in frames] == [True] + [False] * 5 + [True]
    for frame in frames[1:-1]:
        seconds = frame.stamp * 1e-9 - 1
        yaw = 0.5 * seconds
        # By hand: the camera is 0.3 m before, 0.1 m left of and 0.5 m above the base.
        c, s = math.cos(yaw), math.sin(yaw)
        np.testing.assert_allclose(
            frame.odometry[:3, 3], [seconds + 0.3 * c - 0.1 * s, 0.3 * s + 0.1 * c, 0.5], atol=1e-4
        )
        # It looks along the robot's x, 0.2 rad down; right of the image is the robot's right.
        down = math.sin(0.2)
        ahead = np.array([c, s, 0]) * math.cos(0.2) - [0, 0, down]
        np.testing.assert_allclose(frame.odometry[:3, 2], ahead, atol=1e-4)
        np.testing.assert_allclose(frame.odometry[:3, 0], [s, -c, 0], atol=1e-4)
        np.testing.assert_allclose(np.linalg.det(frame.odometry), 1)


def test_only_on_request(bag):
    assert all(frame.odometry is None for frame in open_source(bag))


def test_odometry_of_the_camera_itself_needs_no_mounting():
    track = BagOdometry([odometry(i * 100 * MS, 0.1 * i, 0.0, "optical") for i in range(3)], MOUNTING)
    np.testing.assert_allclose(
        track.at(50 * MS, "optical")[:3], [[1, 0, 0, 0.05], [0, 1, 0, 0], [0, 0, 1, 0]]
    )
    # Another camera on the same message is somewhere else.
    assert track.at(50 * MS, "other")[2, 3] == pytest.approx(0.5)


def test_gaps_and_broken_messages():
    messages = [odometry(t * MS, t / 1000, 0.0) for t in (0, 100, 1000, 1100)]
    messages.append(odometry(150 * MS, math.nan, 0.0))
    track = BagOdometry(messages, (0.0,) * 6)
    known = [t for t in range(-50, 1200, 50) if track.at(t * MS, "camera") is not None]
    assert known == [0, 50, 100, 1000, 1050, 1100]
    with pytest.raises(Clip2DepthError, match="has no valid pose"):
        BagOdometry([odometry(0, math.inf, 0.0)], (0.0,) * 6)
    with pytest.raises(Clip2DepthError, match="six finite numbers"):
        BagOdometry(messages, (0.0, math.nan, 0.0, 0.0, 0.0, 0.0))


def test_which_topic(bag, tmp_path):
    with pytest.raises(Clip2DepthError, match="no odometry on /wheels; odometry topics: /odom"):
        open_source(bag, odometry=True, odometry_topic="/wheels")
    assert open_source(bag, odometry=True, odometry_topic="/odom").has_odometry
    images, poses = [(0, image(0))], [(0, odometry(0, 0.0, 0.0))]
    write_bag(tmp_path / "two", image_raw=images, odom=poses, visual=poses)
    with pytest.raises(Clip2DepthError, match="name one with --odometry-topic: /odom, /visual"):
        open_source(tmp_path / "two", odometry=True)
    write_bag(tmp_path / "none", image_raw=images)
    with pytest.raises(Clip2DepthError, match="has no data about the camera's motion"):
        open_source(tmp_path / "none", odometry=True)
