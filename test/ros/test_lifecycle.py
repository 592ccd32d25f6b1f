# SPDX-License-Identifier: Apache-2.0
"""The lifecycle of depth_node: transitions undo each other, failures are said and leave nothing behind."""

from __future__ import annotations

import signal

import pytest

pytest.importorskip("rclpy")
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.lifecycle import TransitionCallbackReturn
from sensor_msgs.msg import Image

pytestmark = pytest.mark.ros
OUTPUTS = {
    "/clip2depth/depth/image_rect",
    "/clip2depth/depth/camera_info",
    "/clip2depth/depth/std_dev",
    "/clip2depth/depth/confidence",
    "/clip2depth/points",
    "/clip2depth/scan",
    "/clip2depth/quality",
}


def outputs_of(node) -> set[str]:
    return {publisher.topic_name for publisher in node.publishers} & OUTPUTS


class Manager:
    """What a lifecycle manager does: it calls the node's services."""

    def __init__(self, graph):
        self.graph = graph
        self.changes = graph.tester.create_client(ChangeState, "/clip2depth/change_state")
        self.states = graph.tester.create_client(GetState, "/clip2depth/get_state")
        graph.wait(lambda: self.changes.service_is_ready() and self.states.service_is_ready(), "the services")

    def change(self, transition: int) -> bool:
        request = ChangeState.Request()
        request.transition.id = transition
        future = self.changes.call_async(request)
        self.graph.wait(future.done, "the transition")
        return future.result().success

    def state(self) -> int:
        """Asked again and again: an answer gets lost when the server does not know its client yet."""
        futures = []

        def answered():
            futures.append(self.states.call_async(GetState.Request()))
            self.graph.spin(0.3)
            return next((future for future in futures if future.done()), None)

        return self.graph.wait(answered, "the state").result().current_state.id


def test_autostart_makes_it_active(graph, make_depth_node):
    make_depth_node()
    assert Manager(graph).state() == State.PRIMARY_STATE_ACTIVE


def test_a_manager_leads_it_round(graph, make_depth_node, fake_camera):
    node = make_depth_node(autostart=False)
    manager = Manager(graph)
    assert manager.state() == State.PRIMARY_STATE_UNCONFIGURED
    camera = fake_camera()
    depth = graph.listen(Image, "/clip2depth/depth/image_rect")
    for _ in range(2):
        assert outputs_of(node) == set()
        assert manager.change(Transition.TRANSITION_CONFIGURE)
        assert manager.state() == State.PRIMARY_STATE_INACTIVE
        assert outputs_of(node) == OUTPUTS
        graph.spin(0.5)
        assert camera.image.get_subscription_count() == 0, "inactive, it listens to no camera"

        assert manager.change(Transition.TRANSITION_ACTIVATE)
        camera.wait_for_subscriber()
        before = len(depth)

        def depth_came(before=before):
            camera.send()
            graph.spin(0.05)
            return len(depth) > before

        graph.wait(depth_came, "depth")

        assert manager.change(Transition.TRANSITION_DEACTIVATE)
        assert manager.state() == State.PRIMARY_STATE_INACTIVE
        graph.wait(lambda: camera.image.get_subscription_count() == 0, "the camera to be left")
        assert manager.change(Transition.TRANSITION_CLEANUP)
        assert manager.state() == State.PRIMARY_STATE_UNCONFIGURED
    assert manager.change(Transition.TRANSITION_UNCONFIGURED_SHUTDOWN)
    assert manager.state() == State.PRIMARY_STATE_FINALIZED


def test_a_transition_that_its_state_does_not_have_is_refused(graph, make_depth_node):
    """As nav2's lifecycle manager asks, when it shuts down a node that it has reset."""
    make_depth_node(autostart=False)
    manager = Manager(graph)
    for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP):
        assert not manager.change(transition)
        assert manager.state() == State.PRIMARY_STATE_UNCONFIGURED
    assert manager.change(Transition.TRANSITION_CONFIGURE)
    assert manager.state() == State.PRIMARY_STATE_INACTIVE


def test_shutdown_while_active_leaves_nothing(graph, make_depth_node):
    node = make_depth_node()
    manager = Manager(graph)
    assert manager.state() == State.PRIMARY_STATE_ACTIVE
    assert outputs_of(node) == OUTPUTS
    assert manager.change(Transition.TRANSITION_ACTIVE_SHUTDOWN)
    assert outputs_of(node) == set()
    assert node.is_shut_down


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        (dict(bundle="no_such_bundle"), "No bundle is called 'no_such_bundle'"),
        (dict(bundle="/no/such/folder"), "no bundle at /no/such/folder"),
        (
            {"qos_overrides./clip2depth/points.publisher.reliability": "maybe"},
            "/clip2depth/points cannot be published",
        ),
        (
            {"qos_overrides./clip2depth/points.publisher.depth": "many"},
            "/clip2depth/points cannot be published",
        ),
    ],
)
def test_what_cannot_be_configured_is_said_and_undone(graph, make_depth_node, capfd, parameters, words):
    node = make_depth_node(active=False, **parameters)
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    said = capfd.readouterr().err
    assert words in said and "Cannot configure" in said
    assert "Traceback" not in said
    assert Manager(graph).state() == State.PRIMARY_STATE_UNCONFIGURED
    assert outputs_of(node) == set()


def test_a_damaged_bundle_is_refused(make_depth_node, make_bundle, capfd):
    bundle = make_bundle(name="damaged")
    model = bundle.path / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"?")
    node = make_depth_node(active=False, bundle=str(bundle.path))
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert "damaged or was replaced" in capfd.readouterr().err


def test_diagnostics_tell_of_an_inactive_node(graph, make_depth_node):
    node = make_depth_node(active=False)
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    told = graph.listen(DiagnosticArray, "/diagnostics", queue=10)
    graph.wait(lambda: told, "diagnostics")
    (status,) = told[-1].status
    assert (status.message, status.hardware_id) == ("Inactive", "/clip2depth")
    assert {value.key: value.value for value in status.values}["bundle"] == "tiny"


@pytest.mark.slow
class TestProcess:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_ends_it_in_order(self, start_process, graph, tiny_bundle, number):
        process = start_process("depth_node", {"bundle": tiny_bundle.path})
        graph.wait(lambda: "Ready" in process.text(), "the node to be ready")
        assert process.end(number) == 0
        assert "Traceback" not in process.text()

    @pytest.mark.parametrize(
        ("parameters", "words"),
        [
            ({"bundle": "no_such_bundle"}, "No bundle is called"),
            ({"points.stride": 0}, "'points.stride' is 0 pixels, but must lie in 1 to 64"),
            ({"image_transport": "theora"}, "must be one of: raw, compressed"),
            ({"engine": "abacus"}, "'engine' is 'abacus', but must be one of: auto, tensorrt"),
            ({"bundle": "[1, 2"}, "ROS does not start with these arguments"),
        ],
    )
    def test_a_mistake_ends_it_with_one_sentence(self, start_process, parameters, words):
        process = start_process("depth_node", parameters)
        assert process.process.wait(60) == 2
        assert words in process.text()
        assert "Traceback" not in process.text()

    def test_without_autostart_it_waits(self, start_process, graph):
        process = start_process("depth_node", {"autostart": False, "bundle": "no_such_bundle"})
        assert Manager(graph).state() == State.PRIMARY_STATE_UNCONFIGURED
        assert process.end() == 0
