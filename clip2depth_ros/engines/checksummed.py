# SPDX-License-Identifier: Apache-2.0
"""Files that are verified when they are read: a header of facts, a payload, and a checksum of both."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import tempfile
from pathlib import Path

_MAGIC = b"clip2depth sealed 1\n"  # the name of the format in files of earlier versions too
_LENGTHS = struct.Struct("<II Q")  # header, reserved, payload; bytes
_DIGEST = hashlib.sha256().digest_size


class BrokenFile(Exception):
    """The file is not as it was written; the message is one clause that tells the difference."""


def write_checksummed(path: Path, facts: dict, payload: bytes) -> None:
    """Write facts (JSON types) and payload. Readers see the old file, the new file or none, never a part.

    Raises OSError.
    """
    header = json.dumps(facts, sort_keys=True).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    descriptor, partial = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            for part in (_MAGIC, _LENGTHS.pack(len(header), 0, len(payload)), header, payload):
                file.write(part)
                digest.update(part)
            file.write(digest.digest())
            file.flush()
            os.fsync(file.fileno())
        os.chmod(
            partial, 0o644
        )  # with mkstemp's 0600, the node's user could not read an engine in a container image
        os.replace(partial, path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def read_checksummed(path: Path) -> tuple[dict, bytes]:
    """The facts and the payload. Raises BrokenFile, or OSError (FileNotFoundError when there is no file)."""
    content = path.read_bytes()
    facts, begin, length = _header(content, len(content))
    end = begin + length
    if hashlib.sha256(memoryview(content)[:end]).digest() != content[end:]:
        raise BrokenFile("is damaged (its checksum does not match)")
    return facts, content[begin:end]


def read_facts(path: Path) -> dict:
    """Only the facts, fast, without verifying the checksum. Raises BrokenFile or OSError."""
    with path.open("rb") as file:
        content = file.read(1 << 16)
        return _header(content, os.fstat(file.fileno()).st_size)[0]


def _header(content: bytes, size: int) -> tuple[dict, int, int]:
    """The facts, the payload's offset and its length. The file's size is checked against both."""
    begin = len(_MAGIC) + _LENGTHS.size
    if not _MAGIC.startswith(content[: len(_MAGIC)]):
        raise BrokenFile("was not written by this program")
    if len(content) < begin:
        raise BrokenFile(f"was truncated after {size} bytes")
    header, _, payload = _LENGTHS.unpack_from(content, len(_MAGIC))
    expected = begin + header + payload + _DIGEST
    if size != expected:
        how = "was truncated" if size < expected else "is damaged"
        raise BrokenFile(f"{how} ({size} bytes, {expected} were written)")
    try:
        facts = json.loads(content[begin : begin + header])
    except ValueError:
        raise BrokenFile("is damaged (its header cannot be read)") from None
    if not isinstance(facts, dict):
        raise BrokenFile("is damaged (its header is not a table of facts)")
    return facts, begin + header, payload
