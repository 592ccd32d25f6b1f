# SPDX-License-Identifier: Apache-2.0
"""Required packages: modules imported in a new Python without the heavy packages.

test/test_floors.py checks the same rule in the sources; this test includes indirect imports.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TORCH = {"torch", "torchvision", "open_clip", "safetensors", "accelerate", "tensorboard"}
TORCH_ROOMS = ("network/", "training/", "adaptation/", "export/exporter.py")
ROS = {"rclpy", "cv_bridge", "ament_index_python", "rosidl_runtime_py", "std_msgs", "sensor_msgs"}


def run_path(root: Path) -> set[str]:
    """Dotted names inside the package of every module that runs without PyTorch."""
    package = root / "clip2depth_ros"
    files = (path.relative_to(package) for path in package.rglob("*.py"))
    return {
        ".".join(file.with_suffix("").parts).removesuffix(".__init__")
        for file in files
        if not file.as_posix().startswith(TORCH_ROOMS) and file.name != "__main__.py" and len(file.parts) > 1
    }


def import_error(root: Path, names: set[str], without: set[str]) -> str:
    """Error output of a new Python without the packages `without` on importing the modules; "" if none."""
    code = f"""
import importlib, sys
for name in {sorted(without)}:
    sys.modules[name] = None
for name in {sorted(names)}:
    importlib.import_module("clip2depth_ros." + name)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0 or done.stderr
    return done.stderr if done.returncode else ""


@pytest.mark.ros
def test_the_run_path_imports_without_torch(root):
    pytest.importorskip("rclpy", reason="rclpy is not installed")
    names = run_path(root)
    assert "ros.nodes.depth_node" in names
    assert import_error(root, names, TORCH) == ""


def test_all_modules_except_the_nodes_import_without_ros(root):
    names = {name for name in run_path(root) if name.split(".")[0] != "ros"}
    assert {"commands.run", "io.messages.images"} <= names
    assert import_error(root, names, ROS | TORCH) == ""


def test_a_missing_package_is_detected(root):
    assert "numpy" in import_error(root, {"camera.pinhole"}, {"numpy"})
