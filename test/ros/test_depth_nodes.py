# SPDX-License-Identifier: Apache-2.0
"""depth_nodes: several cameras in one process, over DDS, on one engine."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")
from clip2depth_ros.msg import DepthQuality
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from sensor_msgs.msg import Image

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.ros.nodes.depth_nodes import CameraThread, cameras_of, make_nodes

from .conftest import FakeCamera, NodeProcess

pytestmark = pytest.mark.ros
NAMES = ("front", "rear", "left", "right", "up", "down")


@pytest.mark.parametrize(
    ("arguments", "cameras", "of_ros"),
    [
        ("front rear", {"/front": "", "/rear": ""}, ""),
        ("front=a/f.yaml /x/rear", {"/front": "a/f.yaml", "/x/rear": ""}, ""),
        (
            "a --ros-args -r __ns:=/bot -p x:=1 -- b/c",
            {"/bot/a": "", "/bot/b/c": ""},
            "-r __ns:=/bot -p x:=1",
        ),
        ("a --ros-args -r __ns:=/", {"/a": ""}, "-r __ns:=/"),
        ("a --ros-args -p x:=1 --ros-args -p y:=2", {"/a": ""}, "-p x:=1 -p y:=2"),
    ],
)
def test_arguments_are_cameras_and_those_of_ros(arguments, cameras, of_ros):
    assert cameras_of(arguments.split()) == (cameras, of_ros.split())


@pytest.mark.parametrize(
    "arguments", ["", "front front", "front /front", "2nd", "front;rear", "a/", "=a.yaml"]
)
def test_cameras_are_different_namespaces(arguments):
    with pytest.raises(Clip2DepthError, match=r"unique namespace|Name the cameras"):
        cameras_of(arguments.split())


class Cameras:
    """A process of depth_nodes with a camera driver for each node, and what comes out of it."""

    def __init__(self, graph, folder: Path, names, seconds: float, *arguments: str) -> None:
        self.graph, self.folder, self.names = graph, folder, names
        self.log = folder / "depth_nodes.log"
        script = Path(__file__).with_name("slow_depth_nodes.py")
        command = [sys.executable, str(script), str(seconds), str(folder), *arguments]
        with self.log.open("w") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        self.drivers = {name: FakeCamera(graph, f"/{name}") for name in names}
        self.sent: dict[str, set[int]] = {name: set() for name in names}
        self.depth = {name: self.listen(name, Image, "depth/image_rect") for name in names}
        self.quality = {name: self.listen(name, DepthQuality, "quality") for name in names}
        self.diagnostics = graph.listen(DiagnosticArray, "/diagnostics")

    def listen(self, name: str, kind, topic: str) -> list:
        return self.graph.listen(kind, f"/{name}/clip2depth/{topic}")

    text = NodeProcess.text
    end = NodeProcess.end

    def send(self, names=None) -> None:
        """An image of every camera."""
        for name in names or self.names:
            self.sent[name].add(self.drivers[name].send())

    def stream(self, seconds: float, rate: float, names=None) -> None:
        """Images of every camera at a rate, in Hz."""
        due, end = time.monotonic(), time.monotonic() + seconds
        while due < end:
            self.send(names)
            due += 1 / rate
            self.graph.spin(max(0.0, due - time.monotonic()))

    def wait_for_depth(self, names=None) -> None:
        """Send until depth of each comes."""
        for name in names or self.names:

            def came(name=name):
                assert self.process.poll() is None, self.text()
                self.send([name])
                self.graph.spin(0.1)
                return self.quality[name] and self.depth[name]

            self.graph.wait(came, f"depth of {name}")

    def status(self, name: str):
        """The newest diagnostics of a node, (message, values)."""
        full = f"/{name}/clip2depth"
        found = [s for a in self.diagnostics for s in a.status if s.hardware_id == full]
        return (found[-1].message, {v.key: v.value for v in found[-1].values}) if found else ("", {})

    def counts(self, name: str) -> dict[str, int]:
        _, values = self.status(name)
        keys = {
            "received": "images received",
            "processed": "frames processed",
            "dropped": "frames dropped",
            "bad": "bad images",
            "lost": "images lost on the way",
        }
        return {word: int(values.get(key, -1)) for word, key in keys.items()}

    def settle(self) -> dict[str, dict[str, int]]:
        """The counts of every camera once they stand still and are complete."""
        seen: list = []

        def still():
            self.graph.spin(1.2)
            seen.append({name: self.counts(name) for name in self.names})
            complete = all(
                c["received"] == c["processed"] + c["dropped"] + c["bad"] for c in seen[-1].values()
            )
            return complete and len(seen) > 1 and seen[-1] == seen[-2]

        self.graph.wait(still, "counts that stand still")
        return seen[-1]


@pytest.fixture
def cameras(graph, tmp_path, tiny_bundle):
    """Function that starts depth_nodes: cameras(names, seconds per image, *arguments)."""
    made: list[Cameras] = []

    def make(
        names, seconds: float = 0.0, *arguments: str, bundle: Path | None = tiny_bundle.path, **files: Path
    ) -> Cameras:
        given = [f"{name}={files[name]}" if name in files else name for name in names]
        ros = ["--ros-args", "-p", "image.queue:=20", *arguments]
        ros += ["-p", f"bundle:={bundle}"] if bundle else []
        made.append(Cameras(graph, tmp_path, names, seconds, *given, *ros))
        return made[-1]

    yield make
    for one in made:
        one.process.kill()
        one.process.wait()
        print(one.text())


def opened(cameras: Cameras) -> list[str]:
    return (cameras.folder / "opened").read_text().split()


@pytest.mark.parametrize(
    "number", [2, pytest.param(4, marks=pytest.mark.slow), pytest.param(6, marks=pytest.mark.slow)]
)
def test_every_image_is_accounted_for_and_no_camera_starves(cameras, number):
    """The engine is asked for twice what it can do."""
    names, seconds, took = NAMES[:number], 8.0, 0.02
    made = cameras(names, took)
    made.wait_for_depth()
    counts = made.settle()
    # Those that were sent before the node had subscribed.
    first = {n: len(made.sent[n]) - counts[n]["received"] - counts[n]["lost"] for n in names}
    before = {name: len(made.quality[name]) for name in names}
    made.stream(seconds, 2 / took / number)
    counts = made.settle()
    print(counts)
    for name in names:
        sent, count = made.sent[name], counts[name]
        # The first ones may be from before the subscription.
        published = made.graph.stamps(made.depth[name])
        assert len(published) == len(set(published)) and set(published) <= sent
        assert len(published) == count["processed"] == len(made.quality[name])
        assert published == sorted(published)
        assert count["bad"] == 0
        assert count["received"] + count["lost"] == len(sent) - first[name]
    done = [len(made.quality[name]) - before[name] for name in names]
    assert min(done) > 0.7 * max(done), done
    assert sum(counts[name]["dropped"] for name in names) > 0, "the engine was not busy enough to tell"
    # No image grows old: it waits for the engine and one other camera, however many cameras there are.
    infer = sorted(q.infer_time for name in names for q in made.quality[name][before[name] :])
    assert infer[len(infer) // 2] < 3 * took, infer[len(infer) // 2]
    assert opened(made) == ["tiny"], "one engine"
    assert made.end() == 0
    assert "Traceback" not in made.text()
    assert made.text().count("shared, another camera of this process opened this engine") == number - 1


def test_parameters_of_one_camera_are_its_own(cameras, tmp_path):
    rear = tmp_path / "rear.yaml"
    rear.write_text("/**:\n  ros__parameters:\n    depth: {encoding: 16UC1}\n    points: {stride: 4}\n")
    made = cameras(("front", "rear"), 0.0, "-p", "points.stride:=3", rear=rear)
    made.wait_for_depth()
    assert {d.encoding for d in made.depth["front"]} == {"32FC1"}
    assert {d.encoding for d in made.depth["rear"]} == {"16UC1"}
    assert made.end() == 0


def call(graph, kind, service: str, request):
    """A service's answer."""
    client = graph.tester.create_client(kind, service)
    graph.wait(client.service_is_ready, service)
    future = client.call_async(request)
    graph.wait(future.done, f"the answer of {service}")
    graph.tester.destroy_client(client)
    return future.result()


def set_bundle(graph, name: str, bundle) -> None:
    value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=str(bundle))
    request = SetParameters.Request(parameters=[Parameter(name="bundle", value=value)])
    (result,) = call(graph, SetParameters, f"/{name}/clip2depth/set_parameters", request).results
    assert result.successful, result.reason


def change(graph, name: str, transition: int) -> bool:
    request = ChangeState.Request()
    request.transition.id = transition
    return call(graph, ChangeState, f"/{name}/clip2depth/change_state", request).success


def test_a_camera_that_cannot_start_leaves_the_others_and_starts_later(graph, cameras, tmp_path, tiny_bundle):
    files = {}
    for name, text in (
        ("front", f"bundle: {tiny_bundle.path}"),
        ("rear", "bundle: none"),
        ("left", "threads: -1"),
    ):
        files[name] = tmp_path / f"{name}.yaml"
        files[name].write_text(f"/**:\n  ros__parameters:\n    {text}\n")
    made = cameras(("front", "rear", "left"), bundle=None, **files)
    made.wait_for_depth(["front"])
    assert "camera /left: Parameter 'threads' is -1" in made.text()
    assert "No bundle is called 'none'" in made.text()
    set_bundle(graph, "rear", tiny_bundle.path)
    assert change(graph, "rear", Transition.TRANSITION_CONFIGURE)
    assert change(graph, "rear", Transition.TRANSITION_ACTIVATE)
    made.wait_for_depth(["rear"])
    assert opened(made) == ["tiny"]
    assert made.end() == 0


def test_the_process_ends_when_no_camera_can_start(cameras):
    made = cameras(("front", "rear"), 0.0, "-p", "bundle:=none", bundle=None)
    assert made.process.wait(60) == 2
    assert "No camera has an engine" in made.text() and "Traceback" not in made.text()


def test_transitions_and_bundles_of_one_camera_are_its_own(graph, cameras, make_bundle):
    """Another bundle, cleanup, and configure again, while the other camera goes on without a loss."""
    near = make_bundle(np.full((24, 32), 1.0, np.float32), name="near")
    made = cameras(("front", "rear"))
    made.wait_for_depth()
    set_bundle(graph, "rear", near.path)

    def swapped():
        made.send()
        graph.spin(0.1)
        return made.quality["rear"][-1].bundle == "near"

    graph.wait(swapped, "the other bundle")
    assert {q.bundle for q in made.quality["front"]} == {"tiny"}
    assert change(graph, "rear", Transition.TRANSITION_DEACTIVATE)
    assert change(graph, "rear", Transition.TRANSITION_CLEANUP)
    before = len(made.depth["front"])
    made.stream(1.0, 10.0, ["front"])
    graph.wait(lambda: len(made.depth["front"]) >= before + 10, "depth of the camera that goes on")
    assert change(graph, "rear", Transition.TRANSITION_CONFIGURE)
    assert change(graph, "rear", Transition.TRANSITION_ACTIVATE)
    count = len(made.depth["rear"])

    def came():
        made.send(["rear"])
        graph.spin(0.1)
        return len(made.depth["rear"]) > count

    graph.wait(came, "depth of the camera that came back")
    assert opened(made) == ["tiny", "near", "near"], "closed with its only camera"
    assert {q.bundle for q in made.quality["front"]} == {"tiny"}
    assert change(graph, "rear", Transition.TRANSITION_ACTIVE_SHUTDOWN)
    made.stream(0.5, 10.0, ["front"])
    assert made.process.poll() is None and made.end() == 0
    assert "Traceback" not in made.text()


def test_a_bug_ends_its_camera_alone(graph, tiny_bundle):
    from clip2depth_ros.engines.shared import EnginePool

    ended = threading.Event()
    given = ["-p", f"bundle:={tiny_bundle.path}"]
    nodes = make_nodes({"/front": "", "/rear": ""}, given, EnginePool(), context=graph.context)
    threads = [CameraThread(node, ended) for node in nodes]
    for thread in threads:
        thread.start()
    try:
        graph.wait(lambda: all(node.is_configured for node in nodes), "the nodes")
        nodes[0].create_timer(0.01, lambda: 1 / 0)
        graph.wait(lambda: not threads[0].is_alive(), "the one to end")
        assert threads[0].failed and nodes[0].is_shut_down
        assert threads[1].is_alive() and not threads[1].failed and nodes[1].is_configured
    finally:
        ended.set()
        for thread in threads:
            thread.join(60)
    assert nodes[1].is_shut_down and not threads[1].failed


def test_an_engine_that_fails_costs_each_camera_its_images_and_no_more(graph, cameras):
    made = cameras(("front", "rear"))
    made.wait_for_depth()
    (made.folder / "fault").touch()
    made.stream(1.0, 10.0)
    counts = made.settle()
    assert min(count["bad"] for count in counts.values()) > 3, counts
    (made.folder / "fault").unlink()
    before = {name: len(made.depth[name]) for name in made.names}
    made.stream(1.0, 10.0)
    graph.wait(lambda: all(len(made.depth[n]) > before[n] for n in made.names), "depth again")
    assert made.end() == 0


def test_a_budget_of_processor_time_lowers_the_rate_and_says_so(graph, cameras):
    """Half of what the process takes at this rate: images are dropped and counted, and the reason is said."""
    made = cameras(("front", "rear"), 0.0, "-p", "stabilizer.enabled:=false")
    for driver in made.drivers.values():
        driver.stamp = time.time_ns()
    made.wait_for_depth()
    made.stream(3.0, 30.0)
    _, free = made.status("front")
    most = 0.5 * float(free["processor time of the process (cores)"])
    for name in made.names:
        value = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=most)
        request = SetParameters.Request(parameters=[Parameter(name="load.max_cpu", value=value)])
        assert call(graph, SetParameters, f"/{name}/clip2depth/set_parameters", request).results[0].successful

    def lowered(name: str) -> bool:
        message, values = made.status(name)
        limit = values["rate limit by load (Hz)"]
        return (
            "load.max_cpu is reached" in message
            and limit != "none" and 0 < float(limit) < 25
            and float(values["rate out (Hz)"]) < 25
        )  # fmt: skip

    for _ in range(15):  # the process's share moves with what else the computer does
        made.stream(2.0, 30.0)
        if all(map(lowered, made.names)):
            break
    assert all(map(lowered, made.names)), [made.status(name) for name in made.names]
    made.settle()
    assert made.end() == 0
