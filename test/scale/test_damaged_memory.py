# SPDX-License-Identifier: Apache-2.0
"""Scale memories that are damaged, shared by processes, or in a folder with links and devices."""

import json
import os
import subprocess
import sys

import pytest

from clip2depth_ros.scale.memory import ScaleMemory

GOOD = {"scale": 1.5, "deviation": 0.1}


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"format": 1, "cameras": {"a": ' + "9" * 10_000 + "}}",
        '{"format": 1, "cameras": {"a": {"scale": 1e400, "deviation": NaN}}}',
        '{"format": 1, "cameras": {"a": {"scale": [1], "deviation": {}}}}',
        '{"format": 1, "cameras": {"a": {"scale": 1' + "0" * 400 + ', "deviation": 0}}}',
        '{"format": 1, "cameras": [1]}',
        "\ud800".encode("utf-8", "surrogatepass"),
        b"\xff\xfe\x00",
        "",
    ],
    ids=range(9),
)
def test_a_damaged_memory_does_not_stop_the_estimator(tmp_path, text):
    path = tmp_path / "scale.json"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    memory = ScaleMemory(path)
    assert memory.recall("a") is None
    assert str(path) in memory.problem()
    assert memory.keep("b", 1.5, 0.1)
    assert json.loads(path.read_text())["cameras"]["b"] == GOOD


def test_a_device_is_rejected(tmp_path):
    path = tmp_path / "scale.json"
    path.symlink_to("/dev/zero")
    memory = ScaleMemory(path)
    assert memory.recall("a") is None and "not a regular file" in memory.problem()


def test_links_are_not_followed(tmp_path):
    other = tmp_path / "precious"
    other.write_text("somebody's")
    path = tmp_path / "scale.json"
    # The name that writers of earlier versions took.
    (tmp_path / f".scale.json.{os.getpid()}").symlink_to(other)
    assert ScaleMemory(path).keep("a", 1.5, 0.1)
    assert other.read_text() == "somebody's" and ScaleMemory(path).recall("a") == (1.5, 0.1)


WRITER = """
import sys
from clip2depth_ros.scale.memory import ScaleMemory
memory = ScaleMemory(sys.argv[1])
for number in range(25):
    assert memory.keep(f"{sys.argv[2]} {number}", 1.5, 0.1), memory.problem()
"""


def test_processes_that_share_a_memory_lose_no_entry(tmp_path):
    path = tmp_path / "scale.json"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name]) for name in "abc"]
    assert [writer.wait(120) for writer in writers] == [0, 0, 0]
    cameras = json.loads(path.read_text())["cameras"]
    assert cameras == {f"{name} {number}": GOOD for name in "abc" for number in range(25)}
    assert os.listdir(tmp_path) == ["scale.json"]
