# SPDX-License-Identifier: Apache-2.0
"""The configuration for nav2: its values match this node, and its names are known to nav2."""

from pathlib import Path

import pytest
import yaml

from clip2depth_ros.outputs import ScanSettings
from clip2depth_ros.ros.parameters.depth_settings import DepthSettings

ROOT = Path(__file__).resolve().parents[2]

# Parameters of the observation sources of a costmap and of a collision monitor, as declared by nav2.
LAYER = [
    "plugin",
    "enabled",
    "footprint_clearing_enabled",
    "min_obstacle_height",
    "max_obstacle_height",
    "combination_method",
    "observation_sources",
    "tf_filter_tolerance",
]
LAYER_SOURCE = [
    "topic",
    "sensor_frame",
    "observation_persistence",
    "expected_update_rate",
    "data_type",
    "min_obstacle_height",
    "max_obstacle_height",
    "inf_is_valid",
    "marking",
    "clearing",
    "obstacle_max_range",
    "obstacle_min_range",
    "raytrace_max_range",
    "raytrace_min_range",
]
MONITOR = [
    "enabled",
    "base_frame_id",
    "odom_frame_id",
    "cmd_vel_in_topic",
    "cmd_vel_out_topic",
    "state_topic",
    "transform_tolerance",
    "source_timeout",
    "base_shift_correction",
    "stop_pub_timeout",
    "polygons",
    "observation_sources",
]
POLYGON = ["type", "points", "action_type", "min_points", "visualize", "enabled"]
VOXELS = ["origin_z", "z_resolution", "z_voxels"]
MONITOR_SOURCE = ["type", "topic", "min_height", "max_height", "min_range", "enabled", "source_timeout"]


@pytest.fixture(scope="module")
def blocks():
    return yaml.safe_load((ROOT / "config" / "nav2_costmap.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def layer(blocks):
    return blocks["local_costmap"]["local_costmap"]["ros__parameters"]["obstacle_layer"]


@pytest.fixture(scope="module")
def voxels(blocks):
    return blocks["points_costmap"]["points_costmap"]["ros__parameters"]["voxel_layer"]


@pytest.fixture(scope="module")
def monitor(blocks):
    return blocks["collision_monitor"]["ros__parameters"]


def test_every_name_is_known_to_nav2(layer, voxels, monitor):
    scan, points = layer["clip2depth_scan"], monitor["clip2depth_points"]
    assert set(layer) <= {*LAYER, "clip2depth_scan"} and set(scan) <= set(LAYER_SOURCE)
    assert set(monitor) <= {*MONITOR, "clip2depth_points", "stop"} and set(points) <= set(MONITOR_SOURCE)
    assert set(monitor["stop"]) <= set(POLYGON)
    assert set(voxels) <= {*LAYER, *VOXELS, "clip2depth_points"}
    assert set(voxels["clip2depth_points"]) <= set(LAYER_SOURCE)


def test_sources_are_topics_and_types_of_the_node(layer, voxels, monitor):
    node = (ROOT / "docs" / "node.md").read_text(encoding="utf-8")
    for name, source, kind in (
        (layer["observation_sources"], layer["clip2depth_scan"], "LaserScan"),
        (voxels["observation_sources"], voxels["clip2depth_points"], "PointCloud2"),
        (*monitor["observation_sources"], monitor["clip2depth_points"], "PointCloud2"),
    ):
        assert name in (*layer, *voxels, *monitor)
        topic = source["topic"].removeprefix("/clip2depth/")
        assert f"| `~/{topic}` | sensor_msgs/{kind} |" in node
    assert layer["clip2depth_scan"]["data_type"] == "LaserScan"
    assert monitor["clip2depth_points"]["type"] == "pointcloud"


def test_free_directions_clear_and_are_not_marked_at_the_scans_end(layer):
    """nav2 puts +inf just before the scan's range_max, as if it were an obstacle there."""
    scan = layer["clip2depth_scan"]
    assert scan["inf_is_valid"] and scan["clearing"] and scan["marking"]
    assert scan["obstacle_max_range"] < scan["raytrace_max_range"] < ScanSettings().max_range
    assert scan["max_obstacle_height"] == layer["max_obstacle_height"] > 0


def test_the_floor_clears_and_does_not_mark(voxels):
    """A source's height limits also prevent clearing; the layer's limits prevent only marking."""
    source, settings = voxels["clip2depth_points"], DepthSettings().scan
    assert source["min_obstacle_height"] < 0 < voxels["min_obstacle_height"] == settings.min_height
    assert source["max_obstacle_height"] > voxels["max_obstacle_height"] == settings.max_height
    # nav2 has at most 16 voxels, and does not clear for a camera above them.
    assert voxels["z_voxels"] * voxels["z_resolution"] > settings.max_height and voxels["z_voxels"] <= 16


def test_the_monitors_height_band_is_the_scans(monitor):
    points, settings = monitor["clip2depth_points"], DepthSettings()
    assert (points["min_height"], points["max_height"]) == (
        settings.scan.min_height,
        settings.scan.max_height,
    )
