# SPDX-License-Identifier: Apache-2.0
"""Installs with pip what CMake installs under colcon: Python package, messages, launch and config files.

CMake builds the messages against the ROS 2 wheels in the build environment and installs them into a staging
folder. Their Python modules go beside the package; libraries, headers and share go into the environment's
prefix, where ROS tools look for them. If PyPI has no ROS 2 for the machine (cmake/ros_wheels.py), the wheel
contains only the Python package. Everything else is in pyproject.toml.
"""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from setuptools import Command, Distribution, setup
from setuptools.command.build import build

ROOT = Path(__file__).resolve().parent
NAME = "clip2depth_ros"
sys.path.insert(0, str(ROOT / "cmake"))

import ros_wheels  # noqa: E402

WITH_ROS = ros_wheels.distribution() is not None


def ament_prefix() -> Path:
    """The prefix of the ROS wheels (with share/ and lib/): pip's isolated build environment, or the venv."""
    spec = find_spec("ament_package")
    if spec is None or spec.origin is None:
        raise SystemExit(
            "Building the messages needs the ROS 2 wheels of PyPI, and ros-ament-package is not installed: "
            "omit --no-build-isolation, or build with colcon on a ROS installation."
        )
    for prefix in Path(spec.origin).parents:
        if (prefix / "share" / "ament_cmake").is_dir():
            return prefix
    raise SystemExit(
        f"ament_package at {spec.origin} is not a PyPI wheel of ROS 2 (no share/ament_cmake above it): "
        "build with colcon there, or open a shell in which no ROS installation is sourced."
    )


def build_messages(build_folder: Path, staging: Path) -> None:
    """Configure, build and install the CMake project into `staging`. Raises SystemExit if CMake fails."""
    prefix = ament_prefix()
    # a cache from another environment would refer to folders that no longer exist
    for folder in (build_folder, staging):
        shutil.rmtree(folder, ignore_errors=True)
    configure = [
        "cmake", "-S", str(ROOT), "-B", str(build_folder), "-G", "Ninja",
        f"-DCMAKE_INSTALL_PREFIX={staging}",
        f"-DCMAKE_PROJECT_INCLUDE={ROOT / 'cmake' / 'ros_wheels.cmake'}",
        f"-DPython3_EXECUTABLE={sys.executable}",
        "-DCMAKE_BUILD_TYPE=Release",
        "-DBUILD_TESTING=OFF",
        "-DCLIP2DEPTH_PYTHON=OFF",
    ]  # fmt: skip
    environment = {
        **os.environ,
        "AMENT_PREFIX_PATH": str(prefix),
        "CMAKE_PREFIX_PATH": str(prefix),
        # without build isolation, CMake and Ninja may be in an environment that is not activated
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }
    for tool in ("cmake", "ninja"):
        if shutil.which(tool, path=environment["PATH"]) is None:
            raise SystemExit(
                f"Building the messages needs {tool}, which is not installed: pip install {tool}"
            )
    compile_ = ["cmake", "--build", str(build_folder)]
    install = ["cmake", "--install", str(build_folder)]
    for command in (configure, compile_, install):
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{done.stdout}\nBuilding the messages failed in: {' '.join(command)}")


class BuildMessages(Command):
    """A step of `build`: builds the messages as Python modules and as files for the environment's prefix."""

    description = "build the ROS 2 messages with CMake"
    user_options = [
        ("build-lib=", "d", "folder of the built modules"),
        ("build-temp=", "t", "folder of the build"),
    ]
    editable_mode = False

    def initialize_options(self):
        self.build_lib = None
        self.build_temp = None

    def finalize_options(self):
        self.set_undefined_options("build", ("build_lib", "build_lib"), ("build_temp", "build_temp"))

    def run(self):
        folder = Path(self.build_temp).resolve()
        staging = folder / "messages_installed"
        build_messages(folder / "messages", staging)
        # In an editable installation the messages go into the environment; the package stays in the source
        # tree.
        install_lib = self.get_finalized_command("install").install_lib
        self._install_modules(staging, Path(install_lib if self.editable_mode else self.build_lib) / NAME)
        for path in sorted(staging.rglob("*")):
            if path.is_file():
                relative = path.relative_to(staging).parent
                self.distribution.data_files.append((str(relative), [str(path)]))
        if self.editable_mode:
            self.run_command("install_data")  # setuptools omits it in an editable installation

    def _install_modules(self, staging: Path, destination: Path) -> None:
        """Move the generated modules to `destination`, without their empty __init__.py and C sources."""
        (init,) = staging.glob(f"**/{NAME}/__init__.py")
        modules = init.parent
        init.unlink()
        for path in sorted(modules.rglob("*")):
            if path.suffix in (".py", ".so"):
                target = destination / path.relative_to(modules)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, target)
        shutil.rmtree(modules.parent)  # includes rosidl's egg-info; pip writes its own

    def get_source_files(self):
        return []

    def get_outputs(self):
        return []

    def get_output_mapping(self):
        return {}


class Build(build):
    sub_commands = [*build.sub_commands, ("build_messages", lambda self: WITH_ROS)]


class BinaryDistribution(Distribution):
    """The wheel contains compiled libraries (the messages), although setuptools does not compile them."""

    def has_ext_modules(self):
        return WITH_ROS


setup(
    distclass=BinaryDistribution,
    cmdclass={"build": Build, "build_messages": BuildMessages},
    data_files=[],
    install_requires=[
        "numpy>=1.23",
        "opencv-python-headless>=4.7",
        "openvino>=2024.0",
        "platformdirs>=2.5",
        "pyyaml>=6",
        "rosbags>=0.11",
        "tqdm",
        *ros_wheels.run_requirements(),
    ],
)
