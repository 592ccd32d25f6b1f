# SPDX-License-Identifier: Apache-2.0
"""Passes hostile messages, parameters and lifecycle transitions to the callbacks of depth_node."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import rclpy
from clip2depth_ros.msg import DepthQuality
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image, LaserScan, PointCloud2

from benchmark.machine.memory import peak_memory, reset_peak_memory
from clip2depth_ros.bundle import Bundle
from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.io.messages.camera_info import fill_camera_info
from clip2depth_ros.ros.inputs import camera_input
from clip2depth_ros.ros.nodes.depth_node import DepthNode, start
from clip2depth_ros.ros.outputs.outgoing import filled_header
from clip2depth_ros.ros.qos import volatile

from .messages import SIZE, Hostile

BURST = 200
"""Messages between two good frames."""
SLOW = 2.0
"""Limit of processor time for one message, seconds."""
MEMORY = 2**30
"""Limit of the memory growth of a run, bytes."""
OUTPUTS = {
    "depth/image_rect": Image,
    "depth/camera_info": CameraInfo,
    "depth/std_dev": Image,
    "points": PointCloud2,
    "scan": LaserScan,
    "quality": DepthQuality,
}


@dataclass
class Outcome:
    """Result of a run; faults: one line or traceback for each fault."""

    sent: int = 0
    processed: int = 0
    refused: int = 0
    slowest: float = 0.0
    faults: list[str] = field(default_factory=list)


class NodeUnderTest:
    """A node whose callbacks are called directly from this thread, one message at a time."""

    def __init__(self, bundle: Bundle, ranges_type: str, outcome: Outcome) -> None:
        # Every hostile camera_info would be waited for.
        camera_input.CAMERA_INFO_TIMEOUT = 0.0
        self.outcome = outcome
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        given = {
            "bundle": str(bundle.path),
            "odometry.topic": "/odometry",
            "imu.topic": "/imu",
            "ranges.topic": "/ranges",
            "ranges.type": ranges_type,
            "scale.height": 0.5,
        }
        overrides = [Parameter(name, value=value) for name, value in given.items()]
        self.node = DepthNode(context=self.context, parameter_overrides=overrides)
        self.listener = rclpy.create_node("listener", context=self.context)
        for topic, message_type in OUTPUTS.items():
            self.listener.create_subscription(
                message_type, f"/clip2depth/{topic}", lambda _: None, volatile(1)
            )
        start(self.node)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        end = time.monotonic() + 60
        while not (self.node._pipeline and self.node._outputs.has_listeners() and self.node._input.is_open):
            self.executor.spin_once(timeout_sec=0.05)
            if time.monotonic() > end:
                raise RuntimeError("the node does not start")
        self._watch_faults()

    def _watch_faults(self) -> None:
        notices, publish = self.node._notices, self.node._outputs.publish
        count = notices.count

        def counted(key: str, text: str, detail: str = "") -> None:
            if detail:
                self.outcome.faults.append(f"{text}\n{detail}")
            count(key, text, detail)

        def published(frame: Any, *rest: Any) -> Any:
            self._check_depth(frame)
            self.last = frame.depth.copy()
            return publish(frame, *rest)

        notices.count, self.node._outputs.publish = counted, published
        threading.excepthook = lambda failed: self.outcome.faults.append(
            "".join(traceback.format_exception(failed.exc_type, failed.exc_value, failed.exc_traceback))
        )
        sys.unraisablehook = lambda failed: self.outcome.faults.append(f"unraisable: {failed.exc_value!r}")

    def _check_depth(self, frame: Any) -> None:
        manifest, facts = self.node._pipeline.engine.manifest, frame.facts
        factor = facts.focal_scale * (facts.scale if np.isfinite(facts.scale) else 1.0)
        low, high = manifest.depth_min * factor * 0.99, manifest.depth_max * factor * 1.01
        known = frame.depth[~np.isnan(frame.depth)]
        if known.size and not (known.min() >= low and known.max() <= high):
            self.outcome.faults.append(f"published {known.min()} to {known.max()} m, allowed {low} to {high}")

    def put(self, message: Any) -> None:
        """Pass one message to the callback of its topic."""
        began = time.thread_time()
        self.outcome.sent += 1
        try:
            if isinstance(message, CameraInfo):
                self.node._input.mailbox.put_info(message)
            elif isinstance(message, Image) or hasattr(message, "format"):
                self.node._one_image(self.node._input, message)
                self.outcome.processed += 1
            else:
                for source in self.node._aiding.inputs.values():
                    if isinstance(message, source.message_type):
                        source._on_message(message)
        except Clip2DepthError as error:
            self.outcome.refused += 1
            if "\n" in str(error) or len(str(error)) > 1000:
                self.outcome.faults.append(f"no sentence: {str(error)[:200]!r}")
        except Exception:
            self.outcome.faults.append(traceback.format_exc())
        spent = time.thread_time() - began
        self.outcome.slowest = max(self.outcome.slowest, spent)
        if spent > SLOW:
            self.outcome.faults.append(f"{type(message).__name__} took {spent:.1f} s")

    @staticmethod
    def good_info(stamp: int) -> CameraInfo:
        """The camera_info of good images."""
        info = CameraInfo()
        fill_camera_info(info, Camera(*SIZE, 60.0, 60.0, 31.5, 23.5))
        filled_header(info.header, stamp, "optical")
        return info

    def good_frame(self, stamp: int) -> np.ndarray:
        """Depth of a good image after a reset."""
        self.node._steering.ask_reset()
        image = Image(width=SIZE[0], height=SIZE[1], encoding="rgb8", step=3 * SIZE[0])
        pixels = np.random.default_rng(4).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)
        image.data = pixels.tobytes()
        filled_header(image.header, stamp, "optical")
        self.last = None
        self.node._aiding.clear()
        self.put(self.good_info(stamp))
        self.put(image)
        return self.last

    def close(self) -> None:
        self.executor.shutdown()
        self.node.trigger_shutdown()
        self.node.destroy_node()
        self.listener.destroy_node()
        self.context.try_shutdown()


def fuzz_node(bundle: Bundle, count: int, seed: int) -> Outcome:
    """Send `count` hostile messages, a third for each type of ranges; good frames in between must get the
    same depth as from a new node."""
    outcome = Outcome()
    for number, ranges_type in enumerate(("laser_scan", "point_cloud", "range")):
        rng = np.random.default_rng([seed, number])
        hostile, node_under_test = Hostile(rng), NodeUnderTest(bundle, ranges_type, outcome)
        ranges = {"laser_scan": hostile.scan, "point_cloud": hostile.cloud, "range": hostile.range}[
            ranges_type
        ]
        kinds = (
            hostile.image,
            hostile.compressed,
            hostile.camera_info,
            hostile.odometry,
            hostile.imu,
            ranges,
        )
        try:
            expected = node_under_test.good_frame(1_700_000_000_000_000_000)
            if expected is None:
                outcome.faults.append("a good frame gets no depth from a new node")
            start = reset_peak_memory()
            for index in range(count // 3):
                if rng.random() < 0.4:
                    node_under_test.put(node_under_test.good_info(1_750_000_000_000_000_000 + index))
                node_under_test.put(kinds[int(rng.choice(6, p=[0.3, 0.15, 0.2, 0.15, 0.1, 0.1]))]())
                if index % BURST == BURST - 1:
                    if rng.random() < 0.3:
                        _change_a_parameter(node_under_test, rng)
                    found = node_under_test.good_frame(1_800_000_000_000_000_000 + index)
                    if found is None or not np.array_equal(found, expected, equal_nan=True):
                        outcome.faults.append(f"after message {index} a good frame gets other depth")
                    node_under_test.executor.spin_once(timeout_sec=0.0)
            grown = peak_memory() - start
            if grown > MEMORY:
                outcome.faults.append(f"memory grew by {grown >> 20} MiB")
        finally:
            node_under_test.close()
    return outcome


def _change_a_parameter(node_under_test: NodeUnderTest, rng: np.random.Generator) -> None:
    """Set a random parameter to a random value: it is accepted or rejected; an accepted one is restored."""
    node = node_under_test.node
    names = sorted(
        name for name in node._parameters if not name.startswith(("qos_overrides", "use_sim_time"))
    )
    name = names[int(rng.integers(len(names)))]
    before = node.get_parameter(name)
    value = [0, -1, 2**40, 1e300, float("nan"), "", "x" * 10_000, True, [1.0, 2.0], [b"\0"]][
        int(rng.integers(10))
    ]
    try:
        taken = node.set_parameters([Parameter(name, value=value)])[0].successful
        if taken and name != "bundle":
            node.set_parameters([before])
    except Exception:
        node_under_test.outcome.faults.append(f"parameter {name} = {value!r}:\n{traceback.format_exc()}")
