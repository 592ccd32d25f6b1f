# SPDX-License-Identifier: Apache-2.0
"""Large messages over Fast DDS: which environment variables give a process our profile. Needs no rclpy.

The profile (config/fastdds_large_data.xml) works for what a process sends, and must be in its environment
before rclpy starts. The launch files ask here.
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
SEGMENT = 70_255_136  # bytes of shared memory that each participant with the profile takes
OLD, NEW = "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"
CHOSEN_BY_USER = (NEW, OLD, "FASTDDS_BUILTIN_TRANSPORTS")
_SHARED_MEMORY = Path("/dev/shm")

# The lock file of a participant's segment; Fast DDS 3 calls it fastdds, 2 fastrtps.
_LOCK = re.compile(r"(fastdds|fastrtps)_[0-9a-f]{16}_[es]l")
_PORT = re.compile(r"(fastdds|fastrtps)_port\d+")
_MAPPED = re.compile(r"/((?:fastdds|fastrtps)_port\d+)( \(deleted\))?$", re.MULTILINE)
MOST_PORTS = 32
WATCH_PERIOD = 2.0  # seconds; a look takes a millisecond
_held: list[int] = []  # descriptors of the locks of dead ports, until this process ends
_YOUNG = 10.0  # seconds: a lock file may be made just before it is locked


def find_profile(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Our profile in the source tree, an ament prefix or this Python's prefix; None if not installed."""
    prefixes = [Path(p) for p in environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p] + [
        Path(sys.prefix)
    ]
    folders = [Path(__file__).resolve().parents[2], *(p / "share" / "clip2depth_ros" for p in prefixes)]
    return next((path for folder in folders if (path := folder / "config" / PROFILE).is_file()), None)


def profile_variable(environ: Mapping[str, str] = os.environ) -> str:
    """The variable that this ROS distribution's Fast DDS reads. It changed with Fast DDS 3, in Kilted.

    Only one is to be set: before Kilted the new one is unknown, and since then the old one brings a warning.
    """
    distribution = environ.get("ROS_DISTRO", "")
    if not distribution:  # ROS from PyPI has no set-up script to say it
        try:
            return OLD if int(metadata.version("rclpy").split(".")[0]) < 8 else NEW  # Jazzy has 7, Kilted 9
        except (metadata.PackageNotFoundError, ValueError):
            return NEW
    return OLD if distribution < "kilted" else NEW  # their names follow the alphabet


def large_message_environment(
    environ: Mapping[str, str] = os.environ, shared_memory: Path = _SHARED_MEMORY
) -> tuple[dict[str, str], str]:
    """Variables to add for a process that sends images or clouds, and why there are none ('' if there are).

    Args:
        environ: the environment that the process would have. What the user has chosen there stays.
        shared_memory: where Fast DDS takes its shared memory from.
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
    """(number, bytes) of shared memory segments of Fast DDS whose process was killed, this user's alone.

    A living process, in whatever container, holds the lock of its segment's lock file; the system frees it
    when the process ends. remove: take them away, as `fastdds shm clean` does. Nobody else ever would, short
    of a restart.
    """
    count = size = 0
    try:
        names = [name for name in os.listdir(shared_memory) if _LOCK.fullmatch(name)]
    except OSError:
        return 0, 0
    for name in names:
        lock, segment = shared_memory / name, shared_memory / name[:-3]
        with contextlib.suppress(OSError):  # locked, gone, or somebody else's
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
    """Keep this process off the shared memory ports of processes that were killed. Returns their names.

    Fast DDS makes a new port under the number of a dead one. A publisher that has the dead port open does not
    notice, if its reader was killed while it was reading, and sends into the old memory for good (seen with
    3.2.3): the new process gets no images until the publisher is restarted. Fast DDS passes over a port whose
    lock somebody holds. So this process holds the locks of the dead ports until it ends: those that a process
    still has open, then the youngest, MOST_PORTS together. Fast DDS tries 100 numbers.
    """
    opened, replaced = _opened_ports(processes)
    dead = []  # (still open somewhere, time, name, descriptor)
    with contextlib.suppress(OSError):
        files = set(os.listdir(shared_memory))
        locks = {name for name in files if _PORT.fullmatch(name) and f"{name}_el" in files}
        for name in sorted(locks | replaced):
            with contextlib.suppress(OSError):  # locked by a living process, gone, or not to be read
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
    """Shared memory ports that this process reads from and that others no longer find, by name.

    When processes are killed while they open ports, Fast DDS's own lock on a port's name is lost with them,
    and another process may take a port that was made a moment ago for the dead one's and remove it (seen with
    3.2.3, once in about fifty kills). From then on this process hears nothing by shared memory, discovery
    included, and nothing brings the port back.
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
    """Looks after this process's own shared memory ports, now and then; see :func:`lost_ports`."""

    def __init__(self) -> None:
        self._next = 0.0

    def complaint(self) -> str:
        """What is wrong with them, one sentence; "" if nothing is, and between two looks."""
        now = time.monotonic()
        if now < self._next:
            return ""
        self._next = now + WATCH_PERIOD
        lost = lost_ports()
        if not lost:
            return ""
        return (
            f"Another process has removed the shared memory of this one ({', '.join(lost)}): it gets no "
            "messages any more and starts again."
        )


def _opened_ports(processes: Path) -> tuple[set[str], set[str]]:
    """Ports that other processes have open, as far as they can be seen, and ports replaced under them."""
    own = str(os.getpid())
    others = [_mapped_ports(path) for path in processes.glob("[0-9]*") if path.name != own]
    return set().union(*(opened for opened, _ in others)), set().union(*(replaced for _, replaced in others))


def _mapped_ports(process: Path) -> tuple[set[str], set[str]]:
    """Ports that a process has open, and those of them whose name is gone, or another one's; both empty where
    it cannot be seen."""
    opened, replaced = set(), set()
    with contextlib.suppress(OSError):
        for name, gone in _MAPPED.findall((process / "maps").read_text(errors="replace")):
            (replaced if gone else opened).add(name)
    return opened, replaced


def prepare_shared_memory(
    environ: Mapping[str, str] = os.environ, shared_memory: Path = _SHARED_MEMORY
) -> str:
    """Free the memory of processes that were killed and avoid their ports, before this one takes its own.

    Returns a warning for the log where too little is free for this process's segment, which makes Fast DDS
    send by UDP without a word; "" where all is well, or another middleware is in use.
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
        f"{shared_memory} has only {free / 1e6:.0f} MB free, and this process's share is {needed / 1e6:.0f} "
        "MB: images and clouds will go by UDP, late or not at all; see `clip2depth doctor`."
    )
