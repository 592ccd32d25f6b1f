# SPDX-License-Identifier: Apache-2.0
"""The launch files with launch itself. Skipped if launch_ros is not installed: it is not on PyPI."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.ros import fastdds
from clip2depth_ros.ros.parameters.declaration import parameters_of
from clip2depth_ros.ros.parameters.depth_settings import DepthSettings

# `import launch` alone would find the folder launch/ of this repository.
pytest.importorskip("launch.actions", reason="launch is not installed (it comes with a ROS installation)")
pytest.importorskip(
    "launch_ros.actions", reason="launch_ros is not installed (it comes with a ROS installation)"
)

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 60.0
DEFAULTS = {fact.name: "" for fact in parameters_of(DepthSettings)} | {"use_sim_time": ""}
RUN = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
file, *arguments = sys.argv[1:]
service = LaunchService(noninteractive=True)
service.include_launch_description(LaunchDescription([IncludeLaunchDescription(
    PythonLaunchDescriptionSource(file), launch_arguments=[tuple(a.split(":=")) for a in arguments])]))
sys.exit(service.run())
"""


def loaded(name: str):
    """Import a launch file as a module."""
    from launch.launch_description_sources.python_launch_file_utilities import (
        load_python_launch_file_as_module,
    )

    return load_python_launch_file_as_module(str(ROOT / "launch" / name))


def arguments_of(name: str) -> dict[str, str]:
    """Declared arguments with their descriptions, including those of included files."""
    description = loaded(name).generate_launch_description()
    return {argument.name: argument.description for argument in description.get_launch_arguments()}


def test_every_parameter_of_the_depth_node_is_an_argument_with_its_description():
    arguments = arguments_of("depth.launch.py")
    for fact in parameters_of(DepthSettings):
        assert arguments[fact.name].startswith(fact.description)


def test_the_demo_accepts_the_arguments_of_depth():
    assert set(arguments_of("demo.launch.py")) >= {*arguments_of("depth.launch.py"), "input", "loop", "rate"}


def test_only_given_arguments_become_parameters_of_the_right_type():
    given = {
        **DEFAULTS,
        **{"bundle": "7", "autostart": "false", "points.stride": "4", "points.max_range": "8"},
        **{"use_sim_time": "True"},
    }
    values = {name: value.value for name, value in loaded("depth.launch.py")._parameters(given).items()}
    assert values == {
        **{"bundle": "7", "autostart": False, "points.stride": 4, "points.max_range": 8.0},
        **{"use_sim_time": True},
    }
    assert [type(value) for value in values.values()] == [bool, str, int, float, bool]
    assert loaded("depth.launch.py")._parameters(DEFAULTS) == {}


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        ("points.stride", "0"),
        ("points.stride", "much"),
        ("depth.encoding", "8UC1"),
        ("use_sim_time", "maybe"),
    ],
)
def test_an_invalid_value_is_rejected_by_name(argument, text):
    with pytest.raises(Clip2DepthError, match=argument):
        loaded("depth.launch.py")._parameters({**DEFAULTS, argument: text})


def test_a_missing_parameter_file_is_named(tmp_path):
    with pytest.raises(Clip2DepthError, match=r"nowhere\.yaml"):
        loaded("depth.launch.py")._file(str(tmp_path / "nowhere.yaml"))


@pytest.mark.parametrize("text", ["", " , ", "front,front", "front,2nd", "front;rear", "front/"])
def test_cameras_are_different_names(text):
    if text == "front/":
        assert loaded("multi_camera.launch.py")._names(text) == ["front"]
        return
    with pytest.raises(Clip2DepthError, match="must be different names separated by commas"):
        loaded("multi_camera.launch.py")._names(text)


def test_a_camera_uses_its_own_parameter_file(tmp_path):
    multi = loaded("multi_camera.launch.py")
    (tmp_path / "front.yaml").write_text("")
    assert multi._file(str(tmp_path), "front") == str(tmp_path / "front.yaml")
    assert multi._file(str(tmp_path), "rear") == "" == multi._file("", "front")
    with pytest.raises(Clip2DepthError, match="does not exist"):
        multi._file(str(tmp_path / "nowhere"), "front")


@pytest.fixture
def pictures(tmp_path) -> Path:
    """A folder of a few small images."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    noise = np.random.default_rng(3)
    for i in range(5):
        cv2.imwrite(str(folder / f"{i:03d}.png"), noise.integers(0, 256, (48, 64, 3), np.uint8))
    return folder


@pytest.fixture
def own_graph(monkeypatch, tmp_path):
    """This machine only, in a private domain."""
    monkeypatch.setenv("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "log"))
    for name in fastdds.CHOSEN_BY_USER:
        monkeypatch.delenv(name, raising=False)


@contextlib.contextmanager
def running(log: Path, file: str, *arguments: str):
    """The launch file in a child process, which is ended if it is still running."""
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(ROOT / "launch" / file), *arguments],
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True, cwd=log.parent,
        )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def depth_images(topic: str, seconds: float, count: int) -> list:
    """Up to `count` depth images, within `seconds`."""
    import rclpy
    from sensor_msgs.msg import Image

    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("launch_tester", context=context)
    executor = rclpy.executors.SingleThreadedExecutor(context=context)
    executor.add_node(node)
    arrived: list = []
    subscription = node.create_subscription(Image, topic, arrived.append, 5)
    deadline = time.monotonic() + seconds
    while len(arrived) < count and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.2)
    node.destroy_subscription(subscription)
    executor.shutdown()
    node.destroy_node()
    rclpy.shutdown(context=context)
    return arrived


def depth_of_sent_images(namespaces: tuple[str, ...], seconds: float) -> dict[str, tuple[str, str]]:
    """Sends images to each namespace; encoding and frame_id of the first depth from each."""
    import rclpy
    from sensor_msgs.msg import Image

    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("launch_tester", context=context)
    executor = rclpy.executors.SingleThreadedExecutor(context=context)
    executor.add_node(node)
    found: dict[str, tuple[str, str]] = {}
    cameras = []
    for namespace in namespaces:
        image = Image(encoding="mono8", width=64, height=48, step=64, data=bytes(64 * 48))
        image.header.frame_id = namespace.rsplit("/", 1)[-1]
        cameras.append((node.create_publisher(Image, f"{namespace}/image_raw", 2), image))

        def arrived(depth, namespace=namespace):
            found.setdefault(namespace, (depth.encoding, depth.header.frame_id))

        node.create_subscription(Image, f"{namespace}/clip2depth/depth/image_rect", arrived, 5)
    deadline = time.monotonic() + seconds
    while len(found) < len(namespaces) and time.monotonic() < deadline:
        for publisher, image in cameras:
            image.header.stamp = node.get_clock().now().to_msg()
            publisher.publish(image)
        executor.spin_once(timeout_sec=0.1)
    executor.shutdown()
    node.destroy_node()
    rclpy.shutdown(context=context)
    return found


@pytest.fixture
def installed():
    pytest.importorskip("rclpy", reason="rclpy is not installed")
    from ament_index_python.packages import PackageNotFoundError, get_package_prefix

    try:
        get_package_prefix("clip2depth_ros")
    except (PackageNotFoundError, LookupError):
        pytest.skip("clip2depth_ros is not installed in AMENT_PREFIX_PATH")


@pytest.mark.slow
@pytest.mark.ros
def test_the_demo_makes_depth_with_its_arguments_and_ends_on_an_interrupt(
    installed, own_graph, pictures, tiny_bundle, tmp_path
):
    log = tmp_path / "demo.txt"
    mine = tmp_path / "mine.yaml"
    mine.write_text("/**:\n  ros__parameters:\n    depth: {encoding: 16UC1}\n    bundle: nowhere\n")
    with running(
        log, "demo.launch.py",
        f"input:={pictures}", "horizontal_fov:=1.0", "rate:=10", "namespace:=robot", "name:=eye",
        f"bundle:={tiny_bundle.path}", f"params_file:={mine}",
    ) as process:  # fmt: skip
        images = depth_images("/robot/eye/depth/image_rect", DEADLINE, 3)
        assert len(images) == 3, log.read_text()
        assert {image.encoding for image in images} == {"16UC1"}  # of the file
        assert {image.header.frame_id for image in images} == {"camera_optical_frame"}
        assert {(image.width, image.height) for image in images} == {(64, 48)}
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 0, log.read_text()
    assert log.read_text().count("process has finished cleanly") == 2, log.read_text()


@pytest.mark.slow
@pytest.mark.ros
def test_the_demo_ends_with_its_input(installed, own_graph, pictures, tiny_bundle, tmp_path):
    log = tmp_path / "demo.txt"
    with running(
        log, "demo.launch.py",
        f"input:={pictures}", "horizontal_fov:=1.0", "loop:=false", f"bundle:={tiny_bundle.path}",
    ) as process:  # fmt: skip
        assert depth_images("/clip2depth/depth/image_rect", DEADLINE, 3), log.read_text()
        assert process.wait(DEADLINE) == 0, log.read_text()
    assert "5 images published" in log.read_text()


@pytest.mark.slow
@pytest.mark.ros
@pytest.mark.parametrize("one_process", [True, False])
def test_two_cameras_have_one_node_each_with_its_own_parameters(
    installed, own_graph, tiny_bundle, tmp_path, one_process
):
    log = tmp_path / "cameras.txt"
    folder = tmp_path / "cameras"
    folder.mkdir()
    (folder / "rear.yaml").write_text("/**:\n  ros__parameters:\n    depth: {encoding: 16UC1}\n")
    with running(
        log, "multi_camera.launch.py", "cameras:=front,rear", "namespace:=robot", f"params_folder:={folder}",
        f"bundle:={tiny_bundle.path}", "horizontal_fov:=1.0", f"one_process:={one_process}",
    ) as process:  # fmt: skip
        found = depth_of_sent_images(("/robot/front", "/robot/rear"), DEADLINE)
        assert found == {"/robot/front": ("32FC1", "front"), "/robot/rear": ("16UC1", "rear")}, (
            log.read_text()
        )
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 0, log.read_text()
    assert log.read_text().count("process has finished cleanly") == (1 if one_process else 2), log.read_text()


@pytest.mark.slow
@pytest.mark.ros
def test_a_bundle_that_does_not_exist_ends_the_node_with_its_reason(installed, own_graph, tmp_path):
    log = tmp_path / "depth.txt"
    with running(log, "depth.launch.py", "bundle:=no_such_bundle") as process:
        process.wait(DEADLINE)
    assert "No bundle is called 'no_such_bundle'" in log.read_text()
    assert "exit code 2" in log.read_text()
    assert "Traceback" not in log.read_text()


def pids_of(program: str, above: int) -> list[int]:
    """Processes of that program below a process."""
    found = subprocess.run(["pgrep", "-P", str(above), "-f", program], capture_output=True, text=True)
    return [int(text) for text in found.stdout.split()]


@pytest.mark.slow
@pytest.mark.ros
def test_a_killed_node_is_restarted(installed, own_graph, tiny_bundle, tmp_path):
    log = tmp_path / "depth.txt"
    with running(
        log,
        "depth.launch.py",
        "image_topic:=/image_raw",
        f"bundle:={tiny_bundle.path}",
        "horizontal_fov:=1.0",
    ) as process:
        assert depth_of_sent_images(("",), DEADLINE), log.read_text()
        (first,) = pids_of("depth_node", process.pid)
        os.kill(first, signal.SIGKILL)
        assert depth_of_sent_images(("",), DEADLINE), log.read_text()
        (second,) = pids_of("depth_node", process.pid)
        assert second != first and "ended with -9 and is restarted" in log.read_text()
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 0, log.read_text()
    assert log.read_text().count("is restarted") == 1
