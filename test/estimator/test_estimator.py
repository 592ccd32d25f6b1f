# SPDX-License-Identifier: Apache-2.0
"""The Python API: an image, a video, and arrays that stay."""

import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import clip2depth_ros
from clip2depth_ros import DepthEstimator
from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.pipeline import Pipeline
from clip2depth_ros.scale import ScaleSettings

ROOT = Path(__file__).parents[2]


def level(grey: int) -> float:
    """Depth that the tiny bundle gives an image of this gray."""
    return 1 / (0.1 + grey / 255)


@pytest.fixture
def estimator(tiny_bundle):
    with DepthEstimator(tiny_bundle.path, horizontal_fov=1.0) as made:
        yield made


@pytest.fixture
def drive(tmp_path) -> Path:
    (tmp_path / "rgb").mkdir()
    for number in range(4):
        picture = np.full((48, 64, 3), 40 * (number + 1), np.uint8)
        cv2.imwrite(str(tmp_path / f"rgb/{number:06d}.png"), picture)
    Camera(64, 48, 60.0, 60.0, 31.5, 23.5).to_file(tmp_path / "camera.json")
    return tmp_path


def test_an_image_becomes_depth_deviation_and_points(estimator):
    image = np.full((48, 64, 3), 51, np.uint8)
    image[:, 32:] = (255, 0, 102)
    frame = estimator(image)
    assert frame.depth.dtype == np.float32 and frame.depth.shape == (48, 64)
    assert frame.depth[10, 5] == pytest.approx(level(51), rel=1e-3)
    assert frame.std_dev.shape == (48, 64) and np.nanmin(frame.std_dev) > 0
    points, colors = frame.points(edge_threshold=0)
    assert points.shape == colors.shape == (48 * 64, 3)
    camera = Camera.from_fov(64, 48, 1.0)
    z = frame.depth[7, 3]
    assert points[7 * 64 + 3] == pytest.approx(
        [(3 - camera.cx) / camera.fx * z, (7 - camera.cy) / camera.fy * z, z], rel=1e-4
    )
    assert colors[7 * 64 + 3].tolist() == [51, 51, 51] and colors[7 * 64 + 40].tolist() == [255, 0, 102]
    assert len(frame.points(max_range=1.0)[0]) == 0


def test_an_image_does_not_depend_on_those_before(estimator):
    dark, bright = (np.full((48, 64, 3), grey, np.uint8) for grey in (10, 250))
    first = estimator(dark)
    estimator(bright)
    again = estimator(dark)
    assert np.array_equal(first.depth, again.depth, equal_nan=True)


def test_a_video_s_frames_own_their_arrays_and_are_stabilized(estimator, tiny_bundle, drive):
    frames = list(estimator.video(drive))
    assert [frame.name for frame in frames] == [f"{n:06d}" for n in range(4)]
    assert len({float(frame.depth[20, 30]) for frame in frames}) == 4
    assert [frame.facts.motion for frame in frames][1:] != [""] * 3
    with DepthEstimator(tiny_bundle.path, stabilize=False) as plain:
        raw = list(plain.video(drive, limit=3))
    assert [float(f.depth[20, 30]) for f in raw] == pytest.approx([level(g) for g in (40, 80, 120)], rel=1e-3)
    assert raw[0].std_dev is None and raw[0].camera.fx == 60.0


def test_the_scale_holds_a_video_s_metres(tiny_bundle, drive):
    cv2.imwrite(str(drive / "rgb/000004.png"), np.full((48, 64, 3), 40, np.uint8))
    with DepthEstimator(tiny_bundle.path, scale=ScaleSettings(initial=2.0), stabilize=False) as made:
        frame = next(iter(made.video(drive)))
    assert frame.facts.scale == 2.0 and frame.depth[20, 30] == pytest.approx(2 * level(40), rel=1e-3)


def test_a_video_that_is_left_early_writes_down_its_scale(estimator, drive, monkeypatch):
    closed = []
    monkeypatch.setattr(Pipeline, "close", lambda pipeline: closed.append(pipeline))
    frames = estimator.video(drive)
    next(frames)
    before = len(closed)
    frames.close()
    assert len(closed) == before + 1


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8)]
)
def test_what_is_no_image(estimator, image):
    with pytest.raises(Clip2DepthError, match=r"\(H, W, 3\) uint8"):
        estimator(image)


def test_points_need_a_camera(tiny_bundle):
    with DepthEstimator(tiny_bundle.path) as made:
        frame = made(np.zeros((48, 64, 3), np.uint8))
        with pytest.raises(Clip2DepthError, match="needs a camera"):
            frame.points()
        assert len(made(np.zeros((48, 64, 3), np.uint8), horizontal_fov=1.0).points()[0]) == 48 * 64
    with pytest.raises(Clip2DepthError, match="either"):
        DepthEstimator(tiny_bundle.path, camera=Camera.from_fov(64, 48, 1.0), horizontal_fov=1.0)


def test_the_package_itself_stays_light():
    heavy = {"numpy", "cv2", "rclpy", "torch", "openvino"}
    code = f"import sys, clip2depth_ros; print(sorted({heavy} & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert ended.stdout.strip() == "[]"
    with pytest.raises(AttributeError, match="no attribute 'DepthGuesser'"):
        clip2depth_ros.DepthGuesser  # noqa: B018


def test_the_readme_s_lines_run(drive, tmp_path, monkeypatch):
    text = (ROOT / "README.md").read_text()
    code = re.search(r"```python\n(.*?DepthEstimator.*?)```", text, re.S).group(1)
    picture = cv2.imread(str(drive / "rgb/000001.png"))
    cv2.imwrite(str(tmp_path / "room.jpg"), cv2.resize(picture, (320, 240)))
    writer = cv2.VideoWriter(str(tmp_path / "drive.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 10, (320, 240))
    for _ in range(3):
        writer.write(cv2.resize(picture, (320, 240)))
    writer.release()
    monkeypatch.chdir(tmp_path)
    seen: dict = {}
    exec(compile(code, "README.md", "exec"), seen)
    assert seen["frame"].depth.shape == (240, 320) and len(seen["points"]) == len(seen["colors"]) > 0
