# SPDX-License-Identifier: Apache-2.0
"""Print the Debian/Ubuntu packages that `make` needs and this machine lacks, on one line.

Run it with the Python of the future virtual environment; it needs only the standard library.
"""

import shutil
import sys
import sysconfig
from ctypes.util import find_library
from importlib.util import find_spec
from pathlib import Path


def missing_packages() -> list[str]:
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    missing = []
    if find_spec("ensurepip") is None or find_spec("venv") is None:
        missing.append(f"{python}-venv")
    # the messages are compiled C and C++
    if not (shutil.which("cc") and shutil.which("c++")):
        missing.append("g++")
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        missing.append(f"{python}-dev")
    # the simulator renders with EGL, or else with OSMesa
    if not (find_library("EGL") and find_library("GL")) and not find_library("OSMesa"):
        missing += ["libegl1", "libgl1", "libgl1-mesa-dri"]
    return missing


if __name__ == "__main__":
    print(" ".join(missing_packages()))
