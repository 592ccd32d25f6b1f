# SPDX-License-Identifier: Apache-2.0
"""Values of dicts and YAML files in the types of annotations.

Whatever does not fit raises a Clip2DepthError with one sentence that names the entry: an unknown or missing
key, a wrong type, a value out of its range.
"""

from __future__ import annotations

import dataclasses
import numbers
import types
import typing
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from clip2depth_ros.errors import Clip2DepthError, printable

NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "text", dict: "a mapping"}


def read(kind: Any, value: Any, where: str) -> Any:
    """`value` as `kind`: bool, int, float, str, dict, Path, tuple[...], Optional or a dataclass of these.

    where: names the value in messages, such as "recipe.yaml: depth: images".
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in arguments:
            return None
        return read(next(a for a in arguments if a is not type(None)), value, where)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise Clip2DepthError(f"{where} must be a list, not {printable(repr(value))}.")
        kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        if len(kinds) != len(value):
            raise Clip2DepthError(f"{where} must have {len(kinds)} entries, not {len(value)}.")
        return tuple(read(k, v, f"{where}[{i}]") for i, (k, v) in enumerate(zip(kinds, value, strict=True)))
    if dataclasses.is_dataclass(kind):
        required = [
            field.name
            for field in dataclasses.fields(kind)
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        ]
        entries = read_entries(value, typing.get_type_hints(kind), required, where)
        try:
            return kind(**entries)  # pyright: ignore[reportCallIssue]
        except Clip2DepthError as error:  # values of the right types that are out of range
            raise Clip2DepthError(f"{where}: {error}") from None
    if kind is Path and isinstance(value, (str, Path)):
        return Path(value).expanduser()
    if kind in (int, float):
        of_kind = isinstance(value, numbers.Integral if kind is int else numbers.Real)
        if of_kind and not isinstance(value, bool):  # bool is Integral
            return kind(value)
    elif isinstance(value, kind):
        return value
    raise Clip2DepthError(f"{where} must be {NAMES.get(kind, 'a path')}, not {printable(repr(value))}.")


def read_entries(
    entries: Any, kinds: Mapping[str, Any], required: Collection[str], where: str
) -> dict[str, Any]:
    """The entries of a mapping, each as the kind that `kinds` gives for its key (see `read`)."""
    if not isinstance(entries, Mapping):
        raise Clip2DepthError(f"{where} must be a mapping, not {printable(repr(entries))}.")
    for key in entries:
        if key not in kinds:
            raise Clip2DepthError(
                f"{where} has no entry '{printable(key)}': known ones are {', '.join(kinds)}."
            )
    for key in required:
        if key not in entries:
            raise Clip2DepthError(f"{where} lacks '{key}'.")
    return {key: read(kinds[key], value, f"{where}: {key}") for key, value in entries.items()}
