# SPDX-License-Identifier: Apache-2.0
"""make rebuilds only what has changed; on an incomplete machine it reports what is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make(folder, *arguments) -> subprocess.CompletedProcess:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", *arguments], cwd=folder, env=clean, capture_output=True, text=True, check=False
    )


@pytest.fixture
def tree(sources, tmp_path) -> Path:
    """The sources as in a fresh clone, for one test."""
    return shutil.copytree(sources, tmp_path / "tree", ignore=shutil.ignore_patterns("clip2depth_ros"))


@pytest.fixture
def installed(tree) -> Path:
    """The same with the stamps of a finished setup, which are newer than every file."""
    stamps = [tree / ".venv" / name for name in (".created", ".build", ".demo", ".test")]
    stamps.append(tree / ".venv-colcon" / ".ready")
    now = time.time() + 60
    for age, stamp in enumerate(stamps):
        stamp.parent.mkdir(exist_ok=True)
        stamp.touch()
        os.utime(stamp, (now + age, now + age))
    return tree


def test_help_names_every_target(tree):
    shown = make(tree, "help").stdout
    for target in ("make demo", "INPUT=", "make test", "make bench", "make clean", "PYTHON="):
        assert target in shown


def test_nothing_is_installed_when_nothing_changed(installed):
    for target in ("test", "demo"):
        plan = make(installed, "--dry-run", target)
        assert plan.returncode == 0, plan.stderr
        assert "pip" not in plan.stdout
    assert "clip2depth demo" in plan.stdout


def test_lint_and_type_check_run_before_the_tests(installed):
    plan = make(installed, "--dry-run", "test").stdout
    programs = [line.split()[0].removeprefix(".venv/bin/") for line in plan.splitlines()]
    assert programs == ["ruff", "basedpyright", "python"]


@pytest.mark.parametrize("changed", ["msg/DepthQuality.msg", "setup.py", "config/fastdds_large_data.xml"])
def test_a_change_of_what_is_built_installs_again(installed, changed):
    later = time.time() + 120
    os.utime(installed / changed, (later, later))
    plan = make(installed, "--dry-run", "test").stdout
    assert "--no-build-isolation --editable" in plan
    assert "-m venv" not in plan


def test_the_demo_needs_no_pytorch(tree):
    plan = make(tree, "--dry-run", "demo", "INPUT=my film.mp4").stdout
    assert 'clip2depth demo --input "my film.mp4"' in plan
    assert "train" not in plan


def test_a_wrong_python_gives_one_clear_sentence(tree):
    done = make(tree, "demo", "PYTHON=python2.7-that-is-not-here")
    assert done.returncode != 0
    assert "needs Python 3.10 to 3.13" in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_packages_are_named(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "cmake"))
    import missing_packages

    monkeypatch.setattr(missing_packages, "find_library", lambda name: None)
    monkeypatch.setattr(missing_packages.shutil, "which", lambda name: None)
    missing = missing_packages.missing_packages()
    assert {"g++", "libegl1", "libgl1"} <= set(missing)

    # OSMesa alone is enough for rendering
    monkeypatch.setattr(missing_packages, "find_library", {"OSMesa": "libOSMesa.so.8"}.get)
    assert "libegl1" not in missing_packages.missing_packages()
