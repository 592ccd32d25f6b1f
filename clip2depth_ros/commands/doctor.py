# SPDX-License-Identifier: Apache-2.0
"""Check this machine: what is installed, what is missing, and what to do about it.

Exits with 1 if the ROS node cannot run here, otherwise with 0.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

from clip2depth_ros import __version__
from clip2depth_ros.commands._shared.doctor_engines import (
    look_at_bundle,
    look_at_gpu,
    look_at_openvino,
    look_at_pytorch,
    look_at_tensorrt,
)
from clip2depth_ros.commands._shared.engine_options import add_bundle_argument, add_engine_choice
from clip2depth_ros.commands._shared.findings import FAIL, OK, WARN, Finding, probe
from clip2depth_ros.engines.probe import package_version
from clip2depth_ros.errors import Clip2DepthError

HELP = "check what works on this machine, and how to fix what does not"

# rclpy is checked in another process: a broken one can crash, and only ros/ may import it.
ROS_PROBE = """
import json, os
found = {}
import rclpy
from rclpy.utilities import get_rmw_implementation_identifier
found["path"] = os.path.dirname(rclpy.__file__)
found["rmw"] = get_rmw_implementation_identifier()
try:
    from clip2depth_ros.msg import DepthQuality
    DepthQuality.__import_type_support__()
    found["messages"] = ""
except Exception as error:
    found["messages"] = f"{type(error).__name__}: {error}"
print(json.dumps(found))
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_bundle_argument(parser)
    add_engine_choice(parser)


def run(args: argparse.Namespace) -> int:
    failed = False
    looks: tuple[Callable[[], Iterator[Finding]], ...] = (
        look_at_python,
        look_at_opencv,
        look_at_gpu,
        look_at_tensorrt,
        look_at_pytorch,
        look_at_openvino,
        lambda: look_at_bundle(args),
        look_at_ros,
        look_at_fast_dds,
        look_at_shared_memory,
        look_at_extras,
    )
    for look in looks:
        for finding in look():
            failed |= finding.level == FAIL
            print(f"{finding.level:4}  {finding.subject:12} {finding.text}")
            if finding.advice:
                print(f"{'':19}-> {finding.advice}", flush=True)
    print("The node cannot run here." if failed else "The node can run here.")
    return int(failed)


def look_at_python() -> Iterator[Finding]:
    """Python and the operating system."""
    yield Finding(OK, "clip2depth", __version__)
    yield Finding(OK, "Python", f"{platform.python_version()} at {sys.executable}")
    try:
        system = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        system = platform.system()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Finding(OK, "System", f"{system}, {platform.machine()}, {cores} CPU cores")


def look_at_opencv() -> Iterator[Finding]:
    """OpenCV, which all image input needs."""
    try:
        import cv2
    except ImportError as error:
        yield Finding(FAIL, "OpenCV", f"cannot be imported ({error})", "pip install opencv-python-headless")
        return
    yield Finding(OK, "OpenCV", cv2.__version__)


def look_at_ros() -> Iterator[Finding]:
    """rclpy, its middleware and our messages."""
    if importlib.util.find_spec("rclpy") is None:
        yield Finding(
            FAIL,
            "ROS 2",
            "rclpy is not installed in this Python",
            "source /opt/ros/<distribution>/setup.bash, or, on x86_64, pip install clip2depth_ros with its "
            "ROS wheels; `clip2depth run` works without ROS",
        )
        return
    found, problem = probe(ROS_PROBE)
    if found is None:
        yield Finding(
            FAIL,
            "ROS 2",
            f"rclpy does not work: {problem}",
            "use the Python that ROS was built for; check `source setup.bash` and the venv",
        )
        return
    yield Finding(OK, "ROS 2", f"rclpy {_rclpy_version()}, {found['rmw']}, at {found['path']}")
    if found["messages"]:
        yield Finding(
            FAIL,
            "Messages",
            f"clip2depth_ros/msg/DepthQuality is not built ({found['messages']})",
            "build the package with colcon and source install/setup.bash, or, on x86_64, pip install it",
        )
    else:
        yield Finding(OK, "Messages", "clip2depth_ros/msg/DepthQuality")


def look_at_fast_dds() -> Iterator[Finding]:
    """Whether Fast DDS, if it is the middleware, is configured for large messages."""
    from clip2depth_ros.ros.fastdds import CHOSEN_BY_USER, large_message_environment

    chosen = {name: value for name in CHOSEN_BY_USER if (value := os.environ.get(name))}
    for name, value in chosen.items():
        if name.endswith("PROFILES_FILE") and not Path(value).is_file():
            yield Finding(
                WARN, "Fast DDS", f"{name} names {value}, which is not a file", f"correct or unset {name}"
            )
            return
    if chosen:
        yield Finding(OK, "Fast DDS", ", ".join(f"{name}={value}" for name, value in chosen.items()))
        return
    middleware = os.environ.get("RMW_IMPLEMENTATION", "")
    if middleware and not middleware.startswith("rmw_fastrtps"):
        yield Finding(OK, "Fast DDS", f"not used, RMW_IMPLEMENTATION is {middleware}")
        return
    advised, reason = large_message_environment()
    advice = " ".join(f"export {name}={value}" for name, value in advised.items()) or reason
    yield Finding(
        WARN,
        "Fast DDS",
        "no profile in this environment: images and clouds are late or lost (launch files and the demo "
        "set one)",
        advice,
    )


def look_at_shared_memory() -> Iterator[Finding]:
    """Shared memory that killed processes left behind, and the free space."""
    from clip2depth_ros.ros.fastdds import SEGMENT, abandoned_segments

    folder = Path("/dev/shm")
    if not folder.is_dir():
        return
    count, size = abandoned_segments(folder)
    free = shutil.disk_usage(folder).free
    if free < 2 * SEGMENT:
        yield Finding(
            WARN,
            "Shared memory",
            f"{folder} has only {free / 1e6:.0f} MB free: large messages fall back to UDP and may be late or "
            "lost",
            "start the container with --shm-size=1g or --ipc=host, and check what fills it: ls -l /dev/shm",
        )
    if count:
        yield Finding(
            WARN,
            "Shared memory",
            f"{count} segments of Fast DDS ({size / 1e6:.0f} MB) belong to killed processes",
            "the next start of a node frees them, and so does `fastdds shm clean`",
        )
    elif free >= 2 * SEGMENT:
        yield Finding(OK, "Shared memory", f"{folder} has {free / 1e6:.0f} MB free")


def look_at_extras() -> Iterator[Finding]:
    """Packages that some commands need and the node does not."""
    extras = (
        ("rosbags", "Bags", "--input BAG and the demo", "pip install rosbags"),
        ("mujoco", "MuJoCo", "the simulator (--input sim:SEED, demo)", "pip install 'clip2depth_ros[sim]'"),
    )
    for module, subject, purpose, advice in extras:
        if importlib.util.find_spec(module) is None:
            yield Finding(OK, subject, f"not installed, for {purpose}: {advice}")
        else:
            yield Finding(OK, subject, f"{metadata.version(module)}, for {purpose}")
    if importlib.util.find_spec("mujoco") is not None:
        from clip2depth_ros.simulation.rendering.gl import choose_backend

        try:
            yield Finding(OK, "OpenGL", f"{choose_backend()}, for the simulator")
        except Clip2DepthError as error:
            yield Finding(WARN, "OpenGL", str(error), "see above; only the simulator needs it")


def _rclpy_version() -> str:
    """Version and origin: the PyPI wheels, or an installed distribution."""
    distribution = os.environ.get("ROS_DISTRO", "")
    wheel, installed = package_version("ros-rclpy"), package_version("rclpy")
    if wheel is not None:
        return f"{wheel} from the PyPI wheels"
    origin = f"ROS {distribution}" if distribution else "an installation"
    return f"{installed or 'unknown version'} from {origin}"
