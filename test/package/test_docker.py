# SPDX-License-Identifier: Apache-2.0
"""Static checks of the Dockerfiles: copied files exist, installed packages are the required ones."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "docker").glob("Dockerfile.*"))

# Packages for building and launching, in addition to the package's own dependencies.
TOOLS = {"g++", "python3-dev", "python3-venv", "python3-colcon-common-extensions"}
BASE = {"ros-base"}  # ROS for an image without it
EXTRAS = {"Dockerfile.desktop": "rtx", "Dockerfile.l4t": "gpu"}  # TensorRT itself comes with JetPack


def instructions(path: Path) -> list[tuple[str, str]]:
    """(keyword, rest) of every instruction, with joined lines and without comments."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    text = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


def apt_packages(path: Path) -> set[str]:
    """Packages installed by apt-get; a ROS package by its name after the distribution."""
    found = set()
    for keyword, rest in instructions(path):
        if keyword == "RUN":
            for words in re.findall(r"apt-get install ([^&|;]*)", rest):
                found |= {word for word in words.split() if not word.startswith("-")}
    return {name.removeprefix("ros-${ROS_DISTRO}-") for name in found}


def pip_packages(path: Path) -> set[str]:
    """Packages installed by pip, by bare name."""
    found = set()
    for keyword, rest in instructions(path):
        for words in re.findall(r"pip install ([^&|;]*)", rest) if keyword == "RUN" else ():
            given = iter(shlex.split(words))
            for word in given:
                if word in ("--index-url", "--extra-index-url"):
                    next(given)
                elif not word.startswith("-"):
                    found.add(bare(word))
    return found


def bare(requirement: str) -> str:
    return re.split(r"[<>=~!\[; ]", requirement)[0].lower()


def wanted_of_apt() -> set[str]:
    """Dependencies in package.xml without tests, in apt's spelling."""
    package = xml.parse(ROOT / "package.xml").getroot()
    kinds = ("buildtool_depend", "depend", "exec_depend")
    return {entry.text.replace("_", "-") for kind in kinds for entry in package.iter(kind)}


def wanted_of_pip(name: str) -> tuple[set[str], set[str]]:
    """Requirements of setup.py that are not provided by ROS or apt packages, and the extra."""
    text = (ROOT / "setup.py").read_text()
    listed = text.partition("install_requires=[")[2].partition("]")[0]
    required = {bare(name) for name in re.findall(r'"([^"]+)"', listed)}
    project = (ROOT / "pyproject.toml").read_text()
    extra = re.search(rf"^{name} = \[(.*?)\]", project, re.MULTILINE | re.DOTALL)
    assert {"openvino", "rosbags"} <= required and extra, "setup.py or pyproject.toml is written otherwise"
    apt = {"opencv-python-headless", "platformdirs", "pyyaml"}
    return required - apt, {bare(name) for name in re.findall(r'"([^"]+)"', extra[1])}


def test_one_dockerfile_for_jetson_and_one_for_desktop():
    assert [path.name for path in FILES] == ["Dockerfile.desktop", "Dockerfile.l4t"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
class TestFile:
    def test_every_copied_file_exists_and_is_kept_by_dockerignore(self, path):
        ignored = {line.rstrip("/") for line in (ROOT / ".dockerignore").read_text().splitlines()}
        copied = [shlex.split(rest)[:-1] for keyword, rest in instructions(path) if keyword == "COPY"]
        assert copied
        for name in (name for names in copied for name in names):
            assert (ROOT / name).exists(), f"{path.name} copies {name}"
            assert Path(name).parts[0] not in ignored

    def test_all_inputs_of_colcon_are_copied(self, path):
        copies = [rest.split()[:-1] for keyword, rest in instructions(path) if keyword == "COPY"]
        copied = {name for names in copies for name in names}
        built = {"CMakeLists.txt", "package.xml", "cmake", "msg", "launch", "config", "clip2depth_ros"}
        assert copied >= built

    def test_apt_installs_exactly_the_packages_of_package_xml(self, path):
        found = apt_packages(path)
        assert wanted_of_apt() - found == set()
        assert found - wanted_of_apt() - TOOLS - BASE == set()
        assert found >= TOOLS

    def test_pip_installs_exactly_the_requirements_and_the_extra(self, path):
        required, extra = wanted_of_pip(EXTRAS[path.name])
        found = pip_packages(path)
        assert required - found == set()
        assert extra - found == set()
        assert found - required - extra == set()

    def test_nothing_is_fetched_and_built(self, path):
        text = " ".join(rest for keyword, rest in instructions(path) if keyword == "RUN")
        for word in ("git ", "curl", "wget", "| sh", "| bash", "&& make", "cmake --build", "setup.py"):
            assert word not in text
        for keyword, rest in instructions(path):
            if keyword == "ADD":
                assert rest.split()[0] == "https://raw.githubusercontent.com/ros/rosdistro/master/ros.key"

    def test_the_engines_are_in_the_cache_folder(self, path, monkeypatch):
        from clip2depth_ros.engines.cache import engine_folder

        words = dict(
            rest.split("=", 1) for _, rest in instructions(path) if rest.startswith("XDG_CACHE_HOME")
        )
        (target,) = [
            rest.split()[1]
            for keyword, rest in instructions(path)
            if keyword == "COPY" and rest.startswith("docker/engines ")
        ]
        monkeypatch.setenv("XDG_CACHE_HOME", words["XDG_CACHE_HOME"])
        assert Path(target) == engine_folder()

    def test_its_commands_are_shell(self, path):
        for keyword, rest in instructions(path):
            if keyword == "RUN":
                checked = subprocess.run(["sh", "-n", "-c", rest], capture_output=True, text=True)
                assert checked.returncode == 0, checked.stderr


def test_the_entry_point_is_a_valid_bash_program():
    entry = ROOT / "docker" / "entrypoint.sh"
    assert os.access(entry, os.X_OK)
    assert subprocess.run(["bash", "-n", entry], capture_output=True).returncode == 0


def test_the_entry_point_runs_its_arguments(tmp_path):
    """With a ROS and a workspace that only report that they were sourced."""
    text = (ROOT / "docker" / "entrypoint.sh").read_text()
    for name in ("/opt/ros", "/opt/clip2depth"):
        assert name in text
        text = text.replace(name, f"{tmp_path}{name}")
    for setup in ("opt/ros/rolling/setup.bash", "opt/clip2depth/ws/install/setup.bash"):
        (tmp_path / setup).parent.mkdir(parents=True)
        (tmp_path / setup).write_text("SOURCED=$SOURCED+; export SOURCED\n")
    entry = tmp_path / "entrypoint.sh"
    entry.write_text(text)
    program = "import os, sys; print(os.environ['SOURCED'], sys.argv[1])"
    ended = subprocess.run(
        ["bash", entry, sys.executable, "-c", program, "a b"],
        env={"PATH": os.environ["PATH"], "ROS_DISTRO": "rolling", "SOURCED": ""},
        capture_output=True,
        text=True,
    )
    assert ended.stdout == "++ a b\n", ended.stderr
