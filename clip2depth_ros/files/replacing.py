# SPDX-License-Identifier: Apache-2.0
"""Atomic writing of files: a temporary file in the same folder, then a rename."""

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
    """A new, empty, locked file in the folder of `path`, which replaces `path` or is removed.

    Its name is random, so that no other user can create a link of that name first. If `path` is a link, the
    link is replaced, not followed. Files of killed writers, whose lock the system has released, are removed.

    Raises OSError when the folder cannot be written. `reserve` bytes are allocated on the disk at once, so
    that as much can be written even when the disk is full later.
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
            # Before it was locked, another writer may have removed it as an abandoned file.
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
        """Replace the content of the file by `content`. Raises OSError."""
        done = 0
        while done < len(content):
            done += os.pwrite(self._descriptor, content[done:], done)
        os.ftruncate(self._descriptor, len(content))

    def sync(self) -> None:
        """Wait until the content is on the disk, whichever process wrote it. Raises OSError."""
        with open(self.path, "rb") as file:  # a library may have made a new file of that name
            os.fsync(file.fileno())

    def put_in_place(self, *, sync: bool = True) -> None:
        """Rename the file to `target`. sync: afterwards it survives a power failure. Raises OSError."""
        try:
            if sync:
                self.sync()
            # mkstemp's mode is 0600; the mode of the old file is kept instead.
            os.chmod(self.path, _mode(self.target))
            os.replace(self.path, self.target)
            if sync:
                _sync_folder(self.target.parent)
        except OSError:
            self.discard()
            raise
        self._close()

    def discard(self) -> None:
        """Remove the file, unless it was renamed to `target`."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                self.path.unlink()
            self._close()

    def _close(self) -> None:
        os.close(self._descriptor)
        self._descriptor = -1


@contextlib.contextmanager
def replacing(path: str | Path, *, sync: bool = True) -> Iterator[Path]:
    """Yields the path of a new, empty file, which replaces `path` when the block ends without an exception.

    For libraries that write files by name. Raises OSError.
    """
    partial = PartialFile(path)
    try:
        yield partial.path
        partial.put_in_place(sync=sync)
    finally:
        partial.discard()


def write_whole(path: str | Path, content: bytes | str, *, sync: bool = True) -> None:
    """Replace `path` by a file of this content (text as UTF-8).

    Raises Clip2DepthError, which names the file, when that fails; the old file is not changed then.
    """
    with writing(path):
        partial = PartialFile(path)
        try:
            partial.write(content.encode() if isinstance(content, str) else content)
            partial.put_in_place(sync=sync)
        finally:
            partial.discard()


def make_folder(folder: Path) -> None:
    """Make a folder and its parents if they do not exist. Raises OSError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, f"{folder} is not a folder") from None


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Converts an OSError in the block to a Clip2DepthError that names `path`."""
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: str | Path, error: OSError) -> Clip2DepthError:
    """The error for a file that could not be written."""
    return Clip2DepthError(f"{path} cannot be written: {error.strerror or error}.")


def remove_abandoned(path: str | Path) -> list[Path]:
    """Remove, and return, the partial files of killed writers of `path`: this user's files without a lock."""
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
    """Hold a lock while a file that several processes share is read and written.

    The file's folder is locked, so no lock file is needed; the system releases the lock of a dead process.
    Raises OSError, also when another process holds the lock longer than `seconds`.
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
    """Prefix and suffix of the names of partial files. Libraries select the format by the file extension."""
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
    """Flush a folder to the disk. Without this, a power failure may undo a rename."""
    with contextlib.suppress(OSError):  # not supported by some file systems
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
