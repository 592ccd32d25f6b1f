# SPDX-License-Identifier: Apache-2.0
"""colcon builds the package, here against the ROS 2 wheels from PyPI, and the installed package runs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import clip2depth_ros

ROOT = Path(__file__).resolve().parents[2]
COLCON = shutil.which("colcon", path=str(ROOT / ".venv-colcon" / "bin")) or shutil.which("colcon")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.ros,
    pytest.mark.skipif(COLCON is None, reason="no colcon here; make test puts it into .venv-colcon"),
    pytest.mark.skipif(
        not (Path(sys.prefix) / "share" / "ament_cmake").is_dir(),
        reason="the ROS 2 build wheels of PyPI are not installed in this environment",
    ),
]


@pytest.fixture(scope="module")
def workspace(sources, tmp_path_factory) -> Path:
    """A colcon workspace with the package built in it."""
    folder = tmp_path_factory.mktemp("workspace")
    shutil.copytree(sources, folder / "src" / "clip2depth_ros")
    variables = {
        **os.environ,
        "AMENT_PREFIX_PATH": sys.prefix,
        "CMAKE_PREFIX_PATH": sys.prefix,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    include = folder / "src" / "clip2depth_ros" / "cmake" / "ros_wheels.cmake"
    command = [COLCON, "build", "--base-paths", "src", "--event-handlers", "console_direct+"]
    command += ["--cmake-args", "-DBUILD_TESTING=OFF"]
    command += [f"-DCMAKE_PROJECT_INCLUDE={include}", f"-DPython3_EXECUTABLE={sys.executable}"]
    done = subprocess.run(
        command,
        cwd=folder,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return folder


def sourced(workspace: Path) -> dict[str, str]:
    """The environment of a shell that sourced the workspace's setup file."""
    base = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    base["AMENT_PREFIX_PATH"] = sys.prefix
    shown = subprocess.run(
        ["bash", "-c", ". install/local_setup.bash && env -0"],
        cwd=workspace,
        env=base,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return dict(line.split("=", 1) for line in shown.split("\0") if line)


def test_sourced_python_imports_the_installed_package(workspace):
    code = (
        "import clip2depth_ros; from clip2depth_ros.msg import DepthQuality;"
        "from ament_index_python.packages import get_package_share_directory as share;"
        "print(clip2depth_ros.__file__); print(share('clip2depth_ros'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=workspace,
        env=sourced(workspace),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    package, share = map(Path, done.stdout.split())
    install = workspace / "install" / "clip2depth_ros"
    assert package.is_relative_to(install)
    assert share == install / "share" / "clip2depth_ros"
    assert (share / "launch" / "depth.launch.py").is_file()


def test_installed_command_runs(workspace):
    done = subprocess.run(
        ["clip2depth", "--version"],
        cwd=workspace,
        env=sourced(workspace),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert clip2depth_ros.__version__ in done.stdout


def test_installed_node_runs_until_it_is_interrupted(workspace, tiny_bundle):
    program = workspace / "install" / "clip2depth_ros" / "lib" / "clip2depth_ros" / "depth_node"
    log = workspace / "depth_node.log"
    with log.open("w") as output:
        node = subprocess.Popen(
            [program, "--ros-args", "-p", f"bundle:={tiny_bundle.path}"],
            cwd=workspace,
            env=sourced(workspace),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + 60
        while "Ready:" not in log.read_text() and node.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        assert "Ready:" in log.read_text(), log.read_text()
        node.send_signal(signal.SIGINT)
        assert node.wait(timeout=30) == 0, log.read_text()
        assert "Traceback" not in log.read_text()
    finally:
        if node.poll() is None:
            node.kill()
            node.wait()
