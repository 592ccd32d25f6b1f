# SPDX-License-Identifier: Apache-2.0
import json
import logging

import cv2
import numpy as np
import pytest

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.sources import open_source


def write_image(path, value: int, size=(32, 24)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.full((size[1], size[0], 3), (value, 10, 200), np.uint8)  # red, green, blue
    assert cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


@pytest.fixture
def rgbd_folder(tmp_path):
    """Three frames with depth and poses."""
    for i in range(3):
        write_image(tmp_path / f"rgb/{i:06d}.png", 50 * i)
        depth = np.full((24, 32), 2500 * (i + 1), np.uint16)
        depth[0] = 0
        (tmp_path / "depth").mkdir(exist_ok=True)
        assert cv2.imwrite(str(tmp_path / f"depth/{i:06d}.png"), depth)
    camera = dict(fx=30, fy=31, cx=15.5, cy=11.5, width=32, height=24, depth_scale=5000, fps=10)
    (tmp_path / "camera.json").write_text(json.dumps(camera))
    (tmp_path / "poses.txt").write_text("000000 1 0 0 4 0 1 0 5 0 0 1 6\n000002 1 0 0 7 0 1 0 8 0 0 1 9\n")
    return tmp_path


def test_natural_order_stamps_and_names(tmp_path):
    for i, name in enumerate(["frame2.png", "frame10.png", "frame1.PNG", "notes.txt"]):
        if name.endswith("txt"):
            (tmp_path / name).write_text("no image")
        else:
            write_image(tmp_path / name, 40 * i)
    with open_source(tmp_path, fps=20) as source:
        frames = list(source)
        assert source.length == 3 and source.fps == 20
    assert [f.name for f in frames] == ["frame1", "frame2", "frame10"]
    assert [f.stamp for f in frames] == [0, 50_000_000, 100_000_000]
    np.testing.assert_array_equal(frames[0].image[0, 0], [80, 10, 200])
    assert frames[0].image.shape == (24, 32, 3) and frames[0].camera is None


def test_every_other_frame(tmp_path):
    for i in range(5):
        write_image(tmp_path / f"{i}.png", i)
    source = open_source(tmp_path, every=2, fps=10)
    assert [f.name for f in source] == ["0", "2", "4"]
    assert [f.stamp for f in source] == [0, 200_000_000, 400_000_000]
    assert (source.length, source.fps) == (3, 5)


def test_a_single_image(tmp_path):
    write_image(tmp_path / "photo.png", 7)
    assert [f.name for f in open_source(tmp_path / "photo.png")] == ["photo"]


def test_a_phones_picture_is_upright_unless_a_calibration_holds(tmp_path):
    """EXIF says "turn me"; a camera's numbers hold for the pixels as they are stored."""
    image = np.zeros((24, 32, 3), np.uint8)
    _, coded = cv2.imencode(".jpg", image)
    orientation_6 = (
        b"\xff\xe1\x00\x22Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06"
        b"\x00\x00\x00\x00\x00\x00"
    )
    coded = coded.tobytes()
    (tmp_path / "photo.jpg").write_bytes(coded[:2] + orientation_6 + coded[2:])
    assert next(iter(open_source(tmp_path / "photo.jpg"))).image.shape == (32, 24, 3)
    camera = Camera.from_fov(32, 24, 1.0)
    assert next(iter(open_source(tmp_path / "photo.jpg", camera=camera))).image.shape == (24, 32, 3)


def test_rgbd_layout(rgbd_folder):
    source = open_source(rgbd_folder)
    frames = list(source)
    assert source.fps == 10 and [f.stamp for f in frames] == [0, 100_000_000, 200_000_000]
    assert frames[0].camera == Camera(32, 24, 30, 31, 15.5, 11.5) == source.camera
    np.testing.assert_allclose(frames[1].depth[1:], 1.0)
    assert np.isnan(frames[1].depth[0]).all() and frames[1].depth.dtype == np.float32
    np.testing.assert_array_equal(frames[2].pose[:3, 3], [7, 8, 9])
    assert frames[1].pose is None


def test_rgbd_without_depth_and_poses(rgbd_folder):
    (rgbd_folder / "poses.txt").unlink()
    (rgbd_folder / "depth/000001.png").unlink()
    frames = list(open_source(rgbd_folder))
    assert frames[1].depth is None and frames[1].pose is None and frames[2].depth is not None


def test_a_given_camera_replaces_and_is_scaled(rgbd_folder):
    given = Camera(64, 48, 100, 100, 31.5, 23.5)
    source = open_source(rgbd_folder, camera=given)
    assert next(iter(source)).camera == given.scaled(32, 24)
    assert "scaled to 32x24" in source.assumed
    with pytest.raises(Clip2DepthError, match="another shape"):
        next(iter(open_source(rgbd_folder, camera=Camera(64, 64, 100, 100, 31.5, 31.5))))


def test_field_of_view_stands_in_for_a_camera_and_says_so(tmp_path, rgbd_folder):
    write_image(tmp_path / "only/photo.png", 7)
    source = open_source(tmp_path / "only", horizontal_fov=1.2)
    assert next(iter(source)).camera == Camera.from_fov(32, 24, 1.2)
    assert "1.2 rad" in source.assumed
    known = open_source(rgbd_folder, horizontal_fov=1.2)
    assert next(iter(known)).camera.fx == 30 and known.assumed == ""


def test_a_bad_image_costs_its_own_frame_only(rgbd_folder, caplog):
    (rgbd_folder / "rgb/000001.png").write_bytes(b"no image")
    (rgbd_folder / "rgb/000003.png").write_bytes(b"")
    source = open_source(rgbd_folder)
    with caplog.at_level(logging.WARNING):
        frames = list(source)
    assert [f.name for f in frames] == ["000000", "000002"]
    assert [f.stamp for f in frames] == [0, 200_000_000]
    assert source.bad_images == 2
    assert "000001.png cannot be read" in caplog.text and "2 images could not be read" in caplog.text
    assert len(list(source)) == 2 and source.bad_images == 2


def test_nothing_but_bad_images_is_an_error(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no image")
    with pytest.raises(Clip2DepthError, match="none of its 1 images can be read"):
        list(open_source(tmp_path))


def test_images_that_change_their_size_need_another_camera(rgbd_folder):
    write_image(rgbd_folder / "rgb/000003.png", 1, size=(40, 24))
    with pytest.raises(Clip2DepthError, match="camera is 32x24, its images are 40x24"):
        list(open_source(rgbd_folder))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p / "nothing", "There is nothing at .*nothing. An input is a folder"),
        (lambda p: p, "holds no image"),
    ],
)
def test_missing_and_empty_folders(tmp_path, make, message):
    with pytest.raises(Clip2DepthError, match=message):
        open_source(make(tmp_path))


def test_broken_companions_are_named(rgbd_folder):
    (rgbd_folder / "poses.txt").write_text("000000 1 2 3\n")
    with pytest.raises(
        Clip2DepthError, match=r"poses.txt: a line takes a frame number and 12 numbers, not 4"
    ):
        open_source(rgbd_folder)
    (rgbd_folder / "poses.txt").write_text("who knows\n")
    with pytest.raises(Clip2DepthError, match=r"poses.txt cannot be read"):
        open_source(rgbd_folder)
    (rgbd_folder / "poses.txt").unlink()
    (rgbd_folder / "camera.json").write_text("{")
    with pytest.raises(Clip2DepthError, match=r"camera.json"):
        open_source(rgbd_folder)


@pytest.mark.parametrize(("options", "message"), [({"every": 0}, "every"), ({"fps": 0.0}, "frame rate")])
def test_impossible_options(tmp_path, options, message):
    with pytest.raises(Clip2DepthError, match=message):
        open_source(tmp_path, **options)


def test_real_frames(rgbd):
    """What is on disk is what the layout says: truth where the sensor measured, a pose a frame."""
    with open_source(rgbd / "kitchen", every=60) as source:
        frames = list(source)
    assert len(frames) == 4
    for frame in frames:
        assert frame.image.shape == (480, 640, 3) and frame.camera.size == (640, 480)
        assert 0.5 < np.nanmedian(frame.depth) < 5
        rotation = frame.pose[:3, :3]
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-3)


def test_poses_are_odometry_on_request(rgbd_folder):
    poses = ["000000 1 0 0 0 0 1 0 0 0 0 1 0", "000001 1 0 0 0.5 0 1 0 0 0 0 1 0"]
    (rgbd_folder / "poses.txt").write_text("\n".join(poses) + "\n")
    with open_source(rgbd_folder) as source:
        assert source.has_odometry and source.has_depth
        assert all(frame.odometry is None for frame in source)
    frames = list(open_source(rgbd_folder, odometry=True))
    np.testing.assert_array_equal(frames[1].odometry, frames[1].pose)
    assert frames[1].odometry[0, 3] == 0.5 and all(frame.odometry is None for frame in frames[2:])
    (rgbd_folder / "poses.txt").unlink()
    with pytest.raises(Clip2DepthError, match="tells nothing about the camera's motion; odometry needs"):
        open_source(rgbd_folder, odometry=True)
    with pytest.raises(Clip2DepthError, match="tells nothing about the camera's motion"):
        open_source(rgbd_folder / "rgb", odometry=True)
