# SPDX-License-Identifier: Apache-2.0
"""Engines: each runs a bundle on one kind of device. One file per engine, all behind engines.base.Engine."""

from __future__ import annotations

from clip2depth_ros.bundle import Bundle
from clip2depth_ros.engines.base import Engine, self_check
from clip2depth_ros.errors import Clip2DepthError

# In the order in which "auto" tries them.
ENGINE_NAMES = ("openvino",)


def open_engine(bundle: Bundle, name: str = "auto", *, threads: int = 0) -> Engine:
    """Open a bundle in the named engine, or in the best there is for "auto", and check that it computes
    right.

    threads: CPU threads for inference, 0 = as the engine sees fit.
    Raises Clip2DepthError when the name is unknown, the engine is not installed, or the check fails.
    """
    if name not in ("auto", *ENGINE_NAMES):
        raise Clip2DepthError(f"No engine is called '{name}'; known are: auto, {', '.join(ENGINE_NAMES)}.")
    from clip2depth_ros.engines.openvino import OpenVinoEngine

    engine = OpenVinoEngine(bundle, threads=threads)
    try:
        self_check(engine, bundle)
    except Clip2DepthError:
        engine.close()
        raise
    return engine


__all__ = ["ENGINE_NAMES", "Engine", "open_engine", "self_check"]
