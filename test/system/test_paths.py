# SPDX-License-Identifier: Apache-2.0
"""Where the files of a user are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from clip2depth_ros.bundle.library import bundle_folders
from clip2depth_ros.system.paths import user_folder

VARIABLES = {"cache": "XDG_CACHE_HOME", "data": "XDG_DATA_HOME", "state": "XDG_STATE_HOME"}


@pytest.fixture
def nobody(monkeypatch):
    """A home folder, and no XDG variable."""
    monkeypatch.setenv("HOME", "/home/somebody")
    for variable in VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize(
    ("kind", "folder"), [("cache", ".cache"), ("data", ".local/share"), ("state", ".local/state")]
)
@pytest.mark.parametrize("empty", [False, True])
def test_without_a_variable_it_is_below_the_home_folder(nobody, monkeypatch, kind, folder, empty):
    if empty:
        monkeypatch.setenv(VARIABLES[kind], "")
    assert user_folder(kind) == Path("/home/somebody") / folder / "clip2depth"
    assert user_folder(kind, "a", "b") == Path("/home/somebody") / folder / "clip2depth" / "a" / "b"


@pytest.mark.parametrize("kind", VARIABLES)
def test_the_variable_of_the_kind_names_the_folder(nobody, monkeypatch, tmp_path, kind):
    monkeypatch.setenv(VARIABLES[kind], str(tmp_path / "elsewhere"))
    assert user_folder(kind, "x") == tmp_path / "elsewhere" / "clip2depth" / "x"
    assert not (tmp_path / "elsewhere").exists(), "asking for a folder creates nothing"


def test_an_unknown_kind_is_an_error():
    with pytest.raises(KeyError):
        user_folder("config")


def test_bundles_are_searched_in_the_data_folder(nobody):
    assert Path("/home/somebody/.local/share/clip2depth/bundles") in bundle_folders()
