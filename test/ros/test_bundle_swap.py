# SPDX-License-Identifier: Apache-2.0
"""The parameter `bundle` of a node that runs: opened beside, swapped between two images, or refused."""

from __future__ import annotations

import gc
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")
from clip2depth_ros.msg import DepthQuality
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image

from clip2depth_ros.engines import open_engine
from clip2depth_ros.engines.loader import THREAD
from clip2depth_ros.errors import Clip2DepthError

pytestmark = pytest.mark.ros


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """What is known at once is known however busy the machine is."""
    from clip2depth_ros.ros.nodes import bundle_swap

    monkeypatch.setattr(bundle_swap, "ANSWER_TIMEOUT", 30.0)


@pytest.fixture(scope="module")
def near(make_bundle):
    """Another bundle: everything is at 1 m, and its input is smaller."""
    return make_bundle(np.full((24, 32), 1.0, np.float32), name="near")


@pytest.fixture(scope="module")
def far(make_bundle):
    return make_bundle(np.full((48, 64), 9.0, np.float32), name="far")


class Openings:
    """Stands in for open_engine: bundles in `held` are not opened until their event is set."""

    def __init__(self) -> None:
        self.held: dict[str, threading.Event] = {}
        self.refused: set[str] = set()
        self.begun: list[str] = []
        self.names: list[str] = []
        self.engines = []

    def __call__(self, bundle, name, *, progress, **options):
        self.begun.append(bundle.name)
        self.names.append(name)
        if bundle.name in self.held:
            self.held[bundle.name].wait(60)
        if bundle.name in self.refused:
            raise Clip2DepthError("Engine openvino is refused: differs by 12.30%.")
        engine = open_engine(bundle, "openvino", **options)
        self.engines.append(engine)
        return engine

    def open_ones(self) -> int:
        return sum(engine._request is not None for engine in self.engines)


@pytest.fixture
def openings(monkeypatch):
    made = Openings()
    yield made
    for event in made.held.values():
        event.set()


@pytest.fixture
def make_node(graph, make_depth_node, openings, monkeypatch):
    from clip2depth_ros.ros.nodes import depth_node

    def make(**parameters):
        node = make_depth_node(active=False, **parameters)
        node._engine._open_engine = openings
        if parameters.get("autostart", True):
            depth_node.start(node)
        return node

    return make


def set_bundle(node, bundle):
    """Set the parameter as the parameter service does; the answer."""
    (result,) = node.set_parameters([Parameter("bundle", value=str(getattr(bundle, "path", bundle)))])
    return result


def bundle_of(node) -> str:
    return node.get_parameter("bundle").value


class Watching:
    """A camera, and what the node publishes."""

    def __init__(self, graph, fake_camera) -> None:
        self.graph, self.camera = graph, fake_camera()
        self.quality = graph.listen(DepthQuality, "/clip2depth/quality")
        self.depth = graph.listen(Image, "/clip2depth/depth/image_rect")
        self.told = graph.listen(DiagnosticArray, "/diagnostics", queue=10)
        self.camera.wait_for_subscriber()

    def frame(self) -> DepthQuality:
        """Send one image and wait for what comes of it."""
        stamp = self.camera.send()
        self.graph.wait(lambda: self.quality and self.graph.stamps(self.quality)[-1] == stamp, "its depth")
        return self.quality[-1]

    def until(self, bundle: str) -> DepthQuality:
        return self.graph.wait(lambda: (seen := self.frame()).bundle == bundle and seen, bundle)

    def metres(self) -> float:
        return float(np.nanmedian(np.frombuffer(self.depth[-1].data, np.float32)))

    def facts(self) -> dict[str, str]:
        return {value.key: value.value for value in self.told[-1].status[0].values} if self.told else {}


def test_another_bundle_takes_over_between_two_images(graph, make_node, openings, fake_camera, near, capfd):
    node = make_node()
    watching = Watching(graph, fake_camera)
    assert watching.frame().bundle == "tiny"
    openings.held["near"] = threading.Event()
    assert set_bundle(node, near).successful
    assert bundle_of(node) == str(near.path)
    for _ in range(5):
        assert watching.frame().bundle == "tiny", "it goes on while the other is being opened"
    graph.wait(lambda: "next bundle" in watching.facts(), "the diagnostics")
    openings.held["near"].set()
    seen = watching.until("near")
    first = next(message for message in watching.quality if message.bundle == "near")
    assert first.reset and "'near' took the place of 'tiny'" in first.engine_choice[0]
    assert not watching.frame().reset
    graph.wait(lambda: watching.metres() == pytest.approx(1.0), "its depth")
    assert seen.frames_dropped == 0 and seen.bad_images == 0
    graph.wait(lambda: openings.open_ones() == 1, "the other one to be closed")
    graph.wait(lambda: watching.facts().get("bundle") == "near", "the diagnostics")
    assert watching.facts()["bundle path"] == str(near.path)
    assert "'near'" in capfd.readouterr().err
    assert openings.names == ["auto", "openvino"], "it stays with the engine that runs"


def test_between_metres_and_none(graph, make_node, openings, fake_camera, near, make_bundle):
    disparity = make_bundle(near.check()[1], name="disparity", depth_kind="affine_inverse")
    node = make_node(bundle=str(near.path))
    watching = Watching(graph, fake_camera)
    watching.until("near")
    graph.wait(lambda: watching.depth, "depth in metres")
    metres = watching.metres()
    assert set_bundle(node, disparity).successful
    watching.until("disparity")
    watching.frame()
    before = len(watching.depth)
    seen = watching.frame()
    assert seen.valid_fraction == 0 and seen.scale_source == ""
    assert len(watching.depth) == before, "what is no metres was published"
    assert set_bundle(node, near).successful
    watching.until("near")
    graph.wait(lambda: len(watching.depth) > before, "depth in metres again")
    assert watching.metres() == pytest.approx(metres, rel=0.01)


@pytest.mark.parametrize("what", ["no_such_bundle", "/no/such/folder", "folder", "manifest"])
def test_what_is_no_bundle_is_refused_with_the_reason(
    graph, make_node, fake_camera, tiny_bundle, make_bundle, tmp_path, what
):
    node = make_node()
    words = {"no_such_bundle": "No bundle is called", "/no/such/folder": "no bundle at"}.get(what, "manifest")
    if what == "folder":
        what = str(tmp_path)
    elif what == "manifest":
        broken = make_bundle(name="broken").path
        (broken / "manifest.json").write_text("{")
        what = str(broken)
    answer = set_bundle(node, what)
    assert not answer.successful and words in answer.reason
    assert bundle_of(node) == str(tiny_bundle.path)
    watching = Watching(graph, fake_camera)
    assert watching.frame().bundle == "tiny"


@pytest.mark.parametrize("fault", ["check", "checksum", "model", "refused"])
def test_one_that_fails_its_check_changes_nothing(
    graph, make_node, openings, fake_camera, tiny_bundle, make_bundle, fault, capfd
):
    node = make_node()
    watching = Watching(graph, fake_camera)
    watching.frame()
    bad = make_bundle(name="bad")
    if fault == "check":
        image, depth = bad.check()
        np.savez_compressed(bad.path / "check.npz", image=image, depth=depth * np.float32(1.2))
    elif fault == "checksum":
        (bad.path / "model.onnx").write_bytes((bad.path / "model.onnx").read_bytes()[:-1] + b"?")
    elif fault == "model":
        (bad.path / "model.onnx").unlink()
    else:
        openings.refused.add("bad")
    assert set_bundle(node, bad).successful, "that is not known at once"
    graph.wait(lambda: bundle_of(node) == str(tiny_bundle.path), "the parameter to go back")
    seen = watching.frame()
    assert seen.bundle == "tiny" and not seen.reset
    graph.wait(lambda: "is rejected" in watching.facts().get("bundle refused", ""), "the diagnostics")
    said = capfd.readouterr().err
    assert "stays in use" in said and "Traceback" not in said
    graph.wait(lambda: openings.open_ones() == 1, "the other to be closed")


def test_of_several_in_a_row_the_last_wins(graph, make_node, openings, fake_camera, near, far):
    node = make_node()
    watching = Watching(graph, fake_camera)
    watching.frame()
    openings.held["near"] = threading.Event()
    for bundle in (near, far, near, far):
        assert set_bundle(node, bundle).successful
    openings.held["near"].set()
    watching.until("far")
    graph.spin(0.5)
    assert watching.frame().bundle == "far" and bundle_of(node) == str(far.path)
    assert {message.bundle for message in watching.quality} == {"tiny", "far"}
    graph.wait(lambda: openings.open_ones() == 1, "the others to be closed")


def test_back_to_the_one_that_runs_calls_the_other_off(
    graph, make_node, openings, fake_camera, near, tiny_bundle
):
    node = make_node()
    watching = Watching(graph, fake_camera)
    openings.held["near"] = threading.Event()
    assert set_bundle(node, near).successful
    assert set_bundle(node, tiny_bundle).successful
    openings.held["near"].set()
    graph.spin(0.5)
    assert watching.frame().bundle == "tiny" and not watching.frame().reset
    assert openings.begun == ["tiny", "near"]
    graph.wait(lambda: openings.open_ones() == 1, "the other to be closed")


def test_a_refused_one_does_not_undo_one_that_is_being_opened(graph, make_node, openings, fake_camera, near):
    node = make_node()
    watching = Watching(graph, fake_camera)
    openings.held["near"] = threading.Event()
    assert set_bundle(node, near).successful
    assert not set_bundle(node, "no_such_bundle").successful
    openings.held["near"].set()
    watching.until("near")


def test_the_same_path_with_another_content_is_another_bundle(
    graph, make_node, openings, fake_camera, make_bundle
):
    bundle = make_bundle(name="own")
    node = make_node(bundle=str(bundle.path))
    watching = Watching(graph, fake_camera)
    assert watching.frame().bundle == "own"
    assert set_bundle(node, bundle).successful
    graph.spin(0.3)
    assert openings.begun == ["own"], "nothing is new"
    image = np.zeros((48, 64, 3), np.uint8)
    from clip2depth_ros.bundle import Bundle

    source = make_bundle(np.full((48, 64), 3.0, np.float32), name="own")
    Bundle.write(bundle.path, source.model(), source.manifest, image, np.full((48, 64), 3.0, np.float32))
    assert set_bundle(node, bundle).successful
    graph.wait(lambda: watching.frame() and watching.metres() == pytest.approx(3.0), "the new content")


@pytest.mark.parametrize("listened_to", [False, True])
def test_it_needs_no_image(graph, make_node, openings, fake_camera, near, listened_to):
    """Active with or without a listener, and no image comes: the engine is swapped all the same."""
    node = make_node()
    if listened_to:
        watching = Watching(graph, fake_camera)
    assert set_bundle(node, near).successful
    graph.wait(lambda: len(openings.engines) == 2 and openings.open_ones() == 1, "the swap")
    if listened_to:
        assert watching.frame().bundle == "near"


def test_unconfigured_it_is_checked_and_configured(graph, make_node, openings, near):
    node = make_node(autostart=False)
    assert not set_bundle(node, "no_such_bundle").successful
    assert set_bundle(node, near).successful
    assert openings.begun == []
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert openings.begun == ["near"]


def test_inactive_it_is_swapped_at_once(graph, make_node, openings, near, fake_camera):
    node = make_node(autostart=False)
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert set_bundle(node, near).successful
    graph.wait(lambda: len(openings.engines) == 2 and openings.open_ones() == 1, "the swap")
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    assert Watching(graph, fake_camera).frame().bundle == "near"


@pytest.mark.parametrize("then", ["cleanup", "deactivate", "shutdown"])
def test_a_transition_while_it_is_being_opened(graph, make_node, openings, near, then):
    node = make_node()
    openings.held["near"] = threading.Event()
    assert set_bundle(node, near).successful
    graph.wait(lambda: openings.begun == ["tiny", "near"], "the opening")
    started = time.monotonic()
    if then == "shutdown":
        assert node.trigger_shutdown() == TransitionCallbackReturn.SUCCESS
    else:
        assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    if then == "cleanup":
        assert node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
    assert time.monotonic() - started < 20, "nothing waits for the opening"
    openings.held["near"].set()
    if then == "deactivate":
        graph.wait(lambda: len(openings.engines) == 2 and openings.open_ones() == 1, "the swap")
        assert openings.engines[1]._request is not None, "the new one runs"
        return
    graph.wait(lambda: len(openings.engines) == 2 and openings.open_ones() == 0, "every engine to be closed")
    if then == "cleanup":
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert openings.begun[-1] == "near", "what was set last holds"


def test_one_set_while_the_first_engine_is_being_opened_has_its_turn_after_it(
    graph, make_node, openings, near, monkeypatch
):
    from clip2depth_ros.ros.nodes import node_engine

    monkeypatch.setattr(node_engine, "OPEN_TIMEOUT", 0.05)
    openings.held["tiny"] = threading.Event()
    node = make_node()
    assert not set_bundle(node, "no_such_bundle").successful
    assert set_bundle(node, near).successful
    graph.spin(0.3)
    assert openings.begun == ["tiny"]
    openings.held["tiny"].set()
    graph.wait(lambda: len(openings.engines) == 2 and openings.open_ones() == 1, "the swap")
    assert openings.begun == ["tiny", "near"]


def test_an_opening_that_hangs_holds_nothing_up(
    graph, make_node, openings, fake_camera, near, far, monkeypatch
):
    from clip2depth_ros.ros.nodes import bundle_swap

    monkeypatch.setattr(bundle_swap, "CANCEL_TIMEOUT", 0.5)
    node = make_node()
    watching = Watching(graph, fake_camera)
    openings.held["near"] = threading.Event()
    assert set_bundle(node, near).successful
    graph.wait(lambda: "near" in openings.begun, "the opening")
    for _ in range(5):
        assert watching.frame().bundle == "tiny"
    assert set_bundle(node, far).successful
    watching.until("far")


def test_a_disk_that_hangs_holds_nothing_up(graph, make_node, openings, fake_camera, near, monkeypatch):
    from clip2depth_ros.ros.nodes import bundle_swap

    monkeypatch.setattr(bundle_swap, "ANSWER_TIMEOUT", 0.05)
    answers = threading.Event()

    def hanging(name):
        answers.wait(60)
        raise Clip2DepthError("There is no bundle any more.")

    node = make_node()
    watching = Watching(graph, fake_camera)
    monkeypatch.setattr(bundle_swap, "open_bundle", hanging)
    started = time.monotonic()
    assert set_bundle(node, near).successful, "nothing is known yet"
    assert time.monotonic() - started < 10
    assert watching.frame().bundle == "tiny"
    answers.set()
    graph.wait(lambda: bundle_of(node) != str(near.path), "the parameter to go back")
    assert watching.frame().bundle == "tiny"


def test_an_engine_that_fails_at_its_first_image_is_refused(
    graph, make_node, openings, fake_camera, near, tiny_bundle
):
    node = make_node()
    watching = Watching(graph, fake_camera)
    watching.frame()
    openings.held["near"] = threading.Event()
    assert set_bundle(node, near).successful
    former = node._engine._open_engine

    def dying(bundle, name, **options):
        engine = former(bundle, name, **options)
        engine.infer = lambda image: 1 / 0
        return engine

    node._engine._open_engine = dying
    assert set_bundle(node, near).successful
    openings.held["near"].set()
    graph.wait(lambda: bundle_of(node) == str(tiny_bundle.path), "the parameter to go back")
    assert watching.frame().bundle == "tiny"
    graph.wait(lambda: openings.open_ones() == 1, "the other to be closed")


def resident() -> int:
    """Memory of this process, bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
def test_memory_stays_flat(graph, make_node, openings, near, far, fake_camera):
    """mini and a copy of it take turns."""
    node = make_node(bundle="mini")
    watching = Watching(graph, fake_camera)

    def swaps(count: int) -> int:
        for n in range(count):
            target = ("far" if n % 2 == 0 else "mini", far.path if n % 2 == 0 else "mini")
            assert set_bundle(node, target[1]).successful
            watching.until(target[0])
        gc.collect()
        return resident()

    before = swaps(6)
    after = swaps(20)
    graph.wait(lambda: openings.open_ones() == 1, "all others to be closed")
    assert after - before < 40e6, f"{(after - before) / 1e6:.0f} MB more after 20 swaps"
    graph.wait(lambda: all(thread.name != THREAD for thread in threading.enumerate()), "no thread to be left")
