# SPDX-License-Identifier: Apache-2.0
"""Large messages over Fast DDS: the environment variables for our profile, and cleanup of shared memory.

The profile (config/fastdds_large_data.xml) applies to messages that a process sends, and must be in its
environment before rclpy starts. The launch files use this module, so it does not import rclpy.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import sys
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

PROFILE = "fastdds_large_data.xml"
SEGMENT = 70_255_136  # bytes of shared memory of each participant with the profile
OLD, NEW = "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"
CHOSEN_BY_USER = (NEW, OLD, "FASTDDS_BUILTIN_TRANSPORTS")
_SHARED_MEMORY = Path("/dev/shm")

# The lock file of a participant's segment; its prefix is fastdds in Fast DDS 3, fastrtps in 2.
_LOCK = re.compile(r"(fastdds|fastrtps)_[0-9a-f]{16}_[es]l")
_PORT = re.compile(r"(fastdds|fastrtps)_port\d+")
_MAPPED = re.compile(r"/((?:fastdds|fastrtps)_port\d+)( \(deleted\))?$", re.MULTILINE)
MOST_PORTS = 32
WATCH_PERIOD = 2.0  # seconds; a check takes a millisecond
_held: list[int] = []  # descriptors of the locks of dead processes' ports, held until this process ends
_YOUNG = 10.0  # seconds: a new lock file may not be locked yet


def find_profile(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Path of our profile in the source tree, an ament prefix or this Python's prefix;
    None if not installed."""
    prefixes = [Path(p) for p in environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p] + [
        Path(sys.prefix)
    ]
    folders = [Path(__file__).resolve().parents[2], *(p / "share" / "clip2depth_ros" for p in prefixes)]
    return next((path for folder in folders if (path := folder / "config" / PROFILE).is_file()), None)


def profile_variable(environ: Mapping[str, str] = os.environ) -> str:
    """The variable that this ROS distribution's Fast DDS reads. It changed with Fast DDS 3, in Kilted.

    Only one may be set: before Kilted the new one has no effect, and since Kilted the old one causes a
    warning.
    """
    distribution = environ.get("ROS_DISTRO", "")
    if not distribution:  # ROS from PyPI has no setup script that sets it
        try:
            return OLD if int(metadata.version("rclpy").split(".")[0]) < 8 else NEW  # Jazzy has 7, Kilted 9
        except (metadata.PackageNotFoundError, ValueError):
            return NEW
    return OLD if distribution < "kilted" else NEW  # distribution names are in alphabetical order


def large_message_environment(
    environ: Mapping[str, str] = os.environ, shared_memory: Path = _SHARED_MEMORY
) -> tuple[dict[str, str], str]:
    """Variables to add for a process that sends images or clouds, and why there are none ('' if there are).

    Args:
        environ: the environment of the process. Variables that the user has set are not changed.
        shared_memory: the folder of Fast DDS's shared memory.
    """
    if chosen := next((name for name in CHOSEN_BY_USER if environ.get(name)), None):
        return {}, f"{chosen} is set already"
    middleware = environ.get("RMW_IMPLEMENTATION", "")
    if middleware and not middleware.startswith("rmw_fastrtps"):
        return {}, f"RMW_IMPLEMENTATION is {middleware}, not Fast DDS"
    profile = find_profile(environ)
    if profile is None:
        return {}, f"{PROFILE} is not installed"
    if shared_memory.is_dir():
        free = shutil.disk_usage(shared_memory).free
        if free < 2 * SEGMENT:
            return {}, (
                f"{shared_memory} has only {free / 1e6:.0f} MB free, too little for large messages without "
                "loss; start the container with --shm-size=1g or --ipc=host"
            )
    return {profile_variable(environ): str(profile)}, ""


def abandoned_segments(shared_memory: Path = _SHARED_MEMORY, *, remove: bool = False) -> tuple[int, int]:
    """(number, bytes) of this user's shared memory segments of Fast DDS whose process was killed.

    A running process, in any container, holds the lock of its segment's lock file; the system releases it
    when the process ends. remove: delete the segments, as `fastdds shm clean` does. Otherwise they stay until
    the computer is restarted.
    """
    count = size = 0
    try:
        names = [name for name in os.listdir(shared_memory) if _LOCK.fullmatch(name)]
    except OSError:
        return 0, 0
    for name in names:
        lock, segment = shared_memory / name, shared_memory / name[:-3]
        with contextlib.suppress(OSError):  # locked, deleted, or of another user
            descriptor = os.open(lock, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                status = os.fstat(descriptor)
                if status.st_uid != os.geteuid() or time.time() - status.st_mtime < _YOUNG:
                    continue
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with contextlib.suppress(FileNotFoundError):
                    size += segment.lstat().st_size
                    if remove:
                        segment.unlink()
                if remove:
                    lock.unlink()
                count += 1
            finally:
                os.close(descriptor)
    return count, size


def avoid_dead_ports(shared_memory: Path = _SHARED_MEMORY, processes: Path = Path("/proc")) -> list[str]:
    """Prevent this process from reusing the shared memory ports of killed processes. Returns their names.

    Fast DDS creates a new port with the number of a dead one. If the reader was killed while it was reading,
    a publisher that still has the dead port open continues to write to the old memory (seen with 3.2.3): the
    new process gets no images until the publisher is restarted. Fast DDS skips a port whose lock is held. So
    this process holds the locks of the dead ports until it ends: first the ports that a process still has
    open, then the newest, at most MOST_PORTS. Fast DDS tries 100 numbers.
    """
    opened, replaced = _opened_ports(processes)
    dead = []  # (still open somewhere, time, name, descriptor)
    with contextlib.suppress(OSError):
        files = set(os.listdir(shared_memory))
        locks = {name for name in files if _PORT.fullmatch(name) and f"{name}_el" in files}
        for name in sorted(locks | replaced):
            with contextlib.suppress(OSError):  # locked by a running process, deleted, or not readable
                flags = os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
                descriptor = os.open(shared_memory / f"{name}_el", flags, 0o644)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    os.close(descriptor)
                    raise
                time_of = os.fstat(descriptor).st_mtime
                dead.append((name in opened or name in replaced, time_of, name, descriptor))
    dead.sort(reverse=True)
    for _, _, _, descriptor in dead[MOST_PORTS:]:
        os.close(descriptor)
    _held.extend(descriptor for _, _, _, descriptor in dead[:MOST_PORTS])
    return [name for _, _, name, _ in dead[:MOST_PORTS]]


def lost_ports(process: Path = Path("/proc/self")) -> list[str]:
    """Names of the shared memory ports that this process reads, but that other processes can no longer open.

    When a process is killed while it opens a port, Fast DDS's own lock of the port's name is lost. Another
    process may then take a new port for a dead one and remove it (seen with 3.2.3, once in about fifty
    kills). From then on this process receives nothing by shared memory, discovery included, and the port
    cannot be restored.
    """
    reads = set()
    with contextlib.suppress(OSError):
        for entry in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                name = Path(os.readlink(entry)).name.removesuffix("_el")
                if _PORT.fullmatch(name) and int(entry.name) not in _held:
                    reads.add(name)
    opened, replaced = _mapped_ports(process) if reads else (set(), set())
    return sorted((reads & replaced) - opened)


class PortWatch:
    """Checks this process's shared memory ports every WATCH_PERIOD; see :func:`lost_ports`."""

    def __init__(self) -> None:
        self._next = 0.0

    def problem(self) -> str:
        """The error of the ports, one sentence; "" if there is none, and between two checks."""
        now = time.monotonic()
        if now < self._next:
            return ""
        self._next = now + WATCH_PERIOD
        lost = lost_ports()
        if not lost:
            return ""
        return (
            f"Another process has removed the shared memory of this process ({', '.join(lost)}). It cannot "
            "receive messages any more and restarts."
        )


def _opened_ports(processes: Path) -> tuple[set[str], set[str]]:
    """Ports that other visible processes have open, and ports that were replaced while they were open."""
    own = str(os.getpid())
    others = [_mapped_ports(path) for path in processes.glob("[0-9]*") if path.name != own]
    return set().union(*(opened for opened, _ in others)), set().union(*(replaced for _, replaced in others))


def _mapped_ports(process: Path) -> tuple[set[str], set[str]]:
    """Ports that a process has open, and those of them that were deleted or replaced; both empty when the
    process is not visible."""
    opened, replaced = set(), set()
    with contextlib.suppress(OSError):
        for name, gone in _MAPPED.findall((process / "maps").read_text(errors="replace")):
            (replaced if gone else opened).add(name)
    return opened, replaced


def prepare_shared_memory(
    environ: Mapping[str, str] = os.environ, shared_memory: Path = _SHARED_MEMORY
) -> str:
    """Free the shared memory of killed processes and avoid their ports; call it before rclpy starts.

    Returns a warning when there is too little memory for this process's segment, in which case Fast DDS uses
    UDP without a message; "" otherwise, or with another middleware.
    """
    middleware = environ.get("RMW_IMPLEMENTATION", "")
    if (middleware and not middleware.startswith("rmw_fastrtps")) or not shared_memory.is_dir():
        return ""
    abandoned_segments(shared_memory, remove=True)
    avoid_dead_ports(shared_memory)
    ours = any(PROFILE in environ.get(name, "") for name in (OLD, NEW))
    needed = SEGMENT if ours else 2**20
    free = shutil.disk_usage(shared_memory).free
    if free >= needed:
        return ""
    return (
        f"{shared_memory} has only {free / 1e6:.0f} MB free, and this process needs {needed / 1e6:.0f} MB: "
        "images and clouds will be sent by UDP, with delays or losses; see `clip2depth doctor`."
    )
