# SPDX-License-Identifier: Apache-2.0
"""Start, spinning and shutdown of a node's process: clean shutdown on SIGINT and SIGTERM, and exit codes."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.signals import SignalHandlerOptions

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.files.bounded import reason_of
from clip2depth_ros.ros import watchdog
from clip2depth_ros.ros.fastdds import PortWatch, prepare_shared_memory
from clip2depth_ros.ros.starting import RESTART

USAGE_ERROR = 2
# Longest delay until a signal is handled while no messages arrive, seconds.
SPIN_PERIOD = 0.2


class QuietExecutor(SingleThreadedExecutor):
    """rclpy's single-threaded executor, without waking itself.

    rclpy's executor triggers its own guard condition twice after every callback, for other threads'
    executors. So it builds its wait set once more in vain, which is a third of the cost of waiting. Changes
    by a callback in the spinning thread take effect anyway, because the wait set is built again after the
    callback.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        guard, spins = getattr(self, "_guard", None), threading.get_ident()
        if guard is not None:
            trigger = guard.trigger
            guard.trigger = lambda: None if threading.get_ident() == spins else trigger()


def run_node(
    make: Callable[[], Any],
    start: Callable[[Any], None],
    stop: Callable[[Any], object],
    args: list[str] | None = None,
    finished: Callable[[Any], bool] = lambda _node: False,
) -> int:
    """Make a node, start it, spin until a signal arrives or `finished(node)` is true, stop it.

    rclpy's own signal handlers shut the context down at once, while another thread may be publishing. Here
    the node is stopped first, while it can still publish.

    Returns the exit code: 0, USAGE_ERROR after a Clip2DepthError, which is printed in one line, or RESTART
    when only a new process can receive messages. A second signal ends the process at once.
    """
    node, ports, code = None, PortWatch(), 0
    with ended_by_signals() as ended:
        try:
            memory = prepare_shared_memory()
            init(args)
            node = made(make)
            if memory:
                node.get_logger().warning(memory)
            start(node)
            executor = QuietExecutor()
            executor.add_node(node)
            while not ended.is_set() and rclpy.ok() and not finished(node):
                watchdog.alive()
                executor.spin_once(timeout_sec=SPIN_PERIOD)
                if problem := ports.problem():
                    node.get_logger().error(problem)
                    code = RESTART
                    break
            executor.shutdown(timeout_sec=1.0)
            return code
        except Clip2DepthError as error:
            print(f"error: {error}", file=sys.stderr)
            return USAGE_ERROR
        finally:
            if node is not None:
                stop(node)
                node.destroy_node()
            if rclpy.ok():
                rclpy.shutdown()


@contextmanager
def ended_by_signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set while the context lasts; a second signal ends the process."""
    ended = threading.Event()

    def end(number: int, _frame: Any) -> None:
        if ended.is_set():
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        ended.set()

    former = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield ended
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def made(make: Callable[[], Any]) -> Any:
    """The result of `make()`. Raises Clip2DepthError when rclpy cannot create the node."""
    try:
        return make()
    except rclpy_implementation.RCLError as error:  # for example, security keys of this node are missing
        raise Clip2DepthError(_why_not(error)) from error


def init(args: list[str] | None) -> None:
    """Initialize rclpy without its signal handlers. Raises Clip2DepthError with the reason of a failure."""
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:  # the base class of rclpy's errors
        raise Clip2DepthError(_why_not(error)) from error


def _why_not(error: Exception) -> str:
    """Why ROS does not start, with rclpy's message and what to do."""
    reason = reason_of(error)
    if "security libraries" in reason:
        return (
            "ROS does not start with security: this Fast DDS was built without it, as PyPI's is; use ROS "
            "packages from apt, or unset ROS_SECURITY_ENABLE."
        )
    if "SECURITY" in reason or "security" in reason:
        return (
            f"ROS does not start with security: {reason}; create this node's keys in the folder "
            "ROS_SECURITY_KEYSTORE (ros2 security create_enclave), or unset ROS_SECURITY_ENABLE."
        )
    if "logging" in reason:
        return f"ROS cannot write its log: {reason}; set ROS_LOG_DIR to a folder that this user can write to."
    if "argument" in reason or "param" in reason:
        return f"ROS does not start with these arguments: {reason}"
    return f"ROS does not start: {reason}"
