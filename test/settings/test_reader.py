# SPDX-License-Identifier: Apache-2.0
"""One reader for dicts and YAML: what does not fit is one sentence that names the entry."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import pytest

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.settings import ScanSettings, read, read_entries


@dataclass(frozen=True)
class Step:
    share: float
    size: tuple[int, int]
    name: str = "step"


@dataclass(frozen=True)
class Plan:
    steps: tuple[Step, ...]
    folder: Path | None = None
    more: dict | None = None
    on: bool = True


ONE = {"share": 1, "size": [3, 4]}


def test_values_come_in_their_types(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    plan = read(Plan, {"steps": [ONE], "folder": "~/data", "more": {"a": 1}}, "plan")
    assert plan == Plan((Step(1.0, (3, 4)),), Path("/home/somebody/data"), {"a": 1})
    assert type(plan.steps[0].share) is float
    assert read(Plan, {"steps": [], "folder": None}, "plan") == Plan(())


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (3, "plan must be a mapping, not 3."),
        (
            {"steps": [ONE], "colour": 1},
            "plan has no entry 'colour': known ones are steps, folder, more, on.",
        ),
        ({}, "plan lacks 'steps'."),
        ({"steps": 3}, "plan: steps must be a list, not 3."),
        ({"steps": [ONE | {"size": [1]}]}, "plan: steps[0]: size must have 2 entries, not 1."),
        ({"steps": [ONE | {"size": [1, 2.5]}]}, "plan: steps[0]: size[1] must be a whole number, not 2.5."),
        ({"steps": [ONE | {"size": [1, True]}]}, "plan: steps[0]: size[1] must be a whole number, not True."),
        ({"steps": [ONE | {"share": "half"}]}, "plan: steps[0]: share must be a number, not 'half'."),
        ({"steps": [ONE | {"name": 3}]}, "plan: steps[0]: name must be text, not 3."),
        ({"steps": [], "on": 1}, "plan: on must be true or false, not 1."),
        ({"steps": [], "folder": 3}, "plan: folder must be a path, not 3."),
        ({"steps": [], "more": "x\ny"}, r"plan: more must be a mapping, not 'x\ny'."),
    ],
)
def test_a_mistake_is_one_sentence_with_its_place(entries, message):
    with pytest.raises(Clip2DepthError) as error:
        read(Plan, entries, "plan")
    assert str(error.value) == message


def test_ranges_of_settings_are_held():
    assert read(ScanSettings, {"max_range": 5}, "scan.yaml") == ScanSettings(max_range=5.0)
    with pytest.raises(Clip2DepthError, match=r"scan.yaml: Parameter 'scan.resolution' is nan rad, but must"):
        read(ScanSettings, {"resolution": math.nan}, "scan.yaml")


def test_entries_by_name():
    kinds = {"root": Path, "rate": float}
    assert read_entries({"root": "a"}, kinds, ["root"], "it") == {"root": Path("a")}
    with pytest.raises(Clip2DepthError, match="it has no entry 'cache': known ones are root, rate"):
        read_entries({"root": "a", "cache": "b"}, kinds, ["root"], "it")
    with pytest.raises(Clip2DepthError, match="it lacks 'root'"):
        read_entries({"rate": 1}, kinds, ["root"], "it")
