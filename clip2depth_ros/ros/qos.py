# SPDX-License-Identifier: Apache-2.0
"""QoS profiles and QoS events, with fallbacks for older ROS 2 distributions."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.duration import Duration
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.qos import (
    QoSDurabilityPolicy,
    QoSHistoryPolicy,
    QoSProfile,
    QoSReliabilityPolicy,
    qos_policy_name_from_kind,
)
from rclpy.subscription import Subscription

try:
    from rclpy.event_handler import (
        PublisherEventCallbacks,
        SubscriptionEventCallbacks,
        UnsupportedEventTypeError,
    )
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks, UnsupportedEventTypeError

# Seconds. Fast DDS asks subscribers every 3 s what they have received.
ARRIVAL_TIMEOUT = 5.0


class EventGroup(ReentrantCallbackGroup):
    """The callback group of publishers' events, which the executor does not wait for while it is `closed`.

    Events are kept meanwhile. A node's publishers have two dozen events, half of all entities that rclpy
    collects before every message.
    """

    def __init__(self) -> None:
        super().__init__()
        self.closed = False

    def can_execute(self, entity: Any) -> bool:
        return not self.closed


def volatile(depth: int, reliability: str = "reliable") -> QoSProfile:
    """Keep last `depth` messages, `reliable` or `best_effort`, volatile durability."""
    return QoSProfile(
        history=QoSHistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=QoSReliabilityPolicy[reliability.upper()],
        durability=QoSDurabilityPolicy.VOLATILE,
    )


def publisher_with_events(
    create: Callable[..., Any],
    on_incompatible: Callable[[str], None],
    on_matched: Callable[[], None] | None = None,
) -> Any:
    """Call `create(event_callbacks=...)`.

    `on_incompatible` gets the name of the incompatible policy. `on_matched` is called when a subscriber
    connects or disconnects, if the middleware reports it (since Jazzy); the caller must not rely on it.
    """
    callbacks: dict[str, Any] = {"incompatible_qos": _with_policy_name(on_incompatible)}
    if on_matched is not None and "matched" in inspect.signature(PublisherEventCallbacks.__init__).parameters:
        callbacks["matched"] = lambda _event: on_matched()
    try:
        return create(event_callbacks=PublisherEventCallbacks(**callbacks))
    except UnsupportedEventTypeError:
        return create(event_callbacks=PublisherEventCallbacks(use_default_callbacks=False))


def subscription_with_events(create: Callable[..., Any], on_incompatible: Callable[[str], None]) -> Any:
    """Call `create(event_callbacks=...)`; `on_incompatible` gets the name of the incompatible policy."""
    try:
        return create(
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=_with_policy_name(on_incompatible))
        )
    except UnsupportedEventTypeError:
        return create(event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False))


def let_arrive(publisher: Any) -> None:
    """Wait until every reliable subscriber has received what was published, at most ARRIVAL_TIMEOUT.

    To be called before a publisher of a last message is destroyed: DDS discards what is still on the way.
    Does nothing where rclpy (Humble) or the middleware cannot wait.
    """
    if hasattr(publisher, "wait_for_all_acked"):
        with contextlib.suppress(rclpy_implementation.RCLError):
            publisher.wait_for_all_acked(Duration(seconds=ARRIVAL_TIMEOUT))


def with_message_info(callback: Callable[[Any, Any], None]) -> Callable[..., None]:
    """Adapts a callback of message and message_info; message_info is None where rclpy has none (Humble)."""
    if hasattr(Subscription, "CallbackType"):
        return callback
    return lambda message: callback(message, None)


def _with_policy_name(on_incompatible: Callable[[str], None]) -> Callable[[Any], None]:
    return lambda event: on_incompatible(qos_policy_name_from_kind(event.last_policy_kind).lower())
