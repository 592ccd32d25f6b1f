# SPDX-License-Identifier: Apache-2.0
"""Factors survive a restart; damaged files are reported once and do no harm."""

import json
import os

import pytest

from clip2depth_ros.camera import Camera
from clip2depth_ros.scale import ScaleMemory


def test_factors_are_stored_per_camera(tmp_path):
    path = tmp_path / "deep" / "scale.json"
    memory = ScaleMemory(path)
    assert memory.recall("left") is None and memory.problem() == ""
    assert memory.keep("left", 1.234, 0.03) and memory.keep("right", 0.5, 0.01)
    again = ScaleMemory(path)
    assert again.recall("left") == (1.234, 0.03)
    assert again.recall("right") == (0.5, 0.01)
    assert again.recall("rear") is None
    assert os.listdir(path.parent) == ["scale.json"]


def test_two_nodes_share_a_file(tmp_path):
    one, other = ScaleMemory(tmp_path / "s.json"), ScaleMemory(tmp_path / "s.json")
    one.keep("left", 1.1, 0.1)
    other.keep("right", 1.2, 0.1)
    one.keep("left", 1.3, 0.1)
    assert other.recall("left")[0] == 1.3 and one.recall("right")[0] == 1.2


def test_the_key_is_name_size_and_intrinsics():
    camera = Camera.from_fov(320, 240, 1.2)
    keys = {
        ScaleMemory.key("mini/left", camera),
        ScaleMemory.key("mini/right", camera),
        ScaleMemory.key("mini/left", camera.scaled(160, 120)),
        ScaleMemory.key("mini/left", Camera.from_fov(320, 240, 1.3)),
    }
    assert len(keys) == 4
    assert ScaleMemory.key("mini/left", camera) in keys


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"format": 2, "cameras": {}}', '{"a": 1}', "\x00\xff"]
)
def test_a_damaged_file_is_reported_once_and_renamed(tmp_path, content):
    path = tmp_path / "scale.json"
    path.write_text(content)
    memory = ScaleMemory(path)
    assert memory.recall("left") is None and memory.recall("left") is None
    problem = memory.problem()
    assert str(path) in problem and "damaged" in problem and memory.problem() == ""
    assert memory.keep("left", 2.0, 0.1) and memory.recall("left") == (2.0, 0.1)
    assert (tmp_path / "scale.json.damaged").read_text() == content
    assert memory.problem() == ""


@pytest.mark.parametrize(
    "entry",
    [{"scale": "much"}, {"scale": -1.0, "deviation": 0.1}, {"scale": float("nan"), "deviation": 0.1}, 3],
)
def test_an_unusable_factor_is_not_used(tmp_path, entry):
    path = tmp_path / "scale.json"
    path.write_text(json.dumps({"format": 1, "cameras": {"left": entry}}))
    memory = ScaleMemory(path)
    assert memory.recall("left") is None and "no usable factor for 'left'" in memory.problem()


def test_a_path_that_cannot_be_written_is_reported_once(tmp_path):
    (tmp_path / "file").write_text("")
    memory = ScaleMemory(tmp_path / "file" / "scale.json")
    assert not memory.keep("left", 1.0, 0.1)
    assert memory.problem()
    assert not memory.keep("left", 1.0, 0.1)
    assert memory.problem() == ""
