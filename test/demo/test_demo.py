# SPDX-License-Identifier: Apache-2.0
"""`clip2depth demo` as a user runs it: real nodes in their own processes, over real DDS."""

from __future__ import annotations

import inspect
import json
import os
import re
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from clip2depth_ros.demo.live import Topics
from clip2depth_ros.demo.recording import read_recording

pytest.importorskip("rclpy", reason="needs ROS 2")
pytestmark = [pytest.mark.ros, pytest.mark.slow]

FRAMES, EVERY = 40, 6


def demo(*arguments, **options) -> subprocess.Popen:
    # The demo must not use the ROS domain of the tests.
    environ = {k: v for k, v in os.environ.items() if k != "ROS_DOMAIN_ID"}
    return subprocess.Popen(
        [sys.executable, "-m", "clip2depth_ros", "demo", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environ | options,
    )


def finish(process: subprocess.Popen, seconds: float = 150) -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=seconds)
    finally:
        process.kill()
    return process.returncode, out, err


@pytest.fixture
def pictures(tmp_path):
    """A folder of small images with increasing brightness, without ground truth or calibration."""
    folder = tmp_path / "somebody's pictures: 1"
    folder.mkdir()
    for i in range(FRAMES):
        picture = np.full((60, 80, 3), 40 + 3 * i, np.uint8)
        cv2.circle(picture, (10 + i, 30), 12, (250, 250, 250), -1)
        cv2.imwrite(str(folder / f"{i:03d}.png"), picture)
    return folder


def test_depth_from_a_folder_of_images(tmp_path, pictures, tiny_bundle, left_behind):
    output = tmp_path / "out"
    code, out, err = finish(
        demo(
            *("--input", pictures, "--bundle", tiny_bundle.path, "--output", output, "--rate", 5),
            "--no-stabilize",  # so that the depth follows the network's own formula
        )
    )
    assert code == 0, err
    assert "\x1b" not in out and "\r" not in out  # not a terminal: plain lines
    facts = json.loads((output / "summary.json").read_text())
    # 30 images per second are played at 5: every sixth.
    assert facts["frames_in"] == facts["frames_out"] == facts["clouds"] == facts["depth_camera_infos"] == 7
    assert facts["dropped"] == 0
    assert (facts["engine"], facts["bundle"]) == ("openvino", "tiny")
    assert facts["errors"] is None and "true depth" not in out
    assert "assumed" in out  # the camera's field of view
    assert 0 < facts["latency"]["median"] <= facts["latency"]["p95"] <= facts["latency"]["max"] < 30
    for name in ("film.webm", "sheet.jpg", "recording/recording.mcap"):
        assert str(output / name) in out and (output / name).stat().st_size > 0
    assert re.search(r"rerun .*recording\.mcap --web-viewer", out)
    assert left_behind(output) == []

    # The recording: every depth with its image, equal to the network's own formula.
    from clip2depth_ros.demo.report import matches

    found = list(matches(output / "recording", Topics(), has_truth=False))
    assert len(found) == 7
    for number, match in enumerate(found):
        corner = 40 + 3 * EVERY * number
        assert match.image[2, 2, 0] == corner
        assert match.depth[2, 2] == pytest.approx(1 / (0.1 + corner / 255), rel=0.02)
    film = cv2.VideoCapture(str(output / "film.webm"))
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) in (7, 0) or film.read()[0]


def test_frames_with_ground_truth_are_evaluated_and_a_second_run_replaces_the_first(
    tmp_path, tiny_bundle, left_behind
):
    folder, output = tmp_path / "rgbd", tmp_path / "out"
    for name in ("rgb", "depth"):
        (folder / name).mkdir(parents=True)
    # Brightness 102 is 2 m to the tiny network, see test/conftest.py; the truth says 1.6 m.
    for i in range(8):
        cv2.imwrite(str(folder / "rgb" / f"{i:06d}.png"), np.full((60, 80, 3), 102, np.uint8))
        cv2.imwrite(str(folder / "depth" / f"{i:06d}.png"), np.full((60, 80), 1600, np.uint16))
    camera = dict(fx=70, fy=70, cx=39.5, cy=29.5, width=80, height=60, depth_scale=1000, fps=5)
    (folder / "camera.json").write_text(json.dumps(camera))
    (folder / "poses.txt").write_text("".join(f"{i} 1 0 0 0 0 1 0 0 0 0 1 0\n" for i in range(8)))
    arguments = ("--input", folder, "--bundle", tiny_bundle.path, "--output", output)
    for _ in range(2):
        code, out, err = finish(demo(*arguments))
        assert code == 0, err
        facts = json.loads((output / "summary.json").read_text())
        assert facts["frames_out"] == facts["errors"]["frames"] == 8
        assert facts["errors"]["abs_rel"] == pytest.approx(0.25, abs=0.01)
        assert facts["errors"]["abs_rel_scaled"] == pytest.approx(0, abs=1e-3)
        assert "AbsRel 0.25" in out and "true depth" in out
        # The camera's motion is recorded; without motion, it gives no scale.
        poses = [raw for topic, *raw in read_recording(output / "recording") if topic == Topics().odometry]
        assert len(poses) == 8 and facts["scale"] is None
    assert left_behind(output) == []


def test_it_ends_after_the_given_seconds(tmp_path, pictures, tiny_bundle, left_behind):
    output = tmp_path / "out"
    arguments = ("--input", pictures, "--bundle", tiny_bundle.path, "--output", output, "--rate", 5)
    code, _, err = finish(demo(*arguments, "--seconds", 0.5))
    assert code == 0, err
    facts = json.loads((output / "summary.json").read_text())
    assert 1 <= facts["frames_out"] <= facts["frames_in"] < 7
    assert left_behind(output) == []


def test_large_images_arrive_without_our_profile_too(tmp_path, tiny_bundle):
    """As in a container with little shared memory, where Best Effort images of this size are lost."""
    folder, output = tmp_path / "large", tmp_path / "out"
    folder.mkdir()
    for i in range(40):
        cv2.imwrite(str(folder / f"{i}.jpg"), np.full((480, 640, 3), 6 * i, np.uint8))
    code, out, err = finish(
        demo(
            *("--input", folder, "--bundle", tiny_bundle.path, "--output", output, "--rate", 7.5),
            FASTDDS_BUILTIN_TRANSPORTS="DEFAULT",
        )
    )
    assert code == 0, err
    assert "without our Fast DDS profile" in out
    assert json.loads((output / "summary.json").read_text())["frames_out"] >= 1


def test_a_simulated_drive_has_the_length_that_the_demo_assumes():
    from clip2depth_ros.commands.demo import DRIVE
    from clip2depth_ros.simulation import Drive

    assert inspect.signature(Drive).parameters["seconds"].default == DRIVE


def test_a_dead_node_is_reported_with_its_last_lines(tmp_path, pictures, tiny_bundle, left_behind):
    output = tmp_path / "out"
    started = time.monotonic()
    impossible = ("--engine", "openvino", "--precision", "fp16")
    code, _, err = finish(
        demo("--input", pictures, "--bundle", tiny_bundle.path, *impossible, "--output", output)
    )
    assert code == 2
    assert "depth_node ended early with exit code 2" in err
    assert "not in fp16" in err  # the node's own reason
    assert "Traceback" not in err
    assert time.monotonic() - started < 60
    assert left_behind(output) == []


def test_interrupting_ends_both_nodes(tmp_path, pictures, tiny_bundle, left_behind):
    output = tmp_path / "out"
    process = demo("--input", pictures, "--bundle", tiny_bundle.path, "--output", output, "--rate", 1)
    logs = output / "logs"
    end = time.monotonic() + 60
    while not ((logs / "camera_node.log").is_file() and "Playing" in (logs / "camera_node.log").read_text()):
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.1)
    assert len(left_behind(output)) >= 2
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process, 30)
    assert code == 130
    assert "Traceback" not in err
    assert left_behind(output) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input", "/no/such/video.mp4"], "/no/such/video.mp4"),
        (["--seconds", "-1"], "--seconds"),
        (["--rate", "0"], "--rate"),
        (["--range", "3", "1"], "--range"),
        (["--horizontal-fov", "60"], "--horizontal-fov"),
        (["--bundle", "no-such-bundle"], "no-such-bundle"),
    ],
)
def test_user_errors_give_one_line_and_start_nothing(tmp_path, tiny_bundle, arguments, message):
    code, _, err = finish(demo("--output", tmp_path / "out", "--bundle", tiny_bundle.path, *arguments))
    assert code == 2
    assert message in err and len(err.strip().splitlines()) == 1
    assert not (tmp_path / "out" / "logs").exists()


def test_neither_pytorch_nor_launch_is_needed():
    program = """
        import sys
        import clip2depth_ros.commands.demo, clip2depth_ros.demo.session, clip2depth_ros.demo.report
        import clip2depth_ros.ros.nodes.observer, clip2depth_ros.ros.nodes.camera_node
        import clip2depth_ros.ros.nodes.depth_node
        print([m for m in ("torch", "launch", "launch_ros", "ros2cli", "tf2_ros") if m in sys.modules])
    """
    code = "\n".join(line.strip() for line in program.splitlines())
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
