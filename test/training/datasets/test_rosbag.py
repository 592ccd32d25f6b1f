# SPDX-License-Identifier: Apache-2.0
"""rosbag2 recordings of an RGB-D camera."""

import multiprocessing
import operator
import struct
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.io.messages.depth import read_compressed_depth
from clip2depth_ros.training.datasets import open_data_set

rosbag2 = pytest.importorskip("rosbags.rosbag2")
typesys = pytest.importorskip("rosbags.typesys")
STORE = typesys.get_typestore(typesys.Stores.ROS2_HUMBLE)
T = STORE.types
SECOND = 10**9
COLOUR, DEPTH = "/camera/color/image_raw", "/camera/aligned_depth_to_color/image_raw"


def header(stamp):
    return T["std_msgs/msg/Header"](T["builtin_interfaces/msg/Time"](*divmod(stamp, SECOND)), "optical")


def raw(stamp, array, encoding):
    rows = np.ascontiguousarray(array).view(np.uint8).reshape(array.shape[0], -1)
    return T["sensor_msgs/msg/Image"](
        header(stamp), array.shape[0], array.shape[1], encoding, 0, rows.shape[1], rows.reshape(-1)
    )


def packed(stamp, array, form, suffix=".png", head=b""):
    coded = cv2.imencode(suffix, array)[1].tobytes()
    return T["sensor_msgs/msg/CompressedImage"](header(stamp), form, np.frombuffer(head + coded, np.uint8))


def info(stamp, distortion=0.0):
    region = T["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    k = np.array([30.0, 0, 15.5, 0, 31, 11.5, 0, 0, 1])
    p = np.array([30.0, 0, 15.5, 0, 0, 31, 11.5, 0, 0, 0, 1, 0])
    d = np.array([distortion, 0, 0, 0, 0])
    return T["sensor_msgs/msg/CameraInfo"](
        header(stamp), 24, 32, "plumb_bob", d, k, np.eye(3).reshape(-1), p, 0, 0, region
    )


def stamp_of(n):
    return 50 * SECOND + n * 33_000_000


def picture(n):
    return np.full((24, 32, 3), (10 * n, 100, 200), np.uint8)


def wall(metres):
    depth = np.full((24, 32), metres, np.float32)
    depth[0] = 0
    return depth


def millimetres(metres):
    return (1000 * wall(metres)).astype(np.uint16)


def write(path, topics, storage=rosbag2.StoragePlugin.SQLITE3):
    """topics: topic -> messages; recorded 5 ms after their stamps, whole."""
    with rosbag2.Writer(path, version=9, storage_plugin=storage) as writer:
        entries = []
        for topic, messages in topics.items():
            kind = messages[0].__msgtype__
            connection = writer.add_connection(topic, kind, typestore=STORE)
            for message in messages:
                stamp = message.header.stamp.sec * SECOND + message.header.stamp.nanosec
                entries.append((stamp + 5_000_000, topic, connection, STORE.serialize_cdr(message, kind)))
        for time, _, connection, data in sorted(entries, key=lambda entry: entry[:2]):
            writer.write(connection, time, data)
    return path


def recording(frames=6, late=3_000_000):
    """A RealSense's topics: depth 3 ms after colour, and none for frame 2."""
    return {
        COLOUR: [raw(stamp_of(n), picture(n)[..., ::-1], "bgr8") for n in range(frames)],
        "/camera/color/camera_info": [info(stamp_of(n)) for n in range(frames)],
        DEPTH: [raw(stamp_of(n) + late, millimetres(1 + n), "16UC1") for n in range(frames) if n != 2],
        "/camera/infra1/image_rect_raw": [
            raw(stamp_of(n), picture(n)[..., 0], "mono8") for n in range(frames)
        ],
    }


def open_bag(path, **others):
    return open_data_set({"kind": "rosbag", "root": str(path), "split": "all", **others})


@pytest.mark.parametrize("storage", list(rosbag2.StoragePlugin), ids=lambda s: s.name.lower())
def test_colour_and_depth_join_by_time(tmp_path, storage):
    data = open_bag(write(tmp_path / "bag", recording(), storage))
    assert [s.name for s in data] == [f"bag/{n:06d}" for n in (0, 1, 3, 4, 5)]
    for sample, n in zip(data, (0, 1, 3, 4, 5), strict=True):
        assert sample.image[3, 3].tolist() == [10 * n, 100, 200] and sample.stamp == stamp_of(n)
        assert np.isnan(sample.depth[0]).all() and np.unique(sample.depth[1:]) == pytest.approx([1 + n])
        assert sample.camera == Camera(32, 24, 30, 31, 15.5, 11.5)
    assert data[3].image[0, 0, 0] == 40 and data[0].image[0, 0, 0] == 0, "in any order"
    assert [data.following(i) for i in range(5)] == [1, 2, 3, 4, None]


def test_a_fresh_process_reads_the_same(tmp_path):
    data = open_bag(write(tmp_path / "bag", recording()))
    data[0]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.apply(operator.getitem, (data, 3))
    np.testing.assert_array_equal(there.image, data[3].image)
    assert there.camera == data[3].camera


def test_an_uncalibrated_camera_is_an_error(tmp_path):
    nothing = info(stamp_of(0))
    nothing.k[:], nothing.p[:] = 0, 0
    topics = recording() | {"/camera/color/camera_info": [nothing]}
    with pytest.raises(Clip2DepthError, match="camera_info on /camera/color/camera_info is not calibrated"):
        open_bag(write(tmp_path / "bag", topics))[0]
    other = info(stamp_of(0))
    other.width, other.height = 64, 20
    topics = recording() | {"/camera/color/camera_info": [other]}
    with pytest.raises(Clip2DepthError, match=r"other, /camera/color/camera_info: .*64x20"):
        open_bag(write(tmp_path / "other", topics))[0]


def test_every_other_frame(tmp_path):
    data = open_bag(write(tmp_path / "bag", recording()), every=2)
    assert [s.image[0, 0, 0] for s in data] == [0, 30, 50]
    assert data.following(0) == 1


def test_tolerance(tmp_path):
    path = write(tmp_path / "bag", recording(late=25_000_000))
    # 25 ms late is 8 ms before the next image: that one takes it.
    assert [s.image[0, 0, 0] for s in open_bag(path)] == [10, 20, 40, 50]
    with pytest.raises(Clip2DepthError, match=r"no image on .* within 0\.005 s"):
        open_bag(path, tolerance=0.005)


def test_compressed_colour_and_float_depth(tmp_path):
    stamps = [stamp_of(n) for n in range(3)]
    path = write(
        tmp_path / "bag",
        {
            f"{COLOUR}/compressed": [packed(t, picture(n)[..., ::-1], "bgr8; jpeg compressed bgr8", ".jpg")
                                     for n, t in enumerate(stamps)],
            "/camera/color/camera_info": [info(stamps[0])],
            "/camera/depth/image": [raw(t, wall(2.5 + n), "32FC1") for n, t in enumerate(stamps)],
        },
    )  # fmt: skip
    data = open_bag(path)
    assert np.unique(data[1].depth[1:]) == pytest.approx([3.5]) and np.isnan(data[1].depth[0]).all()
    assert np.abs(data[2].image[5, 5].astype(int) - [20, 100, 200]).max() < 4


def test_compressed_depth(tmp_path):
    """compressed_depth_image_transport: a header, then a PNG of millimetres or of quantised inverse depth."""
    a, b = 100.0, -20.0  # a / depth + b is what it stores
    topics = recording(frames=1)
    head = struct.pack("<iff", 0, a, b)
    coded = np.where(wall(4.0) > 0, a / np.maximum(wall(4.0), 1e-3) + b, 0).astype(np.uint16)
    for form, image in (("16UC1; compressedDepth png", millimetres(4.0)), ("32FC1; compressedDepth", coded)):
        name = form[:5]
        topics[f"/{name}/depth/compressedDepth"] = [packed(stamp_of(0), image, form, head=head)]
    path = write(tmp_path / "bag", topics)
    for name in ("16UC1", "32FC1"):
        depth = open_bag(path, depth_topic=f"/{name}/depth/compressedDepth")[0].depth
        assert np.isnan(depth[0]).all() and np.unique(depth[1:]) == pytest.approx([4.0])
    with pytest.raises(Clip2DepthError, match="several depth topics"):
        open_bag(path)


def test_a_distorted_camera_is_rectified(tmp_path):
    topics = recording()
    topics["/camera/color/camera_info"] = [info(stamp_of(0), distortion=-0.2)]
    sample = open_bag(write(tmp_path / "bag", topics))[0]
    assert sample.camera == Camera(32, 24, 30, 31, 15.5, 11.5)
    assert 24 * 32 > np.isfinite(sample.depth).sum() > 400


def test_whole_bags_are_held_out(tmp_path):
    for name in ("a", "b", "c"):
        write(tmp_path / "bags" / name, recording())
    found = {}
    for split in ("train", "validation"):
        data = open_bag(tmp_path / "bags", split=split)
        found[split] = {s.name.split("/")[0] for s in data}
    assert (len(found["train"]), len(found["validation"])) == (2, 1) and not found["train"] & found[
        "validation"
    ]
    assert open_bag(tmp_path / "bags").following(4) is None, "one bag does not follow another"


def test_what_is_missing_or_wrong_is_named(tmp_path):
    with pytest.raises(Clip2DepthError, match=r"There is no rosbag2 recording at .*; record color, depth"):
        open_bag(tmp_path)
    topics = recording()
    path = write(tmp_path / "whole", topics)
    with pytest.raises(Clip2DepthError, match=r"no depth images on /depth; Image topics: /camera/aligned"):
        open_bag(path, depth_topic="/depth")
    with pytest.raises(Clip2DepthError, match="every must be at least 1"):
        open_bag(path, every=0)
    blind = write(tmp_path / "blind", {k: v for k, v in topics.items() if k != DEPTH})
    with pytest.raises(Clip2DepthError, match="no topic with depth in its name"):
        open_bag(blind)
    without_info = {k: v for k, v in topics.items() if "info" not in k}
    with pytest.raises(Clip2DepthError, match="has no camera_info on /camera/color/camera_info"):
        open_bag(write(tmp_path / "uncalibrated", without_info))
    small = topics | {DEPTH: [raw(stamp_of(0), millimetres(1)[::2, ::2], "16UC1")]}
    with pytest.raises(Clip2DepthError, match="the image is 32x24, its depth 16x12"):
        open_bag(write(tmp_path / "unregistered", small))[0]
    grey = topics | {DEPTH: [raw(stamp_of(0), picture(1)[..., 0], "mono8")]}
    with pytest.raises(Clip2DepthError, match="'mono8' is no depth image"):
        open_bag(write(tmp_path / "grey", grey))[0]


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (b"", "of 12 bytes cannot be read: it is empty"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x75\x30\0\0\x75\x30\x10\0\0\0\0" + bytes(60), "30000x30000"),
        (cv2.imencode(".png", np.ones((4, 4), np.uint16))[1].tobytes()[:-9], "cut off"),
        (cv2.imencode(".png", np.ones((4, 4), np.uint8))[1].tobytes(), "not a 16-bit gray"),
    ],
    ids=["empty", "large", "cut off", "8 bits"],
)
def test_damaged_compressed_depth_is_refused_before_it_is_unpacked(picture, words):
    message = SimpleNamespace(format="16UC1; compressedDepth png", data=bytes(12) + picture)
    with pytest.raises(Clip2DepthError, match=words):
        read_compressed_depth(message)
