# SPDX-License-Identifier: Apache-2.0
import csv
import json

import cv2
import numpy as np
import pytest

from clip2depth_ros.bundle import open_bundle
from clip2depth_ros.camera import Camera
from clip2depth_ros.cli import main
from clip2depth_ros.images.depth_images import Millimeters
from clip2depth_ros.io.results import COLUMNS, ERRORS


@pytest.fixture
def room(tmp_path):
    """Four frames in the RGB-D layout; the tiny network gives 2.5 m for them; the truth is 2 m."""
    folder = tmp_path / "room"
    (folder / "rgb").mkdir(parents=True)
    (folder / "depth").mkdir()
    gray = round(0.3 * 255)  # 1 / (0.1 + 0.3) = 2.5 m
    for i in range(4):
        cv2.imwrite(str(folder / f"rgb/{i + 5:06d}.png"), np.full((48, 64, 3), gray, np.uint8))
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
    assert list(rows[0]) == [*COLUMNS, *ERRORS]
    assert float(rows[1]["infer_time"]) > 0 and float(rows[1]["stabilize_time"]) > 0
    assert rows[0]["temporal_error"] == rows[0]["flicker"] == ""
    assert (rows[0]["scale"], rows[0]["scale_source"], rows[0]["floor_height"]) == ("1", "", "")
    assert 0 < float(rows[3]["deviation"]) < float(rows[0]["deviation"])
    summary = json.loads((out / "summary.json").read_text())
    assert summary["frames"] == 4 and summary["bad_images"] == 0 and summary["stabilized"]
    assert summary["scale"] is None and summary["floor"] is None and summary["warnings"] == []
    assert 0 < summary["deviation"] < 0.2 and summary["resets"] == 0
    assert summary["bundle"] == "tiny" and summary["engine"]["name"] == "openvino"
    assert summary["depth_size"] == [64, 48] and summary["valid_fraction"] == 1.0
    assert summary["errors"]["frames"] == 4
    assert summary["errors"]["abs_rel"] == pytest.approx(0.25, abs=0.01)
    assert summary["errors"]["abs_rel_scaled"] == pytest.approx(0, abs=1e-4)
    assert summary["errors"]["rmse"] == pytest.approx(0.5, abs=0.02)
    assert summary["times"]["infer"]["p95"] >= summary["times"]["infer"]["median"] > 0
    said = capsys.readouterr()
    assert "4 frames of" in said.out and "AbsRel 0.25" in said.out
    assert "\r" not in said.err  # no bar without a terminal


def test_limit_every_and_size(room, tmp_path, tiny_bundle):
    out = tmp_path / "out"
    assert run(room, out, tiny_bundle, "--every", "2", "--limit", "1", "--size", "32x24") == 0
    assert [p.name for p in (out / "depth").iterdir()] == ["000005.png"]
    assert cv2.imread(str(out / "depth/000005.png"), cv2.IMREAD_UNCHANGED).shape == (24, 32)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["camera"]["width"] == 32
    assert summary["errors"]["abs_rel"] == pytest.approx(0.25, abs=0.01)


def test_the_video_shows_every_frame(room, tmp_path, tiny_bundle):
    out = tmp_path / "out"
    assert run(room, out, tiny_bundle, "--video") == 0
    film = cv2.VideoCapture(str(out / "film.mp4"))
    count = 0
    while film.grab():
        count += 1
    assert count == 4
    _, picture = cv2.VideoCapture(str(out / "film.mp4")).read()
    assert picture.shape[1] >= 4 * 64  # image, the network's depth, stabilized depth, true depth
    assert json.loads((out / "summary.json").read_text())["film"] == "film.mp4"


def test_without_stabilizer(room, tmp_path, tiny_bundle, capsys):
    out = tmp_path / "out"
    assert run(room, out, tiny_bundle, "--no-stabilize", "--video") == 0
    with open(out / "quality.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[1]["temporal_error"] == "0" and rows[0]["temporal_error"] == ""
    assert all(row["motion"] == row["flicker"] == row["deviation"] == "" for row in rows)
    summary = json.loads((out / "summary.json").read_text())
    assert not summary["stabilized"] and summary["motion"] is None and summary["deviation"] is None
    assert summary["temporal_error"] == 0.0
    _, picture = cv2.VideoCapture(str(out / "film.mp4")).read()
    assert 3 * 64 <= picture.shape[1] < 4 * 64
    assert "differs from the last frame by 0.00%" in capsys.readouterr().out


def test_scale_from_sparse_true_ranges(room, tmp_path, tiny_bundle, capsys):
    """The network gives 2.5 m where 2 m are true."""
    out = tmp_path / "out"
    assert run(room, out, tiny_bundle, "--scale-ranges", "50", "--seed", "3") == 0
    summary = json.loads((out / "summary.json").read_text())
    scale = summary["scale"]
    assert scale["source"] == "ranges" and scale["value"] == pytest.approx(0.8, rel=0.03)
    assert summary["errors"]["abs_rel"] < 0.03
    assert f"Scale {scale['value']:.3f} (standard deviation" in capsys.readouterr().out
    with open(out / "quality.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[-1]["scale_source"] == "ranges" and 0 < float(rows[-1]["scale_deviation"]) < 0.2
    again = tmp_path / "again"
    assert run(room, again, tiny_bundle, "--scale-ranges", "50", "--seed", "3") == 0
    depth = [cv2.imread(str(o / "depth/000008.png"), cv2.IMREAD_UNCHANGED) for o in (out, again)]
    np.testing.assert_array_equal(*depth)


def test_ranges_of_a_distorted_camera(room, tmp_path, tiny_bundle):
    """Its true depth is rectified like its images before ranges are sampled from it."""
    camera = Camera(64, 48, 60, 60, 31.5, 23.5, (-0.1, 0.02, 0, 0, 0))
    camera.to_file(room / "camera.json")
    assert run(room, tmp_path / "out", tiny_bundle, "--scale-ranges", "50") == 0
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["scale"]["source"] == "ranges"
    assert summary["scale"]["value"] == pytest.approx(0.8, rel=0.03)
    assert summary["errors"]["frames"] == 4 and summary["errors"]["abs_rel"] < 0.03


def test_ranges_need_true_depth(room, tmp_path, tiny_bundle, capsys):
    assert run(room / "rgb", tmp_path / "out", tiny_bundle, "--scale-ranges", "50") == 2
    assert "--scale-ranges samples true depth" in capsys.readouterr().err


def test_a_scale_without_a_source_is_reported(room, tmp_path, tiny_bundle, capsys):
    """A static camera gives no scale."""
    poses = "".join(f"{i + 5} 1 0 0 0 0 1 0 0 0 0 1 0\n" for i in range(4))
    (room / "poses.txt").write_text(poses)
    assert run(room, tmp_path / "out", tiny_bundle, "--scale-odometry") == 0
    assert "No scale was found, so it stayed at 1" in capsys.readouterr().out
    assert json.loads((tmp_path / "out/summary.json").read_text())["scale"] is None


def test_odometry_errors_are_reported(room, tmp_path, tiny_bundle, capsys):
    lines = [f"{i + 5} 1 0 0 {40 * i} 0 1 0 0 0 0 1 0\n" for i in range(4)]
    (room / "poses.txt").write_text("".join(lines))
    assert run(room, tmp_path / "out", tiny_bundle, "--scale-odometry") == 0
    error = capsys.readouterr().err
    assert "Frame 000006: Odometry" in error and "40.0" in error
    warnings = json.loads((tmp_path / "out/summary.json").read_text())["warnings"]
    assert len(warnings) == 1 and warnings[0].startswith("000006: Odometry")


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


def test_two_images_with_one_stem_give_two_results(tmp_path, tiny_bundle):
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
        (["--camera", "nothing.yaml"], "The camera file"),
        (["--topic", "/camera"], "is not a bag"),
        (["--horizontal-fov", "60"], "radians"),
        (["--odometry-topic", "/odom"], "is not a bag"),
        (["--scale-height", "0"], "--scale-height must be positive"),
        (["--scale-height", "nan"], "--scale-height must be positive"),
        (["--scale-height", "1500"], "must lie in 0 to 100"),
        (["--scale-ranges", "0"], "--scale-ranges must be at least 1"),
        (["--scale-odometry"], "has no data about the camera's motion"),
        (["--scale-odometry", "--no-stabilize"], "--scale-odometry needs the stabilizer"),
        (["--scale-height", "1", "--mounting", "0", "0", "0", "0", "30", "0"], "multiply degrees"),
    ],
)
def test_user_errors_give_one_line(room, tmp_path, tiny_bundle, capsys, options, message):
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
def test_invalid_sizes(room, tmp_path, tiny_bundle, capsys, size):
    with pytest.raises(SystemExit):
        run(room, tmp_path / "out", tiny_bundle, "--size", size)
    assert "use a format such as 320x240" in capsys.readouterr().err


def test_millimeters():
    depth = np.array([[0.0004, 0.0006, 1.2345, 65.535, 65.536, 70.0, np.nan, np.inf, -1.0]], np.float32)
    np.testing.assert_array_equal(Millimeters().of(depth), [[0, 1, 1234, 65535, 0, 0, 0, 0, 0]])


@pytest.mark.parametrize("name", ["kitchen", "hall", "desk", "nyu", "kitti"])
def test_real_frames(rgbd, tmp_path, tiny_bundle, name):
    """Every real folder can be processed; the tiny network's depth is meaningless."""
    assert run(rgbd / name, tmp_path / "out", tiny_bundle, "--limit", "2") == 0
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["frames"] == 2 and summary["errors"]["frames"] == 2
    camera = Camera.from_file(rgbd / name / "camera.json")
    assert summary["depth_size"] == [camera.width, camera.height]


def test_real_frames_with_a_scale(rgbd, tmp_path):
    """With 60 true ranges per frame, the bundle's metric error is hardly larger than its shape error."""
    errors = {}
    for key, more in (("without", []), ("with", ["--scale-ranges", "60"])):
        out = tmp_path / key
        options = ["--every", "4", "--size", "160x120", *more]
        assert run(rgbd / "hall", out, open_bundle("mini"), *options) == 0
        errors[key] = json.loads((out / "summary.json").read_text())["errors"]
    assert errors["with"]["abs_rel"] < 0.9 * errors["without"]["abs_rel"]
    assert errors["with"]["abs_rel"] < 1.25 * errors["with"]["abs_rel_scaled"]
