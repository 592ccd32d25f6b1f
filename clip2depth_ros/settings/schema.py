# SPDX-License-Identifier: Apache-2.0
"""Settings as fields of frozen dataclasses: default, unit, range, description, fixed at start or not.

Node parameters, ``config/*.yaml``, ``docs/parameters.md``, launch arguments and command line options are made
from these fields.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, TypeVar

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.settings.reader import read

Settings = TypeVar("Settings")


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One setting. `type` is bool, int, float or str; the range is inclusive, None = no limit.

    read_only: fixed when the node starts. internal: not a node parameter, but checked like one.
    """

    name: str
    type: type
    default: bool | int | float | str
    description: str
    unit: str
    minimum: float | None
    maximum: float | None
    choices: tuple[str, ...]
    read_only: bool
    internal: bool

    def checked(self, value: Any) -> bool | int | float | str:
        """The value in the setting's own type; whole numbers pass for floats. Raises Clip2DepthError.

        Infinity is accepted only where it is the limit itself.
        """
        value = read(self.type, value, f"Parameter '{self.name}'")
        if self.choices and value not in self.choices:
            raise Clip2DepthError(
                f"Parameter '{self.name}' is '{value}', but must be one of: {', '.join(self.choices)}."
            )
        if self.type in (int, float) and not self._in_range(value):
            unit = f" {self.unit}" if self.unit else ""
            degrees = "; multiply degrees by 0.01745" if self.unit == "rad" else ""
            raise Clip2DepthError(
                f"Parameter '{self.name}' is {value}{unit}, but must lie in {self.range_text()}{degrees}."
            )
        return value

    def _in_range(self, value: float) -> bool:
        return (
            (math.isfinite(value) or value in (self.minimum, self.maximum))
            and (self.minimum is None or value >= self.minimum)
            and (self.maximum is None or value <= self.maximum)
        )

    def range_text(self) -> str:
        """The range or the choices for people, '' if any value of the type is accepted."""
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
    internal: bool = False,
) -> Any:
    """A dataclass field that is a setting; its type is the default's. Arguments as in Parameter."""
    metadata = {
        "description": description,
        "unit": unit,
        "minimum": minimum,
        "maximum": maximum,
        "choices": choices,
        "read_only": read_only,
        "internal": internal,
    }
    return dataclasses.field(default=default, metadata=metadata)


def again(settings_class: type, name: str, **changes: Any) -> Any:
    """The field `name` of another settings class, for use in this one. changes: what differs."""
    field = settings_class.__dataclass_fields__[name]
    return setting(**{"default": field.default, **field.metadata, **changes})


def group(settings_class: type) -> Any:
    """A dataclass field that holds further settings, whose names become `field.name`."""
    return dataclasses.field(default_factory=settings_class, metadata={"group": settings_class})


def option(settings_class: type, name: str, note: str = "") -> dict[str, Any]:
    """`type` and `help` of a command line option for a setting; the settings class checks its value.

    note: follows the description's first sentence.
    """
    parameter = _parameter(settings_class.__dataclass_fields__[name], "")
    first = parameter.description.partition(". ")[0].rstrip(".")
    notes = "; ".join(filter(None, (note, parameter.unit, parameter.range_text().replace("`", ""))))
    text = f"{first[0].lower()}{first[1:]} ({notes})"
    return {"type": parameter.type, "help": text.replace("%", "%%")}


def parameters_of(settings_class: type, prefix: str = "") -> Iterator[Parameter]:
    """Every node parameter of a settings class, in the order in which it is written."""
    for field in dataclasses.fields(settings_class):
        if "group" in field.metadata:
            yield from parameters_of(field.metadata["group"], f"{prefix}{field.name}.")
        elif not field.metadata["internal"]:
            yield _parameter(field, prefix)


def settings_from(settings_class: type[Settings], values: Mapping[str, Any], prefix: str = "") -> Settings:
    """A settings object from `{parameter name: value}`; names that are missing keep their default.

    Raises Clip2DepthError on values outside their range and on values that do not go together.
    """
    chosen: dict[str, Any] = {}
    for field in dataclasses.fields(settings_class):
        name = prefix + field.name
        if "group" in field.metadata:
            chosen[field.name] = settings_from(field.metadata["group"], values, f"{name}.")
        elif name in values:
            chosen[field.name] = _parameter(field, prefix).checked(values[name])
    return settings_class(**chosen)


def check(settings: Any, group_name: str, *ordered: tuple[str, str]) -> None:
    """For `__post_init__`: raise Clip2DepthError unless every setting has its type and lies in its range.

    group_name: stands before the names in the message. ordered: pairs of settings, of which the first must
    be less than the second.
    """
    for name, parameter in _checks(type(settings), group_name):
        parameter.checked(getattr(settings, name))
    for low, high in ordered:
        small, large = getattr(settings, low), getattr(settings, high)
        if not small < large:
            unit = settings.__dataclass_fields__[low].metadata["unit"]
            raise Clip2DepthError(
                f"Parameter '{group_name}.{low}' is {small:g} {unit}, but must be less than "
                f"'{group_name}.{high}', {large:g} {unit}; set both at once."
            )


@lru_cache
def _checks(settings_class: type, group_name: str) -> tuple[tuple[str, Parameter], ...]:
    return tuple((f.name, _parameter(f, f"{group_name}.")) for f in dataclasses.fields(settings_class))


def _parameter(field: dataclasses.Field, prefix: str) -> Parameter:
    return Parameter(prefix + field.name, type(field.default), field.default, **field.metadata)
