# SPDX-License-Identifier: Apache-2.0
"""What our programs do beside their work: nothing on the network, no fork, no file at home."""

import ast
import json
import re
import subprocess
import sys
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path

import pytest

from clip2depth_ros.cli import command_names

ROOT = Path(__file__).parents[2]

# Started before anything else: writes down every fork, program, name look-up, connection and file written,
# after the package that asked for it: the innermost caller outside the standard library.
WATCH = """
import os, sys
seen = []
def asker():
    frame = sys._getframe(2)
    while frame is not None:
        path = frame.f_code.co_filename
        for folder in ("site-packages", "dist-packages"):
            if f"/{folder}/" in path:
                return path.split(f"/{folder}/")[-1].split("/")[0]
        if "/clip2depth_ros/" in path:
            return "clip2depth_ros"
        frame = frame.f_back
    return "the program"
def watch(event, arguments):
    if event == "subprocess.Popen":
        seen.append(f"{asker()} starts {os.path.basename(os.fsdecode(arguments[0]))}")
    elif event in ("os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system", "socket.connect",
                   "socket.bind", "socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr",
                   "socket.sendto", "socket.sendmsg"):
        seen.append(f"{asker()} calls {event}")
    elif event == "open" and isinstance(arguments[0], str) and os.environ["HOME"] in arguments[0]:
        if isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            seen.append(f"{asker()} opens {arguments[0]}")
    elif event in ("os.mkdir", "os.rename", "os.symlink") and os.environ["HOME"] in str(arguments):
        seen.append(f"{asker()} makes {arguments[0]}")
sys.addaudithook(watch)
"""

# What dependencies may do, as patterns, and why. `subprocess` replaces its child by the program at once, so
# it is safe in a process with threads, as os.fork is not; none of these programs uses the network.
ALLOWED = {
    "cuda starts ldconfig": "cuda-bindings asks the linker's list where CUDA's libraries are",
    "glfw starts python*": "MuJoCo's GLFW tries its library in a child first; the simulator alone",
    "h5py starts uname": "platform.processor(), of the standard library; files of NYU Depth v2 alone",
    "matplotlib starts fc-list": "the fonts that are installed; the plots of evaluate and train alone",
    "matplotlib makes ~/.c*": "its own folders, ~/.config/matplotlib and ~/.cache/matplotlib",
    "matplotlib opens ~/.cache/matplotlib/fontlist-*": "the list of fonts, which takes seconds to make",
}


def unexpected(events: list[str]) -> list[str]:
    """The events that are not allowed."""
    return [event for event in events if not any(fnmatchcase(event, pattern) for pattern in ALLOWED)]


def side_effects(program: str, home: Path | str, cwd: Path | str = "/") -> list[str]:
    """What `program` did beside what it is for, in order."""
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, "-B", "-c", f"{WATCH}\n{program}\nimport json\nprint(json.dumps(seen))"],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
        cwd=cwd,
    )
    assert ended.returncode == 0, ended.stderr
    return [event.replace(str(home), "~") for event in json.loads(ended.stdout.splitlines()[-1])]


def third_party_imports() -> list[str]:
    """Every import of another package in a file of ours, at its top or in a function, as a statement."""
    ours = sys.stdlib_module_names | {"clip2depth_ros", "openvino", "nncf"}  # these two have their own test
    statements = set()
    for path in (ROOT / "clip2depth_ros").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            else:
                continue
            if not ours.intersection(name.split(".")[0] for name in names):
                statements.add(ast.unparse(node))
    return sorted(statements)


def test_the_watch_sees_what_it_is_for(tmp_path):
    program = """
import os, socket
os.mkdir(os.path.expanduser("~/intel"))
open(os.path.expanduser("~/intel/id"), "w").close()
try:
    with socket.socket() as end:
        end.bind(("127.0.0.1", 0))
        end.connect(("127.0.0.1", 9))
except OSError:
    pass
if os.fork() == 0:
    os._exit(0)
"""
    seen = side_effects(program, tmp_path)
    assert seen == [
        "the program makes ~/intel",
        "the program opens ~/intel/id",
        "the program calls socket.bind",
        "the program calls socket.connect",
        "the program calls os.fork",
    ]


def test_importing_openvino_reaches_for_nothing(tmp_path):
    """Its telemetry would fork, ask for an analytics server and write an identifier into the home folder."""
    program = """
from clip2depth_ros.system.offline import import_openvino
assert import_openvino().Core().available_devices
"""
    assert side_effects(program, tmp_path) == []
    assert not list(tmp_path.iterdir())


def test_importing_nncf_reaches_for_nothing(tmp_path):
    """Its telemetry is OpenVINO's."""
    if find_spec("nncf") is None:
        pytest.skip("NNCF is not installed: pip install 'clip2depth_ros[int8]'")
    program = """
from clip2depth_ros.system.offline import import_nncf
assert import_nncf().quantize
"""
    assert unexpected(side_effects(program, tmp_path)) == []
    assert not list(tmp_path.iterdir())


def node_modules() -> list[str]:
    """The modules that the nodes' programs import, by starting.py."""
    program = (ROOT / "clip2depth_ros/ros/starting.py").read_text(encoding="utf-8")
    found = [f"clip2depth_ros.ros.nodes.{name}" for name in re.findall(r'_run\("(\w+)"\)', program)]
    assert "clip2depth_ros.ros.nodes.depth_node" in found
    return sorted(found)


@pytest.mark.parametrize("command", command_names())
def test_a_command_starts_without_a_home_and_reaches_for_nothing(command):
    program = f"from clip2depth_ros.cli import make_parser; make_parser({command!r})"
    assert side_effects(program, "/dev/null/home") == []


@pytest.mark.ros
@pytest.mark.skipif(find_spec("rclpy") is None, reason="rclpy is not installed")
@pytest.mark.parametrize("module", node_modules())
def test_a_node_is_imported_without_a_home_and_reaches_for_nothing(module):
    assert side_effects(f"import {module}", "/dev/null/home") == []


def test_importing_all_modules_and_dependencies_reaches_for_nothing(tmp_path):
    """Also what a command imports only when it is needed."""
    ours = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted((ROOT / "clip2depth_ros").rglob("*.py"))
        if path.name != "__main__.py"
    ]
    assert {"clip2depth_ros", "clip2depth_ros.training.trainer"} <= set(ours)
    program = f"""
import importlib
for statement in {[f"importlib.import_module({name!r})" for name in ours] + third_party_imports()}:
    try:
        exec(statement)
    except ImportError:
        pass  # an extra that is not installed, or one of two ways to draw, which exclude each other
import cv2, numpy, yaml
"""
    assert unexpected(side_effects(program, tmp_path)) == []
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*")}
    assert written <= {".cache/matplotlib", ".config/matplotlib"}


@pytest.mark.parametrize("folder", ["clip2depth_ros", "test", "benchmark"])
def test_nothing_imports_openvino_or_nncf_past_it(folder):
    for path in sorted((ROOT / folder).rglob("*.py")):
        if path.name == "offline.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            past = {"openvino", "nncf"}.intersection(n.split(".")[0] for n in names)
            assert not past, (
                f"{path.relative_to(ROOT)}:{node.lineno} imports {past}; use clip2depth_ros.system.offline"
            )
