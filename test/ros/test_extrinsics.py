# SPDX-License-Identifier: Apache-2.0
"""Poses of camera and sensors from tf, from parameters, and when both disagree."""

from __future__ import annotations

import dataclasses
import math
import sys

import numpy as np
import pytest

pytest.importorskip("rclpy")
from clip2depth_ros.msg import DepthQuality
from sensor_msgs.msg import Image

from clip2depth_ros.camera.transforms import inverse_pose, pose_matrix
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.ros.inputs.extrinsics import LATEST, Extrinsics
from clip2depth_ros.ros.inputs.mounting import in_base, optical_in_base
from clip2depth_ros.ros.outputs.throttled_log import Notices
from clip2depth_ros.ros.parameters.depth_settings import DepthSettings
from clip2depth_ros.ros.parameters.robot_settings import MountingSettings, RangesSettings, ScaleParameters

from . import tf_stand_in
from .log_stand_in import Log

pytestmark = pytest.mark.ros
OPTICAL, T0 = "camera_optical", 1_700_000_000_000_000_000
MOUNTED = MountingSettings(x=0.2, y=-0.1, z=0.5, roll=0.02, pitch=0.3, yaw=-0.4)
RANGES = RangesSettings(topic="scan", frame_id="laser", x=0.1, z=0.2, yaw=0.5)


class Given:
    def __init__(self, **settings):
        self.settings = DepthSettings(ranges=RANGES, scale=ScaleParameters(height=0.5), **settings)
        self.log = Log()
        self.extrinsics = Extrinsics(None, lambda: self.settings, Notices(self.log))
        self.extrinsics.open()

    @property
    def tree(self):
        return self.extrinsics._tree._buffer

    def mounting(self, stamp=T0, frame=OPTICAL):
        return self.extrinsics.settings_at(stamp, frame).mounting


@pytest.fixture
def tf(monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2_ros", tf_stand_in)
    monkeypatch.setattr(tf_stand_in.TransformListener, "made", [])
    return tf_stand_in


@pytest.fixture
def no_tf(monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2_ros", None)


def put_robot(tree, mounted=MOUNTED):
    """The tree of a robot: base, camera with its optical frame, laser."""
    tree.put("base_link", OPTICAL, optical_in_base(mounted))
    tree.put("base_footprint", "base_link", pose_matrix(0, 0, 0.1, 0, 0, 0))
    tree.put("base_link", "laser", in_base(RANGES))


def angles(mounting):
    return [getattr(mounting, name) for name in ("x", "y", "z", "roll", "pitch", "yaw")]


def test_tf_replaces_parameters_that_are_not_set(tf):
    given = Given()
    put_robot(given.tree)
    assert angles(given.mounting()) == pytest.approx(angles(MOUNTED))
    settings = given.extrinsics.settings_at(T0, OPTICAL)
    assert settings.scale is given.settings.scale
    assert given.extrinsics.settings_at(T0 + 1, OPTICAL) is settings, (
        "nothing is set anew while nothing moves"
    )
    assert given.extrinsics.facts() == {"mounting": "by tf"} and not given.log.lines


def test_odometry_s_frame_and_a_sensor_s_are_found_on_tf(tf):
    given = Given()
    put_robot(given.tree)
    for frame, higher in (("base_link", 0.0), ("base_footprint", 0.1), ("", 0.0)):
        pose = given.extrinsics.camera_in(frame, OPTICAL, T0, "The odometry")
        expected = optical_in_base(MOUNTED)
        expected[2, 3] += higher
        np.testing.assert_allclose(pose, expected, atol=1e-6)
    laser = given.extrinsics.sensor_in_optical("ranges", "laser", OPTICAL, T0)
    np.testing.assert_allclose(laser, inverse_pose(optical_in_base(MOUNTED)) @ in_base(RANGES), atol=1e-6)
    assert np.array_equal(given.extrinsics.camera_in(OPTICAL, OPTICAL, T0, ""), np.eye(4))


def test_set_parameters_are_used_and_disagreement_is_reported(tf):
    given = Given(mounting=MOUNTED)
    put_robot(given.tree)
    assert given.extrinsics.settings_at(T0, OPTICAL) is given.settings and not given.log.lines
    given.tree.frames.clear()
    put_robot(given.tree, dataclasses.replace(MOUNTED, z=0.8, yaw=-0.2))
    assert given.extrinsics.settings_at(T0, OPTICAL) is given.settings
    assert len(given.log.lines) == 1
    assert "mounting.* and tf disagree" in given.log.lines[0] and "0.30 m" in given.log.lines[0]
    np.testing.assert_array_equal(
        given.extrinsics.camera_in("base_link", OPTICAL, T0, ""), optical_in_base(MOUNTED)
    )


def test_source_parameters_does_not_use_tf(tf):
    given = Given(mounting=MountingSettings(source="parameters"))
    assert not tf.TransformListener.made
    assert given.extrinsics.settings_at(T0, OPTICAL) is given.settings
    assert given.extrinsics.facts() == {"mounting": "by the parameters"}


def test_without_tf2_ros_parameters_are_used(no_tf):
    given = Given()
    assert given.extrinsics.settings_at(T0, OPTICAL) is given.settings and not given.log.lines
    np.testing.assert_array_equal(
        given.extrinsics.camera_in("base_link", OPTICAL, T0, ""), optical_in_base(MountingSettings())
    )
    assert "tf2_ros is not installed" in given.extrinsics.facts()["mounting"]
    with pytest.raises(Clip2DepthError, match="the camera's pose in it is unknown"):
        given.extrinsics.camera_in("wheels", OPTICAL, T0, "The odometry")
    with pytest.raises(Clip2DepthError, match=r"ranges\.frame_id"):
        given.extrinsics.sensor_in_optical("ranges", "sonar", OPTICAL, T0)


def test_source_tf_without_tf2_ros_or_transform_uses_no_height(tf, monkeypatch):
    given = Given(mounting=MountingSettings(source="tf"))
    settings = given.extrinsics.settings_at(T0, OPTICAL)
    assert settings.scale.height == 0.0 and "does not exist" in given.log.lines[0]
    with pytest.raises(Clip2DepthError, match="does not exist"):
        given.extrinsics.camera_in("base_link", OPTICAL, T0, "The odometry")
    put_robot(given.tree)
    assert given.extrinsics.settings_at(T0, OPTICAL).scale.height == 0.5
    monkeypatch.setitem(sys.modules, "tf2_ros", None)
    blind = Given(mounting=MountingSettings(source="tf"))
    assert "tf2_ros is not installed" in blind.log.lines[0]
    assert blind.extrinsics.settings_at(T0, OPTICAL).scale.height == 0.0


def test_a_camera_on_a_pan_tilt_head(tf):
    given = Given()
    for step, pitch in enumerate((0.0, 0.2, 0.4)):
        head = dataclasses.replace(MOUNTED, pitch=pitch)
        given.tree.put("base_link", OPTICAL, optical_in_base(head), T0 + step * 50_000_000)
    pitches = [given.mounting(T0 + step * 50_000_000).pitch for step in range(3)]
    assert pitches == pytest.approx([0.0, 0.2, 0.4])
    # The newest transform stands in for a while, and no longer.
    last = T0 + 100_000_000
    assert given.mounting(last + LATEST).pitch == pytest.approx(0.4)
    assert given.mounting(last + LATEST + 1).pitch == 0.0
    with pytest.raises(Clip2DepthError, match="extrapolation"):
        given.extrinsics._tree.pose("base_link", OPTICAL, last + LATEST + 1)


def test_a_transform_that_is_not_a_pose_is_not_used(tf):
    given = Given()
    given.tree.put("base_link", OPTICAL, pose_matrix(math.nan, 0, 0, 0, 0, 0))
    assert given.extrinsics.settings_at(T0, OPTICAL) is given.settings


def test_the_node_takes_the_camera_s_pose_from_tf(tf, graph, make_depth_node, fake_camera):
    node = make_depth_node(odometry__topic="odom", scale__height=0.5, horizontal_fov=1.0)
    graph.listen(Image, "/clip2depth/depth/image_rect")
    quality = graph.listen(DepthQuality, "/clip2depth/quality")
    graph.wait(lambda: tf.TransformListener.made, "the subscription")
    tf.TransformListener.made[0].buffer.put("base_link", "optical", optical_in_base(MOUNTED))
    camera = fake_camera()
    camera.wait_for_subscriber()
    camera.send()
    graph.wait(lambda: quality, "a depth image")
    applied = node._steering._applied[0].mounting
    assert angles(applied) == pytest.approx(angles(MOUNTED))
    node.trigger_deactivate()
    assert not tf.TransformListener.made[0].is_open
