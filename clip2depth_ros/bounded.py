# SPDX-License-Identifier: Apache-2.0
"""Reading files whole without trusting their size or their kind."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from clip2depth_ros.errors import Clip2DepthError


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
