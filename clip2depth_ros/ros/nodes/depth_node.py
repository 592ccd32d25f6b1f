# SPDX-License-Identifier: Apache-2.0
"""depth_node: images of one camera in, depth and points out.

Two threads: the executor's thread takes messages, answers services and watches topics; the worker thread
processes one image at a time, always the newest. A third thread opens an engine, and ends when it is open.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock, ClockType, JumpThreshold
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_srvs.srv import Trigger

from clip2depth_ros.bundle import Bundle, open_bundle
from clip2depth_ros.engines import Attempt, Engine, Outcome, open_engine
from clip2depth_ros.engines.loader import THREAD, end_process
from clip2depth_ros.engines.turns import Turn
from clip2depth_ros.errors import Clip2DepthError, printable
from clip2depth_ros.images.frame import Frame
from clip2depth_ros.io.messages.images import ImageCodec, nanoseconds
from clip2depth_ros.pipeline import Pipeline
from clip2depth_ros.ros.inputs.aiding_measurements import AidingMeasurements
from clip2depth_ros.ros.inputs.camera_input import CameraInput
from clip2depth_ros.ros.nodes.bundle_swap import BundleSwap, Successor
from clip2depth_ros.ros.nodes.managed_node import ManagedNode
from clip2depth_ros.ros.nodes.node_engine import NodeEngine, engine_text, leave_choice_to_ros
from clip2depth_ros.ros.nodes.steering import Steering
from clip2depth_ros.ros.outputs.depth_publishers import DepthPublishers
from clip2depth_ros.ros.outputs.diagnostics import (
    FrameRates,
    camera_facts,
    diagnostic_array,
    level_and_reason,
)
from clip2depth_ros.ros.outputs.load import LoadBudget
from clip2depth_ros.ros.outputs.throttled_log import Notices
from clip2depth_ros.ros.outputs.trust import TrustWatch
from clip2depth_ros.ros.parameters.declaration import ParameterTable
from clip2depth_ros.ros.parameters.depth_settings import DepthSettings
from clip2depth_ros.ros.qos import let_arrive
from clip2depth_ros.ros.spinning import run_node

WATCH_PERIOD = 0.2
DIAGNOSTICS_PERIOD = 1.0

# Seconds for which diagnostics warn of a bundle that was rejected while the node runs.
REFUSAL_HOLDS = 60.0


class DepthNode(ManagedNode):
    """The lifecycle node `clip2depth`. Keyword arguments are those of rclpy's Node.

    configure opens bundle and engine and advertises the topics; activate starts the worker thread, and
    subscribes to the camera while the outputs have subscribers; deactivate and cleanup undo the two.
    configure does not wait for an engine that must be built first: it succeeds, depth is published once the
    engine is open, and if that fails the node returns to unconfigured. Another value of the parameter
    `bundle` is opened while the current engine runs, and replaces it between two images. Raises
    Clip2DepthError at construction if a parameter is invalid.

    open_engine: replaces :func:`clip2depth_ros.engines.open_engine`, with its arguments, for tests and for
    custom engines; called in a separate thread. turn: the worker thread waits for it before it takes an
    image. load: the processor budget. Cameras in one process share both.
    """

    def __init__(
        self,
        *,
        open_engine: Callable[..., Engine] = open_engine,
        turn: Turn | None = None,
        load: LoadBudget | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__("clip2depth", **kwargs)
        self._table = ParameterTable(self, DepthSettings, self._on_change)
        self._notices = Notices(self.get_logger())
        self.is_shut_down = False
        self.engine_failed = False
        """True when the node returned to unconfigured because no engine could be opened."""
        # Timers use a steady clock: with use_sim_time and no simulator the node must still report errors.
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._engine = NodeEngine(self, open_engine, self._on_engine, self._on_engine_failed)
        self._swap = BundleSwap(self, self._on_successor, self._on_bundle_refused)
        self._successor: Successor | None = None
        self._successor_lock = threading.Lock()
        self._restoring = False
        self._refused = ("", 0.0)
        self._pipeline: Pipeline | None = None
        self._bundle: Bundle | None = None
        self._bundle_asked = ""
        self._outputs: DepthPublishers | None = None
        # It exists as long as the node, because DDS discards a last message with its publisher.
        self._diagnostics: Any = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._diagnostics_timer: Any = None
        self._reset_service: Any = None
        self._input: CameraInput | None = None
        self._aiding: AidingMeasurements | None = None
        self._watch_timer: Any = None
        self._jump: Any = None
        self._worker: threading.Thread | None = None
        self._rates = FrameRates()
        self._trust = TrustWatch(self._notices)
        self._steering = Steering()
        self._codec = ImageCodec()
        self._turn = turn or Turn()
        self._load = load or LoadBudget()

    @property
    def is_configured(self) -> bool:
        """True from configure to cleanup."""
        return self._outputs is not None

    @property
    def settings(self) -> DepthSettings:
        """The parameters' current values."""
        return self._table.settings

    # Transitions. rclpy discards their exceptions, so they log them.

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Open bundle and engine, advertise the topics."""
        return self._transition("configure", self._configure, self._clean_up, state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start to process images for the subscribers."""
        result = super().on_activate(state)
        if result != TransitionCallbackReturn.SUCCESS:
            return result
        return self._transition("activate", self._activate, self._deactivate, state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop working."""
        self._deactivate()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Withdraw the topics, close the engine."""
        self._clean_up()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """From any state, finally."""
        self._deactivate()
        self._clean_up()
        if self.engine_failed:
            let_arrive(self._diagnostics)
        self.destroy_publisher(self._diagnostics)
        self.is_shut_down = True
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """After a transition that failed unexpectedly: back to unconfigured."""
        self._deactivate()
        self._clean_up()
        return TransitionCallbackReturn.SUCCESS

    def _transition(self, name: str, do: Any, undo: Any, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            do()
        except Clip2DepthError as error:
            self.get_logger().error(f"Cannot {name}: {error}")
            undo()
            return TransitionCallbackReturn.FAILURE
        except Exception:
            self.get_logger().error(f"Cannot {name}, unexpectedly:\n{traceback.format_exc()}")
            return TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.SUCCESS

    def _configure(self) -> None:
        self.engine_failed = False
        self._bundle_asked = self.settings.bundle
        self._bundle = open_bundle(self._bundle_asked)
        if terms := self._bundle.terms():
            self.get_logger().info(terms)
        self._steering = Steering()
        engine = self._engine.open(self._bundle, self.settings)
        self._outputs = DepthPublishers(self, self._notices, self._watch)
        self._diagnostics_timer = self.create_timer(
            DIAGNOSTICS_PERIOD, self._publish_diagnostics, clock=self._steady
        )
        self._reset_service = self.create_service(Trigger, "~/reset", self._on_reset)
        self._jump = self.get_clock().create_jump_callback(
            JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=True),
            post_callback=lambda _jump: self._on_time_jump(),
        )
        if engine is not None:
            self._on_engine(engine)

    def _clean_up(self) -> None:
        if self._jump is not None:
            self._jump.unregister()
        if self._reset_service is not None:
            self.destroy_service(self._reset_service)
        if self._diagnostics_timer is not None:
            self.destroy_timer(self._diagnostics_timer)
        if self._outputs is not None:
            self._outputs.destroy()
        self._swap.cancel()
        if self._pipeline is not None:
            self._pipeline.close()
        self._engine.close()
        self._jump = self._reset_service = self._diagnostics_timer = None
        self._outputs = self._pipeline = None

    def _activate(self) -> None:
        self._notices.clear_all()
        self._rates = FrameRates()
        self._trust = TrustWatch(self._notices)
        self._input = CameraInput(
            self,
            lambda: self.settings,
            self._notices,
            self._turn,
            self._allowed_rate,
            lambda: self._let_events_wait(True),
        )
        self._aiding = AidingMeasurements(self, lambda: self.settings, self._notices)
        self._steering.ask_new_start()
        self._worker = threading.Thread(target=self._work, name="clip2depth", daemon=True)
        self._worker.start()
        self._watch_timer = self.create_timer(WATCH_PERIOD, self._watch, clock=self._steady)
        self._say_ready()

    def _deactivate(self) -> None:
        if self._watch_timer is not None:
            self.destroy_timer(self._watch_timer)
        if self._input is not None:
            self._input.close()
            self._input.mailbox.close()
        if self._worker is not None:
            self._worker.join()
        self._take_up_successor()  # if the thread ended before it did so
        if self._aiding is not None:
            self._aiding.close()
        self._watch_timer = self._input = self._aiding = self._worker = None

    # The executor's thread.

    def _on_engine(self, engine: Engine) -> None:
        self._pipeline = Pipeline(engine, depth_size=self.settings.depth.size)
        self.get_logger().info(f"Bundle '{self._bundle.name}' on {engine_text(engine)}")
        self._say_ready()
        if self.settings.bundle != self._bundle_asked:  # it was set while this bundle was opened
            try:
                self._begin_swap(self.settings)
            except Clip2DepthError as error:
                self._on_bundle_refused(self.settings.bundle, str(error))

    def _on_engine_failed(self, reason: str) -> None:
        """Return to unconfigured. The transition was not requested, so it is logged."""
        self.get_logger().error(reason)
        self._publish_status(DiagnosticStatus.ERROR, reason, {"bundle": self._bundle.name, "engine": "none"})
        if self._input is not None:
            self.trigger_deactivate()
        self.trigger_cleanup()
        self.engine_failed = True
        self.get_logger().error("The node is unconfigured again; configure it after the cause is fixed")

    def _on_change(self, settings: DepthSettings, names: set[str]) -> None:
        """A parameter is being set. Raises Clip2DepthError when the bundle is invalid."""
        if "bundle" not in names or self._restoring:
            return
        if self._engine.engine is None:
            open_bundle(settings.bundle)  # only checked; configure, or the engine being opened, uses it later
        else:
            self._begin_swap(settings)

    def _begin_swap(self, settings: DepthSettings) -> None:
        self._swap.begin(
            settings.bundle,
            lambda bundle, progress: self._engine.opened(bundle, settings, progress),
            self._bundle,
        )
        self._refused = ("", 0.0)
        self._notices.clear("bundle")

    def _on_successor(self, successor: Successor) -> None:
        with self._successor_lock:
            former, self._successor = self._successor, successor
        if former is not None:
            former.engine.close()
        if self._input is None:
            self._take_up_successor()
        else:
            self._input.mailbox.interpose(self._take_up_successor)

    def _on_bundle_refused(self, asked: str, reason: str) -> None:
        text = f"Bundle '{asked}' is rejected, '{self._bundle_asked}' stays in use: {reason}"
        self._refused = (text, time.monotonic())
        self._notices.say("bundle", text)
        if self.settings.bundle == asked:
            self._restoring = True
            self.set_parameters([Parameter("bundle", value=self._bundle_asked)])
            self._restoring = False

    def _say_ready(self) -> None:
        if self._input is not None and self._pipeline is not None:
            self.get_logger().info(
                f"Ready: {self._input.image_topic} with {self._input.info_topic}, subscribed while the "
                "outputs have subscribers"
            )

    def _watch(self) -> None:
        """Subscribe to the camera while the outputs have subscribers, and check that messages arrive."""
        if self._input is None or self._outputs is None or self._pipeline is None:
            return
        self._let_events_wait(False)
        if self._outputs.has_listeners() != self._input.is_open:
            if self._input.is_open:
                self._input.close()
                self._aiding.close()
                self._trust.restart()
            else:
                self._steering.ask_new_start()
                self._trust.restart()
                self._aiding.open()
                self._input.open()
        if self._input.is_open:
            self._input.watch()
            self._aiding.watch()

    def _let_events_wait(self, wait: bool) -> None:
        """While images flow, events of the publishers wait for the next `_watch`."""
        if self._outputs is not None:
            self._outputs.events.closed = wait

    def _allowed_rate(self, now: float) -> float:
        """Images per second that load.max_cpu allows this camera; 0: no limit."""
        return self._load.allowed(self.get_fully_qualified_name(), self.settings.load.max_cpu, now)

    def _on_time_jump(self) -> None:
        self._steering.ask_new_start()
        if self._aiding is not None:
            self._aiding.clear()

    def _on_reset(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._steering.ask_reset()
        response.success = True
        response.message = "The temporal state, including the scale, is cleared before the next image."
        return response

    def _publish_diagnostics(self) -> None:
        self._engine.watch()
        source = self._input
        text, since = self._refused
        if text and time.monotonic() - since > REFUSAL_HOLDS:
            self._notices.clear("bundle")
        facts = {"bundle": self._bundle.name, "bundle path": self._bundle.path} | self._engine.facts()
        facts |= self._swap.facts() | ({"bundle refused": text} if text else {})
        rates: dict[str, float] = {}
        limit = self._load.rate if self.settings.load.max_cpu else 0.0
        if source is not None:
            rates = self._rates.read(source.mailbox.counts)
            facts |= camera_facts(source, rates) | self._load.facts(limit) | self._aiding.facts()
            facts |= self._trust.summary() if source.is_open else {}
        level, message = level_and_reason(
            active=source is not None,
            listened_to=source is not None and source.is_open,
            rates=rates,
            states=self._notices.states,
            waiting_for=self._engine.waiting_for,
            limit=limit,
        )
        self._publish_status(level, message, facts)

    def _publish_status(self, level: bytes, message: str, facts: dict[str, Any]) -> None:
        name, stamp = self.get_fully_qualified_name(), self.get_clock().now().to_msg()
        self._diagnostics.publish(
            diagnostic_array(stamp, f"{name.strip('/')}: depth", name, level, message, facts)
        )

    # The worker thread.

    def _work(self) -> None:
        source = self._input
        while (message := source.mailbox.take()) is not None:
            try:
                source.mailbox.count(self._one_image(source, message))
            except Clip2DepthError as error:
                source.mailbox.count("bad")
                self._notices.count("image", f"Image skipped: {error}")
            except Exception:
                if not self.context.ok():
                    return
                source.mailbox.count("bad")
                self._notices.count("bug", "Image skipped after an unexpected error:", traceback.format_exc())
            finally:
                self._turn.leave()

    def _shrink_for(self, size: tuple[int, int]) -> int:
        """Factor per side by which an image may be shrunk when decoded, without loss for depth and cloud."""
        return min(self._pipeline.shrink_for(size), self._outputs.shrink(self.settings))

    def _take_up_successor(self) -> None:
        """Swap the engine, if another one is ready. Without a worker thread the executor calls this."""
        with self._successor_lock:
            successor, self._successor = self._successor, None
        if successor is None:
            return
        try:
            former = self._pipeline.swap(successor.engine)
        except Exception as error:
            successor.engine.close()
            if not isinstance(error, Clip2DepthError):
                self.get_logger().error(f"A bundle failed unexpectedly:\n{traceback.format_exc()}")
            self._swap.refuse(successor.asked, str(error))
            return
        text = f"bundle '{successor.bundle.name}' took the place of '{self._bundle.name}' while running"
        engine = successor.engine
        swap = Attempt(engine.name, engine.precision, Outcome.SWAPPED, text)
        engine.attempts = (swap, *engine.attempts)
        self._engine.replace(successor.engine)
        self._bundle, self._bundle_asked = successor.bundle, successor.asked
        # In a thread, because the next image need not wait some milliseconds for it.
        threading.Thread(target=former.close, name=THREAD, daemon=True).start()
        self.get_logger().info(
            f"Bundle '{successor.bundle.name}' ({successor.bundle.path}) on {engine_text(successor.engine)} "
            "is used from here on; the scale is kept"
        )

    def _one_image(self, source: CameraInput, message: Any) -> str:
        """Decode, compute, publish. Returns the result for the counts: `processed` or `dropped`."""
        image, size, shrink = self._codec.decode_for(message, self._shrink_for)
        camera = source.camera_for(*size)
        if camera is None or not self._outputs.has_listeners():
            return "dropped"
        stamp, frame_id = nanoseconds(message.header.stamp), message.header.frame_id
        settings = self._aiding.extrinsics.settings_at(stamp, frame_id)
        name = f"{self._bundle.name}/{printable(frame_id)}"
        reset = self._steering.steer(self._pipeline, settings, name)
        aiding = self._aiding.at(stamp, frame_id)
        frame = self._pipeline.process(Frame(image, stamp, frame_id, camera, shrink=shrink, **aiding))
        frame.facts.reset |= reset
        self._trust.see(frame.facts, settings)
        latency, publish_time = self._outputs.publish(frame, settings, aiding.get("gravity"))
        self._rates.add(latency)
        self._load.count(self.get_fully_qualified_name())
        counts = source.mailbox.counts
        counts.processed += 1  # this image
        self._outputs.publish_quality(
            frame,
            engine=self._engine.engine,
            bundle=self._bundle.name,
            latency=latency,
            publish_time=publish_time,
            counts=counts,
        )
        return "processed"


def start(node: DepthNode) -> None:
    """Configure and activate, if the parameter autostart says so. Raises Clip2DepthError if that fails."""
    if not node.settings.autostart:
        return
    for trigger in (node.trigger_configure, node.trigger_activate):
        if trigger() != TransitionCallbackReturn.SUCCESS:
            raise Clip2DepthError("The node could not start; see the error above.")


def stop(node: DepthNode) -> None:
    """Shut the node down, unless a lifecycle manager has already done so."""
    if not node.is_shut_down:
        node.trigger_shutdown()


def check_engine(node: DepthNode) -> bool:
    """False: the node's process continues. Raises Clip2DepthError when it should end: the node was started by
    autostart and has no engine, so that no lifecycle manager would configure it again.
    """
    if node.engine_failed and node.settings.autostart:
        raise Clip2DepthError("The node has no engine; see the error above.")
    return False


def main(args: list[str] | None = None, make: Callable[[], DepthNode] = DepthNode) -> int:
    """Run depth_node until it is interrupted. make: creates the node."""
    leave_choice_to_ros()
    return end_process(run_node(make, start, stop, args, finished=check_engine))


if __name__ == "__main__":
    raise SystemExit(main())
