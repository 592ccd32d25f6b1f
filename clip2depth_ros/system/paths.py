# SPDX-License-Identifier: Apache-2.0
"""Folders of the user in which this package keeps files, by the XDG base directory specification."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import platformdirs

APPLICATION = "clip2depth"


def user_folder(kind: Literal["cache", "data", "state"], *parts: str) -> Path:
    """The folder `parts` below this package's folder of a kind; it is not created.

    kind: "cache", for what can be made again: $XDG_CACHE_HOME or ~/.cache. "data", for what belongs to the
    user: $XDG_DATA_HOME or ~/.local/share. "state", for what a program remembers: $XDG_STATE_HOME or
    ~/.local/state. The environment is read at every call.
    """
    folders = platformdirs.PlatformDirs(APPLICATION, appauthor=False)
    folder = {
        "cache": folders.user_cache_dir,
        "data": folders.user_data_dir,
        "state": folders.user_state_dir,
    }[kind]
    return Path(folder, *parts)
