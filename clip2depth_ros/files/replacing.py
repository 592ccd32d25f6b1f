# SPDX-License-Identifier: Apache-2.0
"""Writing files whole or not at all: beside the old one, then renamed. A full disk destroys nothing."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from clip2depth_ros.errors import Clip2DepthError


class PartialFile:
    """A new file beside `path`, empty and locked, that takes its place or goes.

    The name cannot be foretold, so nobody can put a link there first. `path` itself, where it is a link, is
    replaced, not followed. Files of writers that were killed are removed: their lock went with them.

    Raises OSError when the folder cannot be written. `reserve` bytes are taken from the disk at once, so that
    as much can be written even after the disk became full.
    """

    def __init__(self, path: str | Path, *, reserve: int = 0) -> None:
        self.target = Path(path)
        make_folder(self.target.parent)
        if self.target.is_dir() and not self.target.is_symlink():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        remove_abandoned(self.target)
        prefix, suffix = _affixes(self.target)
        while True:
            self._descriptor, name = tempfile.mkstemp(suffix, prefix, self.target.parent)
            self.path = Path(name)
            _try_lock(self._descriptor)
            # Between making and locking it, another writer may have taken it for an abandoned one.
            if self.path.exists():
                break
            os.close(self._descriptor)
        if reserve:
            try:
                os.posix_fallocate(self._descriptor, 0, reserve)
            except OSError:
                self.discard()
                raise

    def write(self, content: bytes) -> None:
        """Make `content` all that the file holds. Raises OSError."""
        done = 0
        while done < len(content):
            done += os.pwrite(self._descriptor, content[done:], done)
        os.ftruncate(self._descriptor, len(content))

    def sync(self) -> None:
        """Return when the disk has the content, whoever wrote it. Raises OSError."""
        with open(self.path, "rb") as file:  # a library may have made a new file of that name
            os.fsync(file.fileno())

    def put_in_place(self, *, sync: bool = True) -> None:
        """The file becomes `target`. sync: it survives a power failure from then on. Raises OSError."""
        try:
            if sync:
                self.sync()
            # mkstemp's 0600 would keep it from other users. What others may do, the old file decides.
            os.chmod(self.path, _mode(self.target))
            os.replace(self.path, self.target)
            if sync:
                _sync_folder(self.target.parent)
        except OSError:
            self.discard()
            raise
        self._close()

    def discard(self) -> None:
        """Remove the file, unless it is in place by now."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                self.path.unlink()
            self._close()

    def _close(self) -> None:
        os.close(self._descriptor)
        self._descriptor = -1


@contextlib.contextmanager
def replacing(path: str | Path, *, sync: bool = True) -> Iterator[Path]:
    """The path of a new, empty file, which replaces `path` when the block ends without an exception.

    For libraries that write files by name. Raises OSError.
    """
    partial = PartialFile(path)
    try:
        yield partial.path
        partial.put_in_place(sync=sync)
    finally:
        partial.discard()


def write_whole(path: str | Path, content: bytes | str, *, sync: bool = True) -> None:
    """Replace `path` by a file of this content (text as UTF-8), or leave it as it is.

    Raises Clip2DepthError, one sentence that names the file, where that cannot be done.
    """
    with writing(path):
        partial = PartialFile(path)
        try:
            partial.write(content.encode() if isinstance(content, str) else content)
            partial.put_in_place(sync=sync)
        finally:
            partial.discard()


def make_folder(folder: Path) -> None:
    """Make a folder where there is none. Raises OSError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, f"{folder} is no folder") from None


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """What the disk refuses in the block becomes the sentence about `path`, a Clip2DepthError."""
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: str | Path, error: OSError) -> Clip2DepthError:
    """The sentence about a file that could not be written."""
    return Clip2DepthError(f"{path} cannot be written: {error.strerror or error}.")


def remove_abandoned(path: str | Path) -> list[Path]:
    """Remove, and return, what killed writers of `path` left beside it: files of ours that nobody locks."""
    path = Path(path)
    prefix, suffix = _affixes(path)
    removed = []
    for found in path.parent.glob(f"{glob.escape(prefix)}*{glob.escape(suffix)}"):
        try:
            descriptor = os.open(found, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and _try_lock(descriptor):
                found.unlink()
                removed.append(found)
        except OSError:
            continue
        finally:
            os.close(descriptor)
    return removed


@contextlib.contextmanager
def locked(path: str | Path, seconds: float = 5.0) -> Iterator[None]:
    """Hold the lock of a file that several processes read and write, for both steps together.

    It is the lock of the file's folder, so nothing is left behind; the system frees that of a dead process.
    Raises OSError, also when another process holds it for so many seconds.
    """
    folder = Path(path).parent
    make_folder(folder)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        end = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise OSError(errno.ETIMEDOUT, f"another process has locked {folder}") from None
                time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)


def _affixes(path: Path) -> tuple[str, str]:
    """Begin and end of the names of partial files. Libraries choose the format by the ending."""
    return f".{path.name}.", f".part{path.suffix}"


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # locked, or a file system without locks
        return False
    return True


def _mode(target: Path) -> int:
    try:
        status = target.lstat()
    except OSError:
        status = None
    return stat.S_IMODE(status.st_mode) if status and stat.S_ISREG(status.st_mode) else 0o644


def _sync_folder(folder: Path) -> None:
    """Without this, a power failure may undo the renaming."""
    with contextlib.suppress(OSError):  # some file systems cannot
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
