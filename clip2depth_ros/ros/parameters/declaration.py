# SPDX-License-Identifier: Apache-2.0
"""Node parameters from settings classes: each parameter is written once, as a field of a frozen dataclass.

A field made by :func:`setting` carries default, description, range, choices and whether it may change at run
time. :class:`ParameterTable` declares the fields on a node and keeps the current settings object;
:func:`yaml_text` and :func:`markdown_text` write ``config/depth.yaml``, ``config/adapt.yaml`` and
``docs/parameters.md``. Nothing here imports rclpy at module level, so that they can be written without ROS::

    python -m clip2depth_ros.ros.parameters --yaml > config/depth.yaml
    python -m clip2depth_ros.ros.parameters --adapt-yaml > config/adapt.yaml
    python -m clip2depth_ros.ros.parameters --markdown > docs/parameters.md
"""

from __future__ import annotations

import dataclasses
import json
import math
import textwrap
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from clip2depth_ros.errors import Clip2DepthError

Settings = TypeVar("Settings")


@dataclasses.dataclass(frozen=True)
class ParameterFacts:
    """What is known of one parameter. `type` is bool, int, float or str; the range is inclusive."""

    name: str
    type: type
    default: bool | int | float | str
    description: str
    unit: str
    minimum: float | None
    maximum: float | None
    choices: tuple[str, ...]
    read_only: bool

    def checked(self, value: Any) -> bool | int | float | str:
        """The value in the parameter's own type; whole numbers pass for floats. Raises Clip2DepthError."""
        if self.type is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not self.type:
            raise Clip2DepthError(f"Parameter '{self.name}' is {value!r}, but must be a {self._type_word()}.")
        if self.choices and value not in self.choices:
            raise Clip2DepthError(
                f"Parameter '{self.name}' is '{value}', but must be one of: {', '.join(self.choices)}."
            )
        if self.type in (int, float) and not self._in_range(value):
            raise Clip2DepthError(f"Parameter '{self.name}' is {value}, but must lie in {self.range_text()}.")
        return value

    def _in_range(self, value: float) -> bool:
        return (
            math.isfinite(value)
            and (self.minimum is None or value >= self.minimum)
            and (self.maximum is None or value <= self.maximum)
        )

    def _type_word(self) -> str:
        return {bool: "boolean", int: "whole number", float: "number", str: "text"}[self.type]

    def range_text(self) -> str:
        """The range or the choices for people, '' if anything of the type goes."""
        if self.choices:
            return ", ".join(f"`{choice}`" if choice else "``" for choice in self.choices)
        if self.minimum is None and self.maximum is None:
            return ""
        low = "-inf" if self.minimum is None else f"{self.minimum:g}"
        high = "inf" if self.maximum is None else f"{self.maximum:g}"
        return f"{low} to {high}"


def setting(
    default: bool | int | float | str,
    description: str,
    *,
    unit: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    read_only: bool = False,
) -> Any:
    """A dataclass field that is a node parameter; its type is the default's."""
    metadata = {
        "description": description,
        "unit": unit,
        "minimum": minimum,
        "maximum": maximum,
        "choices": choices,
        "read_only": read_only,
    }
    return dataclasses.field(default=default, metadata=metadata)


def group(settings_class: type) -> Any:
    """A dataclass field that holds further settings, whose names become `field.name`."""
    return dataclasses.field(default_factory=settings_class, metadata={"group": settings_class})


def parameters_of(settings_class: type, prefix: str = "") -> Iterator[ParameterFacts]:
    """Every parameter of a settings class, in the order in which it is written."""
    for field in dataclasses.fields(settings_class):
        if "group" in field.metadata:
            yield from parameters_of(field.metadata["group"], f"{prefix}{field.name}.")
        else:
            yield ParameterFacts(prefix + field.name, type(field.default), field.default, **field.metadata)


def settings_from(settings_class: type[Settings], values: dict[str, Any], prefix: str = "") -> Settings:
    """Build a settings object from `{parameter name: value}`; names that are missing keep their default.

    Raises Clip2DepthError on values outside their range and on values that do not go together.
    """
    chosen: dict[str, Any] = {}
    facts = {fact.name: fact for fact in parameters_of(settings_class, prefix)}
    for field in dataclasses.fields(settings_class):
        name = prefix + field.name
        if "group" in field.metadata:
            chosen[field.name] = settings_from(field.metadata["group"], values, f"{name}.")
        elif name in values:
            chosen[field.name] = facts[name].checked(values[name])
    return settings_class(**chosen)


class ParameterTable(Generic[Settings]):
    """Declares the parameters of a settings class on a node, and holds the current settings.

    `settings` is replaced as a whole when a parameter changes, never altered in place, so another thread may
    read it at any time. Changes that don't fit are refused with the reason.

    Args:
        node: an rclpy node.
        settings_class: a frozen dataclass of :func:`setting` and :func:`group` fields.
        on_change: called with the new settings before they hold, and the names that are being set, on the
            thread that sets them (the executor's, as a rule); a Clip2DepthError that it raises refuses them.

    Raises Clip2DepthError if a value from the command line, launch file or parameter file does not fit.
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


def _declare(node: Any, fact: ParameterFacts) -> Any:
    """Declare one parameter and return its value, checked.

    It is declared twice: first loosely, to read what the user gave (rclpy itself would refuse `10` for a
    float with a message that few understand), then strictly, with the checked value.
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
        "with: adapt_node reads\nit too, for the camera and the robot are the same.",
    )


def parameters_markdown() -> str:
    """The text of docs/parameters.md."""
    from clip2depth_ros.ros.parameters.adapt_settings import AdaptSettings
    from clip2depth_ros.ros.parameters.depth_settings import CameraSettings, DepthSettings

    return (
        "# Parameters\n\n"
        "Written by `python -m clip2depth_ros.ros.parameters --markdown` from "
        "`clip2depth_ros/ros/parameters/depth_settings.py`.\n\n"
        f"## depth_node\n\n{markdown_text(DepthSettings)}\n"
        f"## camera_node\n\n{markdown_text(CameraSettings)}\n## adapt_node\n\n{markdown_text(AdaptSettings)}"
    )
