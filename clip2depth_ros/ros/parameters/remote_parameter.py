# SPDX-License-Identifier: Apache-2.0
"""A text parameter of another node, read and set through its services."""

from __future__ import annotations

import time
from typing import Any

from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.callback_groups import ReentrantCallbackGroup

from clip2depth_ros.errors import Clip2DepthError

# An answer that takes longer does not come, seconds: the other node has ended.
ANSWER = 5.0


class RemoteParameter:
    """Coroutines for the callbacks of a node's executor; call :meth:`watch` a few times a second.

    Args:
        node: an rclpy node.
        other: name of the other node, a lifecycle node; resolved as a topic's.
        name: of its parameter.
    """

    def __init__(self, node: Any, other: str, name: str) -> None:
        self.other = node.resolve_topic_name(other)
        self._node = node
        self._name = name
        # An answer may come while a callback of the node waits for it.
        group = ReentrantCallbackGroup()
        self._get, self._set = (
            node.create_client(kind, f"{self.other}/{service}", callback_group=group)
            for kind, service in ((GetParameters, "get_parameters"), (SetParameters, "set_parameters"))
        )
        self._waiting: dict[Any, float] = {}

    @property
    def is_there(self) -> bool:
        """Whether the other node's services are known."""
        return self._get.service_is_ready() and self._set.service_is_ready()

    def instances(self) -> set[bytes]:
        """Who the other node is: it lets one that was started anew be told from the one before."""
        topic = f"{self.other}/transition_event"
        return {bytes(info.endpoint_gid) for info in self._node.get_publishers_info_by_topic(topic)}

    def watch(self) -> None:
        """Give up answers that do not come."""
        for future, since in list(self._waiting.items()):
            if future.done():
                del self._waiting[future]
            elif time.monotonic() - since > ANSWER:
                del self._waiting[future]
                future.set_result(None)

    async def get(self) -> str:
        """Its value. Raises Clip2DepthError when the node does not answer."""
        response = await self._call(self._get, GetParameters.Request(names=[self._name]))
        return response.values[0].string_value if response.values else ""

    async def set(self, text: str) -> None:
        """Set it. Raises Clip2DepthError with the reason when that is refused."""
        value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=text)
        request = SetParameters.Request(parameters=[Parameter(name=self._name, value=value)])
        (result,) = (await self._call(self._set, request)).results
        if not result.successful:
            raise Clip2DepthError(f"{self.other} refuses: {result.reason}")

    async def _call(self, client: Any, request: Any) -> Any:
        if not client.service_is_ready():
            raise Clip2DepthError(f"The depth node {self.other} is not there.")
        future = client.call_async(request)
        self._waiting[future] = time.monotonic()
        response = await future
        if response is None:
            raise Clip2DepthError(f"The depth node {self.other} does not answer.")
        return response
