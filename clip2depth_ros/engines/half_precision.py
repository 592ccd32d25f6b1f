# SPDX-License-Identifier: Apache-2.0
"""A graph in 16 bits: which operators compute in half precision, with casts in the ONNX graph itself.

In a strongly typed TensorRT network, the only kind from version 11 on, the graph sets the type of each
operator. Before that the builder chooses the types, except for the layers that must stay in single precision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from clip2depth_ros.engines.base import EngineUnavailable
from clip2depth_ros.engines.graph import constants, element_types

if TYPE_CHECKING:
    import onnx

# The expensive operators: always in half precision; GPUs sum their products in 32 bits.
_HALF = {"Conv", "ConvTranspose", "MatMul", "Gemm", "Einsum"}
# Sums over many elements, differences of similar numbers, and results beyond fp16's range: always in single
# precision. Exp turns log depth into meters; in 16 bits its result would have steps of 0.1 %.
_SINGLE = {
    "LayerNormalization",
    "InstanceNormalization",
    "ReduceMean",
    "ReduceSum",
    "GlobalAveragePool",
    "Pow",
    "Sqrt",
    "Exp",
    "Log",
    "Reciprocal",
}
# Every other operator computes in the type of its inputs; in single precision if they differ.

# Operators for which NVIDIA's compiler has no kernel in a 16-bit type; they compute in single precision. A
# test compiles every operator of our graphs and compares the result with this table.
NO_KERNEL = {"fp16": frozenset(), "bf16": frozenset({"ConvTranspose"})}

# Operators of which only the first input has the operator's type.
_FIRST_INPUT_ONLY = {
    "Resize",
    "Pad",
    "Gather",
    "Slice",
    "Reshape",
    "Expand",
    "Tile",
    "Split",
    "Squeeze",
    "Unsqueeze",
}


def half_graph(graph: onnx.ModelProto, precision: str) -> onnx.ModelProto:
    """A copy of a plain single precision graph that computes in "fp16" or "bf16"; input and output stay.

    It stays in single precision from the image to the first convolution or product, and where the exporter
    cast to float. Raises EngineUnavailable when a weight is beyond fp16's range.
    """
    import onnx
    from onnx import TensorProto

    half = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}[precision]
    model = onnx.ModelProto()
    model.CopyFrom(graph)
    writer = _Writer(model, half, _SINGLE | NO_KERNEL[precision])
    for node in graph.graph.node:
        writer.add(node)
    writer.finish()
    return model


def single_precision_nodes(graph: onnx.ModelProto) -> set[str]:
    """Names of the plain graph's nodes that half_graph leaves in single precision."""
    from onnx import TensorProto

    converted = half_graph(graph, "fp16")
    types = element_types(converted)
    return {
        node.name
        for node in converted.graph.node
        if node.op_type != "Cast" and types[node.output[0]] == TensorProto.FLOAT
    }


class _Writer:
    """Writes the nodes of a graph again, in order, with the casts between the two precisions."""

    def __init__(self, model: onnx.ModelProto, half: int, only_single: set[str]) -> None:
        from onnx import TensorProto

        self.only_single = only_single
        self.single, self.half = TensorProto.FLOAT, half
        self.graph = model.graph
        self.constants = constants(model)
        self.types = element_types(model)
        self.casts: dict[tuple[str, int], str] = {}
        self.nodes: list[onnx.NodeProto] = []
        self.begun = False

    def add(self, original: onnx.NodeProto) -> None:
        import onnx

        node = onnx.NodeProto()
        node.CopyFrom(original)
        floats = [i for i, name in enumerate(node.input) if name and self._is_float(name)]
        if node.op_type in _FIRST_INPUT_ONLY:
            floats = [i for i in floats if i == 0]
        if node.op_type == "Cast":
            # a cast to float by the exporter asks for single precision from here on
            self.types[node.output[0]] = onnx.helper.get_attribute_value(node.attribute[0])
        elif floats:
            wanted = self._type_of(node, floats)
            for i in floats:
                node.input[i] = self._as(node.input[i], wanted)
            for name, before in [(name, self.types[name]) for name in node.output if name]:
                if before == self.single:
                    self.types[name] = wanted
        self.nodes.append(node)

    def finish(self) -> None:
        from onnx import helper

        for value in self.graph.output:
            if self.types[value.name] == self.half:
                inner = f"{value.name}/half"
                for node in self.nodes:
                    for names in (node.input, node.output):
                        for i, name in enumerate(names):
                            if name == value.name:
                                names[i] = inner
                self.nodes.append(
                    helper.make_node("Cast", [inner], [value.name], name=f"{value.name}/Cast", to=self.single)
                )
        used = {name for node in self.nodes for name in node.input}
        left = [tensor for tensor in self.graph.initializer if tensor.name in used]
        del self.graph.node[:], self.graph.initializer[:], self.graph.value_info[:]
        self.graph.node.extend(self.nodes)
        self.graph.initializer.extend(left)

    def _is_float(self, name: str) -> bool:
        return self.types[name] in (self.single, self.half)

    def _type_of(self, node: onnx.NodeProto, floats: list[int]) -> int:
        if node.op_type in self.only_single:
            return self.single
        if node.op_type in _HALF:
            self.begun = True
            return self.half
        if not self.begun:
            return self.single
        given = {self.types[node.input[i]] for i in floats if node.input[i] not in self.constants}
        return self.half if given == {self.half} else self.single

    def _as(self, name: str, wanted: int) -> str:
        """The tensor in the wanted type: a converted constant, or the output of a cast."""
        from onnx import helper

        if self.types[name] == wanted:
            return name
        if (name, wanted) not in self.casts:
            suffix = "half" if wanted == self.half else "single"
            new = f"{name}/{suffix}"
            if name in self.constants:
                self.graph.initializer.append(_half_constant(new, self.constants[name], self.half))
            else:
                self.nodes.append(helper.make_node("Cast", [name], [new], name=f"{new}/Cast", to=wanted))
            self.types[new] = wanted
            self.casts[name, wanted] = new
        return self.casts[name, wanted]


def _half_constant(name: str, value: np.ndarray, half: int) -> onnx.TensorProto:
    from onnx import TensorProto, numpy_helper

    if half == TensorProto.FLOAT16:
        if np.abs(value).max(initial=0) > np.finfo(np.float16).max:
            raise EngineUnavailable(
                f"the constant {name.removesuffix('/half')} of model.onnx is beyond fp16's range"
            )
        return numpy_helper.from_array(value.astype(np.float16), name)
    # NumPy has no bfloat16. It is the upper half of a float32, rounded to nearest, ties to even.
    bits = np.ascontiguousarray(value, np.float32).view(np.uint32)
    bits = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return TensorProto(name=name, data_type=half, dims=value.shape, raw_data=bits.astype("<u2").tobytes())
