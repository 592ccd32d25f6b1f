# SPDX-License-Identifier: Apache-2.0
"""Compile the letterbox kernel to the included PTX: `python cmake/letterbox_ptx.py`; needs NVRTC, no GPU.

The driver compiles the PTX for the GPU in use, so a robot needs no compiler. The PTX targets compute
capability 7.5, which all later GPUs support, and PTX version 7.0, which drivers from CUDA 11 on read.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "clip2depth_ros" / "engines" / "tensorrt"
SOURCE = FOLDER / "letterbox.cu"
PTX = FOLDER / "letterbox.ptx"
OLDEST = "compute_75"
PTX_VERSION = "7.0"


def compiled(source: str, architecture: str) -> str:
    """The PTX of a CUDA source. Raises RuntimeError with the compiler's log."""
    from cuda.bindings import nvrtc

    success = nvrtc.nvrtcResult.NVRTC_SUCCESS
    error, program = nvrtc.nvrtcCreateProgram(source.encode(), SOURCE.name.encode(), 0, [], [])
    if error != success:
        raise RuntimeError(f"NVRTC: {error}")
    options = [f"--gpu-architecture={architecture}".encode()]
    if nvrtc.nvrtcCompileProgram(program, len(options), options)[0] != success:
        log = b" " * nvrtc.nvrtcGetProgramLogSize(program)[1]
        nvrtc.nvrtcGetProgramLog(program, log)
        raise RuntimeError(log.decode(errors="replace"))
    text = b" " * nvrtc.nvrtcGetPTXSize(program)[1]
    nvrtc.nvrtcGetPTX(program, text)
    return text.rstrip(b"\0 ").decode()


def written() -> str:
    """The content of letterbox.ptx: the hash of its source, and the code without compiler comments."""
    source = SOURCE.read_text(encoding="utf-8")
    code = re.sub(r"//[^\n]*", "", compiled(source, OLDEST))
    code = re.sub(r"\.version [\d.]+", f".version {PTX_VERSION}", code)
    code = "\n".join(line.rstrip() for line in code.splitlines() if line.strip())
    return f"// SPDX-License-Identifier: Apache-2.0\n// {SOURCE.name}, SHA-256 {digest()}\n{code}\n"


def digest() -> str:
    """SHA-256 of the CUDA source."""
    return hashlib.sha256(SOURCE.read_bytes()).hexdigest()


if __name__ == "__main__":
    PTX.write_text(written(), encoding="utf-8")
    print(f"{PTX} written")
