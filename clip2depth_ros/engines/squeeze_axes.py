# SPDX-License-Identifier: Apache-2.0
"""Moves the axes of a Squeeze in an ONNX model from an input to an attribute, for OpenCV before 4.7.

It edits the bytes of the file, because the onnx package is missing where only OpenCV is installed.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

# Field numbers of onnx.proto: of a model, a graph, a node, an attribute, a tensor
_GRAPH = 7
_NODE, _INITIALIZER = 1, 5
_INPUT, _OUTPUT, _OPERATOR, _ATTRIBUTE = 1, 2, 4, 5
_ATTRIBUTE_NAME, _TENSOR, _INTEGERS, _TYPE, _IS_INTEGERS = 1, 5, 8, 20, 7
_TENSOR_NAME, _RAW_DATA = 8, 9

_VARINT, _BYTES = 0, 2  # protobuf's types of field; below the length of the types with a fixed length
_FIXED = {1: 8, 5: 4}


def axes_as_attributes(model: bytes) -> bytes:
    """The ONNX model with the axes of every Squeeze as an attribute; all other bytes are unchanged.

    A Squeeze is left unchanged unless its axes are constant raw data and not negative: for negative axes
    OpenCV before 4.7 writes past the end of an array. The result is Squeeze of operator sets below 13,
    whatever set the model declares. Raises ValueError for bytes that are not a protobuf message.
    """
    return b"".join(
        _field(_GRAPH, _graph(value)) if number == _GRAPH else whole
        for number, value, whole in _fields(memoryview(model))
    )


def _graph(graph: memoryview) -> bytes:
    tensors = {}
    for node in _values(graph, _NODE):
        for attribute in _values(node, _ATTRIBUTE) if _values(node, _OPERATOR) == [b"Constant"] else ():
            for tensor in _values(attribute, _TENSOR):
                tensors[bytes(_values(node, _OUTPUT)[0])] = tensor
    for tensor in _values(graph, _INITIALIZER):
        tensors.update((bytes(name), tensor) for name in _values(tensor, _TENSOR_NAME))
    return b"".join(
        _field(_NODE, _node(value, tensors)) if number == _NODE else whole
        for number, value, whole in _fields(graph)
    )


def _node(node: memoryview, tensors: dict[bytes, memoryview]) -> bytes | memoryview:
    inputs = _values(node, _INPUT)
    if _values(node, _OPERATOR) != [b"Squeeze"] or len(inputs) != 2 or bytes(inputs[1]) not in tensors:
        return node
    axes = [
        axis for data in _values(tensors[bytes(inputs[1])], _RAW_DATA) for axis in np.frombuffer(data, "<i8")
    ]
    if not axes or min(axes) < 0:
        return node
    attribute = _field(_ATTRIBUTE_NAME, b"axes")
    attribute += b"".join(_field(_INTEGERS, int(axis)) for axis in axes) + _field(_TYPE, _IS_INTEGERS)
    kept = (whole for number, _, whole in _fields(node) if number != _INPUT)
    return _field(_INPUT, inputs[0]) + b"".join(kept) + _field(_ATTRIBUTE, attribute)


def _values(message: memoryview, wanted: int) -> list[memoryview]:
    return [value for number, value, _ in _fields(message) if number == wanted]


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview, memoryview]]:
    """The number of each field, its value (undefined for an integer), and all of its bytes."""
    at = 0
    while at < len(message):
        start = at
        tag, at = _read_varint(message, at)
        kind = tag & 7
        if kind == _VARINT:
            begin, (_, at) = at, _read_varint(message, at)
        elif kind == _BYTES:
            size, begin = _read_varint(message, at)
            at = begin + size
        elif kind in _FIXED:
            begin, at = at, at + _FIXED[kind]
        else:
            raise ValueError(f"not a protobuf message: type {kind} of a field at byte {start}")
        if at > len(message):
            raise ValueError(f"a protobuf message that is truncated at byte {len(message)}")
        yield tag >> 3, message[begin:at], message[start:at]


def _read_varint(message: memoryview, at: int) -> tuple[int, int]:
    """An integer and the position of its end."""
    value = 0
    for i, byte in enumerate(message[at : at + 10]):
        value |= (byte & 127) << 7 * i
        if byte < 128:
            return value, at + i + 1
    raise ValueError(f"not a protobuf message: no integer at byte {at}")


def _field(number: int, value: int | bytes | memoryview) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3 | _VARINT) + _varint(value)
    return b"".join((_varint(number << 3 | _BYTES), _varint(len(value)), value))


def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 127:
        written.append(value & 127 | 128)
        value >>= 7
    return bytes((*written, value))
