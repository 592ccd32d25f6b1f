# SPDX-License-Identifier: Apache-2.0
"""A lifecycle node that outlives a transition that it cannot make."""

from __future__ import annotations

from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn


class ManagedNode(LifecycleNode):
    """rclpy's lifecycle node; a transition that its state does not have is refused.

    rclpy before Kilted raises where the service change_state asks for one, which ends the process and leaves
    the caller without an answer. nav2's lifecycle manager does ask: when it shuts down what it has reset.
    """

    def _LifecycleNodeMixin__change_state(self, transition_id: int) -> TransitionCallbackReturn:
        before = self._state_machine.current_state
        try:
            return super()._LifecycleNodeMixin__change_state(transition_id)
        except rclpy_implementation.RCLError:
            if self._state_machine.current_state != before:
                raise  # it was begun, and nobody knows how far it came
            self.get_logger().error(f"Transition {transition_id} is refused: the node is {before[1]}")
            return TransitionCallbackReturn.ERROR
