# SPDX-License-Identifier: Apache-2.0
"""Reads another project's ONNX file: with all weights, in float32, with static shapes; or rejects it."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, external_data_helper, helper, numpy_helper, version_converter

from clip2depth_ros.engines.base import first_line
from clip2depth_ros.engines.graph import fold_constants
from clip2depth_ros.errors import Clip2DepthError

OLDEST, NEWEST = 13, 17
"""Operator sets: older files are converted to NEWEST, the newest that TensorRT 8.5 reads."""
LARGEST = 2**31 - 1
"""Largest size of a single ONNX file, bytes: protobuf's limit."""
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16)
_HALVES = (TensorProto.FLOAT16, TensorProto.BFLOAT16)


def read_graph_file(path: Path) -> tuple[onnx.ModelProto, list[str]]:
    """Read the model with all its weights. Returns it and a list of notes: one sentence for each change.

    External weights are included in the model. 16-bit weights are converted to float32, because each engine
    chooses its own precision. Raises Clip2DepthError for a file that is not a complete ONNX model, for
    missing external data, for operators outside the ONNX standard, and for a model of more than 2 GB.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise Clip2DepthError(f"{path} is larger than 2 GB, protobuf's limit for one file.")
        model = onnx.load(str(path), load_external_data=False)
    except OSError as error:
        raise Clip2DepthError(f"{path} cannot be read: {error.strerror or error}.") from None
    except Clip2DepthError:
        raise
    except Exception as error:  # exceptions of protobuf and onnx, which have no common base class
        raise Clip2DepthError(
            f"{path} is not an ONNX model or is incomplete ({first_line(error)}); download or export it "
            "again."
        ) from None
    if not model.graph.node:
        raise Clip2DepthError(f"{path} is not an ONNX model or is incomplete: its graph is empty.")
    notes = []
    _reject_unknown_operators(path, model)
    if _include_external_weights(path, model):
        notes.append("External weights were included in model.onnx.")
    if _convert_to_float32(model):
        notes.append("16-bit weights were converted to float32; each engine chooses its own precision.")
    _reject_large(path, model.ByteSize())
    try:
        onnx.checker.check_model(model)
    except Exception as error:
        raise Clip2DepthError(f"{path} is not a valid ONNX model ({first_line(error)}).") from None
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if opset < OLDEST:
        try:
            model = version_converter.convert_version(model, NEWEST)
        except Exception as error:
            raise Clip2DepthError(
                f"{path} uses ONNX operator set {opset} and cannot be converted to {NEWEST} "
                f"({first_line(error)}); export it again with --opset {NEWEST}."
            ) from None
        notes.append(f"Operator set {opset} was converted to {NEWEST}.")
    elif opset > NEWEST:
        notes.append(
            f"Operator set {opset}: OpenVINO reads it, but TensorRT 8.5 reads none after {NEWEST}; for "
            f"TensorRT 8.5, export the network again with operator set {NEWEST}."
        )
    return model, notes


def fix_shapes(path: Path, model: onnx.ModelProto, shapes: dict[str, list[int]], values: dict) -> None:
    """Set the shapes of the inputs, replace the inputs in `values` by constants, and fold the constants.

    Raises Clip2DepthError if the graph contradicts the shapes.
    """
    graph = model.graph
    kept = []
    for value in graph.input:
        if value.name in values:
            dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
            ranks = [1] * len(value.type.tensor_type.shape.dim)
            graph.initializer.append(
                numpy_helper.from_array(np.full(ranks, values[value.name], dtype), value.name)
            )
            continue
        dims = value.type.tensor_type.shape.dim
        for dim, length in zip(dims, shapes[value.name], strict=True):
            dim.dim_value = length
        kept.append(value)
    del graph.input[:], graph.value_info[:]
    graph.input.extend(kept)
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    try:
        fold_constants(model)
        model.CopyFrom(onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True))
    except Clip2DepthError:
        raise
    except Exception as error:
        raise Clip2DepthError(
            f"{path} does not accept an image of that size ({first_line(error)}); omit --size, or "
            "export the network with the size that you need."
        ) from None


def shape_of(value: onnx.ValueInfoProto) -> list[int | None]:
    """Shape of an input or output, None for a dynamic size."""
    return [
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None
        for dim in value.type.tensor_type.shape.dim
    ]


def described(value: onnx.ValueInfoProto) -> str:
    """Name, type and shape of an input or output, as text."""
    kind = TensorProto.DataType.Name(value.type.tensor_type.elem_type).lower()
    return f"{value.name} {kind} [{', '.join('?' if n is None else str(n) for n in shape_of(value))}]"


def _reject_unknown_operators(path: Path, model: onnx.ModelProto) -> None:
    known = {"", "ai.onnx"}
    local = {(function.domain, function.name) for function in model.functions}
    foreign = Counter(
        f"{node.domain}.{node.op_type}"
        for node in _nodes(model.graph)
        if node.domain not in known and (node.domain, node.op_type) not in local
    )
    if foreign:
        names = ", ".join(sorted(foreign)[:5]) + (", ..." if len(foreign) > 5 else "")
        raise Clip2DepthError(
            f"{path} uses operators outside the ONNX standard ({names}), which no engine supports: it was "
            "quantized or optimized for ONNX Runtime only; use the float32 or float16 file."
        )


def _nodes(graph: onnx.GraphProto):
    for node in graph.node:
        yield node
        for inner in _subgraphs(node):
            yield from _nodes(inner)


def _subgraphs(node: onnx.NodeProto):
    for entry in node.attribute:
        if entry.type == onnx.AttributeProto.GRAPH:
            yield entry.g
        yield from entry.graphs


def _tensors(graph: onnx.GraphProto):
    yield from graph.initializer
    for node in _nodes(graph):
        for entry in node.attribute:
            if entry.type == onnx.AttributeProto.TENSOR:
                yield entry.t
            yield from entry.tensors
        for inner in _subgraphs(node):
            yield from inner.initializer


def _include_external_weights(path: Path, model: onnx.ModelProto) -> bool:
    outside = [tensor for tensor in _tensors(model.graph) if external_data_helper.uses_external_data(tensor)]
    # Check the size before reading, because a robot's memory may be small.
    _reject_large(path, sum(4 * math.prod(tensor.dims) for tensor in outside if tensor.data_type in _FLOATS))
    for tensor in outside:
        place = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
        if not place or Path(place).is_absolute() or ".." in Path(place).parts:
            raise Clip2DepthError(
                f"{path} refers to weights in '{place}', which is not a file in its folder."
            )
        if not (path.parent / place).is_file():
            raise Clip2DepthError(
                f"{path} has its weights in '{place}', which is not in its folder: download that file too."
            )
        try:
            external_data_helper.load_external_data_for_tensor(tensor, str(path.parent))
            count = int(np.prod(tensor.dims, dtype=np.int64))
            width = numpy_helper.to_array(tensor).itemsize
            if len(tensor.raw_data) != count * width:
                raise ValueError("it is too short")
        except Exception as error:
            raise Clip2DepthError(
                f"The weights of {path} in '{place}' cannot be read ({first_line(error)}); download that "
                "file again."
            ) from None
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]
    return bool(outside)


def _convert_to_float32(model: onnx.ModelProto) -> bool:
    """Convert 16-bit floats of the graph to float32. Returns whether there were any."""
    changed = False

    def convert_graph(graph: onnx.GraphProto) -> None:
        nonlocal changed
        for tensor in graph.initializer:
            changed |= _convert_tensor(tensor)
        for value in (*graph.input, *graph.output, *graph.value_info):
            if value.type.tensor_type.elem_type in _HALVES:
                value.type.tensor_type.elem_type = TensorProto.FLOAT
                changed = True
        for node in graph.node:
            for entry in node.attribute:
                if entry.type == onnx.AttributeProto.TENSOR:
                    changed |= _convert_tensor(entry.t)
                elif entry.name in ("to", "dtype") and entry.i in _HALVES:
                    entry.i = TensorProto.FLOAT
                    changed = True
            for inner in _subgraphs(node):
                convert_graph(inner)

    convert_graph(model.graph)
    return changed


def _convert_tensor(tensor: onnx.TensorProto) -> bool:
    if tensor.data_type not in _HALVES:
        return False
    wide = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name)
    tensor.CopyFrom(wide)
    return True


def _reject_large(path: Path, size: int) -> None:
    if size > LARGEST:
        raise Clip2DepthError(
            f"{path} has {size / 1e9:.1f} GB of float32 weights, more than the limit of 2 GB for an ONNX "
            "file; use a smaller variant of the network."
        )
