# SPDX-License-Identifier: Apache-2.0
"""An offscreen OpenGL context: EGL, or OSMesa if EGL is not available."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

from clip2depth_ros.errors import Clip2DepthError

_PROBE = "import mujoco; c = mujoco.GLContext(16, 16); c.make_current(); c.free()"
_HINT = "install libegl1 libgl1 libgl1-mesa-dri (EGL) or libosmesa6 (OSMesa)"
log = logging.getLogger("clip2depth.simulation")


def choose_backend() -> str:
    """Set MUJOCO_GL for this process and its children to a working backend and return it.

    Raises Clip2DepthError if neither EGL nor OSMesa gives a context.
    """
    chosen = os.environ.get("MUJOCO_GL")
    if chosen:
        return chosen
    reasons = []
    for backend in ("egl", "osmesa"):
        environment = {**os.environ, "MUJOCO_GL": backend}
        environment.pop("PYOPENGL_PLATFORM", None)
        probe = subprocess.run(
            [sys.executable, "-c", _PROBE], env=environment, capture_output=True, text=True
        )
        if probe.returncode == 0:
            os.environ["MUJOCO_GL"] = backend
            log.info("simulator renders with %s", "EGL" if backend == "egl" else "OSMesa (no EGL here)")
            return backend
        lines = probe.stderr.strip().splitlines() or [f"exit status {probe.returncode}"]
        reasons.append(f"{backend}: {lines[-1]}")
    raise Clip2DepthError(f"the simulator has no OpenGL without a screen ({'; '.join(reasons)}): {_HINT}")


def import_mujoco() -> Any:
    """The mujoco module. Raises Clip2DepthError if it is not installed or if OpenGL does not work."""
    if find_spec("mujoco") is None:
        raise Clip2DepthError("the simulator needs MuJoCo: pip install 'clip2depth_ros[sim]'")
    choose_backend()
    import mujoco

    return mujoco


def make_context(width: int, height: int):
    """An OpenGL context of the chosen backend, independent of MuJoCo's choice at an earlier import."""
    mujoco = import_mujoco()
    # Triton, a dependency of PyTorch, crashes the process if it is loaded after Mesa's LLVM.
    with contextlib.suppress(ImportError):
        import triton  # noqa: F401
    backend = choose_backend().lower()
    if backend == "egl":
        from mujoco.egl import GLContext
    elif backend == "osmesa":
        from mujoco.osmesa import GLContext
    else:
        GLContext = mujoco.GLContext
    return GLContext(width, height)
