# SPDX-License-Identifier: Apache-2.0
"""The steps of gpu_proof.sh, one after the other, each in its own process with a time limit.

A step that fails, hangs or crashes costs only its own lines. The results are written after every step.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmark.engine_table.networks import SIZES, bundle_of
from benchmark.engine_table.table import heading, line, machine, ratio_time
from benchmark.engines import BASE, CONFIGURATIONS
from clip2depth_ros.engines.probe import GpuFacts, gpu_facts
from clip2depth_ros.errors import Clip2DepthError

ROOT = Path(__file__).resolve().parents[1]
TOTAL = 350.0  # total time, seconds
TESTS, SUSTAINED, STEP = (
    100.0,
    60.0,
    45.0,
)  # limits, seconds: the tests, continuous running, any other step
RESIZED = ((320, 240), (640, 480), (1280, 720), (1920, 1080), (112, 80))
GPU_ENGINES = ("tensorrt", "tensorrt_rtx", "pytorch")


class Proof:
    """The lines of the results, their file, the log, and the remaining time."""

    def __init__(self, results: Path, name: str) -> None:
        self.began = time.monotonic()
        self.lines: list[str] = []
        results.mkdir(parents=True, exist_ok=True)
        self.path = results / f"engines_{name}.md"
        self.log = self.path.with_suffix(".log")
        self.log.write_text("", encoding="utf-8")

    @property
    def left(self) -> float:
        return TOTAL - (time.monotonic() - self.began)

    def say(self, text: str = "") -> None:
        text = text.replace(f"{ROOT}/", "")
        self.lines.append(text)
        print(text, flush=True)
        self.path.write_text("\n".join(self.lines) + "\n", encoding="utf-8")

    def run(self, command: list, limit: float) -> tuple[str | None, str]:
        """The output of a step, or None and the reason; the whole output is appended to the log."""
        limit = min(limit, self.left)
        if limit < 2:
            return None, "no time was left"
        words = [sys.executable, *map(str, command)]
        began = time.monotonic()
        try:
            ended = subprocess.run(words, capture_output=True, text=True, timeout=limit, check=False)
            out, problem = ended.stdout, f"ended with {ended.returncode}" if ended.returncode else ""
            said = out + ended.stderr
        except subprocess.TimeoutExpired as error:
            parts = (error.stdout or b"", error.stderr or b"")
            said = "".join(p.decode(errors="replace") if isinstance(p, bytes) else p for p in parts)
            out, problem = said, f"was stopped after {limit:.0f} s"
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"\n$ {' '.join(words)}   # {time.monotonic() - began:.1f} s {problem}\n{said}\n")
        if problem:
            last = [text for text in said.splitlines() if text.strip()][-1:]
            return None, f"{problem}{': ' + last[0][:200] if last else ''}"
        return out, ""

    def step(self, name: str, *arguments, limit: float = STEP) -> dict:
        """The JSON result of one of this file's own steps."""
        out, problem = self.run([__file__, "--step", name, *arguments], limit)
        return {"missing": problem} if out is None else json.loads(out.splitlines()[-1])


def prove(folder: Path, results: Path) -> Path:
    """Run all steps; returns the file with the results."""
    gpu = gpu_facts()
    name = re.sub(r"[^a-z0-9]+", "_", gpu.name.lower()).strip("_") if isinstance(gpu, GpuFacts) else "no_gpu"
    proof = Proof(results, name)
    proof.say(f"# Engines on {gpu.name if isinstance(gpu, GpuFacts) else 'a machine without a GPU'}")
    proof.say("\nWritten by `benchmark/gpu_proof.sh`; the columns are those of `benchmark/engines.py`.\n")
    for fact in machine():
        proof.say(f"- {fact}")

    proof.say("\n## Refusals\n")
    for engine in GPU_ENGINES[:2]:
        answer = proof.step("refusals", engine, limit=75)
        proof.say(f"- {engine}: {answer.get('missing') or '; '.join(answer['said'])}")

    proof.say("\n## The letterbox on the GPU against the CPU's\n")
    answer = proof.step("resize")
    for text in answer.get("said", [answer.get("missing")]):
        proof.say(f"- {text}")

    proof.say("\n## Tests marked gpu\n")
    command = ["-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", "test/engines/test_gpu.py"]
    out, problem = proof.run(command, TESTS)
    proof.say(f"{out.splitlines()[-1] if out else problem}")

    table(proof, folder)

    proof.say("\n## A minute without a pause\n")
    answer = proof.step("sustained", str(min(SUSTAINED, max(0.0, proof.left - 15))), limit=SUSTAINED + 60)
    for text in answer.get("said", [answer.get("missing")]):
        proof.say(f"- {text}")
    proof.say(f"\n{time.monotonic() - proof.began:.0f} s in all. Log: {proof.log.name}")
    return proof.path


def table(proof: Proof, folder: Path) -> None:
    """Every network, the most important ones first; skipped ones are listed when the time is over."""
    proof.say("\n## Speed, deviation, self-check\n")
    names, rule = heading().split("\n")
    proof.say(f"{names} self-check |\n{rule}---:|")
    missing: dict[str, list[str]] = {}
    measure = ROOT / "benchmark" / "engine_table" / "measure.py"
    for network, sizes in SIZES.items():
        size, base = sizes[0], None
        try:
            bundle = bundle_of(network, size, folder).path
        except Exception as error:  # no PyTorch, and no prepared bundle
            missing.setdefault(f"no bundle, see --prepare ({type(error).__name__})", []).append(network)
            continue
        for configuration in CONFIGURATIONS:
            if configuration[0] == "pytorch" and configuration[1] == "cpu":
                continue
            reserve = SUSTAINED + 25
            out, problem = proof.run([measure, bundle, *configuration, 1, 1], min(STEP, proof.left - reserve))
            row = {"missing": problem} if out is None else json.loads(out.splitlines()[-1])
            engine, device, precision = configuration
            if configuration == BASE and "whole" in row:
                base = ratio_time(row)
            where = f"{engine} ({'GPU' if device == 'cuda' else 'CPU'})"
            check = f" {100 * row['check']:.3g} % |" if row.get("check") is not None else " |"
            proof.say(line(network, size, where, precision, row, base) + check)
            if "missing" in row:
                missing.setdefault(f"{where} {precision}: {row['missing']}", []).append(network)
    if missing:
        proof.say("\nEmpty rows:\n")
        for reason, networks in missing.items():
            proof.say(f"- {reason} [{', '.join(dict.fromkeys(networks))}]")


def refusals(engine: str) -> dict:
    """Check that damaged cached engines, and those of other versions, are not run."""
    from clip2depth_ros.bundle import open_bundle
    from clip2depth_ros.engines import checksummed, open_engine
    from clip2depth_ros.engines.base import EngineUnavailable
    from clip2depth_ros.engines.cache import list_cached

    bundle, said = open_bundle("mini"), []
    with tempfile.TemporaryDirectory() as scratch:

        def opened() -> tuple[bool, float, float]:
            began = time.perf_counter()
            with open_engine(bundle, engine, precision="fp32", cache_dir=scratch) as made:
                return made.cached is not None, made.difference, time.perf_counter() - began

        try:
            _, difference, seconds = opened()
        except EngineUnavailable as error:
            return {"missing": str(error)}
        said.append(f"built and checked ({100 * difference:.3g} %) in {seconds:.1f} s")
        cached, _, seconds = opened()
        said.append(f"from the cache {'' if cached else 'NOT '}taken, {seconds:.2f} s")
        (path,) = [entry.path for entry in list_cached(scratch)]
        content = path.read_bytes()
        for where in (30, len(content) // 2, len(content) - 3):
            damaged = bytearray(content)
            damaged[where] ^= 0x20
            path.write_bytes(damaged)
            cached, difference, _ = opened()
            said.append(f"a flipped bit at byte {where} {'RUN' if cached else 'refused, built again'}")
        facts, plan = checksummed.read_checksummed(path)
        checksummed.write_checksummed(path, facts | {"key": facts["key"] | {"tensorrt": "0.0.1"}}, plan)
        said.append(f"of another version {'RUN' if opened()[0] else 'refused, built again'}")
        checksummed.write_checksummed(path, facts, plan[: len(plan) // 2])
        said.append(
            f"whole by its checksum but half a plan {'RUN' if opened()[0] else 'refused, built again'}"
        )
    return {"said": said}


def resize() -> dict:
    """Gray-level difference between GPU and CPU, and the time on the device."""
    import numpy as np

    from clip2depth_ros.camera import Letterbox
    from clip2depth_ros.engines.base import EngineUnavailable
    from clip2depth_ros.engines.tensorrt import cuda

    said = []
    try:
        buffers = cuda.FrameBuffers(0, 160, 224)
    except EngineUnavailable as error:
        return {"missing": str(error)}
    for size in RESIZED:
        letterbox = Letterbox(size, 224, 160)
        large = cuda.LargeImage(buffers, letterbox)
        image = np.random.default_rng(2).integers(0, 256, (size[1], size[0], 3), np.uint8)
        np.copyto(large.image, image)
        with buffers.on_device():
            large.upload()
        buffers.wait()
        off = np.abs(
            letterbox.letterbox(image, np.empty((160, 224, 3), np.uint8)).astype(int) - buffers.image
        )
        times = 1e3 * buffers.times(large.upload, 50)
        said.append(
            f"{size[0]}x{size[1]}: off by {off.max()} at most, {off.mean():.3f} on average; "
            f"{np.median(times):.3f} ms with both copies"
        )
    return {"said": said}


def sustained(seconds: float) -> dict:
    """Run the best engine continuously on images of 640x480, end to end."""
    import numpy as np

    from clip2depth_ros.bundle import open_bundle
    from clip2depth_ros.camera import Letterbox
    from clip2depth_ros.engines import open_engine
    from clip2depth_ros.engines.tensorrt import cuda

    try:
        engine = open_engine(open_bundle("mini"))
    except Clip2DepthError as error:
        return {"missing": str(error)}
    images = np.random.default_rng(3).integers(0, 256, (8, 480, 640, 3), np.uint8)
    letterbox = Letterbox((640, 480), 224, 160)
    fitted = np.empty((160, 224, 3), np.uint8)
    with engine:
        engine.prepare(letterbox.size)
        on_gpu = engine.prepared == letterbox.size

        def depth(image):
            return engine.infer(image if on_gpu else letterbox.letterbox(image, fitted))

        expected = [depth(image).copy() for image in images]
        before = cuda.memory_in_use() if on_gpu else 0
        times, wrong, began = [], 0, time.perf_counter()
        while time.perf_counter() - began < seconds or not times:
            index = len(times) % len(images)
            started = time.perf_counter()
            answer = depth(images[index])
            times.append(time.perf_counter() - started)
            wrong += not np.allclose(answer, expected[index], rtol=1e-3)
        after = cuda.memory_in_use() if on_gpu else 0
    milliseconds = 1e3 * np.array(times)
    tenth = max(1, len(times) // 10)

    def told(part) -> str:
        return ", ".join(f"{np.percentile(part, q):.2f}" for q in (50, 95, 99, 100))

    return {
        "said": [
            f"{engine.name} {engine.precision} on {engine.device}, 640x480, resized on the "
            f"{'GPU' if on_gpu else 'CPU'}: {len(times)} frames in {time.perf_counter() - began:.0f} s",
            f"ms end to end at 50, 95, 99 and 100 %: {told(milliseconds)}; first tenth "
            f"{told(milliseconds[:tenth])}; last tenth {told(milliseconds[-tenth:])}",
            f"frames whose depth differed from the first time's: {wrong}; the GPU's memory grew by "
            f"{(after - before) / 1e6:.1f} MB",
            *map(str, engine.attempts),
        ]
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="folder of the networks from --prepare")
    parser.add_argument(
        "--prepare", type=Path, metavar="FOLDER", help="create the networks there; needs PyTorch"
    )
    parser.add_argument(
        "--results", type=Path, default=ROOT / "benchmark" / "results", help=argparse.SUPPRESS
    )
    parser.add_argument("--step", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        name, *rest = args.step
        answer = {"refusals": refusals, "resize": resize, "sustained": lambda s: sustained(float(s))}[name](
            *rest
        )
        print(json.dumps(answer))
        return 0
    if args.prepare:
        for network, sizes in SIZES.items():
            print(bundle_of(network, sizes[0], args.prepare).path, flush=True)
        return 0
    # an own engine cache, so that no cached engine of an earlier run is tested
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["XDG_CACHE_HOME"] = scratch
        path = prove(args.folder or Path(scratch) / "bundles", args.results)
    if os.environ.get("OUT"):
        for made in (path, path.with_suffix(".log")):
            shutil.copy(made, os.environ["OUT"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
