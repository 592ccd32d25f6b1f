# SPDX-License-Identifier: Apache-2.0
"""While an engine is built, the node answers over DDS, and the build can be called off."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
from clip2depth_ros.msg import DepthQuality
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import GetParameters
from sensor_msgs.msg import Image

pytestmark = pytest.mark.ros
PROGRAM = Path(__file__).with_name("slow_engine_node.py")

# An answer that comes later than this was held up by the build, which takes for ever here.
PROMPT = 10.0


class Building:
    """The node's process, a client of its services, and the file that ends the build."""

    def __init__(self, graph, folder: Path, bundle, *, deaf: bool = False, autostart: bool = False) -> None:
        self.graph, self._end = graph, folder / "end"
        self.log = folder / "node.log"
        parameters = {"bundle": bundle.path, "autostart": str(autostart).lower()}
        arguments = [text for name, value in parameters.items() for text in ("-p", f"{name}:={value}")]
        with self.log.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, PROGRAM, folder, *(["--deaf"] if deaf else []), "--ros-args", *arguments],
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        self._clients = {
            kind: graph.tester.create_client(kind, f"/clip2depth/{name}")
            for kind, name in (
                (ChangeState, "change_state"),
                (GetState, "get_state"),
                (GetParameters, "get_parameters"),
            )
        }

    def wait_for_services(self) -> None:
        def ready():
            assert self.process.poll() is None, "the node has ended"
            return all(client.service_is_ready() for client in self._clients.values())

        self.graph.wait(ready, "the services")
        self.graph.spin(0.5)  # a server answers only the clients that it has discovered

    def end_build(self, how: str) -> None:
        self._end.write_text(how)

    def build_again(self) -> None:
        self._end.unlink()

    def call(self, kind, request):
        future = self._clients[kind].call_async(request)
        self.graph.wait(future.done, f"the answer of {kind.__name__}", PROMPT)
        return future.result()

    def change(self, transition: int) -> bool:
        request = ChangeState.Request()
        request.transition.id = transition
        return self.call(ChangeState, request).success

    def state(self) -> int:
        return self.call(GetState, GetState.Request()).current_state.id

    def parameter(self, name: str) -> str:
        return self.call(GetParameters, GetParameters.Request(names=[name])).values[0].string_value

    def text(self) -> str:
        return self.log.read_text(errors="replace")


@pytest.fixture
def build(graph, tmp_path, tiny_bundle):
    """Function that starts the node's process: build(deaf=False, autostart=False)."""
    started: list[Building] = []

    def start(**options) -> Building:
        building = Building(graph, tmp_path, tiny_bundle, **options)
        started.append(building)
        building.wait_for_services()
        return building

    yield start
    for building in started:
        building.process.kill()
        building.process.wait()
        print(building.text())


def last(told: list, level: bytes, words: str):
    """The newest diagnostic status if it is of this level and has these words."""
    status = told[-1].status[0] if told else None
    return status if status and status.level == level and words in status.message else None


def facts_of(told: list) -> dict[str, str]:
    """The newest diagnostic values."""
    return {value.key: value.value for value in told[-1].status[0].values}


@pytest.mark.slow
class TestProcess:
    def test_it_answers_while_the_engine_is_built_and_works_when_it_is_there(self, graph, build, fake_camera):
        node = build()
        told = graph.listen(DiagnosticArray, "/diagnostics", queue=10)
        quality = graph.listen(DepthQuality, "/clip2depth/quality")
        depth = graph.listen(Image, "/clip2depth/depth/image_rect")
        camera = fake_camera()
        assert node.change(Transition.TRANSITION_CONFIGURE)
        assert node.state() == State.PRIMARY_STATE_INACTIVE
        assert node.parameter("precision") == "auto"
        graph.wait(lambda: last(told, DiagnosticStatus.WARN, "tensorrt fp16: building"), "the diagnostics")

        assert node.change(Transition.TRANSITION_ACTIVATE)
        assert node.state() == State.PRIMARY_STATE_ACTIVE
        graph.wait(lambda: node.text().count("tensorrt fp16: building") > 1, "a second line in the log")
        assert camera.image.get_subscription_count() == 0, "there is nothing yet to do with images"

        node.end_build("open")
        camera.wait_for_subscriber()

        def depth_came():
            camera.send()
            graph.spin(0.05)
            return depth and quality

        graph.wait(depth_came, "depth")
        precision = quality[-1].precision
        assert quality[-1].engine == "openvino" and precision in ("fp32", "bf16")  # as the processor has it
        chosen = f"openvino {precision}: chosen"
        assert chosen in quality[-1].engine_choice[-1]
        assert 0 <= quality[-1].engine_difference < 0.01
        facts = graph.wait(
            lambda: (found := facts_of(told)) and "engine choice" in found and found, "the diagnostics"
        )
        assert chosen in facts["engine choice"] and precision in facts["engine"]
        assert chosen in node.text() and "Ready" in node.text()

    @pytest.mark.parametrize(
        ("how", "words", "active"),
        [
            ("refuse", "There is no engine: Engine tensorrt is refused", True),
            ("crash", "There is no engine: RuntimeError: CUDA error 999", False),
        ],
    )
    def test_a_build_that_fails_leads_back_to_unconfigured(self, graph, build, how, words, active):
        node = build()
        told = graph.listen(DiagnosticArray, "/diagnostics", queue=10)
        assert node.change(Transition.TRANSITION_CONFIGURE)
        assert not active or node.change(Transition.TRANSITION_ACTIVATE)
        graph.wait(lambda: told, "diagnostics")
        node.end_build(how)
        graph.wait(lambda: "configure it after" in node.text(), "the node to say so")
        graph.wait(lambda: last(told, DiagnosticStatus.ERROR, words), "the diagnostics")
        assert node.state() == State.PRIMARY_STATE_UNCONFIGURED
        assert words in node.text()
        assert ("Traceback" in node.text()) == (how == "crash"), "only what nobody expected shows one"

        node.end_build("open")
        assert node.change(Transition.TRANSITION_CONFIGURE)
        assert node.change(Transition.TRANSITION_ACTIVATE)
        graph.wait(lambda: "Ready" in node.text(), "the node to be ready")

    @pytest.mark.parametrize("deaf", [False, True])
    def test_it_can_be_called_off_and_begun_anew(self, graph, build, deaf):
        node = build(deaf=deaf)
        assert node.change(Transition.TRANSITION_CONFIGURE)
        assert node.change(Transition.TRANSITION_CLEANUP)
        assert node.state() == State.PRIMARY_STATE_UNCONFIGURED
        assert node.change(Transition.TRANSITION_CONFIGURE)
        assert node.change(Transition.TRANSITION_ACTIVATE)
        node.end_build("open")
        graph.wait(lambda: "Ready" in node.text(), "the node to be ready")
        graph.spin(0.5)
        assert node.text().count("on openvino") == 1, "the first build's engine is nobody's"
        assert node.state() == State.PRIMARY_STATE_ACTIVE

        node.build_again()
        assert node.change(Transition.TRANSITION_DEACTIVATE)
        assert node.change(Transition.TRANSITION_CLEANUP)
        assert node.change(Transition.TRANSITION_CONFIGURE)
        assert node.change(Transition.TRANSITION_INACTIVE_SHUTDOWN)
        assert node.state() == State.PRIMARY_STATE_FINALIZED
        node.process.send_signal(signal.SIGINT)
        assert node.process.wait(30) == 0
        assert "Traceback" not in node.text() and "terminate called" not in node.text()

    @pytest.mark.parametrize("deaf", [False, True])
    def test_a_signal_ends_it_in_the_middle_of_a_build(self, build, deaf):
        node = build(deaf=deaf, autostart=True)
        node.process.send_signal(signal.SIGTERM)
        assert node.process.wait(30) == 0
        assert "Traceback" not in node.text() and "terminate called" not in node.text()

    def test_without_a_manager_the_process_ends_with_the_reason(self, graph, build):
        node = build(autostart=True)
        told = graph.listen(DiagnosticArray, "/diagnostics", queue=10)
        graph.wait(lambda: told, "diagnostics")
        node.end_build("refuse")
        graph.wait(lambda: last(told, DiagnosticStatus.ERROR, "There is no engine"), "the last diagnostics")
        assert node.process.wait(30) == 2
        assert "There is no engine: Engine tensorrt is refused" in node.text()
        assert "Traceback" not in node.text()


def test_an_engine_that_computes_nonsense_does_not_publish_and_is_told_of(
    graph, make_depth_node, fake_camera, fake_tensorrt, tiny_bundle, capfd
):
    """TensorRT is a stand-in that answers with garbage; engine is auto."""
    fake_tensorrt("10.3.0", fault="garbage")
    make_depth_node()
    said = capfd.readouterr().err
    assert said.count("is rejected for bundle") >= 2 and "[WARN]" in said and "Traceback" not in said
    told = graph.listen(DiagnosticArray, "/diagnostics", queue=10)
    quality = graph.listen(DepthQuality, "/clip2depth/quality")
    camera = fake_camera()
    camera.wait_for_subscriber()

    def frame_came():
        camera.send()
        graph.spin(0.05)
        return quality and told

    graph.wait(frame_came, "a frame")
    assert quality[-1].engine == "openvino" and quality[-1].engine_difference < 0.01
    steps = quality[-1].engine_choice
    assert steps[0].startswith("tensorrt fp16: ") and "differs by" in steps[0]
    assert steps[1].startswith("tensorrt fp32: ") and "differs by" in steps[1]
    assert steps[-1].startswith("openvino fp32: chosen")
    assert facts_of(told)["engine choice"] == "; ".join(steps)
