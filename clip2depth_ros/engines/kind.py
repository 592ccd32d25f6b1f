# SPDX-License-Identifier: Apache-2.0
"""What the selection needs to know about an engine before it opens it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from clip2depth_ros.bundle import Bundle
from clip2depth_ros.engines.base import Engine

CPU, CUDA = "cpu", "cuda"
DEVICE_NAMES = {CPU: "the CPU", CUDA: "CUDA"}
"""The types of device, and their names in text."""


@dataclass(frozen=True)
class Candidate:
    """A precision that is worth trying when the user asked for none."""

    precision: str
    reason: str = ""
    """Why this precision, where there was a choice; one clause for the log."""
    as_accurate_as_fp32: bool = False
    """Whether the engine must also pass the check with the tolerance of fp32."""


@dataclass(frozen=True)
class OpenOptions:
    """How to open an engine. An engine ignores the options that do not concern it."""

    precision: str
    device: str
    """"cpu", "cuda", "cuda:1", ..."""
    threads: int = 0
    """CPU threads for inference, 0 = the engine's default."""
    cache_dir: str | Path | None = None
    """Folder of built TensorRT engines, None = the user's cache folder."""
    progress: Callable[[str], None] | None = None
    """Called with one line at a time while the engine is built; may raise BuildCancelled."""
    rebuild: bool = False
    """Ignore the compiled engine in the cache, which computed wrongly, and replace it."""


def _fp32_only(bundle: Bundle, device: str) -> Iterable[Candidate]:
    return (Candidate("fp32"),)


def _available(device: str, precision: str | None) -> str:
    return ""


@dataclass(frozen=True)
class EngineKind:
    """An engine as the registry lists it.

    open: opens a bundle; raises EngineUnavailable where the engine does not run it. order: the types of
    device that the engine runs on, CPU or CUDA, each with its position in the order in which "auto" tries
    the engines on that device; lower numbers are tried first. candidates: the precisions to try for a bundle
    on a device ("cpu" or "cuda:1") when the user asked for none, the preferred one first. why_unavailable:
    why the engine cannot run on a device in a precision (None = in any), without opening it; "" when nothing
    is known against it.
    """

    open: Callable[[Bundle, OpenOptions], Engine]
    order: Mapping[str, int]
    candidates: Callable[[Bundle, str], Iterable[Candidate]] = _fp32_only
    why_unavailable: Callable[[str, str | None], str] = _available


def device_type(device: str) -> str:
    """CPU or CUDA, from "cpu", "cuda" or "cuda:1"."""
    return device.partition(":")[0]
