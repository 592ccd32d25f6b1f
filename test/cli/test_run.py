# SPDX-License-Identifier: Apache-2.0
import csv
import json

import cv2
import numpy as np
import pytest

from clip2depth_ros.camera import Camera
from clip2depth_ros.cli import main
from clip2depth_ros.depth_images import Millimetres


@pytest.fixture
def room(tmp_path):
    """Four frames in the RGB-D layout, of brightness that the tiny network turns into 2.5 m, truth 2 m."""
    folder = tmp_path / "room"
    (folder / "rgb").mkdir(parents=True)
    (folder / "depth").mkdir()
    grey = round(0.3 * 255)  # 1 / (0.1 + 0.3) = 2.5 m
    for i in range(4):
        cv2.imwrite(str(folder / f"rgb/{i + 5:06d}.png"), np.full((48, 64, 3), grey, np.uint8))
        truth = np.full((48, 64), 2000, np.uint16)
        truth[:10] = 0
        cv2.imwrite(str(folder / f"depth/{i + 5:06d}.png"), truth)
    Camera.from_fov(64, 48, 1.0).to_file(folder / "camera.json")
    return folder


def run(room, out, bundle, *options) -> int:
    return main(["run", "--input", str(room), "--output", str(out), "--bundle", str(bundle.path), *options])


def test_writes_depth_rows_and_summary(room, tmp_path, tiny_bundle, capsys):
    out = tmp_path / "out"
    assert run(room, out, tiny_bundle) == 0
    names = [f"{i + 5:06d}" for i in range(4)]
    assert sorted(p.name for p in (out / "depth").iterdir()) == [f"{n}.png" for n in names]
    depth = cv2.imread(str(out / "depth" / "000005.png"), cv2.IMREAD_UNCHANGED)
    assert depth.shape == (48, 64) and depth.dtype == np.uint16
    expected = 1000 / (0.1 + round(0.3 * 255) / 255)
    np.testing.assert_allclose(depth, expected, atol=1)
    with open(out / "quality.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["frame"] for row in rows] == names
    assert float(rows[1]["abs_rel"]) == pytest.approx(0.25, abs=0.01)
    assert (
        float(rows[1]["infer"]) > 0 and rows[0]["temporal_error"] == "" and rows[1]["temporal_error"] == "0"
    )
    summary = json.loads((out / "summary.json").read_text())
    assert summary["frames"] == 4 and summary["bad_images"] == 0
    assert summary["bundle"] == "tiny" and summary["engine"]["name"] == "openvino"
    assert summary["depth_size"] == [64, 48] and summary["valid_fraction"] == 1.0
    assert summary["errors"]["frames"] == 4
    assert summary["errors"]["abs_rel"] == pytest.approx(0.25, abs=0.01)
    assert summary["errors"]["abs_rel_scaled"] == pytest.approx(0, abs=1e-4)
    assert summary["errors"]["rmse"] == pytest.approx(0.5, abs=0.02)
    assert summary["times"]["infer"]["p95"] >= summary["times"]["infer"]["median"] > 0
    said = capsys.readouterr()
    assert "4 frames of" in said.out and "AbsRel 0.25" in said.out
    assert "\r" not in said.err  # no bar where there is no terminal


def test_limit_every_and_size(room, tmp_path, tiny_bundle):
    out = tmp_path / "out"
    assert run(room, out, tiny_bundle, "--every", "2", "--limit", "1", "--size", "32x24") == 0
    assert [p.name for p in (out / "depth").iterdir()] == ["000005.png"]
    assert cv2.imread(str(out / "depth/000005.png"), cv2.IMREAD_UNCHANGED).shape == (24, 32)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["camera"]["width"] == 32
    assert summary["errors"]["abs_rel"] == pytest.approx(0.25, abs=0.01)


def test_the_film_shows_every_frame(room, tmp_path, tiny_bundle):
    out = tmp_path / "out"
    assert run(room, out, tiny_bundle, "--video") == 0
    film = cv2.VideoCapture(str(out / "film.mp4"))
    count = 0
    while film.grab():
        count += 1
    assert count == 4
    _, picture = cv2.VideoCapture(str(out / "film.mp4")).read()
    assert picture.shape[1] >= 3 * 64  # image, depth, true depth
    assert json.loads((out / "summary.json").read_text())["film"] == "film.mp4"


def test_images_without_camera(room, tmp_path, make_bundle, capsys):
    bundle = make_bundle(canonical_focal_px=60.0)
    images = room / "rgb"
    assert run(images, tmp_path / "a", bundle) == 2
    assert "camera_info, a camera file or horizontal_fov" in capsys.readouterr().err
    assert run(images, tmp_path / "b", bundle, "--horizontal-fov", "1.0") == 0
    assert "Camera: an ideal camera of 1 rad" in capsys.readouterr().err
    summary = json.loads((tmp_path / "b/summary.json").read_text())
    assert "1 rad" in summary["camera_assumed"] and summary["errors"] is None
    assert run(images, tmp_path / "c", bundle, "--camera", str(room / "camera.json")) == 0
    same = json.loads((tmp_path / "c/summary.json").read_text())
    assert same["focal_scale"] == pytest.approx(summary["focal_scale"]) and same["camera_assumed"] is None


def test_a_bad_image_is_counted(room, tmp_path, tiny_bundle, capsys):
    (room / "rgb/000006.png").write_bytes(b"broken")
    assert run(room, tmp_path / "out", tiny_bundle) == 0
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["frames"] == 3 and summary["bad_images"] == 1
    assert "1 images could not be read" in capsys.readouterr().out


def test_two_images_of_one_stem_leave_two_results(tmp_path, tiny_bundle):
    for name in ("a.png", "a.bmp"):
        (tmp_path / "images").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "images" / name), np.full((48, 64, 3), 90, np.uint8))
    assert run(tmp_path / "images", tmp_path / "out", tiny_bundle) == 0
    assert sorted(p.name for p in (tmp_path / "out/depth").iterdir()) == ["a.png", "a_2.png"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--limit", "0"], "--limit must be at least 1"),
        (["--every", "0"], "'every' must be at least 1"),
        (["--threads", "-2"], "threads must be 0"),
        (["--camera", "nothing.yaml"], "Cannot read the camera file"),
        (["--topic", "/camera"], "is no bag"),
        (["--horizontal-fov", "60"], "radians"),
    ],
)
def test_mistakes_are_one_line(room, tmp_path, tiny_bundle, capsys, options, message):
    if "--horizontal-fov" in options:
        (room / "camera.json").unlink()
    assert run(room, tmp_path / "out", tiny_bundle, *options) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_an_output_that_cannot_be_written(room, tmp_path, tiny_bundle, capsys):
    (tmp_path / "file").write_text("in the way")
    assert run(room, tmp_path / "file", tiny_bundle) == 2
    assert "Cannot write to" in capsys.readouterr().err


@pytest.mark.parametrize("size", ["32", "0x10", "axb", "32x"])
def test_sizes_that_are_none(room, tmp_path, tiny_bundle, capsys, size):
    with pytest.raises(SystemExit):
        run(room, tmp_path / "out", tiny_bundle, "--size", size)
    assert "write it like 320x240" in capsys.readouterr().err


def test_millimetres():
    depth = np.array([[0.0004, 0.0006, 1.2345, 65.535, 65.536, 70.0, np.nan, np.inf, -1.0]], np.float32)
    np.testing.assert_array_equal(Millimetres().of(depth), [[0, 1, 1234, 65535, 0, 0, 0, 0, 0]])


@pytest.mark.parametrize("name", ["kitchen", "hall", "desk", "nyu", "kitti"])
def test_real_frames(rgbd, tmp_path, tiny_bundle, name):
    """Every real folder goes through; what the tiny network makes of it says nothing about a trained one."""
    assert run(rgbd / name, tmp_path / "out", tiny_bundle, "--limit", "2") == 0
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["frames"] == 2 and summary["errors"]["frames"] == 2
    camera = Camera.from_file(rgbd / name / "camera.json")
    assert summary["depth_size"] == [camera.width, camera.height]
