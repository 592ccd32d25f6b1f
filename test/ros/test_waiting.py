# SPDX-License-Identifier: Apache-2.0
"""The executor that does not wake itself still wakes for others; events wait, and are not lost."""

from __future__ import annotations

import threading
import time

import pytest

pytest.importorskip("rclpy")
import rclpy
from std_msgs.msg import Header

from clip2depth_ros.ros.qos import EventGroup, publisher_with_events, volatile
from clip2depth_ros.ros.spinning import QuietExecutor

pytestmark = pytest.mark.ros


@pytest.fixture
def spun():
    """A node and its executor, in a context of their own."""
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("waiting", context=context)
    executor = QuietExecutor(context=context)
    executor.add_node(node)
    yield node, executor
    executor.shutdown()
    node.destroy_node()
    context.try_shutdown()


def test_a_trigger_of_another_thread_ends_the_waiting(spun):
    node, executor = spun
    rung = []
    bell = node.create_guard_condition(lambda: rung.append(time.monotonic()))
    threading.Timer(0.2, bell.trigger).start()
    began = time.monotonic()
    while not rung and time.monotonic() - began < 5:
        executor.spin_once(timeout_sec=5.0)
    assert rung and rung[0] - began < 3


def test_what_a_callback_creates_is_waited_for_next(spun):
    node, executor = spun
    fired = []

    def first():
        timer.cancel()
        node.create_timer(0.05, lambda: fired.append(True))

    timer = node.create_timer(0.05, first)
    deadline = time.monotonic() + 10
    while not fired and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=1.0)
    assert fired


def test_events_wait_while_their_group_is_closed(spun):
    node, executor = spun
    group, matched = EventGroup(), []
    publisher_with_events(
        lambda **events: node.create_publisher(
            Header, "waiting", volatile(1), callback_group=group, **events
        ),
        lambda _policy: None,
        lambda: matched.append(True),
    )

    def spin(seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not matched and time.monotonic() < deadline:
            executor.spin_once(timeout_sec=0.05)

    group.closed = True
    node.create_subscription(Header, "waiting", lambda _message: None, volatile(1))
    spin(0.5)
    assert not matched
    group.closed = False
    spin(5.0)
    assert matched
