# SPDX-License-Identifier: Apache-2.0
"""Where built TensorRT engines are kept, each by one process, for one GPU and version."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeVar

from clip2depth_ros.engines.base import EngineUnavailable, first_line
from clip2depth_ros.engines.sealed import BrokenFile, read_facts, read_sealed, write_sealed
from clip2depth_ros.errors import Clip2DepthError

log = logging.getLogger(__name__)

Opened = TypeVar("Opened")
Progress = Callable[[str], None]

_SUFFIX = ".engine"
_WAITING = 5.0  # seconds between two lines of a process that waits for another's build


class BuildCancelled(Clip2DepthError):
    """Raised by a `progress` function to stop a build, and then by whoever asked for the engine."""


@dataclass(frozen=True)
class EngineKey:
    """Everything an engine depends on: it serves another model, TensorRT or GPU wrongly or not at all."""

    bundle: str
    """The bundle's name, for people."""
    model_sha256: str
    """Of model.onnx."""
    tensorrt: str
    """Full version."""
    gpu: str
    """Name of the GPU."""
    compute_capability: str
    """Such as "8.7"."""
    precision: str
    input_shape: tuple[int, ...]

    @property
    def file_name(self) -> str:
        facts = json.dumps(asdict(self), sort_keys=True).encode()
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", self.bundle)[:64].lstrip(".")
        height, width = self.input_shape[1:3]
        digest = hashlib.sha256(facts).hexdigest()[:16]
        return f"{name}-{width}x{height}-{self.precision}-{digest}{_SUFFIX}"

    @property
    def machine(self) -> str:
        """What the engine was built by and for, in words."""
        return f"TensorRT {self.tensorrt} on {self.gpu} ({self.compute_capability})"

    @classmethod
    def from_facts(cls, facts: dict) -> EngineKey:
        """Raises BrokenFile when the facts are not a key's."""
        try:
            key = cls(**facts["key"])
            shape = tuple(int(size) for size in key.input_shape)
            return cls(**(asdict(key) | {"input_shape": shape}))
        except (KeyError, TypeError, ValueError):
            raise BrokenFile("holds no engine of this program's") from None


@dataclass(frozen=True)
class CachedEngine:
    """One file of the cache, as found: its key, or the problem with it."""

    path: Path
    size: int
    """Bytes."""
    key: EngineKey | None = None
    built: str | None = None
    """When, ISO 8601 in UTC."""
    build_seconds: float | None = None
    problem: str | None = None


def default_cache() -> Path:
    """Where built engines are kept: under $XDG_CACHE_HOME or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clip2depth" / "tensorrt"


def list_cached(cache_dir: str | Path | None = None) -> list[CachedEngine]:
    """All engines of the cache, sorted by file, each read whole and verified."""
    return [_inspect(path) for path in sorted(_folder(cache_dir).glob(f"*{_SUFFIX}"))]


def clear_cached(cache_dir: str | Path | None = None, *, bundle: str | None = None) -> list[Path]:
    """Remove engines, and with them timing caches, locks and what a killed process left half written.

    bundle: of this bundle only; timing caches stay then, and so do files that cannot be read. Returns what
    was removed. Raises Clip2DepthError when a file cannot be removed.
    """
    folder = _folder(cache_dir)
    if bundle is None:
        patterns = (f"*{_SUFFIX}", "*.timing", "*.lock", ".*.part")
        doomed = sorted({path for pattern in patterns for path in folder.glob(pattern)})
    else:
        doomed = [c.path for c in list_cached(folder) if c.key is not None and c.key.bundle == bundle]
    for path in doomed:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise Clip2DepthError(f"{path} cannot be removed: {error.strerror}.") from None
    return doomed


def cached_engine(
    key: EngineKey,
    build: Callable[[bytes | None], tuple[bytes, bytes | None]],
    load: Callable[[bytes], Opened],
    *,
    cache_dir: str | Path | None = None,
    progress: Progress,
) -> Opened:
    """The engine of this key: from the cache, or built by exactly one process and kept there.

    build: makes the serialised engine; it is given the timing cache of earlier builds, or None, and returns
    the engine and the timing cache to keep, or None. load: opens a serialised engine; what it refuses with
    EngineUnavailable is built once more when it came from the cache. progress: called with a line at a time
    while another process builds.

    What is truncated, damaged, foreign or stale is never loaded but built again, with one line in the log
    that says why. Where the folder cannot be written the engine is built for this run only. Raises what build
    raises.
    """
    path = _folder(cache_dir) / key.file_name
    engine, problem = _load_kept(path, key, load)
    if engine is not None:
        return engine
    try:
        with _lock(path, progress):
            # another process may have built it while this one waited
            engine, problem = _load_kept(path, key, load)
            if engine is not None:
                return engine
            return _build_and_keep(path, key, build, load, problem)
    except _NoFolder as error:
        log.warning(
            "No cache for TensorRT engines at %s (%s): this one is built for this run.", path.parent, error
        )
        return load(build(None)[0])


class _NoFolder(Exception):
    """The cache folder cannot be written."""


def _build_and_keep(path: Path, key: EngineKey, build, load, problem: str):
    log.log(logging.WARNING if path.exists() else logging.INFO, "%s: %s", path.name, problem)
    timing_path = path.parent / f"{_timing_name(key)}.timing"
    begin = time.monotonic()
    plan, timing = build(_read_timing(timing_path))
    seconds = time.monotonic() - begin
    engine = load(plan)
    facts = {
        "key": asdict(key),
        "built": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "build_seconds": round(seconds, 1),
    }
    try:
        write_sealed(path, facts, plan)
        if timing is not None:
            write_sealed(timing_path, {"tensorrt": key.tensorrt, "gpu": key.gpu}, timing)
    except OSError as error:
        log.warning("%s cannot be kept (%s): it will be built again at the next start.", path, error.strerror)
    return engine


def _load_kept(path: Path, key: EngineKey, load):
    """The opened engine and "", or None and why it has to be built."""
    try:
        facts, plan = read_sealed(path)
        found = EngineKey.from_facts(facts)
        if found != key:
            raise BrokenFile(
                f"is stale: it was built by {found.machine}, wanted is {key.machine}, {key.precision}"
            )
        return load(plan), ""
    except FileNotFoundError:
        return None, _why_missing(path, key)
    except BrokenFile as error:
        return None, f"the cached engine {error}; building it again"
    except EngineUnavailable as error:
        return None, f"the cached engine cannot be opened ({error}); building it again"
    except OSError as error:
        return None, f"the cached engine cannot be read ({error.strerror}); building it again"


def _why_missing(path: Path, key: EngineKey) -> str:
    wanted = (key.model_sha256, key.precision, key.input_shape)
    others = set()
    for sibling in path.parent.glob(f"*{_SUFFIX}"):
        try:
            other = EngineKey.from_facts(read_facts(sibling))
        except (BrokenFile, OSError):
            continue
        if (other.model_sha256, other.precision, other.input_shape) == wanted:
            others.add(other.machine)
    if others:
        return f"no engine yet for {key.machine}, only for {', '.join(sorted(others))}; building one"
    return f"no engine yet for {key.machine}; building one"


@contextmanager
def _lock(path: Path, progress: Progress) -> Iterator[None]:
    """Hold the lock of one engine file; the system frees it when its holder dies. Raises _NoFolder."""
    try:
        import filelock
    except ImportError as error:
        raise EngineUnavailable(f"needs the filelock package: pip install filelock ({error})") from None
    lock = filelock.FileLock(f"{path}.lock")
    said = None
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0 if said is None else 0.2)
            break
        except filelock.Timeout:
            now = time.monotonic()
            if said is None or now - said >= _WAITING:
                progress("another process builds this engine; waiting")
                said = now
        except OSError as error:
            raise _NoFolder(first_line(error)) from None
    try:
        yield
    finally:
        lock.release()


def _read_timing(path: Path) -> bytes | None:
    try:
        return read_sealed(path)[1]
    except FileNotFoundError:
        return None
    except (BrokenFile, OSError) as error:
        log.warning("The timing cache %s %s; it is made anew.", path, error)
        return None


def _timing_name(key: EngineKey) -> str:
    facts = f"{key.tensorrt}|{key.gpu}|{key.compute_capability}".encode()
    return f"tensorrt-{key.tensorrt}-{hashlib.sha256(facts).hexdigest()[:16]}"


def _inspect(path: Path) -> CachedEngine:
    try:
        size = path.stat().st_size
    except OSError as error:
        return CachedEngine(path, 0, problem=f"cannot be read: {error.strerror}")
    try:
        facts, _ = read_sealed(path)
        key = EngineKey.from_facts(facts)
    except BrokenFile as error:
        return CachedEngine(path, size, problem=str(error))
    except OSError as error:
        return CachedEngine(path, size, problem=f"cannot be read: {error.strerror}")
    return CachedEngine(path, size, key, facts.get("built"), facts.get("build_seconds"))


def _folder(cache_dir: str | Path | None) -> Path:
    return Path(cache_dir) if cache_dir else default_cache()
