# SPDX-License-Identifier: Apache-2.0
"""pip installs the same as colcon: package, programs, messages, launch and config files."""

from __future__ import annotations

import email
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

import clip2depth_ros

pytestmark = [
    pytest.mark.slow,
    pytest.mark.ros,
    pytest.mark.skipif(find_spec("pip") is None, reason="pip is not installed in this environment"),
    pytest.mark.skipif(
        not (Path(sys.prefix) / "share" / "ament_cmake").is_dir(),
        reason="the ROS 2 build wheels of PyPI are not installed in this environment",
    ),
]

NODES = {"depth_node", "depth_nodes", "camera_node", "adapt_node"}


@pytest.fixture(scope="module")
def wheel(sources) -> Path:
    """The wheel, built without network against the ROS wheels of this environment."""
    pip = [sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--no-index"]
    done = subprocess.run([*pip, "-w", "dist", "."], cwd=sources, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = (sources / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def files(wheel) -> set[str]:
    """Names of the files in the wheel; files for the environment's prefix begin with PREFIX/."""
    prefix = f"clip2depth_ros-{clip2depth_ros.__version__}.data/data/"
    with zipfile.ZipFile(wheel) as archive:
        return {name.replace(prefix, "PREFIX/") for name in archive.namelist()}


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory) -> Path:
    """A virtual environment with the wheel; all other packages are this environment's."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    paths = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install"]
    done = subprocess.run(
        [*pip, "--no-index", "--no-deps", str(wheel)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # this adds the packages of this environment, but not the targets of its .pth files such as the sources
    Path(paths["purelib"], "outer.pth").write_text(sysconfig.get_path("purelib"))
    return folder


def run(environment: Path, *command: str) -> subprocess.CompletedProcess:
    """Run a program of the environment outside the sources, with the ROS wheels' libraries available."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    libraries = [environment / "lib", Path(sys.prefix) / "lib"]
    libraries += sorted(Path(sysconfig.get_path("purelib")).glob("ros_*.libs"))
    variables["LD_LIBRARY_PATH"] = os.pathsep.join(map(str, libraries))
    variables["AMENT_PREFIX_PATH"] = f"{environment}{os.pathsep}{sys.prefix}"
    variables["_ROS_WHEELS_BOOTSTRAP_COMPLETE"] = "1"
    return subprocess.run(
        [str(environment / command[0]), *command[1:]],
        cwd=environment,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def source_files(sources: Path) -> set[str]:
    """Names of the Python package's files."""
    return {
        path.relative_to(sources).as_posix()
        for path in (sources / "clip2depth_ros").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


def test_every_source_file_is_in_the_wheel(files, sources):
    assert source_files(sources) - files == set()
    shared = {
        f"PREFIX/share/clip2depth_ros/{path.relative_to(sources).as_posix()}"
        for folder in ("launch", "config")
        for path in (sources / folder).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert shared - files == set()


def test_ros_finds_the_package(files):
    share = "PREFIX/share/clip2depth_ros"
    assert "PREFIX/share/ament_index/resource_index/packages/clip2depth_ros" in files
    assert {f"{share}/package.xml", f"{share}/msg/DepthQuality.msg"} <= files
    assert {f"PREFIX/lib/clip2depth_ros/{name}" for name in NODES} <= files
    assert {"clip2depth_ros/msg/__init__.py", "clip2depth_ros/msg/_depth_quality.py"} <= files
    # the package's own __init__.py, not the empty one from the message generator
    assert [name for name in files if name.endswith("/clip2depth_ros/__init__.py")] == []
    assert "clip2depth_ros/__init__.py" in files


def test_no_build_products_in_the_wheel(files):
    assert [name for name in files if "__pycache__" in name or name.endswith((".c.o", "egg-info"))] == []
    assert [name for name in files if name.startswith(("test/", "cmake/", "build/"))] == []


def test_metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
    assert metadata["Version"] == clip2depth_ros.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    running = [line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line]
    assert [line for line in running if "rclpy" in line]
    assert [line for line in running if "torch" in line or "onnx" in line or "mujoco" in line] == []


def test_installed_package_is_complete(environment):
    code = """
import clip2depth_ros, sys
from ament_index_python.packages import get_package_share_directory
from clip2depth_ros.msg import DepthQuality
from rclpy.serialization import deserialize_message, serialize_message
message = DepthQuality(engine="openvino", latency=0.25)
assert deserialize_message(serialize_message(message), DepthQuality) == message
print(clip2depth_ros.__file__)
print(get_package_share_directory("clip2depth_ros"))
"""
    done = run(environment, "bin/python", "-c", code)
    assert done.returncode == 0, done.stderr
    package, share = map(Path, done.stdout.split())
    assert package.is_relative_to(environment)
    assert share == environment / "share" / "clip2depth_ros"
    assert (share / "launch" / "depth.launch.py").is_file()


def test_installed_programs_run(environment):
    done = run(environment, "bin/clip2depth", "--version")
    assert done.returncode == 0, done.stderr
    assert clip2depth_ros.__version__ in done.stdout
    for name in sorted(NODES):
        assert os.access(environment / "lib" / "clip2depth_ros" / name, os.X_OK)
        # rclpy rejects an invalid argument, long after all imports
        cameras = ["front"] if name == "depth_nodes" else []
        done = run(environment, f"lib/clip2depth_ros/{name}", *cameras, "--ros-args", "--not-an-argument")
        assert done.returncode != 0
        assert "--not-an-argument" in done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel_without_ros(sources, tmp_path_factory) -> Path:
    """What pip builds on Arm, or with CLIP2DEPTH_ROS=none, from a clean tree."""
    folder = tmp_path_factory.mktemp("without_ros")
    tree = shutil.copytree(
        sources, folder / "tree", ignore=shutil.ignore_patterns("build", "dist", "*.egg-info")
    )
    pip = [sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--no-index"]
    variables = os.environ | {"CLIP2DEPTH_ROS": "none"}
    done = subprocess.run(
        [*pip, "-w", folder, "."], cwd=tree, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


def test_without_ros_the_wheel_is_the_python_package_for_every_machine(wheel_without_ros, sources):
    assert wheel_without_ros.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel_without_ros) as archive:
        names = set(archive.namelist())
        (name,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
    assert {name for name in names if ".dist-info/" not in name} == source_files(sources)
    running = {line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line}
    assert {line.split(">")[0] for line in running} >= {"numpy", "opencv-python-headless", "openvino"}
    assert [line for line in running if line.startswith("ros-")] == []


def test_without_ros_a_node_exits_with_one_sentence(wheel_without_ros, tmp_path):
    with zipfile.ZipFile(wheel_without_ros) as archive:
        archive.extractall(tmp_path)
    for hidden, what in (("rclpy", "no ROS 2"), ("clip2depth_ros.msg", "no messages of this package")):
        code = f"""
import importlib.util, sys
sys.path.insert(0, {str(tmp_path)!r})
from clip2depth_ros.ros import starting
found = starting.find_spec
starting.find_spec = lambda name: None if name == {hidden!r} else found(name)
sys.exit(starting.depth_node())
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith(f"depth_node: error: {what} in this Python")
        assert "colcon" in done.stderr and done.stderr.count("\n") == 1
