# SPDX-License-Identifier: Apache-2.0
"""`clip2depth run` when it is stopped or its disk is full: the results so far are complete and reported."""

import csv
import json
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from clip2depth_ros.cli import main
from clip2depth_ros.io import results

RUN = [sys.executable, "-m", "clip2depth_ros", "run"]
FULL = """
import resource, signal, sys
from clip2depth_ros.cli import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)), resource.RLIM_INFINITY))
sys.exit(main())
"""


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(400):
        cv2.imwrite(str(folder / f"{index:04d}.jpg"), rng.integers(0, 255, (48, 64, 3), np.uint8))
    return folder


def arguments(images, output, *more):
    return ["--input", str(images), "--output", str(output), "--horizontal-fov", "1.0", *more]


def check_results(output):
    """Every depth image is complete and has its row; the summary counts them. Returns the summary."""
    summary = json.loads((output / "summary.json").read_text())
    rows = list(csv.DictReader((output / "quality.csv").open()))
    assert [row["frame"] for row in rows] == sorted(p.stem for p in (output / "depth").iterdir())
    assert len(rows) == summary["frames"]
    for path in (output / "depth").iterdir():
        assert cv2.imread(str(path), cv2.IMREAD_UNCHANGED).dtype == np.uint16
    assert not list(output.glob(".*"))
    return summary


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 0)])
def test_a_stopped_run_writes_its_summary(images, tmp_path, number, code):
    output = tmp_path / "out"
    process = subprocess.Popen(
        RUN + arguments(images, output), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    end = time.monotonic() + 120
    while len(list((output / "depth").glob("*.png")) if output.exists() else []) < 3:
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code and "Traceback" not in errors, errors
    summary = check_results(output)
    assert 3 <= summary["frames"] < 400
    assert summary["stopped"] == ("terminated" if number == signal.SIGTERM else "interrupted")


@pytest.mark.parametrize("which", ["an image", "a row"])
def test_an_interrupt_in_the_middle_of_a_file_leaves_no_partial_file(images, tmp_path, monkeypatch, which):
    write, written = results._write_all, []

    def interrupted(file, content):
        written.append(file)
        if len(written) == {"an image": 6, "a row": 7}[which]:  # the header, then both of each frame
            file.write(memoryview(content).cast("B")[:10])
            raise KeyboardInterrupt
        write(file, content)

    monkeypatch.setattr(results, "_write_all", interrupted)
    output = tmp_path / "out"
    main(["run", *arguments(images, output)])
    summary = check_results(output)
    assert summary["stopped"] == "interrupted" and summary["frames"] == 2


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.3, 0.6])
def test_an_early_interrupt_gives_no_traceback(images, tmp_path, delay):
    # Before main() has begun, an interrupt is Python's own.
    code = """
import clip2depth_ros.cli as cli
make = cli.make_parser
cli.make_parser = lambda command: print(1, flush=True) or make(command)
raise SystemExit(cli.main())
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code, "run", *arguments(images, tmp_path / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.readline()
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors, errors
    assert process.returncode in (0, 130, -signal.SIGINT)


def test_a_full_disk_gives_one_sentence_and_complete_files(images, tmp_path):
    """Files are limited to 40,000 bytes here: quality.csv is full after some hundred rows."""
    output = tmp_path / "out"
    ended = subprocess.run(
        [sys.executable, "-c", FULL, "40000", "run", *arguments(images, output, "--no-stabilize")],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    last = ended.stderr.strip().splitlines()[-1]
    assert last == f"clip2depth run: {output / 'quality.csv'} cannot be written: File too large."
    summary = check_results(output)
    assert summary["stopped"].startswith(f"{output / 'quality.csv'} cannot be written")


def test_a_video_that_does_not_fit_on_the_disk_is_reported(tmp_path):
    code = """
import resource, signal, sys
import numpy as np
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.visualization import VideoWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
rng = np.random.default_rng(0)
try:
    with VideoWriter(sys.argv[1], 10) as film:
        for _ in range(60):
            film.write(rng.integers(0, 255, (240, 320, 3), np.uint8))
except Clip2DepthError as error:
    print(error)
"""
    for ending in ("mp4", "webm", "avi"):
        path = tmp_path / f"film.{ending}"
        path.write_text("an older film")
        ended = subprocess.run(
            [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60
        )
        assert ended.stdout.strip() == f"{path} cannot be written: no space is left on the disk.", ended
        assert path.read_text() == "an older film"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["film.avi", "film.mp4", "film.webm"]
