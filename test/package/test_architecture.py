# SPDX-License-Identifier: Apache-2.0
"""docs/architecture.md matches the tree."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/architecture.md").read_text()


def packages() -> set[str]:
    found = {path.parent.name for path in (ROOT / "clip2depth_ros").glob("*/__init__.py")}
    return found | {path.stem for path in (ROOT / "clip2depth_ros").glob("*.py")} - {"__init__", "__main__"}


def test_every_package_has_one_line():
    table = TEXT[TEXT.index("## Packages") : TEXT.index("## How to add")]
    names = [
        name
        for line in table.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    ]
    assert sorted(names) == sorted(packages())


def test_every_named_file_exists():
    named = set(re.findall(r"`((?:\w+/)+[\w.]*|\w+\.(?:py|md))`|\]\(([\w/.]+)\)", TEXT))
    named = {path for pair in named for path in pair if path}
    assert len(named) > 15
    for path in named:
        there = [
            ROOT / path,
            ROOT / "clip2depth_ros" / path,
            ROOT / "docs" / path,
            ROOT / path.removeprefix("../"),
        ]
        assert any(p.exists() for p in there), path
