# SPDX-License-Identifier: Apache-2.0
"""Stands in for `clip2depth adapt`: the same arguments behind a mode, no learning.

    python adapt_stand_in.py MODE --input FOLDER --output BUNDLE --bundle CURRENT --report DIR

MODE: better, refuse, crash, broken (ends well, and leaves half a bundle), or hang, each with :SECONDS behind
for how long it takes. better writes the current bundle under another name, a little at a time.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from clip2depth_ros.bundle import find_bundle
from clip2depth_ros.io import open_source

PIECES = 20


def main() -> int:
    mode, _, seconds = sys.argv[1].partition(":")
    parser = argparse.ArgumentParser()
    for name in ("--input", "--output", "--bundle", "--report"):
        parser.add_argument(name, required=True)
    parser.add_argument("--scale-height")
    parser.add_argument("--mounting", nargs=6)
    args = parser.parse_args(sys.argv[2:])
    output, report = Path(args.output), Path(args.report)
    with open_source(args.input) as source:
        frames = list(source)
    assert frames and all(frame.pose is not None for frame in frames)
    print(f"{len(frames)} frames of {args.input}, beside {args.bundle}")
    print(f"floor {args.scale_height} {args.mounting}")
    report.mkdir(parents=True, exist_ok=True)
    pause = float(seconds or 0) / PIECES
    summary = {"kept_out": {"photometric": {"before": 0.2, "after": 0.1}}, "recording": {"keyframes": 9}}
    if mode in ("refuse", "crash"):
        time.sleep(pause * PIECES)
        reason = "Nothing was gained on the blocks that were kept out."
        (report / "summary.json").write_text(
            json.dumps({**summary, "outcome": mode, "reason": "no_gain", "sentence": reason})
        )
        print(f"error: {reason}", file=sys.stderr)
        return 3 if mode == "refuse" else 1
    if mode == "hang":
        time.sleep(3600)
    output.mkdir(parents=True)
    for path in sorted(find_bundle(args.bundle).iterdir()):
        content = path.read_bytes()
        if path.name == "manifest.json":
            fields = json.loads(content)
            fields["name"] = output.name
            content = json.dumps(fields).encode()
        if mode == "broken" and path.name == "model.onnx":
            content = content[: len(content) // 2]
        with open(output / path.name, "wb", buffering=0) as file:
            for piece in range(PIECES):
                file.write(content[len(content) * piece // PIECES : len(content) * (piece + 1) // PIECES])
                time.sleep(pause / 3)
    (report / "summary.json").write_text(json.dumps({**summary, "outcome": "adapted"}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
