# SPDX-License-Identifier: Apache-2.0
"""Reading files whose size, kind and content are not trusted."""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clip2depth_ros.errors import Clip2DepthError, printable

# Bytes of a list, or of a table of poses: seven hours of poses at 30 Hz.
MAX_TABLE = 2**27

# Bytes of a file of settings or results: recipes, manifests, reports.
MAX_FACTS = 2**22

# Values in a YAML file, with aliases expanded.
MAX_VALUES = 1_000_000

# Nested brackets in a YAML file: the time to scan them grows with the square of their number.
MAX_NESTED = 100


def read_bounded(path: str | Path, limit: int) -> bytes:
    """The bytes of a regular file of at most `limit` bytes.

    Raises Clip2DepthError, which names the file, when it is missing, unreadable, longer than `limit`, or not
    a regular file: a device has no end, and a pipe without a writer blocks.
    """
    try:
        # Without O_NONBLOCK, opening a pipe blocks until there is a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise Clip2DepthError(f"{path} is not a regular file.")
            # One more byte detects a longer file. Files of /proc and /sys have a size of 0.
            expected = min(status.st_size or limit, limit)
            content = file.read(expected + 1)
    except Clip2DepthError:
        raise
    except (OSError, ValueError) as error:
        raise Clip2DepthError(
            f"{path} cannot be read: {getattr(error, 'strerror', None) or error}."
        ) from None
    if len(content) > limit:
        raise Clip2DepthError(f"{path} is longer than {limit} bytes, the limit for a file of its kind.")
    if len(content) > expected:
        raise Clip2DepthError(f"{path} grew while it was read.")
    return content


@contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """Converts any exception in the block to a Clip2DepthError that names the file.

    Libraries raise more kinds of exceptions for a damaged file than they document.
    """
    try:
        yield
    except Clip2DepthError:
        raise
    except Exception as error:
        raise Clip2DepthError(f"{path} cannot be read: {reason_of(error)}.") from error


def reason_of(error: Exception) -> str:
    """The message of an exception as one short line without a full stop."""
    return printable(" ".join(str(error).split()).rstrip("."), 200) or type(error).__name__


def load_yaml(path: str | Path, limit: int = MAX_FACTS) -> Any:
    """The plain values of a YAML file of at most `limit` bytes. Raises Clip2DepthError."""
    with reading(path):
        return parse_yaml(read_bounded(path, limit).decode())


def load_json(path: str | Path, limit: int = MAX_FACTS) -> Any:
    """The values of a JSON file of at most `limit` bytes. Raises Clip2DepthError."""
    with reading(path):
        return json.loads(read_bounded(path, limit).decode())


def parse_yaml(text: str) -> Any:
    """The plain values of YAML text. Raises yaml.YAMLError,
    also for aliases that expand to too many values and for too many nested brackets."""
    import yaml

    class Loader(yaml.SafeLoader):  # creates plain values only
        def fetch_flow_collection_start(self, token: type) -> None:
            if self.flow_level == MAX_NESTED:
                raise yaml.YAMLError(f"its brackets are nested more than {MAX_NESTED} deep")
            super().fetch_flow_collection_start(token)

    loader = Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _values(node, {}) > MAX_VALUES:
            raise yaml.YAMLError(f"its aliases expand to more than {MAX_VALUES} values")
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _values(node: Any, known: dict[int, float]) -> float:
    """Number of values of a YAML node with aliases expanded; infinite for a node that contains itself."""
    if id(node) not in known:
        known[id(node)] = math.inf
        children = node.value if isinstance(node.value, list) else []
        pairs = (child if isinstance(child, tuple) else (child,) for child in children)
        known[id(node)] = 1 + sum(_values(child, known) for pair in pairs for child in pair)
    return known[id(node)]


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a regular file of any size, hexadecimal; it is read in blocks. Raises Clip2DepthError."""
    with reading(path):
        if not Path(path).is_file():
            raise Clip2DepthError(f"{path} is missing or not a regular file.")
        digest = hashlib.sha256()
        with open(path, "rb") as file:
            while piece := file.read(2**20):
                digest.update(piece)
        return digest.hexdigest()
