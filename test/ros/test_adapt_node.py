# SPDX-License-Identifier: Apache-2.0
"""adapt_node beside depth_node: keeps, learns, offers, goes back, and does no harm when it is killed."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")
from clip2depth_ros.msg import DepthQuality
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from nav_msgs.msg import Odometry
from rclpy.parameter import Parameter
from std_srvs.srv import Trigger

from clip2depth_ros.bundle import Bundle
from clip2depth_ros.camera import Camera, Rectifier
from clip2depth_ros.camera.transforms import quaternion_of
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.frame import Frame
from clip2depth_ros.io import open_source
from clip2depth_ros.keyframes import KeyframeStore
from clip2depth_ros.ros.nodes import adapt_run
from clip2depth_ros.ros.nodes.adapt_node import COMMAND, AdaptNode
from clip2depth_ros.ros.qos import volatile
from clip2depth_ros.system.processes import tied_to_parent

pytestmark = pytest.mark.ros
HERE = Path(__file__).parent
STEP = 33_000_000
"""Nanoseconds from one image of the fake camera to the next."""
TEXTURE = cv2.resize(
    np.random.default_rng(4).integers(0, 256, (12, 16, 3), np.uint8), (64, 48), interpolation=cv2.INTER_CUBIC
)


def stand_in(mode: str) -> tuple[str, ...]:
    return (sys.executable, str(HERE / "adapt_stand_in.py"), mode)


class Robot:
    """Images and odometry of a drive, on the tester's node."""

    def __init__(self, graph, fake_camera) -> None:
        self.graph = graph
        self.camera = fake_camera()
        self.odometry = graph.tester.create_publisher(Odometry, "/odom", volatile(10))
        self.x = self.heading = 0.0
        self.told = graph.listen(DiagnosticArray, "/diagnostics", queue=50)
        self._triggers = {}

    def step(self, forward: float = 0.05, turn: float = 0.0) -> None:
        """A thirtieth of a second."""
        self.x += forward
        self.heading += turn
        self.tell((self.x, 0.0, 0.0), (0.0, 0.0, math.sin(self.heading / 2), math.cos(self.heading / 2)))
        self.camera.send(changes={"data": TEXTURE.tobytes()})
        self.graph.spin(0.02)

    def see(self, frame: Frame, pose: np.ndarray) -> None:
        """A simulated frame, and odometry of the camera itself, 0.2 s after the last one."""
        self.camera.stamp += 200_000_000 - STEP
        self.tell(pose[:3, 3], quaternion_of(pose[:3, :3]), child="optical")
        width, height = frame.camera.size
        self.camera.send_info(width, height, frame.camera.fx)
        self.camera.send(width, height, info=False, changes={"data": frame.image.tobytes()})
        self.graph.spin(0.05)

    def tell(self, position, quaternion, child: str = "base_link") -> None:
        """Odometry at the next image's stamp."""
        message = Odometry(child_frame_id=child)
        message.header.frame_id = "odom"
        stamp = self.camera.stamp + STEP
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
        place, turned = message.pose.pose.position, message.pose.pose.orientation
        place.x, place.y, place.z = map(float, position)
        turned.x, turned.y, turned.z, turned.w = map(float, quaternion)
        self.odometry.publish(message)

    def drive(self, length: float) -> None:
        for _ in range(round(length / 0.05)):
            self.step()

    def wait_for(self, *nodes: str) -> None:
        """Until everybody subscribes."""
        tester = self.graph.tester
        self.graph.wait(lambda: tester.count_subscribers("/image") >= len(nodes), "the images' subscribers")
        self.graph.wait(lambda: tester.count_subscribers("/odom") >= 1, "odometry's subscriber")
        self.graph.spin(0.5)

    def ask(self, name: str, node: str = "/clip2depth_adapt") -> Trigger.Response:
        """Call a service; asked again, for an answer gets lost when the server does not know its client."""
        if name not in self._triggers:
            self._triggers[name] = self.graph.tester.create_client(Trigger, f"{node}/{name}")
        client = self._triggers[name]
        self.graph.wait(client.service_is_ready, name)
        self.graph.spin(0.3)
        future = client.call_async(Trigger.Request())
        self.graph.wait(future.done, name, 20.0)
        return future.result()

    def facts(self) -> dict[str, str]:
        """The newest diagnostic values of adapt_node, its message under "message"."""
        for array in reversed(self.told):
            status = array.status[0]
            if status.name.endswith("adaptation"):
                values = {value.key: value.value for value in status.values}
                return values | {"message": status.message, "level": status.level}
        return {}


@pytest.fixture
def robot(graph, fake_camera) -> Robot:
    return Robot(graph, fake_camera)


def drove_before(folder: Path) -> None:
    """Keyframes of an earlier drive, enough to learn from."""
    store = KeyframeStore(folder / "keyframes", 10**8)
    for n in range(40):
        pose = np.eye(4)
        pose[:3, 3] = 0.1 * n, 0.0, 0.3
        store.add(TEXTURE, pose, n * 10**9, Camera(64, 48, 60.0, 60.0, 31.5, 23.5))


@pytest.fixture
def make_adapt_node(graph, tmp_path):
    """Function that makes an adapt node on the graph: make(mode, stocked=True, adapt__apply=True, ...)."""
    made = []

    def make(mode: str = "better", stocked: bool = False, command=(), **parameters) -> AdaptNode:
        if stocked:
            drove_before(tmp_path / "adapted")
        given = {
            "odometry.topic": "/odom",
            "adapt.folder": str(tmp_path / "adapted"),
            "adapt.new_keyframes": 0,
        }
        given |= {name.replace("__", "."): value for name, value in parameters.items()}
        overrides = [Parameter(name, value=value) for name, value in given.items()]
        node = AdaptNode(
            command=command or stand_in(mode), context=graph.context, parameter_overrides=overrides
        )
        graph.add(node)
        made.append(node)
        node.start()
        return node

    yield make
    for node in made:
        node.stop()


def bundle_of(node) -> str:
    return node.get_parameter("bundle").value


def test_a_drive_is_kept_standing_and_turning_are_not(graph, robot, make_adapt_node, tmp_path):
    node = make_adapt_node(mounting__x=0.1, mounting__z=0.3)
    robot.wait_for("adapt")
    for _ in range(20):
        robot.step(0.0)
    for _ in range(20):
        robot.step(0.0, 0.1)
    robot.heading = 0.0
    graph.wait(lambda: robot.facts().get("keyframes") == "0", "diagnostics")
    robot.step(0.0)
    robot.drive(3.0)
    graph.wait(lambda: len(node._store.frames) > 10, "keyframes")
    graph.wait(lambda: robot.facts().get("keyframes") == str(len(node._store.frames)), "diagnostics")
    assert "turning" in robot.facts()["images left out"]
    node._store.snapshot(tmp_path / "shot")
    with open_source(str(tmp_path / "shot")) as source:
        frames = list(source)
    assert frames[0].camera.fx == pytest.approx(60.0)
    last = frames[-1].pose
    # the optical axis looks along the robot's x, and the camera is where the mounting says
    np.testing.assert_allclose(last[:3, 2], [1, 0, 0], atol=1e-6)
    assert last[2, 3] == pytest.approx(0.3) and abs(last[0, 3] - 0.1 - robot.x) < 0.6


def test_the_height_goes_to_the_command(graph, robot, make_adapt_node, make_depth_node, tmp_path):
    make_depth_node()
    node = make_adapt_node(stocked=True, scale__height=0.3, mounting__pitch=0.1)
    robot.wait_for("adapt")
    robot.drive(0.5)
    graph.wait(lambda: node._running, "the depth node")
    assert robot.ask("adapt_now").success
    graph.wait(lambda: node._state.outcome, "the outcome")
    said = (tmp_path / "adapted/report/log.txt").read_text()
    assert "floor 0.3 ['0', '0', '0', '0', '0.1', '0']" in said


def test_the_height_of_a_camera_that_moves_on_the_robot_is_not_used(graph, robot, make_adapt_node):
    node = make_adapt_node(scale__height=0.3)
    robot.wait_for("adapt")
    for pitch, used in ((0.0, True), (0.1, True), (0.11, True), (0.2, False), (0.0, False)):
        node.set_parameters([Parameter("mounting.pitch", value=pitch)])
        kept = len(node._store.frames)
        robot.drive(0.3)
        graph.wait(lambda kept=kept: len(node._store.frames) > kept, "a keyframe")
        assert bool(node._floor_options()) == used, pitch


def test_images_are_kept_rectified(graph, robot, make_adapt_node, monkeypatch):

    distorted = Camera(64, 48, 60.0, 60.0, 31.5, 23.5, distortion=(-0.2, 0.05, 0.0, 0.0, 0.0))
    node = make_adapt_node()
    monkeypatch.setattr(node._input, "camera_for", lambda width, height: distorted)
    robot.wait_for("adapt")
    robot.drive(1.0)
    graph.wait(lambda: node._store.frames, "a keyframe")
    assert node._store.camera == distorted.undistorted() and node._store.camera.is_rectified
    number = next(iter(node._store.frames))
    kept = cv2.imread(str(node._store.folder / f"rgb/{number:06d}.jpg"))[:, :, ::-1]
    expected = Rectifier(distorted).rectify(TEXTURE, np.empty_like(TEXTURE))
    # JPEG halves the colour's resolution
    assert np.abs(kept.astype(int) - expected).mean() < 0.6 * np.abs(kept.astype(int) - TEXTURE).mean()


def test_it_learns_offers_applies_and_goes_back(
    graph, robot, make_adapt_node, make_depth_node, tiny_bundle, tmp_path
):
    depth = make_depth_node()
    quality = graph.listen(DepthQuality, "/clip2depth/quality")
    node = make_adapt_node(mode="better:0.5", stocked=True)
    robot.wait_for("adapt", "depth")
    assert not robot.ask("revert").success and not robot.ask("apply").success, "there is nothing yet"
    graph.wait(lambda: node._running, "the depth node")
    answer = robot.ask("adapt_now")
    assert answer.success, answer.message
    graph.wait(lambda: node._state.offered, "an offer")
    assert bundle_of(depth) == str(tiny_bundle.path), "nothing is given without consent"
    graph.wait(lambda: "better bundle" in robot.facts().get("message", ""), "the diagnostics")
    facts = robot.facts()
    assert facts["last outcome"].startswith("better") and facts["new keyframes"] == "0"
    assert float(facts["measured kept out photometric after"]) == 0.1

    answer = robot.ask("apply")
    assert answer.success, answer.message
    adapted = tmp_path / "adapted" / "tiny-0001"
    assert bundle_of(depth) == str(adapted) and Bundle(adapted).name == "tiny-0001"

    def seen(name):
        robot.step()
        return quality and quality[-1].bundle == name

    graph.wait(lambda: seen("tiny-0001"), "depth of the adapted bundle")
    assert not robot.ask("apply").success, "it is applied already"

    answer = robot.ask("revert")
    assert answer.success, answer.message
    assert bundle_of(depth) == str(tiny_bundle.path)
    graph.wait(lambda: seen("tiny"), "depth of the bundle before")
    assert not robot.ask("revert").success


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_real_command_learns_a_simulated_drive_and_its_bundle_is_applied(
    graph, robot, make_adapt_node, make_depth_node, monkeypatch, tmp_path
):
    """Images and wheel odometry come over DDS; `clip2depth adapt` is a child process, with few steps."""
    assert subprocess.run([*COMMAND, "--help"], stdout=subprocess.DEVNULL).returncode == 0
    for needed in ("mujoco", "torch", "accelerate"):
        pytest.importorskip(needed)
    from clip2depth_ros.simulation import Drive
    from clip2depth_ros.simulation.drives.wheels import Wheels

    frames = list(Drive(9004, 224, 160, 5, seconds=40))
    told = Wheels(scale=1.03).odometry([f.pose for f in frames], 5, np.random.default_rng(0))
    monkeypatch.setattr(adapt_run, "tied_to_parent", lambda number, idle: tied_to_parent(number))  # not idle
    depth = make_depth_node(bundle="mini")
    program = str(HERE / "adapt_with_few_views.py")
    node = make_adapt_node(command=(sys.executable, program, "--steps", "20", "--threads", "1"))
    quality = graph.listen(DepthQuality, "/clip2depth/quality")
    robot.wait_for("adapt", "depth")

    def seen_by_adapt_node() -> int:
        counts = node._input.mailbox.counts
        return counts.processed + counts.dropped + counts.bad

    for number, (frame, pose) in enumerate(zip(frames, told, strict=True)):
        robot.see(frame, pose)
        graph.wait(lambda number=number: seen_by_adapt_node() > number, "adapt_node to take the image")
    graph.wait(lambda: node._running, "the depth node")
    answer = robot.ask("adapt_now")
    assert answer.success, answer.message
    graph.wait(lambda: node._state.outcome, "the end of the adaptation", 1000.0)
    assert node._state.outcome.startswith("better"), node._state.outcome
    measures = node._state.measures
    assert measures["kept out photometric after"] < measures["kept out photometric before"]
    assert bundle_of(depth) == "mini" and quality[-1].bundle == "mini"

    def seen(name):
        robot.see(frames[-1], told[-1])
        return quality[-1].bundle == name

    adapted = tmp_path / "adapted" / "mini-0001"
    assert robot.ask("apply").success and bundle_of(depth) == str(adapted)
    graph.wait(lambda: seen("mini-0001"), "depth of the adapted bundle")
    assert Bundle(adapted).manifest.errors["adaptation"]["from"]["name"] == "mini"
    assert robot.ask("revert").success and bundle_of(depth) == "mini"
    graph.wait(lambda: seen("mini"), "depth of the bundle before")


def test_by_itself_it_learns_when_enough_is_new_and_applies_if_it_may(
    graph, robot, make_adapt_node, make_depth_node, tmp_path
):
    depth = make_depth_node()
    node = make_adapt_node(stocked=True, adapt__new_keyframes=42, adapt__apply=True, adapt__max_load=0.0)
    robot.wait_for("adapt")
    robot.drive(1.0)
    graph.wait(lambda: len(node._store.frames) >= 42 and node._running, "keyframes")
    graph.spin(0.5)
    assert not node._run.is_running, "the computer has no time"
    node.set_parameters([Parameter("adapt.max_load", value=100.0)])
    graph.wait(lambda: bundle_of(depth) == str(tmp_path / "adapted" / "tiny-0001"), "the adapted bundle")
    graph.spin(1.0)
    assert not node._run.is_running, "nothing is new"


@pytest.mark.parametrize(
    ("mode", "words", "level"),
    [
        ("refuse", "refused: Nothing was gained", DiagnosticStatus.OK),
        ("crash", "failed: The command ended with exit code 1", DiagnosticStatus.WARN),
        ("broken", "failed: The command succeeded, but left no valid bundle", DiagnosticStatus.WARN),
    ],
    ids=["refuse", "crash", "broken"],
)
def test_no_gain_is_told_and_nothing_offered(
    graph, robot, make_adapt_node, make_depth_node, tiny_bundle, mode, words, level
):
    depth = make_depth_node()
    node = make_adapt_node(mode=mode, stocked=True, adapt__apply=True)
    graph.wait(lambda: node._running, "the depth node")
    assert robot.ask("adapt_now").success
    graph.wait(lambda: words in robot.facts().get("last outcome", ""), "the outcome")
    assert robot.facts()["level"] == level
    assert node._run.bundles() == [] and not node._state.offered
    assert bundle_of(depth) == str(tiny_bundle.path)


def test_a_bundle_that_the_depth_node_refuses_is_forgotten(
    graph, robot, make_adapt_node, make_depth_node, make_bundle, tiny_bundle, tmp_path
):
    depth = make_depth_node(engine="openvino")
    node = make_adapt_node()
    bad = make_bundle(name="bad")
    image, expected = bad.check()
    np.savez_compressed(bad.path / "check.npz", image=image, depth=expected * np.float32(1.3))
    node._state.offered = str(bad.path)
    graph.wait(lambda: node._running, "the depth node")
    assert robot.ask("apply").success, "it is not known at once"
    graph.wait(lambda: bundle_of(depth) == str(tiny_bundle.path), "the parameter to go back")
    graph.wait(lambda: "the bundle was rejected" in robot.facts().get("message", ""), "the diagnostics")
    assert node._state.applied == "" and not robot.ask("revert").success


def test_a_depth_node_that_is_started_anew_is_given_the_bundle_again(
    graph, robot, make_adapt_node, make_depth_node, make_bundle, tiny_bundle
):
    make_depth_node()
    node = make_adapt_node()
    other = make_bundle(name="other")
    node._state.offered = str(other.path)
    graph.wait(lambda: node._running, "the depth node")
    assert robot.ask("apply").success
    (old,) = [each for each in graph.nodes if each.get_name() == "clip2depth"]
    old.trigger_shutdown()
    graph.executor.remove_node(old)
    graph.nodes.remove(old)
    old.destroy_node()
    fresh = make_depth_node()
    graph.wait(lambda: bundle_of(fresh) == str(other.path), "the adapted bundle")
    assert node._state.before == [str(tiny_bundle.path)]


def test_who_sets_another_bundle_by_hand_is_not_overruled(
    graph, robot, make_adapt_node, make_depth_node, make_bundle
):
    depth = make_depth_node()
    node = make_adapt_node()
    node._state.offered = str(make_bundle(name="other").path)
    graph.wait(lambda: node._running, "the depth node")
    assert robot.ask("apply").success
    chosen = str(make_bundle(name="chosen").path)
    depth.set_parameters([Parameter("bundle", value=chosen)])
    graph.wait(lambda: not node._state.applied, "adapt_node to see it")
    graph.spin(1.0)
    assert bundle_of(depth) == chosen


def test_without_a_depth_node_it_keeps_and_waits(graph, robot, make_adapt_node):
    node = make_adapt_node(adapt__new_keyframes=30, adapt__max_load=100.0)
    answer = robot.ask("adapt_now")
    assert not answer.success and "drive a little" in answer.message
    node.stop()
    graph.executor.remove_node(node)
    graph.nodes.remove(node)
    node.destroy_node()
    node = make_adapt_node(stocked=True, adapt__new_keyframes=30, adapt__max_load=100.0)
    answer = robot.ask("adapt_now")
    assert not answer.success and "not running" in answer.message
    graph.wait(robot.facts, "diagnostics")
    assert not node._run.is_running and robot.facts()["depth node"] == "not running"


def test_a_full_disk_is_said_and_depth_goes_on(graph, robot, make_adapt_node, make_depth_node, monkeypatch):
    make_depth_node()
    node = make_adapt_node(stocked=True)
    monkeypatch.setattr(node, "_not_before", 0.0)
    tries = []

    def full(folder):
        tries.append(folder)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(node._store, "snapshot", full)
    monkeypatch.setattr(node._store, "add", lambda *_: full(None))
    graph.wait(lambda: node._running, "the depth node")
    assert robot.ask("adapt_now").success
    graph.wait(lambda: "No space left" in robot.facts().get("message", ""), "the diagnostics")
    graph.spin(1.0)
    assert len(tries) == 1 and not node._run.is_running and not node._run.is_pending


def test_what_it_cannot_work_with_is_said(graph, tmp_path, make_adapt_node):
    with pytest.raises(Clip2DepthError, match=r"set the parameter odometry\.topic"):
        make_adapt_node(odometry__topic="")
    (tmp_path / "file").write_text("")
    with pytest.raises(Clip2DepthError, match="cannot be used"):
        make_adapt_node(adapt__folder=str(tmp_path / "file"))
    make_adapt_node()
    with pytest.raises(Clip2DepthError, match="Another adapt_node uses"):
        make_adapt_node()


@pytest.fixture
def started():
    """Processes that end with the test."""
    processes: list[subprocess.Popen] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def children(pid: int) -> list[int]:
    """Processes below one, from /proc."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(path.parent.name))
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
def test_killed_at_any_moment_it_harms_nothing(graph, robot, start_process, started, tiny_bundle, tmp_path):
    """adapt_node or its child is killed ten times: while it keeps, learns, writes a bundle, offers and gives.

    depth_node goes on, what it runs is whole, nobody is left behind, and the next start goes on.
    """
    depth = start_process("depth_node", {"bundle": tiny_bundle.path, "autostart": True})
    quality = graph.listen(DepthQuality, "/clip2depth/quality", queue=2000)
    folder = tmp_path / "adapted"
    chance = random.Random(14)
    log = tmp_path / "adapt.log"

    def start() -> subprocess.Popen:
        """Another process of the node, which the fixture ends with the test."""
        parameters = {
            **{"odometry.topic": "/odom", "adapt.folder": folder, "adapt.new_keyframes": 30},
            **{"adapt.max_load": 100.0, "adapt.apply": "true", "mounting.z": 0.3},
        }
        arguments = [text for name, value in parameters.items() for text in ("-p", f"{name}:={value}")]
        with log.open("a") as out:
            out.write("--- start\n")
            out.flush()
            started.append(
                subprocess.Popen(
                    [sys.executable, HERE / "adapt_node_with.py", "better:1.0", "--ros-args", *arguments],
                    stdout=out,
                    stderr=subprocess.STDOUT,
                )
            )
        return started[-1]

    def drive_for(seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            robot.step(0.06)

    process = start()
    robot.wait_for("adapt", "depth")
    learning = 0
    for number in range(10):
        drive_for(chance.uniform(0.5, 4.0))
        below = children(process.pid)
        learning += bool(below)
        if number % 3 == 2 and below:
            os.kill(below[0], signal.SIGKILL)
            drive_for(0.5)
            assert process.poll() is None, "adapt_node lives on without its child"
            continue
        process.send_signal(signal.SIGKILL)
        process.wait()
        graph.wait(lambda below=below: not any(map(is_alive, below)), "its child to end", 10.0)
        assert depth.process.poll() is None
        for path in folder.glob("*-[0-9][0-9][0-9][0-9]"):
            whole = Bundle(path)
            whole.model()
            whole.check()
        process = start()
        before = len(quality)
        graph.wait(lambda before=before: robot.step() or len(quality) > before + 5, "depth to go on")

    def adapted() -> bool:
        robot.step(0.06)
        return quality[-1].bundle.startswith("tiny-")

    graph.wait(adapted, "the next start to go on and to give what it has learned", 90.0)
    assert quality[-1].bad_images == 0
    graph.wait(lambda: "Keyframes of" in log.read_text().rpartition("--- start\n")[2], "the last start")
    ran, client = quality[-1].bundle, graph.tester.create_client(Trigger, "/clip2depth_adapt/revert")
    asked = 0.0

    def reverted() -> bool:
        """A call gets lost while the client still knows the servers of killed processes only."""
        nonlocal asked
        if time.monotonic() - asked > 10.0:
            asked = time.monotonic()
            client.call_async(Trigger.Request())
        robot.step(0.0)
        return quality[-1].bundle != ran

    graph.wait(reverted, "the bundle before")
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert learning, "no kill came while the network learned"
    assert len(KeyframeStore(folder / "keyframes", 500_000_000).frames) > 30
    state = json.loads((folder / "state.json").read_text())
    assert bool(state["applied"]) == bool(state["before"])
    assert all(Path(each).is_dir() for each in (state["applied"], *state["before"]) if each)
    assert "Traceback" not in log.read_text()
    assert depth.end() == 0
    assert "Traceback" not in depth.text()
