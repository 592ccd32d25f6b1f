# SPDX-License-Identifier: Apache-2.0
"""camera_node plays sources as a camera would, and ends when and as it should."""

from __future__ import annotations

import json
import time

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")
from nav_msgs.msg import Odometry
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.io.messages.images import ImageCodec
from clip2depth_ros.io.messages.sensors import odometry_pose
from clip2depth_ros.ros.nodes.camera_node import CameraNode

pytestmark = pytest.mark.ros
COUNT = 6


def colour(number: int) -> np.ndarray:
    return np.full((48, 64, 3), (40 * number, 10, 200), np.uint8)


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """Six frames in the rgbd layout, with depth and poses, at 20 Hz."""
    folder = tmp_path_factory.mktemp("room")
    (folder / "rgb").mkdir()
    (folder / "depth").mkdir()
    for number in range(COUNT):
        cv2.imwrite(str(folder / f"rgb/{number:06d}.png"), colour(number)[..., ::-1])
        depth = np.full((48, 64), 1000 + number, np.uint16)
        depth[0] = 0
        cv2.imwrite(str(folder / f"depth/{number:06d}.png"), depth)
    # Along x, turned by half a right angle about z.
    turn = f"{0.5**0.5} {-(0.5**0.5)} 0 {{}} {0.5**0.5} {0.5**0.5} 0 2 0 0 1 3"
    poses = [f"{number:06d} {turn.format(0.1 * number)}" for number in range(COUNT)]
    (folder / "poses.txt").write_text("\n".join(poses))
    facts = dict(width=64, height=48, fx=60.0, fy=60.0, cx=31.5, cy=23.5, depth_scale=1000, fps=20)
    (folder / "camera.json").write_text(json.dumps(facts))
    return folder


@pytest.fixture
def make_camera_node(graph, room):
    made = []

    def make(**parameters):
        given = {"source": str(room), "wait_for_subscribers": 1} | parameters
        node = graph.add(
            CameraNode(
                context=graph.context,
                parameter_overrides=[Parameter(name, value=value) for name, value in given.items()],
            )
        )
        made.append(node)
        return node

    yield make
    for node in made:
        node.stop()


def test_every_frame_is_published_with_its_camera_and_depth(graph, make_camera_node):
    images, infos = graph.listen(Image, "/image_raw"), graph.listen(CameraInfo, "/camera_info")
    depths, depth_infos = (
        graph.listen(Image, "/depth/image_rect"),
        graph.listen(CameraInfo, "/depth/camera_info"),
    )
    node = make_camera_node(rate=20.0)
    before = node.get_clock().now().nanoseconds
    node.play()
    graph.wait(lambda: len(images) == len(infos) == len(depths) == len(depth_infos) == COUNT, "every frame")
    graph.wait(node.finished, "the end")
    after = node.get_clock().now().nanoseconds
    codec = ImageCodec()
    for number, (image, info, depth, depth_info) in enumerate(
        zip(images, infos, depths, depth_infos, strict=True)
    ):
        np.testing.assert_array_equal(codec.decode(image), colour(number))
        assert image.header == info.header == depth.header == depth_info.header
        assert info.k[0] == depth_info.k[0] == 60.0
        metres = np.frombuffer(depth.data, "<f4").reshape(48, 64)
        assert np.isnan(metres[0]).all()
        np.testing.assert_allclose(metres[1:], 1.0 + number / 1000)
    stamps = graph.stamps(images)
    assert before < stamps[0] and stamps[-1] < after
    assert images[0].header.frame_id
    gaps = np.diff(stamps) * 1e-9
    assert gaps.min() > 0.03, "no two images at once, however late the first was"


def test_known_poses_are_odometry_of_the_cameras_frame(graph, make_camera_node):
    images, odometry = graph.listen(Image, "/image_raw"), graph.listen(Odometry, "/odometry")
    node = make_camera_node(rate=200.0, frame_id="lens")
    node.play()
    graph.wait(lambda: len(images) == len(odometry) == COUNT, "every frame")
    for number, (image, message) in enumerate(zip(images, odometry, strict=True)):
        assert message.header.stamp == image.header.stamp
        assert (message.header.frame_id, message.child_frame_id) == ("odom", "lens")
        position, turn = odometry_pose(message)
        np.testing.assert_allclose(position, [0.1 * number, 2, 3])
        np.testing.assert_allclose(turn, [0, 0, np.sin(np.pi / 8), np.cos(np.pi / 8)], atol=1e-9)


def test_stamps_and_frame_of_choice(graph, make_camera_node):
    images = graph.listen(Image, "/image_raw")
    node = make_camera_node(stamps="source", frame_id="lens", rate=200.0, every=2)
    node.play()
    graph.wait(lambda: len(images) == COUNT // 2, "every second frame")
    assert {image.header.frame_id for image in images} == {"lens"}
    assert graph.stamps(images)[-1] < 10**18, "not the clock's"
    assert graph.stamps(images) == sorted(set(graph.stamps(images)))


def test_looping_and_stopping_to_loop(graph, make_camera_node):
    images = graph.listen(Image, "/image_raw")
    node = make_camera_node(loop=True, rate=200.0)
    node.play()
    graph.wait(lambda: len(images) > 2 * COUNT, "the third round")
    assert not node.finished()
    assert node.set_parameters([Parameter("loop", value=False)])[0].successful
    graph.wait(node.finished, "the end of the last round")
    graph.wait(lambda: len(images) == node.published, "the last image")
    assert node.published % COUNT == 0


def test_compressed(graph, make_camera_node):
    images = graph.listen(CompressedImage, "/image_raw/compressed")
    node = make_camera_node(image_transport="compressed", rate=200.0)
    node.play()
    graph.wait(lambda: len(images) == COUNT, "every frame")
    codec = ImageCodec()
    for number, image in enumerate(images):
        assert np.abs(codec.decode(image).astype(int) - colour(number)).max() < 12


def test_it_waits_for_subscribers(graph, make_camera_node):
    node = make_camera_node(rate=200.0)
    node.play()
    graph.spin(0.5)
    assert node.published == 0
    images = graph.listen(Image, "/image_raw", "best_effort")
    graph.wait(lambda: len(images) == COUNT, "every frame, over Best Effort, from the first")


def test_it_may_stay_after_the_end(graph, make_camera_node):
    images = graph.listen(Image, "/image_raw")
    node = make_camera_node(exit_at_end=False, rate=200.0)
    node.play()
    graph.wait(lambda: len(images) == COUNT and node._ended, "the end")
    assert not node.finished()


def test_a_source_without_calibration(graph, make_camera_node, room, tmp_path):
    images, infos = graph.listen(Image, "/image_raw"), graph.listen(CameraInfo, "/camera_info")
    node = make_camera_node(source=str(room / "rgb"), rate=200.0)
    node.play()
    graph.wait(lambda: len(images) == COUNT, "every frame")
    assert not infos and node.count_publishers("/camera_info") == 0

    Camera(64, 48, 77.0, 77.0, 31.5, 23.5).to_file(tmp_path / "camera.json")
    for given, focal in (
        (dict(camera=str(tmp_path / "camera.json")), 77.0),
        (dict(horizontal_fov=1.5707963267948966), 32.0),
    ):
        infos.clear()
        node = make_camera_node(source=str(room / "rgb"), rate=200.0, **given)
        node.play()
        graph.wait(lambda: len(infos) == COUNT, "camera_info")
        assert infos[0].k[0] == pytest.approx(focal)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        (dict(source="/no/such/place"), "/no/such/place"),
        (dict(camera="/no/such/file.json"), "/no/such/file.json"),
        (dict(stamps="yesterday"), "now, source"),
        (dict(rate=-1.0), "'rate' is -1"),
    ],
)
def test_mistakes_are_said_at_the_start(make_camera_node, parameters, words):
    with pytest.raises(Clip2DepthError, match=words):
        make_camera_node(**parameters)


def test_a_source_that_breaks_ends_it(graph, make_camera_node, monkeypatch):
    node = make_camera_node(wait_for_subscribers=0, rate=200.0)

    def broken(_frame):
        raise Clip2DepthError("The camera was unplugged.")

    monkeypatch.setattr(node, "_publish", broken)
    node.play()
    with pytest.raises(Clip2DepthError, match="unplugged"):
        graph.wait(node.finished)


@pytest.mark.slow
class TestProcess:
    def test_it_ends_with_its_source(self, start_process, room):
        process = start_process("camera_node", {"source": room, "rate": 100.0})
        assert process.process.wait(60) == 0
        assert f"{COUNT} images published" in process.text()

    def test_a_signal_ends_it(self, start_process, graph, room):
        process = start_process("camera_node", {"source": room, "wait_for_subscribers": 3})
        graph.wait(lambda: "Waiting until 3 subscribe" in process.text(), "the camera to wait")
        started = time.monotonic()
        assert process.end() == 0
        assert time.monotonic() - started < 20
        assert "images published" not in process.text()

    def test_a_mistake_ends_it_with_one_sentence(self, start_process):
        process = start_process("camera_node", {"source": "/no/such/place"})
        assert process.process.wait(60) == 2
        assert "error: /no/such/place does not exist" in process.text()
        assert "Traceback" not in process.text()
