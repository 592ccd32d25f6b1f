# SPDX-License-Identifier: Apache-2.0
"""depth_nodes: one process with a depth node for each of several cameras, all on one engine.

    ros2 run clip2depth_ros depth_nodes front rear=rear.yaml --ros-args -r image:=image_raw

An argument is a camera: the namespace of its node, and after = an optional file with its own parameters. All
other ROS arguments apply to every camera, and override the file's. Each node has its own executor in its own
thread: a transition or a failure of one camera does not delay the others.
"""

from __future__ import annotations

import re
import sys
import threading
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

import rclpy

from clip2depth_ros.engines.loader import end_process
from clip2depth_ros.engines.shared import EnginePool
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.ros import watchdog
from clip2depth_ros.ros.fastdds import PortWatch, prepare_shared_memory
from clip2depth_ros.ros.nodes.depth_node import DepthNode, start, stop
from clip2depth_ros.ros.nodes.node_engine import leave_choice_to_ros
from clip2depth_ros.ros.outputs.load import LoadBudget
from clip2depth_ros.ros.spinning import SPIN_PERIOD, USAGE_ERROR, QuietExecutor, ended_by_signals, init, made
from clip2depth_ros.ros.starting import RESTART


class CameraThread(threading.Thread):
    """Starts a camera's node, spins it until `ended` is set, and stops it.

    failed: True while the node cannot give depth because it could not start, its engine failed, or a bug
    ended it. After the first two it continues to spin, and can be configured again.
    """

    def __init__(self, node: DepthNode, ended: threading.Event) -> None:
        super().__init__(name=node.get_fully_qualified_name(), daemon=True)
        self._node = node
        self._ended = ended
        self.failed = False

    def run(self) -> None:
        executor = QuietExecutor(context=self._node.context)
        executor.add_node(self._node)
        try:
            try:
                start(self._node)
            except Clip2DepthError as error:
                self._node.get_logger().error(f"{error} The other cameras continue")
                self.failed = True
            while not self._ended.is_set() and self._node.context.ok():
                executor.spin_once(timeout_sec=SPIN_PERIOD)
                refused = self._node.engine_failed and self._node.settings.autostart
                self.failed = refused or (self.failed and not self._node.is_configured)
        except Exception:
            self._node.get_logger().error(f"This camera stopped unexpectedly:\n{traceback.format_exc()}")
            self.failed = True
        finally:
            executor.shutdown(timeout_sec=1.0)
            stop(self._node)
            self._node.destroy_node()


def cameras_of(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    """The cameras among a program's arguments, {namespace: parameter file or ""}, and the ROS arguments.

    Namespaces are absolute: below that of `-r __ns:=` unless they begin with /. Raises Clip2DepthError for
    an argument that is not a namespace, and for a namespace that occurs twice.
    """
    own: list[str] = []
    of_ros: list[str] = []
    current = own
    for argument in arguments:
        if argument == "--ros-args":
            current = of_ros
        elif argument == "--" and current is of_ros:
            current = own
        else:
            current.append(argument)
    base = next((text[6:] for text in of_ros if text.startswith("__ns:=")), "").rstrip("/")
    cameras: dict[str, str] = {}
    for argument in own:
        name, _, file = argument.partition("=")
        namespace = name if name.startswith("/") else f"{base}/{name}"
        if not re.fullmatch(r"(/[A-Za-z_]\w*)+", namespace) or namespace in cameras:
            raise Clip2DepthError(
                f"Camera '{argument}' is not a unique namespace: name each camera once, such as front or "
                "/robot/front, followed by =FILE for its own parameters."
            )
        cameras[namespace] = file
    if not cameras:
        raise Clip2DepthError("Name the cameras: depth_nodes front rear --ros-args -r image:=image_raw.")
    return cameras, of_ros


def make_nodes(
    cameras: dict[str, str], of_ros: list[str], pool: EnginePool, **options: Any
) -> list[DepthNode]:
    """A node for each camera. One that cannot be made is left out, and the error is printed.

    options: keyword arguments of every node. Raises Clip2DepthError when none can be made.
    """
    nodes, load = [], LoadBudget()
    for namespace, file in cameras.items():
        turn = pool.turn()
        # Of two remapping rules for a name the first one applies, of two parameters the last one.
        given = ["-r", f"__ns:={namespace}", *(("--params-file", file) if file else ()), *of_ros]
        make: Callable[[], DepthNode] = partial(
            DepthNode,
            open_engine=partial(pool.open, turn),
            turn=turn,
            load=load,
            cli_args=["--ros-args", *given],
            use_global_arguments=False,
            **options,
        )
        try:
            nodes.append(made(make))
        except Clip2DepthError as error:
            print(f"error: camera {namespace}: {error}", file=sys.stderr)
    if not nodes:
        raise Clip2DepthError("No camera could be made; see the errors above.")
    return nodes


def main(arguments: list[str] | None = None, pool: EnginePool | None = None) -> int:
    """Run depth_nodes until it is interrupted, or until every camera has failed.

    arguments: of the program, default: sys.argv. pool: replaces the one that opens real engines. Returns the
    exit code: 0, 2 after a user's mistake, which is printed, or RESTART if a new process is needed.
    """
    leave_choice_to_ros()
    arguments = sys.argv[1:] if arguments is None else arguments
    threads: list[CameraThread] = []
    code, ports = 0, PortWatch()
    with ended_by_signals() as ended:
        try:
            cameras, of_ros = cameras_of(arguments)
            memory = prepare_shared_memory()
            init(["depth_nodes", *arguments])
            nodes = make_nodes(cameras, of_ros, pool or EnginePool())
            if memory:
                nodes[0].get_logger().warning(memory)
            threads = [CameraThread(node, ended) for node in nodes]
            for thread in threads:
                thread.start()
            while not ended.wait(SPIN_PERIOD) and rclpy.ok():
                watchdog.alive()
                if all(thread.failed for thread in threads):
                    raise Clip2DepthError("No camera has an engine; see the errors above.")
                if problem := ports.problem():
                    nodes[0].get_logger().error(problem)
                    code = RESTART
                    break
        except Clip2DepthError as error:
            print(f"error: {error}", file=sys.stderr)
            code = USAGE_ERROR
        finally:
            ended.set()
            for thread in threads:
                thread.join()
            if rclpy.ok():
                rclpy.shutdown()
    return end_process(code)


if __name__ == "__main__":
    raise SystemExit(main())
