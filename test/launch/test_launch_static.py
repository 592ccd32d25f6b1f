# SPDX-License-Identifier: Apache-2.0
"""What can be known of launch files and RViz configuration without launch: runs everywhere."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from clip2depth_ros.ros.parameters.declaration import parameters_of
from clip2depth_ros.ros.parameters.depth_settings import CameraSettings, DepthSettings

ROOT = Path(__file__).resolve().parents[2]
LAUNCH_FILES = sorted((ROOT / "launch").glob("*.launch.py"))
CONTRACT = {
    *("image_topic", "camera_info_topic", "namespace", "params_file", "bundle", "engine"),
    *("use_rviz", "use_sim_time", "log_level", "autostart"),
}


def tree_of(name: str) -> ast.Module:
    path = ROOT / "launch" / name
    return ast.parse(path.read_text(), str(path), feature_version=(3, 10))


def constant(tree: ast.Module, name: str) -> ast.Dict:
    """The dictionary assigned to `name`."""
    (node,) = (
        statement.value
        for statement in tree.body
        if isinstance(statement, ast.Assign) and statement.targets[0].id == name
    )
    assert isinstance(node, ast.Dict)
    return node


def keys(node: ast.Dict) -> list[str]:
    return [key.value for key in node.keys]


def asked_for(tree: ast.Module) -> set[str]:
    """The arguments read as given["name"] or given.get("name")."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and getattr(node.value, "id", "") == "given":
            found.add(getattr(node.slice, "value", None))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "given.get":
            found.add(node.args[0].value)
    return {name for name in found if isinstance(name, str)}


def test_there_are_launch_files_to_look_at():
    names = {path.name for path in LAUNCH_FILES}
    assert names >= {"depth.launch.py", "demo.launch.py", "multi_camera.launch.py"}


@pytest.mark.parametrize("path", LAUNCH_FILES, ids=lambda path: path.name)
def test_each_is_python_3_10_and_has_what_launch_asks_for(path):
    functions = [node.name for node in tree_of(path.name).body if isinstance(node, ast.FunctionDef)]
    assert "generate_launch_description" in functions


def test_depth_has_the_arguments_of_the_contract_and_no_name_twice():
    own = keys(constant(tree_of("depth.launch.py"), "ARGUMENTS"))
    parameters = [fact.name for fact in parameters_of(DepthSettings)]
    assert {*own, *parameters} >= CONTRACT
    assert len({*own, *parameters}) == len(own) + len(parameters)


@pytest.mark.parametrize("name", ["depth.launch.py", "multi_camera.launch.py"])
def test_every_argument_is_used_and_every_used_one_is_declared(name):
    tree = tree_of(name)
    assert asked_for(tree) == set(keys(constant(tree, "ARGUMENTS")))


def test_an_argument_of_several_cameras_is_none_of_depths_but_for_two():
    """Whatever else is given goes on to depth.launch.py."""
    own = set(keys(constant(tree_of("multi_camera.launch.py"), "ARGUMENTS")))
    depths = {
        *keys(constant(tree_of("depth.launch.py"), "ARGUMENTS")),
        *(f.name for f in parameters_of(DepthSettings)),
    }
    assert own & depths == {"image_topic", "namespace"}


def test_the_demos_arguments_are_parameters_of_the_camera_with_valid_defaults():
    arguments = ast.literal_eval(constant(tree_of("demo.launch.py"), "CAMERA_ARGUMENTS"))
    facts = {fact.name: fact for fact in parameters_of(CameraSettings)}
    for argument, (parameter, default) in arguments.items():
        fact = facts[parameter]
        if default:
            assert fact.checked(default if fact.type is str else yaml.safe_load(default)) is not None, (
                argument
            )


def test_an_argument_that_both_files_have_means_the_same_in_both():
    camera = ast.literal_eval(constant(tree_of("demo.launch.py"), "CAMERA_ARGUMENTS"))
    depth = {fact.name: fact for fact in parameters_of(DepthSettings)}
    facts = {fact.name: fact for fact in parameters_of(CameraSettings)}
    shared = set(camera) & {*depth, *keys(constant(tree_of("depth.launch.py"), "ARGUMENTS"))}
    assert shared == {"horizontal_fov", "image_transport"}
    for name in shared:
        of_camera, of_depth = facts[camera[name][0]], depth[name]
        assert of_camera.type is of_depth.type
        assert (of_camera.unit, of_camera.choices) == (of_depth.unit, of_depth.choices)


@pytest.fixture(scope="module")
def rviz():
    return yaml.safe_load((ROOT / "config" / "depth.rviz").read_text())["Visualization Manager"]


def test_rviz_shows_the_camera_and_every_output_that_can_be_seen(rviz):
    topics = {display["Name"]: display["Topic"] for display in rviz["Displays"] if "Topic" in display}
    assert {name: topic["Value"] for name, topic in topics.items()} == {
        "Image": "/image",
        "Depth": "/clip2depth/depth/image_rect",
        "Standard deviation": "/clip2depth/depth/std_dev",
        "Points": "/clip2depth/points",
        "Scan": "/clip2depth/scan",
    }
    # Cameras may be Best Effort, and a Reliable display would get nothing from them. Ours are Reliable.
    assert topics["Image"]["Reliability Policy"] == "Best Effort"
    assert {topic["Reliability Policy"] for name, topic in topics.items() if name != "Image"} == {"Reliable"}
    assert all(display["Enabled"] for display in rviz["Displays"])


def test_the_topics_in_rviz_are_those_that_depth_launch_maps(rviz):
    tree = tree_of("depth.launch.py")
    (names,) = (
        ast.literal_eval(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "topics"
    )
    shown = {display["Topic"]["Value"] for display in rviz["Displays"] if "Topic" in display}
    assert {f"/clip2depth/{name}" for name in names} | {"/image"} == shown


def test_rviz_uses_only_what_every_distribution_has(rviz):
    classes = [display["Class"] for display in rviz["Displays"]] + [rviz["Views"]["Current"]["Class"]]
    known = ("Axes", "TF", "PointCloud2", "LaserScan", "Image", "Orbit")
    assert set(classes) == {f"rviz_default_plugins/{name}" for name in known}


def test_rviz_cuts_no_image_range_to_nothing(rviz):
    """From Jazzy on, RViz casts a fixed range, and the result of a median window, to whole numbers."""
    images = [display for display in rviz["Displays"] if display["Class"].endswith("/Image")]
    for display in (display for display in images if display["Name"] != "Image"):
        if display["Normalize Range"]:
            assert display["Median window"] == 1
        else:
            assert int(display["Max Value"]) > int(display["Min Value"])


def test_rvizs_fixed_frame_is_the_demos_and_depths_default(rviz):
    frame = rviz["Global Options"]["Fixed Frame"]
    camera = ast.literal_eval(constant(tree_of("demo.launch.py"), "CAMERA_ARGUMENTS"))
    arguments = constant(tree_of("depth.launch.py"), "ARGUMENTS")
    depth = dict(zip(keys(arguments), arguments.values, strict=True))
    assert camera["camera_frame"][1] == frame
    assert depth["fixed_frame"].elts[0].value == frame


def test_launch_files_load_nothing_heavy_of_ours():
    """They run in the interpreter of `ros2`, which may lack what the nodes' own environment has."""
    modules = {
        node.module
        for path in LAUNCH_FILES
        for node in ast.walk(tree_of(path.name))
        if isinstance(node, ast.ImportFrom) and node.module.startswith("clip2depth_ros")
    }
    assert modules
    script = "\n".join(f"import {name}" for name in sorted(modules))
    script += "\nimport sys\nprint(*({'numpy', 'cv2', 'openvino', 'rclpy', 'torch'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
