# SPDX-License-Identifier: Apache-2.0
"""A bundle's ONNX graph as a plain graph: constants are computed, and GPU engines can read every operator.

Needs only the onnx package.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from clip2depth_ros.engines.base import EngineUnavailable, first_line

if TYPE_CHECKING:
    import onnx

# Operators that are not computed ahead: their result changes, or the reference computes it differently.
_NOT_CONSTANT = {
    *("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli"),
    "DequantizeLinear",  # of 8-bit weights: engines need it to compute in 8 bits
}


def plain_graph(model: bytes, *, layer_normalization: bool = True) -> onnx.ModelProto:
    """The graph of a bundle's model.onnx, with the same result from simpler operators.

    - Values that depend only on constants and static shapes are computed here, once.
    - The image is cast to float first: TensorRT accepts uint8 as the network's input, but only a cast may
      read it.
    - Batch normalization becomes a product and a sum; their constants fit in 16 bits, a variance may not.
    - With layer_normalization=False that operator is replaced by simpler ones: TensorRT's parser knows it
      from 8.6 on.

    The exporter put the normalization of the image into the graph, so every engine does it on its device.
    Raises EngineUnavailable when onnx is not installed or cannot read the model.
    """
    try:
        import onnx
    except ImportError as error:
        raise EngineUnavailable(f"needs the onnx package: pip install onnx ({error})") from None
    try:
        graph = onnx.load_from_string(model)
        onnx.checker.check_model(graph)
    except Exception as error:  # protobuf and onnx have no common exception for an invalid file
        raise EngineUnavailable(f"model.onnx cannot be read ({first_line(error)})") from None
    _compute_constants(graph)
    _cast_image_first(graph)
    _replace_operator(graph, "BatchNormalization", _scale_and_shift)
    if not layer_normalization:
        _replace_operator(graph, "LayerNormalization", _normalize_layer)
    return graph


def fold_constants(model: onnx.ModelProto) -> None:
    """Compute, in place, everything that depends only on constants and static shapes. It is repeated until
    nothing changes, because each known size can make others known. An If with a known condition is replaced.
    """
    before = -1
    while len(model.graph.node) != before:
        before = len(model.graph.node)
        _take_branches(model)
        _compute_constants(model)


def _take_branches(model: onnx.ModelProto) -> None:
    """Replace every If whose condition is known by the nodes of its branch."""
    from onnx import helper

    known = constants(model)
    nodes = []
    for node in model.graph.node:
        if node.op_type != "If" or node.input[0] not in known:
            nodes.append(node)
            continue
        branch = attribute(
            node, "then_branch" if bool(known[node.input[0]].ravel()[0]) else "else_branch", None
        )
        model.graph.initializer.extend(branch.initializer)
        nodes.extend(branch.node)
        nodes.extend(
            helper.make_node("Identity", [inner.name], [outer])
            for inner, outer in zip(branch.output, node.output, strict=True)
        )
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _names_within(node: onnx.NodeProto) -> set[str]:
    """Names that the graphs inside a node use, including those defined outside of the node."""
    import onnx

    names = set()
    for entry in node.attribute:
        if entry.type == onnx.AttributeProto.GRAPH:
            for inner in entry.g.node:
                names.update(inner.input, _names_within(inner))
            names.update(value.name for value in entry.g.output)
    return names


def without_slices(graph: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a plain graph with a Gather of constant indices in place of each Slice.

    The slices of onnx2torch read their limits from the device for every frame, and use a kind of indexing
    that PyTorch deprecates.
    """
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(graph)
    shapes = _static_shapes(copy)
    _replace_operator(copy, "Slice", lambda model, node, known: _take(model, node, known, shapes))
    return copy


def constants(graph: onnx.ModelProto) -> dict[str, np.ndarray]:
    """The graph's initializers by name."""
    from onnx import numpy_helper

    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}


def element_types(graph: onnx.ModelProto) -> dict[str, int]:
    """The ONNX element type (onnx.TensorProto.FLOAT, ...) of every tensor of the graph, by name."""
    from onnx import shape_inference

    inferred = shape_inference.infer_shapes(graph, strict_mode=True).graph
    types = {tensor.name: tensor.data_type for tensor in graph.graph.initializer}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        types[value.name] = value.type.tensor_type.elem_type
    return types


def attribute(node: onnx.NodeProto, name: str, default):
    """An attribute's value, or the default."""
    from onnx import helper

    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)


def _compute_constants(model: onnx.ModelProto) -> None:
    from onnx import numpy_helper

    graph = model.graph
    known = constants(model)
    shapes = _static_shapes(model)
    kept = []
    outputs = {value.name for value in graph.output}
    for node in graph.node:
        if node.op_type == "Shape" and node.input[0] in shapes:
            begin, end = attribute(node, "start", 0), attribute(node, "end", None)
            known[node.output[0]] = np.array(shapes[node.input[0]][begin:end], np.int64)
        elif (
            node.op_type not in _NOT_CONSTANT
            and not _names_within(node)
            and all(name in known for name in node.input if name)
            and not outputs.intersection(node.output)
        ):
            known.update(_computed(model, node, known))
        else:
            kept.append(node)
    used = {name for node in kept for name in (*node.input, *_names_within(node))}
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(kept)
    graph.initializer.extend(
        numpy_helper.from_array(np.ascontiguousarray(value) if value.ndim else value, name)
        for name, value in known.items()
        if name in used
    )


def _static_shapes(model: onnx.ModelProto) -> dict[str, list[int]]:
    from onnx import shape_inference

    inferred = shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {}
    for value in (*inferred.input, *inferred.value_info):
        sizes = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(d.HasField("dim_value") for d in sizes):
            shapes[value.name] = [d.dim_value for d in sizes]
    return shapes


def _computed(model: onnx.ModelProto, node: onnx.NodeProto, known: dict) -> dict[str, np.ndarray]:
    """The outputs of one node whose inputs are known, by the reference implementation of onnx."""
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    inputs = {name: known[name] for name in node.input if name}
    values = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in inputs.items()
    ]
    outputs = [helper.make_empty_tensor_value_info(name) for name in node.output if name]
    single = helper.make_model(
        helper.make_graph([node], "constant", values, outputs), opset_imports=model.opset_import
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the reference implementation warns about newer NumPy
        results = ReferenceEvaluator(single).run(None, inputs)
    return {value.name: np.asarray(result) for value, result in zip(outputs, results, strict=True)}


def _cast_image_first(model: onnx.ModelProto) -> None:
    """Cast the image to float before the first operator that the exporter applied to its bytes."""
    from onnx import TensorProto, helper

    graph = model.graph
    image = graph.input[0]
    if image.type.tensor_type.elem_type != TensorProto.UINT8:
        return
    if all(node.op_type == "Cast" for node in graph.node if image.name in node.input):
        return
    cast = helper.make_node(
        "Cast", [image.name], [f"{image.name}/float"], name=f"{image.name}/Cast", to=TensorProto.FLOAT
    )
    for node in graph.node:
        for i, name in enumerate(node.input):
            if name == image.name:
                node.input[i] = cast.output[0]
    graph.node.insert(0, cast)


def _replace_operator(model: onnx.ModelProto, op_type: str, replacement) -> None:
    graph = model.graph
    known = constants(model)
    nodes = []
    for node in graph.node:
        nodes.extend(replacement(model, node, known) if node.op_type == op_type else [node])
    used = {name for node in nodes for name in node.input}
    left = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(left)


def _constant(model: onnx.ModelProto, name: str, value: np.ndarray) -> str:
    from onnx import numpy_helper

    model.graph.initializer.append(numpy_helper.from_array(value, name))
    return name


def _scale_and_shift(model, node, known) -> Iterator[onnx.NodeProto]:
    """BatchNormalization at inference: (x - mean) / sqrt(variance + epsilon) * scale + shift, as a x + b."""
    from onnx import helper

    scale, shift, mean, variance = (known[name].astype(np.float64) for name in node.input[1:5])
    factor = scale / np.sqrt(variance + attribute(node, "epsilon", 1e-5))
    base = node.name or node.output[0]
    shape = (-1, 1, 1)  # channels of an image
    a = _constant(model, f"{base}/factor", factor.astype(np.float32).reshape(shape))
    b = _constant(model, f"{base}/offset", (shift - mean * factor).astype(np.float32).reshape(shape))
    yield helper.make_node("Mul", [node.input[0], a], [f"{base}/scaled"], name=f"{base}/Mul")
    yield helper.make_node("Add", [f"{base}/scaled", b], [node.output[0]], name=f"{base}/Add")


def _take(model, node, known, shapes) -> Iterator[onnx.NodeProto]:
    from onnx import helper

    if node.input[0] not in shapes or not all(name in known for name in node.input[1:] if name):
        raise EngineUnavailable(f"model.onnx contains a slice of variable size, {node.name}")
    values: list[Any] = [known[name].tolist() if name else None for name in node.input[1:]]
    starts, ends, *rest = values
    axes = rest[0] if rest and rest[0] is not None else range(len(starts))
    steps = rest[1] if len(rest) > 1 and rest[1] is not None else [1] * len(starts)
    base = node.name or node.output[0]
    taken = node.input[0]
    for i, (start, end, axis, step) in enumerate(zip(starts, ends, axes, steps, strict=True)):
        size = shapes[node.input[0]][axis]
        if step < 0 and end < -size:  # in ONNX this means down to the first
            end = None
        indices = _constant(model, f"{base}/{i}/indices", np.arange(size)[start:end:step])
        output = node.output[0] if i == len(starts) - 1 else f"{base}/{i}"
        yield helper.make_node("Gather", [taken, indices], [output], name=f"{base}/{i}/Gather", axis=axis)
        taken = output


def _normalize_layer(model, node, known) -> Iterator[onnx.NodeProto]:
    from onnx import helper

    axis = attribute(node, "axis", -1)
    if axis != -1:
        raise EngineUnavailable(f"model.onnx normalizes over axis {axis}, expected the last one")
    base = node.name or node.output[0]
    epsilon = _constant(model, f"{base}/epsilon", np.array(attribute(node, "epsilon", 1e-5), np.float32))
    x, scale, *shift = node.input

    def step(op_type: str, inputs: list[str], output: str, **attributes) -> onnx.NodeProto:
        return helper.make_node(op_type, inputs, [output], name=f"{output}/{op_type}", **attributes)

    yield step("ReduceMean", [x], f"{base}/mean", axes=[-1], keepdims=1)
    yield step("Sub", [x, f"{base}/mean"], f"{base}/centred")
    yield step("Mul", [f"{base}/centred", f"{base}/centred"], f"{base}/square")
    yield step("ReduceMean", [f"{base}/square"], f"{base}/variance", axes=[-1], keepdims=1)
    yield step("Add", [f"{base}/variance", epsilon], f"{base}/positive")
    yield step("Sqrt", [f"{base}/positive"], f"{base}/deviation")
    yield step("Div", [f"{base}/centred", f"{base}/deviation"], f"{base}/normal")
    yield step("Mul", [f"{base}/normal", scale], f"{base}/scaled" if shift else node.output[0])
    if shift:
        yield step("Add", [f"{base}/scaled", shift[0]], node.output[0])
