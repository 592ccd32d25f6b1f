# SPDX-License-Identifier: Apache-2.0
"""A text parameter of another node, read and set through its services."""

from __future__ import annotations

import time
from typing import Any

from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.callback_groups import ReentrantCallbackGroup

from clip2depth_ros.errors import Clip2DepthError

# Timeout of a service call, seconds; after it the other node counts as ended.
ANSWER = 5.0


class RemoteParameter:
    """Coroutines for the callbacks of a node's executor; call :meth:`watch` a few times a second.

    Args:
        node: an rclpy node.
        other: name of the other node, a lifecycle node; resolved like a topic name.
        name: its parameter.
    """

    def __init__(self, node: Any, other: str, name: str) -> None:
        self.other = node.resolve_topic_name(other)
        self._node = node
        self._name = name
        # A response must arrive while a callback of the node waits for it.
        group = ReentrantCallbackGroup()
        self._get, self._set = (
            node.create_client(kind, f"{self.other}/{service}", callback_group=group)
            for kind, service in ((GetParameters, "get_parameters"), (SetParameters, "set_parameters"))
        )
        self._waiting: dict[Any, float] = {}

    @property
    def is_there(self) -> bool:
        """Whether the other node's services are available."""
        return self._get.service_is_ready() and self._set.service_is_ready()

    def instances(self) -> set[bytes]:
        """Identifiers of the other node's process; they change when it is restarted."""
        topic = f"{self.other}/transition_event"
        return {bytes(info.endpoint_gid) for info in self._node.get_publishers_info_by_topic(topic)}

    def watch(self) -> None:
        """End the calls whose timeout has passed."""
        for future, since in list(self._waiting.items()):
            if future.done():
                del self._waiting[future]
            elif time.monotonic() - since > ANSWER:
                del self._waiting[future]
                future.set_result(None)

    async def get(self) -> str:
        """The value. Raises Clip2DepthError when the node does not respond."""
        response = await self._call(self._get, GetParameters.Request(names=[self._name]))
        return response.values[0].string_value if response.values else ""

    async def set(self, text: str) -> None:
        """Set the value. Raises Clip2DepthError with the reason when it is rejected."""
        value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=text)
        request = SetParameters.Request(parameters=[Parameter(name=self._name, value=value)])
        (result,) = (await self._call(self._set, request)).results
        if not result.successful:
            raise Clip2DepthError(f"{self.other} rejects the value: {result.reason}")

    async def _call(self, client: Any, request: Any) -> Any:
        if not client.service_is_ready():
            raise Clip2DepthError(f"The depth node {self.other} is not running.")
        future = client.call_async(request)
        self._waiting[future] = time.monotonic()
        response = await future
        if response is None:
            raise Clip2DepthError(f"The depth node {self.other} does not respond.")
        return response
