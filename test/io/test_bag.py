# SPDX-License-Identifier: Apache-2.0
import cv2
import numpy as np
import pytest

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.io import open_source
from clip2depth_ros.io.camera_bag import camera_info_topic

rosbag2 = pytest.importorskip("rosbags.rosbag2")
typesys = pytest.importorskip("rosbags.typesys")
STORE = typesys.get_typestore(typesys.Stores.ROS2_HUMBLE)
T = STORE.types


def header(stamp: int):
    time = T["builtin_interfaces/msg/Time"](*divmod(stamp, 10**9))
    return T["std_msgs/msg/Header"](time, "optical")


def image_message(stamp: int, array: np.ndarray, encoding: str):
    rows = np.ascontiguousarray(array).view(np.uint8).reshape(array.shape[0], -1)
    return T["sensor_msgs/msg/Image"](
        header(stamp), array.shape[0], array.shape[1], encoding, 0, rows.shape[1], rows.reshape(-1)
    )


def compressed_message(stamp: int, array: np.ndarray):
    _, coded = cv2.imencode(".png", cv2.cvtColor(array, cv2.COLOR_RGB2BGR))
    return T["sensor_msgs/msg/CompressedImage"](header(stamp), "rgb8; png compressed bgr8", coded.reshape(-1))


def info_message(stamp: int):
    region = T["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    k = np.array([30.0, 0, 15.5, 0, 31, 11.5, 0, 0, 1])
    p = np.array([30.0, 0, 15.5, 0, 0, 31, 11.5, 0, 0, 0, 1, 0])
    d, r = np.zeros(5), np.eye(3).reshape(-1)
    return T["sensor_msgs/msg/CameraInfo"](header(stamp), 24, 32, "plumb_bob", d, k, r, p, 0, 0, region)


def picture(index: int) -> np.ndarray:
    return np.full((24, 32, 3), (10 * index, 100, 200), np.uint8)


def write_bag(path, messages: dict, storage, compression=rosbag2.CompressionMode.NONE) -> None:
    """messages: topic -> list of (record time, message)."""
    writer = rosbag2.Writer(path, version=9, storage_plugin=storage)
    writer.set_compression(compression, rosbag2.CompressionFormat.ZSTD)
    with writer:
        connections = {}
        for topic, entries in messages.items():
            kind = entries[0][1].__msgtype__
            connections[topic] = (writer.add_connection(topic, kind, typestore=STORE), kind)
        order = sorted(
            (time, topic, message) for topic, entries in messages.items() for time, message in entries
        )
        for time, topic, message in sorted(order, key=lambda entry: entry[:2]):
            connection, kind = connections[topic]
            writer.write(connection, time, STORE.serialize_cdr(message, kind))


STORAGES = list(rosbag2.StoragePlugin)


@pytest.fixture(scope="module", params=STORAGES, ids=lambda s: s.name.lower())
def bag(request, tmp_path_factory):
    """Six images 0.1 s apart, camera_info that starts late, and depth, late too, for all but the fourth."""
    path = tmp_path_factory.mktemp("bags") / "bag"
    stamps = [10**9 + i * 10**8 for i in range(6)]
    depth = np.full((24, 32), 1500, np.uint16)
    depth[0] = 0
    write_bag(
        path,
        {
            "/camera/image_raw": [
                (t, image_message(t, picture(i)[..., ::-1], "bgr8")) for i, t in enumerate(stamps)
            ],
            "/camera/camera_info": [(t + 1, info_message(t)) for t in stamps[1:]],
            "/camera/depth/image": [
                (t + 120_000_000, image_message(t, depth + 100 * i, "16UC1"))
                for i, t in enumerate(stamps)
                if i != 3
            ],
        },
        request.param,
    )
    return path


def test_images_with_their_own_stamps_and_camera(bag):
    with open_source(bag) as source:
        frames = [(f.name, f.stamp, f.frame_id, f.camera, f.image[0, 0].tolist(), f.depth) for f in source]
        assert source.length == 6 and source.fps == pytest.approx(10, rel=0.3)
        assert source.topic == "/camera/image_raw"
    assert [f[1] for f in frames] == [10**9 + i * 10**8 for i in range(6)]
    assert all(f[2] == "optical" and f[3] == Camera(32, 24, 30, 31, 15.5, 11.5) for f in frames)
    assert [f[4] for f in frames] == [[10 * i, 100, 200] for i in range(6)]
    assert all(f[5] is None for f in frames)


def test_true_depth_joins_by_stamp(bag):
    source = open_source(bag, depth_topic="/camera/depth/image")
    frames = list(source)
    assert [f.stamp for f in frames] == sorted(f.stamp for f in frames) and len(frames) == 6
    for index, frame in enumerate(frames):
        assert frame.image[0, 0, 0] == 10 * index
        if index == 3:
            assert frame.depth is None
        else:
            np.testing.assert_allclose(frame.depth[1:], 1.5 + 0.1 * index, rtol=1e-6)
    # The raw value is 0 in one case only: unknown.
    assert np.isnan(frames[0].depth[0]).all()
    assert len(list(source)) == 6


def test_every_second(bag):
    assert [f.name for f in open_source(bag, every=2)] == ["000000", "000002", "000004"]


def test_a_single_file(bag):
    """An .mcap by itself, as a demo or Foxglove leaves it, and the .db3 of a folder."""
    file = next(p for p in bag.iterdir() if p.suffix in (".mcap", ".db3"))
    assert len(list(open_source(file))) == 6


def test_topics_that_are_not_there(bag):
    with pytest.raises(
        Clip2DepthError, match=r"no images on /front; Image topics: /camera/depth/image, /camera/image_raw"
    ):
        open_source(bag, topic="/front")
    with pytest.raises(Clip2DepthError, match="no depth images on /front"):
        open_source(bag, depth_topic="/front")


def test_compressed_images(tmp_path):
    write_bag(
        tmp_path / "bag",
        {
            "/cam/image_raw/compressed": [(i, compressed_message(i, picture(i))) for i in range(3)],
            "/cam/camera_info": [(0, info_message(0))],
        },
        STORAGES[0],
    )
    frames = [(f.image[0, 0].tolist(), f.camera) for f in open_source(tmp_path / "bag")]
    assert [image for image, _ in frames] == [[10 * i, 100, 200] for i in range(3)]
    assert frames[0][1] is not None


def test_two_cameras_need_a_choice_and_raw_beats_compressed(tmp_path):
    raw = [(i, image_message(i, picture(i), "rgb8")) for i in range(2)]
    packed = [(i, compressed_message(i, picture(i))) for i in range(2)]
    write_bag(tmp_path / "one", {"/a/image": raw, "/a/image/compressed": packed}, STORAGES[0])
    assert open_source(tmp_path / "one").topic == "/a/image"
    write_bag(tmp_path / "two", {"/a/image": raw, "/b/image": raw}, STORAGES[0])
    with pytest.raises(
        Clip2DepthError, match=r"several camera topics; name one with --topic. Image topics: /a/image, /b"
    ):
        open_source(tmp_path / "two")
    assert open_source(tmp_path / "two", topic="/b/image").topic == "/b/image"
    write_bag(tmp_path / "depth", {"/a/depth/image": raw}, STORAGES[0])
    with pytest.raises(Clip2DepthError, match="no topic that looks like a camera's"):
        open_source(tmp_path / "depth")


@pytest.mark.parametrize("encoding", ["yuv422_yuy2", "nv12", "bayer_rggb8"])
def test_encodings_of_webcams(tmp_path, encoding):
    """A gray picture, which every encoding holds exactly: Y 126 of 16 to 235 is 128 of 255."""
    rows = {
        "yuv422_yuy2": ((24, 64), [126, 128]),
        "nv12": ((36, 32), [126]),
        "bayer_rggb8": ((24, 32), [128]),
    }
    shape, samples = rows[encoding]
    pixels = np.resize(np.uint8(samples), shape)
    if encoding == "nv12":
        pixels[24:] = 128
    message = image_message(5, pixels, encoding)
    message.width, message.height = 32, 24
    write_bag(tmp_path / "bag", {"/camera/image_raw": [(5, message)]}, STORAGES[0])
    (frame,) = open_source(tmp_path / "bag", horizontal_fov=1.0)
    np.testing.assert_array_equal(frame.image, np.full((24, 32, 3), 128, np.uint8))


def test_a_malformed_message_costs_its_own_frame(tmp_path, caplog):
    messages = [(i, image_message(i, picture(i), "rgb8")) for i in range(3)]
    messages[1][1].height = 99
    write_bag(tmp_path / "bag", {"/image_raw": messages}, STORAGES[0])
    source = open_source(tmp_path / "bag")
    assert [f.stamp for f in source] == [0, 2] and source.bad_images == 1
    assert "image 1 of /image_raw" in caplog.text


@pytest.mark.parametrize("name", ["bag.mcap", "bag.db3"])
def test_what_is_no_bag(tmp_path, name):
    (tmp_path / name).write_bytes(b"not a bag" * 20)
    with pytest.raises(Clip2DepthError, match="cannot be read"):
        list(open_source(tmp_path / name))


def test_a_topic_for_what_is_no_bag(tmp_path):
    with pytest.raises(Clip2DepthError, match="is not a bag"):
        open_source(tmp_path, topic="/camera")


@pytest.mark.parametrize(
    ("topic", "kind", "expected"),
    [
        ("/camera/image_raw", "Image", "/camera/camera_info"),
        ("/camera/image_raw/compressed", "CompressedImage", "/camera/camera_info"),
        ("/image", "Image", "/camera_info"),
    ],
)
def test_where_camera_info_is_expected(topic, kind, expected):
    assert camera_info_topic(topic, f"sensor_msgs/msg/{kind}") == expected
