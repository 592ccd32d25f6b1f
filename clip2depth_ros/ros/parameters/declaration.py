# SPDX-License-Identifier: Apache-2.0
"""Node parameters made from settings classes, whose fields carry all facts (see `clip2depth_ros.settings`).

:class:`ParameterTable` declares the fields on a node and keeps the current settings object;
:func:`yaml_text` and :func:`markdown_text` write ``config/depth.yaml``, ``config/adapt.yaml`` and
``docs/parameters.md``. Nothing here imports rclpy at module level, so that they can be written without ROS::

    python -m clip2depth_ros.ros.parameters --yaml > config/depth.yaml
    python -m clip2depth_ros.ros.parameters --adapt-yaml > config/adapt.yaml
    python -m clip2depth_ros.ros.parameters --markdown > docs/parameters.md
"""

from __future__ import annotations

import dataclasses
import json
import textwrap
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.settings import Parameter, parameters_of, settings_from

Settings = TypeVar("Settings")


class ParameterTable(Generic[Settings]):
    """Declares the parameters of a settings class on a node, and holds the current settings.

    `settings` is replaced as a whole when a parameter changes, never altered in place, so another thread may
    read it at any time. Invalid changes are rejected with the reason.

    Args:
        node: an rclpy node.
        settings_class: a frozen dataclass of :func:`setting` and :func:`group` fields.
        on_change: called with the new settings before they take effect, and the names that are being set, in
            the thread that sets them (usually the executor's); a Clip2DepthError that it raises rejects them.

    Raises Clip2DepthError if a value from the command line, launch file or parameter file is invalid.
    """

    def __init__(
        self,
        node: Any,
        settings_class: type[Settings],
        on_change: Callable[[Settings, set[str]], None] | None = None,
    ) -> None:
        self._settings_class = settings_class
        self._facts = {fact.name: fact for fact in parameters_of(settings_class)}
        self._on_change = on_change
        self._values = {fact.name: _declare(node, fact) for fact in self._facts.values()}
        self.settings: Settings = settings_from(settings_class, self._values)
        node.add_on_set_parameters_callback(self._set)
        if hasattr(node, "add_pre_set_parameters_callback"):  # since Iron
            node.add_pre_set_parameters_callback(self._whole_numbers_to_floats)

    def _set(self, parameters: list[Any]) -> Any:
        from rcl_interfaces.msg import SetParametersResult

        changes = {
            parameter.name: parameter.value for parameter in parameters if parameter.name in self._facts
        }
        if not changes:
            return SetParametersResult(successful=True)
        try:
            settings = settings_from(self._settings_class, {**self._values, **changes})
            if self._on_change is not None:
                self._on_change(settings, set(changes))
        except Clip2DepthError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self._values.update(changes)
        self.settings = settings
        return SetParametersResult(successful=True)

    def _whole_numbers_to_floats(self, parameters: list[Any]) -> list[Any]:
        """`ros2 param set ... points.max_range 10` means 10.0."""
        from rclpy.parameter import Parameter

        return [
            Parameter(parameter.name, Parameter.Type.DOUBLE, float(parameter.value))
            if parameter.type_ == Parameter.Type.INTEGER
            and parameter.name in self._facts
            and self._facts[parameter.name].type is float
            else parameter
            for parameter in parameters
        ]


def _declare(node: Any, fact: Parameter) -> Any:
    """Declare one parameter and return its value, checked.

    It is declared twice: first with dynamic typing, to read the user's value (rclpy itself rejects `10` for a
    float with a message that is hard to understand), then strictly, with the checked value.
    """
    from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

    given = node.declare_parameter(fact.name, fact.default, ParameterDescriptor(dynamic_typing=True)).value
    node.undeclare_parameter(fact.name)
    value = fact.checked(given)
    descriptor = ParameterDescriptor(description=fact.description, read_only=fact.read_only)
    if fact.choices:
        descriptor.additional_constraints = "One of: " + ", ".join(fact.choices)
    if fact.minimum is not None and fact.maximum is not None:
        if fact.type is int:
            descriptor.integer_range = [
                IntegerRange(from_value=int(fact.minimum), to_value=int(fact.maximum))
            ]
        else:
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=fact.minimum, to_value=fact.maximum)
            ]
    node.declare_parameter(fact.name, value, descriptor, ignore_override=True)
    return value


def yaml_text(settings_class: type, heading: str) -> str:
    """A ROS parameter file with every parameter at its default, commented."""
    lines = [f"# {line}".rstrip() for line in heading.splitlines()] + ["/**:", "  ros__parameters:"]
    _yaml_group(settings_class, 4, lines)
    return "\n".join(lines) + "\n"


def _yaml_group(settings_class: type, indent: int, lines: list[str]) -> None:
    pad = " " * indent
    facts = {fact.name: fact for fact in parameters_of(settings_class)}
    for field in dataclasses.fields(settings_class):
        if "group" not in field.metadata and field.name not in facts:  # internal
            continue
        if not lines[-1].endswith(":"):
            lines.append("")
        if "group" in field.metadata:
            lines.append(f"{pad}{field.name}:")
            _yaml_group(field.metadata["group"], indent + 2, lines)
            continue
        fact = facts[field.name]
        notes = [fact.unit, fact.range_text().replace("`", ""), "restart to change" if fact.read_only else ""]
        comment = (
            f"{fact.description} ({'; '.join(note for note in notes if note)})"
            if any(notes)
            else fact.description
        )
        lines += [f"{pad}# {line}" for line in textwrap.wrap(comment, 110 - indent)]
        lines.append(f"{pad}{field.name}: {json.dumps(fact.default)}")


def markdown_text(settings_class: type) -> str:
    """A table of every parameter for the documentation."""
    rows = ["| parameter | default | range | changes | meaning |", "|---|---|---|---|---|"]
    for fact in parameters_of(settings_class):
        unit = f" {fact.unit}" if fact.unit else ""
        changes = "at start" if fact.read_only else "any time"
        rows.append(
            f"| `{fact.name}` | `{json.dumps(fact.default)}`{unit} | {fact.range_text()} | {changes} | "
            f"{fact.description} |"
        )
    return "\n".join(rows) + "\n"


def depth_yaml() -> str:
    """The text of config/depth.yaml."""
    from clip2depth_ros.ros.parameters.depth_settings import DepthSettings

    return yaml_text(
        DepthSettings,
        "Every parameter of depth_node at its default.\n"
        "Written by `python -m clip2depth_ros.ros.parameters --yaml`: change the settings class, not this "
        "file.\nCopy it and keep the lines that you change: ros2 launch clip2depth_ros depth.launch.py "
        "params_file:=mine.yaml",
    )


def adapt_yaml() -> str:
    """The text of config/adapt.yaml."""
    from clip2depth_ros.ros.parameters.adapt_settings import AdaptSettings

    return yaml_text(
        AdaptSettings,
        "Every parameter of adapt_node at its default.\n"
        "Written by `python -m clip2depth_ros.ros.parameters --adapt-yaml`: change the settings class, not "
        "this file.\nPut the lines of `adapt` that you change into the file that depth_node is launched "
        "with: adapt_node reads\nit too, because the camera and the robot are the same.",
    )


def parameters_markdown() -> str:
    """The text of docs/parameters.md."""
    from clip2depth_ros.ros.parameters.adapt_settings import AdaptSettings
    from clip2depth_ros.ros.parameters.depth_settings import CameraSettings, DepthSettings

    return (
        "# Parameters\n\n"
        "Written by `python -m clip2depth_ros.ros.parameters --markdown` from "
        "`clip2depth_ros/settings/` and `clip2depth_ros/ros/parameters/`.\n\n"
        f"## depth_node\n\n{markdown_text(DepthSettings)}\n"
        f"## camera_node\n\n{markdown_text(CameraSettings)}\n## adapt_node\n\n{markdown_text(AdaptSettings)}"
    )
