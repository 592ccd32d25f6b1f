# SPDX-License-Identifier: Apache-2.0
"""package.xml, pip's metadata, the changelog and the imports tell one story."""

from __future__ import annotations

import ast
import re
import sys
import xml.etree.ElementTree as xml

import pytest

import clip2depth_ros

# rosdep keys of what the package imports under another name
ROSDEP = {
    "cv2": "python3-opencv",
    "numpy": "python3-numpy",
    "tqdm": "python3-tqdm",
    "yaml": "python3-yaml",
}
# run dependencies that have no rosdep key; the README says how they get beside a ROS installation
PIP_ONLY = {"openvino", "rosbags", "lz4"}  # lz4: rosbags needs it
# what the extras bring: training, the simulator, the viewer, 8 bits
EXTRAS = {"torch", "torchvision", "open_clip", "timm", "safetensors", "onnx", "onnxscript", "mujoco", "rerun"}
EXTRAS |= {"h5py", "scipy", "matplotlib", "accelerate", "onnx2torch", "filelock", "nncf", "triton"}


def imports_of(path) -> set[str]:
    """Top-level names of the modules that a Python file imports, at any depth of its code."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


@pytest.fixture(scope="module")
def package(root):
    return xml.parse(root / "package.xml").getroot()


def test_version_is_the_same_everywhere(root, package):
    assert package.findtext("version") == clip2depth_ros.__version__
    changelog = (root / "CHANGELOG.rst").read_text()
    released = re.findall(r"^(\d+\.\d+\.\d+)(?: \(.*\))?\n-+$", changelog, re.MULTILINE)
    assert released[0] == clip2depth_ros.__version__


def test_changelog_has_a_dated_section_of_this_version(root, package):
    """Release tools (catkin_pkg, bloom) skip a section whose title has no date."""
    changelog = pytest.importorskip("catkin_pkg.changelog", reason="catkin_pkg is not installed")
    parsed = changelog.get_changelog_from_path(str(root), package.findtext("name"))
    version = package.findtext("version")
    assert version in [found for found, _, _ in parsed.foreach_version()]
    assert parsed.get_date_of_version(version) is not None
    (entries,) = parsed.get_content_of_version(version)
    assert entries.bullets


def test_package_xml_is_complete(root, package):
    catkin_pkg = pytest.importorskip("catkin_pkg.package", reason="catkin_pkg is not installed")
    parsed = catkin_pkg.parse_package(str(root / "package.xml"))  # raises on a schema error
    parsed.validate()
    assert parsed.name == "clip2depth_ros"
    assert parsed.package_format == 3
    assert parsed.get_build_type() == "ament_cmake"
    assert list(parsed.licenses) == ["Apache-2.0"]
    assert (root / parsed.licenses[0].file).read_text().lstrip().startswith("Apache License")
    assert "rosidl_interface_packages" in [group.name for group in parsed.member_of_groups]


def test_everything_imported_is_declared(root, package):
    declared = {node.text for node in package if node.tag in ("depend", "exec_depend")}
    undeclared = {}
    for path in sorted((root / "clip2depth_ros").rglob("*.py")) + sorted((root / "launch").glob("*.py")):
        for name in imports_of(path) - set(sys.stdlib_module_names) - PIP_ONLY - EXTRAS - {"clip2depth_ros"}:
            if ROSDEP.get(name, name) not in declared:
                undeclared.setdefault(name, []).append(str(path.relative_to(root)))
    assert not undeclared, "imported, but neither in package.xml nor in a list above"


def test_ros_wheels_cover_the_message_packages(root, ros_wheels):
    """What package.xml asks of a ROS installation, pip gets from PyPI, except what PyPI does not have."""
    wheels = {re.split(r"[<>=~]", name)[0] for name in ros_wheels.run_requirements()}
    node_imports = set()
    optional = {"tf2_msgs"}  # no wheel of it; the node does without, and says so
    for path in (root / "clip2depth_ros" / "ros").glob("*.py"):
        node_imports |= imports_of(path)
    node_imports -= optional
    suffixes = ("rclpy", "_msgs", "_srvs", "_interfaces")
    assert {"ros-" + name.replace("_", "-") for name in node_imports if name.endswith(suffixes)} <= wheels
    assert "ros-rmw-fastrtps-cpp" in wheels


@pytest.fixture
def ros_wheels(root, monkeypatch):
    """The choice of wheels, in an environment without any and without a wish."""
    monkeypatch.syspath_prepend(str(root / "cmake"))
    import ros_wheels

    monkeypatch.delenv("CLIP2DEPTH_ROS", raising=False)
    monkeypatch.setattr(ros_wheels, "installed_distribution", lambda: None)
    monkeypatch.setattr(ros_wheels.platform, "machine", lambda: "x86_64")
    return ros_wheels


@pytest.mark.parametrize(("asked", "major"), [("kilted", 9), ("jazzy", 7)])
def test_one_distribution_for_building_and_running(ros_wheels, monkeypatch, asked, major):
    monkeypatch.setenv("CLIP2DEPTH_ROS", asked)
    rclpy = f"ros-rclpy>={major},<{major + 1}"
    assert rclpy in ros_wheels.run_requirements()
    assert rclpy in ros_wheels.build_requirements()


def test_installed_wheels_decide_the_distribution(ros_wheels, monkeypatch):
    assert ros_wheels.distribution() == ros_wheels.DEFAULT
    monkeypatch.setattr(ros_wheels, "installed_distribution", lambda: "jazzy")
    assert ros_wheels.distribution() == "jazzy"
    assert "ros-rclpy>=7,<8" in ros_wheels.run_requirements()


def test_installed_wheels_are_found_where_pip_hides_them(root, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(root / "cmake"))
    import ros_wheels

    metadata = tmp_path / "ros_rclpy-7.1.6.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.4\nName: ros-rclpy\nVersion: 7.1.6\n")
    monkeypatch.setattr(ros_wheels.sysconfig, "get_path", lambda name: str(tmp_path))
    assert ros_wheels.installed_distribution() == "jazzy"


def test_a_distribution_that_cannot_be_had_is_refused(ros_wheels, monkeypatch):
    monkeypatch.setenv("CLIP2DEPTH_ROS", "galactic")
    with pytest.raises(ValueError, match=r"'galactic'.*kilted, jazzy"):
        ros_wheels.distribution()
    monkeypatch.setenv("CLIP2DEPTH_ROS", "jazzy")
    monkeypatch.setattr(ros_wheels, "installed_distribution", lambda: "kilted")
    with pytest.raises(ValueError, match=r"this environment has ROS 2 kilted: take a new environment"):
        ros_wheels.distribution()


def test_a_machine_without_ros_wheels_gets_the_package_without_ros(ros_wheels, monkeypatch):
    monkeypatch.setattr(ros_wheels.platform, "machine", lambda: "aarch64")
    assert ros_wheels.distribution() is None
    assert ros_wheels.run_requirements() == ros_wheels.build_requirements() == []
    monkeypatch.setenv("CLIP2DEPTH_ROS", "kilted")
    with pytest.raises(ValueError, match=r"for x86_64 only, not for aarch64: build with colcon"):
        ros_wheels.distribution()
    # should there be wheels one day, whoever installed them gets the messages
    monkeypatch.setattr(ros_wheels, "installed_distribution", lambda: "kilted")
    assert ros_wheels.distribution() == "kilted"


def test_ros_can_be_left_out_anywhere(ros_wheels, monkeypatch):
    monkeypatch.setenv("CLIP2DEPTH_ROS", "none")
    monkeypatch.setattr(ros_wheels, "installed_distribution", lambda: "kilted")
    assert ros_wheels.distribution() is None
    assert ros_wheels.run_requirements() == ros_wheels.build_requirements() == []


def test_messages_say_what_their_fields_mean(root):
    for path in (root / "msg").glob("*.msg"):
        block_has_comment = False
        for line in path.read_text().splitlines():
            field, _, comment = line.partition("#")
            if not line.strip():
                block_has_comment = False
            elif not field.strip():
                block_has_comment = True
            else:
                assert comment.strip() or block_has_comment, f"{path.name}: no comment for: {line}"
