# SPDX-License-Identifier: Apache-2.0
"""Reading files without trusting their size, their kind or their content."""

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

# Bytes of a file of settings, or of facts, that people or programs write: recipes, manifests, results.
MAX_FACTS = 2**22

# Values in a YAML file, aliases written out.
MAX_VALUES = 1_000_000


def read_bounded(path: str | Path, limit: int) -> bytes:
    """The bytes of a regular file of at most `limit` bytes.

    Raises Clip2DepthError, which names the file, when it is missing, unreadable, longer than `limit`, or no
    regular file: a device never ends, and a pipe without a writer never begins.
    """
    try:
        # Without O_NONBLOCK, opening a pipe waits for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise Clip2DepthError(f"{path} is not a regular file.")
            # One byte more shows that a file is longer. Files of /proc and /sys state no size.
            expected = min(status.st_size or limit, limit)
            content = file.read(expected + 1)
    except Clip2DepthError:
        raise
    except (OSError, ValueError) as error:
        raise Clip2DepthError(
            f"{path} cannot be read: {getattr(error, 'strerror', None) or error}."
        ) from None
    if len(content) > limit:
        raise Clip2DepthError(f"{path} is longer than {limit} bytes, which nothing of its kind needs.")
    if len(content) > expected:
        raise Clip2DepthError(f"{path} grew while it was read.")
    return content


@contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """Around a reader: whatever it raises becomes a Clip2DepthError, a sentence that names the file.

    Libraries raise more kinds of exceptions for a damaged file than their documentation lists.
    """
    try:
        yield
    except Clip2DepthError:
        raise
    except Exception as error:
        raise Clip2DepthError(f"{path} cannot be read: {reason_of(error)}.") from error


def reason_of(error: Exception) -> str:
    """What an exception of a library says, as one short line without a full stop."""
    return printable(" ".join(str(error).split()).rstrip("."), 200) or type(error).__name__


def load_yaml(path: str | Path, limit: int = MAX_FACTS) -> Any:
    """What a YAML file of at most `limit` bytes holds: plain values. Raises Clip2DepthError."""
    with reading(path):
        return parse_yaml(read_bounded(path, limit).decode())


def load_json(path: str | Path, limit: int = MAX_FACTS) -> Any:
    """What a JSON file of at most `limit` bytes holds. Raises Clip2DepthError."""
    with reading(path):
        return json.loads(read_bounded(path, limit).decode())


def parse_yaml(text: str) -> Any:
    """Plain YAML. Raises yaml.YAMLError, also where a few aliases stand for billions of values."""
    import yaml

    loader = yaml.SafeLoader(text)  # it makes plain values only
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _values(node, {}) > MAX_VALUES:
            raise yaml.YAMLError(f"its aliases stand for more than {MAX_VALUES} values")
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _values(node: Any, known: dict[int, float]) -> float:
    """How many values a YAML node stands for, aliases written out; infinite where it holds itself."""
    if id(node) not in known:
        known[id(node)] = math.inf
        children = node.value if isinstance(node.value, list) else []
        pairs = (child if isinstance(child, tuple) else (child,) for child in children)
        known[id(node)] = 1 + sum(_values(child, known) for pair in pairs for child in pair)
    return known[id(node)]


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a regular file of any size, hexadecimal, read in pieces. Raises Clip2DepthError."""
    with reading(path):
        if not Path(path).is_file():
            raise Clip2DepthError(f"{path} is missing or not a regular file.")
        digest = hashlib.sha256()
        with open(path, "rb") as file:
            while piece := file.read(2**20):
                digest.update(piece)
        return digest.hexdigest()
