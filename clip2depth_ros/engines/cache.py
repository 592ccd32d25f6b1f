# SPDX-License-Identifier: Apache-2.0
"""The cache of built engines of TensorRT and TensorRT RTX. Only one process builds an engine at a time."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeVar

from clip2depth_ros.engines.base import EngineUnavailable, first_line
from clip2depth_ros.engines.checksummed import BrokenFile, read_checksummed, read_facts, write_checksummed
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.system.paths import user_folder

log = logging.getLogger(__name__)

Opened = TypeVar("Opened")
Progress = Callable[[str], None]

RTX = "tensorrt_rtx"
_NAMES = {"tensorrt": "TensorRT", RTX: "TensorRT RTX"}
_SUFFIX = ".engine"
_KERNELS = ".kernels"
_WAITING_PERIOD = 5.0  # seconds between two lines of progress while another process builds


class BuildCancelled(Clip2DepthError):
    """Raised by a `progress` function to stop a build; the function that opens the engine raises it again."""


@dataclass(frozen=True)
class EngineKey:
    """Everything that an engine depends on. For another model, TensorRT or GPU it is wrong or unusable."""

    bundle: str
    """The bundle's name, for display."""
    model_sha256: str
    """SHA-256 of model.onnx."""
    tensorrt: str
    """Full version of the library."""
    gpu: str
    """Name of the GPU; "" for TensorRT RTX, whose engines run on every GPU of a compute capability."""
    compute_capability: str
    """Such as "8.7"; for TensorRT RTX one or more, such as "8.6,8.9"."""
    precision: str
    input_shape: tuple[int, ...]
    library: str = "tensorrt"
    """The module: "tensorrt" or "tensorrt_rtx"."""

    @property
    def file_name(self) -> str:
        facts = json.dumps(asdict(self), sort_keys=True).encode()
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", self.bundle)[:64].lstrip(".")
        height, width = self.input_shape[1:3]
        digest = hashlib.sha256(facts).hexdigest()[:16]
        return f"{name}-{width}x{height}-{self.precision}-{digest}{_SUFFIX}"

    @property
    def machine(self) -> str:
        """The library that built the engine and the device that it was built for, as text."""
        built_by = f"{_NAMES.get(self.library, self.library)} {self.tensorrt}"
        if self.gpu:
            return f"{built_by} on {self.gpu} ({self.compute_capability})"
        return f"{built_by} for compute capability {self.compute_capability.replace(',', ', ')}"

    def serves(self, wanted: EngineKey) -> bool:
        """Whether an engine with this key can be used for `wanted`: a TensorRT RTX engine for several compute
        capabilities runs on each of them."""
        if self.library != RTX:
            return self == wanted
        mine, theirs = (set(key.compute_capability.split(",")) for key in (self, wanted))
        return theirs <= mine and replace(self, compute_capability=wanted.compute_capability) == wanted

    @classmethod
    def from_facts(cls, facts: dict) -> EngineKey:
        """Raises BrokenFile when the facts are not those of an engine."""
        try:
            key = cls(**facts["key"])
            shape = tuple(int(size) for size in key.input_shape)
            return cls(**(asdict(key) | {"input_shape": shape}))
        except (KeyError, TypeError, ValueError):
            raise BrokenFile("does not contain an engine of this program") from None


@dataclass(frozen=True)
class CachedEngine:
    """One file of the cache, as found: its key, or the problem with the file."""

    path: Path
    size: int
    """Bytes."""
    key: EngineKey | None = None
    built: str | None = None
    """When, ISO 8601 in UTC."""
    build_seconds: float | None = None
    problem: str | None = None


def list_cached(cache_dir: str | Path | None = None) -> list[CachedEngine]:
    """All engines of the cache, sorted by file name; each file is read completely and verified."""
    return [_inspect(path) for path in sorted(engine_folder(cache_dir).glob(f"*{_SUFFIX}"))]


def clear_cached(cache_dir: str | Path | None = None, *, bundle: str | None = None) -> list[Path]:
    """Remove engines, their kernels, timing caches, lock files and unfinished files of killed processes.

    bundle: remove the engines and kernels of this bundle only; timing caches and unreadable files stay then.
    Returns the removed files. Raises Clip2DepthError when a file cannot be removed.
    """
    folder = engine_folder(cache_dir)
    if bundle is None:
        patterns = (f"*{_SUFFIX}", f"*{_KERNELS}", "*.timing", "*.lock", ".*.part")
        doomed = sorted({path for pattern in patterns for path in folder.glob(pattern)})
    else:
        doomed = [c.path for c in list_cached(folder) if c.key is not None and c.key.bundle == bundle]
        doomed += [path for path in map(_kernels_of, doomed) if path.exists()]
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
    rebuild: bool = False,
    progress: Progress,
) -> tuple[Opened, Path | None]:
    """The engine for this key: from the cache, or built by exactly one process and written to the cache.

    build: makes the serialized engine; its argument is the timing cache of earlier builds, or None; it
    returns the engine and the new timing cache, or None. load: opens a serialized engine; if it raises
    EngineUnavailable for a cached one, the engine is built again. rebuild: the cached engine computed
    wrongly; build it again and replace the file. progress: called with one line at a time while another
    process builds.

    Returns the result of load, and the cache file that the engine came from. The file is None when the engine
    was built now, or was already rebuilt before, so that building it again cannot help.

    A file that is truncated, damaged, of another program or stale is never loaded; the engine is built again,
    and the log tells why. If the folder cannot be written, the engine is built for this run only. Raises what
    build raises.
    """
    path = engine_folder(cache_dir) / key.file_name
    problem = "the cached engine computes wrongly; building it again"
    if not rebuild:
        found, problem = _load_cached(path, key, load)
        if found is not None:
            return found
    try:
        with _lock(path, progress):
            if not rebuild:
                # another process may have built it while this one waited
                found, problem = _load_cached(path, key, load)
                if found is not None:
                    return found
            return _build_and_keep(path, key, build, load, problem, rebuild), None
    except _NoFolder as error:
        log.warning(
            "No cache for TensorRT engines at %s (%s); this engine is built for this run only.",
            path.parent,
            error,
        )
        return load(build(None)[0]), None


def read_kernels(key: EngineKey, machine: str, cache_dir: str | Path | None = None) -> bytes | None:
    """The kernels that TensorRT RTX compiled for an engine at run time, or None.

    machine: GPU and driver, as text. Kernels of another machine and damaged files are not used.
    """
    path = _kernels_of(engine_folder(cache_dir) / key.file_name)
    try:
        facts, kernels = read_checksummed(path)
    except FileNotFoundError:
        return None
    except (BrokenFile, OSError) as error:
        log.warning("The kernels file %s %s; the kernels are compiled again.", path, error)
        return None
    return kernels if facts == _kernel_facts(key, machine) else None


def write_kernels(key: EngineKey, machine: str, kernels: bytes, cache_dir: str | Path | None = None) -> None:
    """Write the kernels next to the engine; a failure is logged."""
    path = _kernels_of(engine_folder(cache_dir) / key.file_name)
    try:
        write_checksummed(path, _kernel_facts(key, machine), kernels)
    except OSError as error:
        log.warning(
            "%s cannot be written (%s); the next start compiles the kernels again.", path, error.strerror
        )


def _kernels_of(path: Path) -> Path:
    return path.with_suffix(_KERNELS)


def _kernel_facts(key: EngineKey, machine: str) -> dict:
    return {"engine": key.file_name, "machine": machine}


class _NoFolder(Exception):
    """The cache folder cannot be written."""


def _build_and_keep(path: Path, key: EngineKey, build, load, problem: str, rebuild: bool):
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
        "anew": rebuild,
    }
    try:
        write_checksummed(path, facts, plan)
        if timing is not None:
            write_checksummed(timing_path, {"tensorrt": key.tensorrt, "gpu": key.gpu}, timing)
    except OSError as error:
        log.warning(
            "%s cannot be written (%s); the engine is built again at the next start.", path, error.strerror
        )
    return engine


def _load_cached(path: Path, key: EngineKey, load):
    """What `cached_engine` returns and ""; or None and the reason why the engine must be built."""
    try:
        facts, plan = read_checksummed(path)
        found = EngineKey.from_facts(facts)
        if found != key:
            raise BrokenFile(
                f"is stale: it was built by {found.machine}, but {key.machine}, {key.precision} is needed"
            )
        return (load(plan), None if facts.get("anew") else path), ""
    except FileNotFoundError:
        problem = _why_missing(path, key)
    except BrokenFile as error:
        problem = f"the cached engine {error}; building it again"
    except EngineUnavailable as error:
        problem = f"the cached engine cannot be opened ({error}); building it again"
    except OSError as error:
        problem = f"the cached engine cannot be read ({error.strerror}); building it again"
    for sibling in _siblings(path):
        if not (other := _key_of(sibling)) or not other.serves(key):
            continue
        try:
            return (load(read_checksummed(sibling)[1]), sibling), ""
        except (BrokenFile, EngineUnavailable, OSError) as error:
            log.warning("The engine %s is skipped (%s).", sibling, error)
    return None, problem


def _key_of(path: Path) -> EngineKey | None:
    """The key in the file, not verified; None when it cannot be read."""
    try:
        return EngineKey.from_facts(read_facts(path))
    except (BrokenFile, OSError):
        return None


def _siblings(path: Path) -> list[Path]:
    """The other engines of the folder, sorted by name."""
    return [other for other in sorted(path.parent.glob(f"*{_SUFFIX}")) if other != path]


def _why_missing(path: Path, key: EngineKey) -> str:
    wanted = (key.model_sha256, key.precision, key.input_shape)
    others = {
        other.machine
        for other in map(_key_of, _siblings(path))
        if other and (other.model_sha256, other.precision, other.input_shape) == wanted
    }
    if others:
        return f"no engine yet for {key.machine}, only for {', '.join(sorted(others))}; building one"
    return f"no engine yet for {key.machine}; building one"


@contextmanager
def _lock(path: Path, progress: Progress) -> Iterator[None]:
    """Hold the lock of one engine file; the system frees it when the process ends. Raises _NoFolder."""
    try:
        import filelock
    except ImportError as error:
        raise EngineUnavailable(f"needs the filelock package: pip install filelock ({error})") from None
    lock = filelock.FileLock(f"{path}.lock")
    last_line = None
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0 if last_line is None else 0.2)
            break
        except filelock.Timeout:
            now = time.monotonic()
            if last_line is None or now - last_line >= _WAITING_PERIOD:
                progress("another process builds this engine; waiting")
                last_line = now
        except OSError as error:
            raise _NoFolder(first_line(error)) from None
    try:
        yield
    finally:
        lock.release()


def _read_timing(path: Path) -> bytes | None:
    try:
        return read_checksummed(path)[1]
    except FileNotFoundError:
        return None
    except (BrokenFile, OSError) as error:
        log.warning("The timing cache %s %s; it is created again.", path, error)
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
        facts, _ = read_checksummed(path)
        key = EngineKey.from_facts(facts)
    except BrokenFile as error:
        return CachedEngine(path, size, problem=str(error))
    except OSError as error:
        return CachedEngine(path, size, problem=f"cannot be read: {error.strerror}")
    return CachedEngine(path, size, key, facts.get("built"), facts.get("build_seconds"))


def engine_folder(cache_dir: str | Path | None = None) -> Path:
    """The folder of built engines: `cache_dir`, or the user's."""
    return Path(cache_dir) if cache_dir else user_folder("cache", "tensorrt")
