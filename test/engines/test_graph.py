# SPDX-License-Identifier: Apache-2.0
"""The graph that GPU engines are built from: the same depth, in operators and types that they take."""

import numpy as np
import pytest

from clip2depth_ros.engines.base import EngineUnavailable
from clip2depth_ros.engines.graph import constants, element_types, plain_graph, without_slices
from clip2depth_ros.engines.half_precision import NO_KERNEL, half_graph, single_precision_nodes
from clip2depth_ros.system.offline import openvino_core

onnx = pytest.importorskip("onnx", reason="the graph is read with onnx")

BUNDLES = ["convolved_bundle", "mini", pytest.param("vit_bundle", marks=pytest.mark.torch)]


@pytest.fixture(params=BUNDLES)
def bundle(request):
    return request.getfixturevalue(request.param)


def depth_of(graph, image: np.ndarray) -> np.ndarray:
    """What OpenVINO computes of it in single precision."""

    core = openvino_core()
    model = core.read_model(graph.SerializeToString())
    return np.array(core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(image[None])[0])[0]


def difference(depth, expected) -> float:
    return float(np.percentile(np.abs(depth - expected) / expected, 99))


@pytest.mark.parametrize("layer_normalization", [True, False])
def test_the_plain_graph_computes_the_same(bundle, layer_normalization):
    image, expected = bundle.check()
    graph = plain_graph(bundle.model(), layer_normalization=layer_normalization)
    onnx.checker.check_model(graph)
    assert difference(depth_of(graph, image), expected) < 2e-5


def test_only_a_cast_touches_the_bytes_of_the_image(bundle):
    graph = plain_graph(bundle.model())
    users = [node.op_type for node in graph.graph.node if "image" in node.input]
    assert users == ["Cast"]


def test_what_depends_on_constants_alone_is_computed_ahead(bundle):
    graph = plain_graph(bundle.model())
    known = constants(graph)
    assert not [node.name for node in graph.graph.node if all(name in known for name in node.input)]
    assert {"Constant", "Shape", "Identity"}.isdisjoint(node.op_type for node in graph.graph.node)


@pytest.mark.parametrize("table", ["8.5", "8.6"])
def test_the_old_parsers_have_its_operators(bundle, stand_in, table):
    """The newer ones are asked themselves: test_compiler.py."""
    graph = plain_graph(bundle.model(), layer_normalization=table != "8.5")
    assert stand_in.unsupported(graph, table) == []


def test_layer_normalization_is_spelled_out_for_a_reason(vit_bundle, stand_in):
    exported = onnx.load_from_string(vit_bundle.model())
    assert any("LayerNormalization" in reason for reason in stand_in.unsupported(exported, "8.5"))


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_the_half_graph_is_well_typed_and_keeps_its_ends(bundle, precision):
    graph = half_graph(plain_graph(bundle.model()), precision)
    # onnx knows no convolution in bf16 before operator set 22; TensorRT's parser does
    onnx.checker.check_model(graph, full_check=precision == "fp16")
    types = element_types(graph)
    half = {"fp16": onnx.TensorProto.FLOAT16, "bf16": onnx.TensorProto.BFLOAT16}[precision]
    assert types["image"] == onnx.TensorProto.UINT8
    assert types["depth"] == onnx.TensorProto.FLOAT
    for node in graph.graph.node:
        if node.op_type in {"Conv", "ConvTranspose", "MatMul", "Gemm"} - NO_KERNEL[precision]:
            assert {types[name] for name in (*node.input, *node.output)} == {half}, node.name
        if node.op_type in {"LayerNormalization", "Exp", "ReduceMean"} | NO_KERNEL[precision]:
            assert {types[name] for name in (*node.input, *node.output)} == {onnx.TensorProto.FLOAT}, (
                node.name
            )


@pytest.mark.torch
def test_half_precision_is_near_and_really_half(bundle):
    """PyTorch on the CPU computes each operator in the type that the graph gives it."""
    torch = pytest.importorskip("torch", reason="half precision on a CPU is PyTorch's")
    from onnx2torch import convert

    image, expected = bundle.check()
    with torch.inference_mode():
        module = convert(half_graph(without_slices(plain_graph(bundle.model())), "fp16")).eval()
        depth = module(torch.from_numpy(image)[None])[0].numpy()
    assert 1e-5 < difference(depth, expected) < 2e-3


def test_bf16_constants_are_rounded_to_the_nearest(mini):
    plain = plain_graph(mini.model())
    written = {tensor.name: tensor for tensor in half_graph(plain, "bf16").graph.initializer}
    compared = 0
    for name, exact in constants(plain).items():
        if (tensor := written.get(f"{name}/half")) is not None:
            bits = np.frombuffer(tensor.raw_data, "<u2").astype(np.uint32) << 16
            rounded = bits.view(np.float32).reshape(tensor.dims)
            np.testing.assert_allclose(rounded, exact, rtol=2**-8)
            compared += 1
    assert compared > 30


def test_the_same_nodes_stay_in_single_precision_by_flag(vit_bundle):
    graph = plain_graph(vit_bundle.model(), layer_normalization=False)
    names = single_precision_nodes(graph)
    types = {node.name: node.op_type for node in graph.graph.node}
    assert names <= set(types)
    assert {"ReduceMean", "Sqrt", "Exp"} <= {types[name] for name in names}
    assert not {"Conv", "MatMul", "Gemm", "ConvTranspose"} & {types[name] for name in names}


def test_a_weight_beyond_fp16_is_refused(convolved_bundle):
    model = onnx.load_from_string(convolved_bundle.model())
    for tensor in model.graph.initializer:
        if tensor.name == "thirds":
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.full((1, 3, 1, 1), 1e5, np.float32), "thirds"))
    graph = plain_graph(model.SerializeToString())
    with pytest.raises(EngineUnavailable, match=r"the constant thirds of model\.onnx is beyond fp16's range"):
        half_graph(graph, "fp16")
    half_graph(graph, "bf16")


@pytest.mark.parametrize(
    ("starts", "ends", "axes", "steps"),
    [
        ([1], [4], [1], [1]),
        ([0, -3], [2, 2**31], [0, 2], [1, 2]),
        ([1, 0], [-1, 4], None, None),
        ([-1], [-(2**31)], [-1], [-2]),
    ],
)
def test_indices_take_what_slices_take(starts, ends, axes, steps):
    from onnx import TensorProto, helper
    from onnx.reference import ReferenceEvaluator

    given = [np.array(values) for values in (starts, ends, axes, steps) if values is not None]
    names = ["starts", "ends", "axes", "steps"][: len(given)]
    nodes = [
        helper.make_node("Slice", ["image", *names], ["part"], name="Slice"),
        helper.make_node("Neg", ["part"], ["depth"], name="Neg"),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [3, 5, 6])
    depth = helper.make_empty_tensor_value_info("depth")
    values = [onnx.numpy_helper.from_array(value, name) for name, value in zip(names, given, strict=True)]
    graph = helper.make_graph(nodes, "slices", [image], [depth], values)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    taken = without_slices(model)
    assert "Slice" not in {node.op_type for node in taken.graph.node}
    array = np.random.default_rng(0).normal(size=(3, 5, 6)).astype(np.float32)
    expected, actual = (ReferenceEvaluator(m).run(None, {"image": array})[0] for m in (model, taken))
    np.testing.assert_array_equal(actual, expected)


def test_what_is_no_model_is_refused():
    with pytest.raises(EngineUnavailable, match=r"model\.onnx cannot be read"):
        plain_graph(b"no network at all" * 10)
