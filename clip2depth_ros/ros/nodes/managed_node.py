# SPDX-License-Identifier: Apache-2.0
"""A lifecycle node that rejects invalid transitions without ending its process."""

from __future__ import annotations

from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn


class ManagedNode(LifecycleNode):
    """rclpy's lifecycle node; a transition that is invalid in its state is rejected.

    rclpy before Kilted raises when the service change_state requests one, which ends the process and leaves
    the caller without a response. nav2's lifecycle manager makes such requests: it shuts down nodes that it
    has reset.
    """

    def _LifecycleNodeMixin__change_state(self, transition_id: int) -> TransitionCallbackReturn:
        before = self._state_machine.current_state
        try:
            return super()._LifecycleNodeMixin__change_state(transition_id)  # pyright: ignore[reportAttributeAccessIssue]
        except rclpy_implementation.RCLError:
            if self._state_machine.current_state != before:
                raise  # the transition started; how far it came is unknown
            self.get_logger().error(f"Transition {transition_id} is rejected: the node is {before[1]}")
            return TransitionCallbackReturn.ERROR
