# SPDX-License-Identifier: Apache-2.0
"""The choice of OpenGL backend."""

from __future__ import annotations

import logging
import subprocess

import pytest

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.simulation.rendering import gl


def answers(monkeypatch, working: str | None) -> list[str]:
    """Pretend that only `working` gives a context; the backends that were tried."""
    tried = []

    def run(command, env, **_):
        tried.append(env["MUJOCO_GL"])
        ok = env["MUJOCO_GL"] == working
        return subprocess.CompletedProcess(
            command, 0 if ok else 1, "", "" if ok else "ImportError: no library"
        )

    monkeypatch.setattr(gl.subprocess, "run", run)
    monkeypatch.setenv("MUJOCO_GL", "")
    return tried


def test_egl_is_preferred(monkeypatch):
    tried = answers(monkeypatch, "egl")
    assert gl.choose_backend() == "egl" and tried == ["egl"]


def test_osmesa_is_the_fallback_and_is_logged(monkeypatch, caplog):
    tried = answers(monkeypatch, "osmesa")
    with caplog.at_level(logging.INFO, logger="clip2depth.simulation"):
        assert gl.choose_backend() == "osmesa"
    assert tried == ["egl", "osmesa"]
    assert [record.message for record in caplog.records] == ["simulator renders with OSMesa (no EGL here)"]


def test_without_both_a_clear_error(monkeypatch):
    answers(monkeypatch, None)
    with pytest.raises(Clip2DepthError, match=r"no library.*libegl1.*libosmesa6"):
        gl.choose_backend()


def test_the_user_decides(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "glfw")
    assert gl.choose_backend() == "glfw"


def test_without_mujoco_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(gl, "find_spec", lambda name: None)
    with pytest.raises(Clip2DepthError, match=r"clip2depth_ros\[sim\]"):
        gl.import_mujoco()
