# SPDX-License-Identifier: Apache-2.0
"""What importing our dependencies does beside importing: nothing on the network, no fork, no file at home."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Started before anything else: writes down every fork, program, name look-up, connection and file written.
WATCH = """
import os, sys
seen = []
def watch(event, arguments):
    if event in ("os.fork", "os.forkpty", "subprocess.Popen", "os.posix_spawn", "socket.connect",
                 "socket.getaddrinfo", "socket.sendto"):
        seen.append(event)
    elif event == "open" and isinstance(arguments[0], str) and os.environ["HOME"] in arguments[0]:
        if isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            seen.append(f"open {arguments[0]}")
    elif event == "os.mkdir" and os.environ["HOME"] in str(arguments[0]):
        seen.append(f"mkdir {arguments[0]}")
sys.addaudithook(watch)
"""


def side_effects(program: str, home: Path) -> str:
    """What `program` did beside what it is for, one line of text; "[]" for nothing."""
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, "-B", "-c", f"{WATCH}\n{program}\nprint(seen)"],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
        cwd=home,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()[-1]


def test_the_watch_sees_what_it_is_for(tmp_path):
    program = """
import os, socket
os.mkdir(os.path.expanduser("~/intel"))
open(os.path.expanduser("~/intel/id"), "w").close()
try:
    socket.create_connection(("127.0.0.1", 9))
except OSError:
    pass
if os.fork() == 0:
    os._exit(0)
"""
    seen = side_effects(program, tmp_path)
    for event in (f"mkdir {tmp_path}/intel", f"open {tmp_path}/intel/id", "socket.connect", "os.fork"):
        assert event in seen


def test_importing_openvino_reaches_for_nothing(tmp_path):
    """Its telemetry would fork, ask for an analytics server and write an identifier into the home folder."""
    program = """
from clip2depth_ros.offline import import_openvino
assert import_openvino().Core().available_devices
"""
    assert side_effects(program, tmp_path) == "[]"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("folder", ["clip2depth_ros", "test", "benchmark"])
def test_nothing_imports_openvino_past_it(folder):
    for path in sorted((ROOT / folder).rglob("*.py")):
        if path.name == "offline.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            assert not any(n.split(".")[0] == "openvino" for n in names), (
                f"{path.relative_to(ROOT)}:{node.lineno} imports OpenVINO; use offline.import_openvino()"
            )
