#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Soak test: an hour over DDS at 30 Hz, a hundred SIGKILLs, full disks; counts losses and faults.

    python benchmark/soak.py [--minutes 60] [--kills 100] [--only PART] [--seed 0] [--output FILE]

hour     depth_node; a camera that changes size, encoding and clock, pauses, sends broken images, is killed
and
         restarted; and subscribers that start and stop. In the middle third, all cores are loaded. Every
         image must be accounted for: published, or counted as overtaken or rejected.
kills    node, run, export, adapt and a compiling engine are killed at random moments; their files must be
         valid, and the next start must work
places   results and caches on a full disk, a read-only home, /dev/shm full (needs root)

Exit status 1 if there was a fault; --output writes the results as Markdown. Needs the simulator and, for
export and adapt, PyTorch.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from benchmark.machine.processor import machine

PARTS = ("hour", "kills", "places")


def hour(folder: Path, minutes: float, seed: int) -> tuple[list[str], list[str]]:
    from soaking.hour import run

    found = run(folder, 60 * minutes, seed)
    median, late, latest = (1e3 * value for value in found.latency)
    lines = [
        f"{minutes:g} minutes over DDS: {found.sent:,} images sent, {found.processed:,} published, "
        f"{found.overtaken:,} overtaken by newer ones, {found.refused:,} broken ones refused, "
        f"{found.in_flight} in flight when a camera was killed, "
        f"**{found.unexplained} lost without an explanation**",
        f"{found.cameras_killed} cameras killed, {found.visitors} listeners came and went",
        f"of the good images {found.idle_rate:.2%} became depth, {found.loaded_rate:.2%} in the third with "
        f"every core busy; latency outside of it {median:.0f} ms median, {late:.0f} ms at 95 %, "
        f"{latest:.0f} ms at most",
        f"node: memory {found.memory} MiB, descriptors {found.descriptors}, threads {found.threads} after a "
        "minute, at half time, at the end",
    ]
    faults = list(found.faults)
    if found.unexplained:
        faults.append(f"{found.unexplained} images were lost without an explanation")
    return lines, faults


def kills(folder: Path, count: int, seed: int) -> tuple[list[str], list[str]]:
    from soaking.kills import run

    found = run(folder, count, seed)
    each = ", ".join(f"{name} {n} ({found.in_work[name]} in its work)" for name, n in found.killed.items())
    return [
        f"{sum(found.killed.values())} SIGKILLs at random moments: {each}",
        f"{found.started_again} nodes came up stuck after a kill, ended by their watchdog and started again",
    ], found.faults


def places(folder: Path) -> tuple[list[str], list[str]]:
    from soaking.places import run

    found = run(folder)
    faults = [f"{name}: {what}" for name, what in found.items() if "FAULT" in what]
    return [f"{name}: {what}" for name, what in found.items()], faults


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()

    if args.only in (None, "places") and os.geteuid() == 0 and "SOAK_OWN_MOUNTS" not in os.environ:
        # every mount below is removed with this process
        command = ["unshare", "--mount", sys.executable, *sys.argv]
        return subprocess.run(command, env=os.environ | {"SOAK_OWN_MOUNTS": "1"}).returncode
    lines, faults = [], []
    for part in PARTS:
        if args.only not in (None, part):
            continue
        if part == "places" and os.geteuid():
            lines.append("places: not run, it mounts file systems and needs root")
            continue
        began = time.time()
        with tempfile.TemporaryDirectory(prefix=f"soak_{part}_", ignore_cleanup_errors=True) as place:
            folder = Path(place)
            if part == "hour":
                found, wrong = hour(folder, args.minutes, args.seed)
            elif part == "kills":
                found, wrong = kills(folder, args.kills, args.seed)
            else:
                found, wrong = places(folder)
        lines += found
        faults += [f"{part}: {fault}" for fault in wrong]
        print(f"{part}: {time.time() - began:.0f} s", *found, *wrong, sep="\n  ", flush=True)
    text = [f"`python benchmark/soak.py {' '.join(sys.argv[1:])}` on {machine()}:", ""]
    text += [f"- {line}" for line in [*lines, f"{len(faults)} faults"]]
    text += [f"  - {fault}" for fault in faults]
    print("\n".join(text))
    if args.output:
        args.output.write_text("# Soak\n\n" + "\n".join(text) + "\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
