# SPDX-License-Identifier: Apache-2.0
import json
import logging
import struct

import cv2
import numpy as np
import pytest

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.io import open_source


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
        (lambda p: p / "nothing", "nothing does not exist. An input is a folder"),
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
    with pytest.raises(Clip2DepthError, match="has no data about the camera's motion; odometry needs"):
        open_source(rgbd_folder, odometry=True)
    with pytest.raises(Clip2DepthError, match="has no data about the camera's motion"):
        open_source(rgbd_folder / "rgb", odometry=True)


def test_file_names_with_digits_that_int_does_not_know(tmp_path):
    names = ["1²2.jpg", "①.jpg", "٣.jpg", "frame" + "9" * 200 + ".jpg", "½.jpg", "frame10.jpg", "frame9.jpg"]
    for name in names:
        write_image(tmp_path / "photos" / name, 7)
    found = [f.name for f in open_source(tmp_path / "photos")]
    assert len(found) == len(names) and found.index("frame9") < found.index("frame10")
    (tmp_path / "both").mkdir()
    (tmp_path / "photos").rename(tmp_path / "both" / "rgb")
    (tmp_path / "both" / "poses.txt").write_text("3 1 0 0 7 0 1 0 8 0 0 1 9\n")
    poses = {f.name: f.pose for f in open_source(tmp_path / "both")}
    assert poses["٣"] is not None and poses["1²2"] is None


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("camera.json", '{"fps": 1e-300}', "fps must be a number from 0.001 to 10000, it is 1e-300"),
        ("camera.json", '{"fps": 1e400}', "fps must be .* it is inf"),
        ("camera.json", '{"fps": "fast"}', "fps must be .* it is fast"),
        ("camera.json", '{"fps": [10]}', "fps must be .* it is of the type list"),
        ("camera.json", '{"depth_scale": 1e400}', "depth_scale must be a number from 0.1"),
        ("camera.json", '{"depth_scale": NaN}', "depth_scale must be .* it is nan"),
        ("camera.json", '{"depth_scale": 1e-300}', "depth_scale must be .* it is 1e-300"),
        ("camera.json", '{"depth_scale": -1}', "depth_scale must be"),
        ("camera.json", '{"depth_scale": 0}', "depth_scale must be"),
        ("camera.json", '{"depth_scale": ' + "9" * 5000 + "}", "cannot be read|not valid JSON"),
        ("camera.json", "[" * 60_000, "cannot be read|not valid JSON"),
        ("camera.json", "[]", "does not describe a camera"),
        ("camera.json", " " * 70_000, "longer than 65536 bytes"),
        ("poses.txt", "nan 1 0 0 4 0 1 0 5 0 0 1 6\n", "nan is not a frame number"),
        ("poses.txt", "inf 1 0 0 4 0 1 0 5 0 0 1 6\n", "inf is not a frame number"),
        ("poses.txt", "-1 1 0 0 4 0 1 0 5 0 0 1 6\n", "-1 is not a frame number"),
        ("poses.txt", "1.5 1 0 0 4 0 1 0 5 0 0 1 6\n", "1.5 is not a frame number"),
        ("poses.txt", "1e300 1 0 0 4 0 1 0 5 0 0 1 6\n", "not a frame number"),
        ("poses.txt", "1 2 3\n4 5\n", "cannot be read"),
        ("poses.txt", "1\0 2\n", "cannot be read"),
    ],
)
def test_a_broken_companion_is_one_sentence_that_names_it(rgbd_folder, file, text, words):
    facts = json.loads((rgbd_folder / "camera.json").read_text())
    if text.startswith('{"'):
        text = json.dumps({k: v for k, v in facts.items() if k not in text})[:-1] + ", " + text[1:]
    (rgbd_folder / file).write_text(text)
    with pytest.raises(Clip2DepthError, match=words) as refusal:
        list(open_source(rgbd_folder))
    assert str(rgbd_folder / file) in str(refusal.value)
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 500


@pytest.mark.parametrize("file", ["camera.json", "poses.txt", "rgb/000001.png", "depth/000001.png"])
@pytest.mark.parametrize("content", [b"\xff\xfe\0", bytes(300), b"\x89PNG\r\n\x1a\n", None])
def test_any_damage_costs_a_sentence_or_a_frame(rgbd_folder, file, content):
    """None: a link to a device that never ends."""
    (rgbd_folder / file).unlink()
    if content is None:
        (rgbd_folder / file).symlink_to("/dev/zero")
    else:
        (rgbd_folder / file).write_bytes(content)
    try:
        frames = list(open_source(rgbd_folder))
    except Clip2DepthError as error:
        assert str(rgbd_folder / file) in str(error) and "\n" not in str(error)
    else:
        assert len(frames) == (2 if file.startswith("rgb") else 3)


def test_empty_poses_are_none(rgbd_folder):
    (rgbd_folder / "poses.txt").write_text("# nothing\n")
    assert all(f.pose is None for f in open_source(rgbd_folder))


def test_a_damaged_depth_image_is_said_and_costs_its_truth(rgbd_folder, caplog):
    coded = (rgbd_folder / "depth/000001.png").read_bytes()
    (rgbd_folder / "depth/000001.png").write_bytes(coded[:-30])
    write_image(rgbd_folder / "depth/000002.png", 3)
    with caplog.at_level(logging.WARNING):
        frames = list(open_source(rgbd_folder))
    assert frames[0].depth is not None and frames[1].depth is None and frames[2].depth is None
    assert "depth/000001.png cannot be read" in caplog.text and "not a 16-bit gray image" in caplog.text


def test_a_picture_that_is_too_large_costs_its_own_frame(rgbd_folder, caplog):
    (rgbd_folder / "rgb/000001.png").write_bytes(
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">IIBBBBB", 30000, 30000, 1, 0, 0, 0, 0) + bytes(50)
    )
    with caplog.at_level(logging.WARNING):
        assert len(list(open_source(rgbd_folder))) == 2
    assert "000001.png cannot be read: it says it is 30000x30000 pixels" in caplog.text


@pytest.mark.parametrize("fps", [1e-300, 1e-4, 1e5, float("nan"), float("inf"), -1.0])
def test_a_frame_rate_that_no_camera_has_is_refused(tmp_path, fps):
    write_image(tmp_path / "a.png", 1)
    with pytest.raises(Clip2DepthError, match=r"frame rate must be 0\.001 to 10000"):
        open_source(tmp_path, fps=fps)


def test_stamps_of_a_folder_take_the_place_of_its_rate(tmp_path):
    (tmp_path / "rgb").mkdir()
    for number in range(3):
        cv2.imwrite(str(tmp_path / "rgb" / f"{number:06d}.png"), np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "stamps.txt").write_text("0 0.0\n1 0.25\n2 7.5\n")
    with open_source(tmp_path) as source:
        assert [frame.stamp for frame in source] == [0, 250_000_000, 7_500_000_000]
    (tmp_path / "stamps.txt").write_text("0 0.0 1.0\n")
    with pytest.raises(Clip2DepthError, match=r"stamps.txt: a line takes a frame number and 1 numbers"):
        open_source(tmp_path)
