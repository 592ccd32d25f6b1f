# SPDX-License-Identifier: Apache-2.0
"""Who may import whom: the building's floors, and the two heavy guests, ROS and PyTorch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

# from the ground up; a room imports rooms of floors below its own
FLOORS = [
    {"errors", "frame", "camera"},
    {"network", "stabilizer", "scale", "outputs"},
    {"bundle"},
    {"engines"},
    {"pipeline"},
    {"sources", "simulation"},
    {"training"},
    {"ros", "cli", "commands", "demo", "results"},
]
# what rooms of one floor share
NEIGHBOURS = {("frame", "camera"), ("camera", "errors"), ("frame", "errors"), ("sources", "simulation")}
# pure presentation: arrays in, pictures out
ANYWHERE = {"pictures"}
# A bag holds messages: its reader borrows the node's codec, which imports no ROS itself.
CODEC = {"ros.camera_info", "ros.messages"}
CODEC_READERS = {"sources/bag.py"}
TORCH = {"torch", "torchvision", "open_clip", "safetensors"}
TORCH_ROOMS = {"network", "training"}
TORCH_FILES = {
    "bundle/export.py",
    "commands/export.py",
    "commands/train.py",
    "engines/pytorch.py",
    "engines/tensorrt.py",
}
ROS = {"rclpy", "cv_bridge", "ament_index_python", "rosidl_runtime_py"}


def modules(root: Path):
    """(path inside the package, room, syntax tree) of every file of the package."""
    package = root / "clip2depth_ros"
    for path in sorted(package.rglob("*.py")):
        inside = path.relative_to(package)
        if inside.name == "__main__.py" or str(inside) == "__init__.py":
            continue
        yield inside, inside.parts[0].removesuffix(".py"), ast.parse(path.read_text())


def imported(node, inside: Path) -> list[str]:
    """Absolute names of the modules that an import statement of the file at `inside` names."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = node.module or ""
    if node.level:
        above = ("clip2depth_ros", *inside.parts[:-1])
        above = above[: len(above) - node.level + 1]
        base = ".".join([*above, *([node.module] if node.module else [])])
    # `from clip2depth_ros import camera` imports a room too
    return [base, *(f"{base}.{alias.name}" for alias in node.names)]


def floor_of(room: str) -> int | None:
    return next((number for number, rooms in enumerate(FLOORS) if room in rooms), None)


def test_every_room_has_its_floor(root):
    rooms = {room for _, room, _ in modules(root)}
    assert {room for room in rooms if floor_of(room) is None} - ANYWHERE == set()


def test_imports_go_down(root):
    upward = []
    for inside, room, tree in modules(root):
        for node in ast.walk(tree):
            for name in imported(node, inside):
                parts = name.split(".")
                if parts[0] != "clip2depth_ros" or len(parts) < 2 or parts[1] == "msg":
                    continue
                if inside.as_posix() in CODEC_READERS and ".".join(parts[1:3]) in CODEC:
                    continue
                other = parts[1]
                if other == room or other in ANYWHERE or floor_of(other) is None or floor_of(room) is None:
                    continue
                if floor_of(other) > floor_of(room) or (
                    floor_of(other) == floor_of(room)
                    and (room, other) not in NEIGHBOURS
                    and floor_of(room) != len(FLOORS) - 1
                ):
                    upward.append(f"{inside} imports {other}")
    assert sorted(set(upward)) == []


def test_only_the_ros_room_imports_ros(root):
    guests = []
    for inside, room, tree in modules(root):
        if room == "ros":
            continue
        for node in ast.walk(tree):
            for name in imported(node, inside):
                top = name.split(".")[0]
                messages = top.endswith(("_msgs", "_srvs", "_interfaces"))
                if top in ROS or messages or name.startswith("clip2depth_ros.msg"):
                    guests.append(f"{inside} imports {name}")
    assert sorted(set(guests)) == []


def test_only_training_and_its_like_import_torch(root):
    guests = []
    for inside, room, tree in modules(root):
        if room in TORCH_ROOMS or inside.as_posix() in TORCH_FILES:
            continue
        for node in ast.walk(tree):
            names = {name.split(".")[0] for name in imported(node, inside)}
            guests += [f"{inside} imports {name}" for name in names & TORCH]
    assert guests == []


def imports_without(root: Path, names: list[str], blocked: set[str]) -> str:
    """The complaint of a fresh Python without the `blocked` packages on importing the modules, or ""."""
    code = f"""
import importlib, sys
for name in {sorted(blocked)}:
    sys.modules[name] = None
for name in {names}:
    importlib.import_module("clip2depth_ros." + name)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0 or done.stderr
    return done.stderr if done.returncode else ""


def names_of(root: Path, wanted) -> list[str]:
    return [
        ".".join(inside.with_suffix("").parts).removesuffix(".__init__")
        for inside, room, _ in modules(root)
        if wanted(room, inside.as_posix())
    ]


@pytest.mark.ros
def test_the_run_path_imports_without_torch(root):
    pytest.importorskip("rclpy", reason="rclpy is not installed")
    run_path = names_of(root, lambda room, path: room not in TORCH_ROOMS and path not in TORCH_FILES)
    assert "ros.depth_node" in run_path
    assert imports_without(root, run_path, TORCH) == ""


def test_everything_but_the_nodes_imports_without_ros(root):
    ground = names_of(root, lambda room, path: room not in TORCH_ROOMS | {"ros"} and path not in TORCH_FILES)
    assert "commands.run" in ground
    assert imports_without(root, [*ground, *sorted(CODEC)], ROS | TORCH | {"std_msgs", "sensor_msgs"}) == ""


@pytest.mark.parametrize(
    "statement", ["from ..network import x", "from clip2depth_ros import network", "import torch"]
)
def test_these_tests_see(statement):
    """The reader of imports itself: relative, from the package, and plain."""
    names = imported(ast.parse(statement).body[0], Path("engines/openvino.py"))
    assert any(name.split(".")[:2] == ["clip2depth_ros", "network"] or name == "torch" for name in names)
