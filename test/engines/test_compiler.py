# SPDX-License-Identifier: Apache-2.0
"""NVIDIA's own compiler, without a GPU: TensorRT RTX parses and compiles what the TensorRT engines are given.

Every backbone of the registry and the benchmark's peer, random weights, at two sizes and in every precision;
and which operators it has no kernel for. An engine's parsing and typing are those of TensorRT 10 and 11.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from clip2depth_ros.engines import half_precision
from clip2depth_ros.engines.base import FLOATS, EngineUnavailable
from clip2depth_ros.engines.graph import plain_graph
from clip2depth_ros.engines.half_precision import NO_KERNEL
from clip2depth_ros.engines.tensorrt.builder import build, check_targets, import_tensorrt, known_targets

onnx = pytest.importorskip("onnx", reason="the graph is read with onnx")
trt = pytest.importorskip("tensorrt_rtx", reason="NVIDIA's compiler: pip install 'clip2depth_ros[rtx]'")

TARGET = "8.6"
ROOT = Path(__file__).parents[2]
# by name, so that collecting needs no PyTorch; a test holds the list to the registry
BACKBONES = ("ViT-B-16-quickgelu", "MobileCLIP2-S0", "mini")
PEER = "ViT-S/14 + DPT (peer)"
# (height, width): its own, and another one; a vision transformer, which takes long to compile, has one
SIZES = {
    "mini": ((160, 224), (480, 640)),
    "MobileCLIP2-S0": ((192, 256), (96, 128)),
    "ViT-B-16-quickgelu": ((352, 352),),
    PEER: ((518, 518),),
}


def compiled(model: bytes, precision: str, *targets: str) -> bytes:
    return build(trt, model, precision, None, lambda line: None, targets or [TARGET])[0]


@pytest.fixture(scope="session")
def exported():
    """Function that gives model.onnx of a network with random weights, exported once in a session."""
    torch = pytest.importorskip("torch", reason="the exporter needs PyTorch")
    from clip2depth_ros.export.exporter import onnx_model
    from clip2depth_ros.network import create_network

    models: dict = {}

    def network(name: str, size: tuple[int, int], **options):
        torch.manual_seed(0)
        if name == PEER:
            if str(ROOT) not in sys.path:
                sys.path.insert(0, str(ROOT))
            from benchmark.engine_table.peer import Peer

            return Peer(size)
        return create_network(name, weights=None, size=size, **options)

    def export(name: str, size: tuple[int, int], **options) -> bytes:
        key = (name, size, *sorted(options.items()))
        if key not in models:
            models[key] = onnx_model(network(name, size, **options).eval())
        return models[key]

    return export


@pytest.mark.torch
def test_every_backbone_is_here():
    pytest.importorskip("torch")
    from clip2depth_ros.network.backbones import backbones

    assert set(BACKBONES) == set(backbones()), "a backbone was added or taken away: BACKBONES and SIZES"


@pytest.mark.parametrize("precision", FLOATS)
def test_the_bundle_that_ships(mini, precision):
    plan = compiled(mini.model(), precision)
    weights = len(mini.model())
    # 16-bit weights are half as large
    assert (0.4 if precision != "fp32" else 0.9) < len(plan) / weights < (0.9 if precision != "fp32" else 1.5)


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.parametrize(
    ("name", "size"), [(name, size) for name, sizes in SIZES.items() for size in sizes], ids=str
)
def test_every_network_in_every_precision(exported, name, size):
    model = exported(name, size)
    for precision in FLOATS:
        assert len(compiled(model, precision)) > len(model) / 3, precision


@pytest.mark.torch
@pytest.mark.parametrize("options", [{"skips": False}, {"condition": "none"}], ids=str)
def test_decoders_of_other_plans(exported, options):
    """Beside the usual one, whose FiLM is constant."""
    model = exported("mini", (64, 96), **options)
    for precision in FLOATS:
        compiled(model, precision)


@pytest.mark.torch
def test_a_vision_transformer_s_small_copy(vit_bundle):
    for precision in FLOATS:
        compiled(vit_bundle.model(), precision)


@pytest.mark.slow
@pytest.mark.torch
def test_operators_without_a_kernel_are_in_the_table(exported, mini, vit_bundle):
    """Asked of the compiler itself: each kind of operator of our graphs alone, in each 16-bit type."""
    models = [mini.model(), vit_bundle.model(), *(exported(name, sizes[0]) for name, sizes in SIZES.items())]
    examples = {}
    for model in models:
        for key, single in single_operators(plain_graph(model)):
            examples.setdefault(key, single)
    kinds = {op_type for op_type, _ in examples}
    assert {"Conv", "ConvTranspose", "MatMul", "LayerNormalization", "Softmax", "Resize"} <= kinds
    for precision, kind in (("fp16", onnx.TensorProto.FLOAT16), ("bf16", onnx.TensorProto.BFLOAT16)):
        refused = {op_type for (op_type, _), single in examples.items() if not compiles_alone(single, kind)}
        assert refused == NO_KERNEL[precision], precision


def single_operators(graph):
    """(kind, attributes) -> the smallest model with that node alone, of the graph's float operators."""
    from onnx import TensorProto, helper, shape_inference

    inferred = shape_inference.infer_shapes(graph, strict_mode=True).graph
    known = {t.name: t for t in graph.graph.initializer}
    values = {v.name: v for v in (*inferred.input, *inferred.value_info, *inferred.output)}
    for node in graph.graph.node:
        floats = [n for n in node.output if values[n].type.tensor_type.elem_type == TensorProto.FLOAT]
        if not floats or node.op_type == "Cast":
            continue
        shape = [len(values[n].type.tensor_type.shape.dim) for n in node.output]
        weights = [len(known[n].dims) if n in known else -1 for n in node.input]
        key = (node.op_type, json.dumps([shape, weights, [a.name for a in node.attribute]]))
        inputs = [values[n] for n in dict.fromkeys(node.input) if n and n not in known]
        constants = [known[n] for n in dict.fromkeys(node.input) if n in known]
        single = helper.make_graph([node], "single", inputs, [values[n] for n in node.output], constants)
        yield key, helper.make_model(single, opset_imports=graph.opset_import, ir_version=graph.ir_version)


def compiles_alone(single, kind: int) -> bool:
    """Whether the compiler takes the one node in this type, with casts around it."""
    from onnx import TensorProto, helper

    model = onnx.ModelProto()
    model.CopyFrom(single)
    graph = model.graph
    node = graph.node[0]
    node.name = node.name or "node"
    first_only = node.op_type in half_precision._FIRST_INPUT_ONLY
    casts, after = [], []
    for index, name in enumerate(node.input):
        value = next((v for v in graph.input if v.name == name), None)
        constant = next((t for t in graph.initializer if t.name == name), None)
        kinds = {value.type.tensor_type.elem_type if value else constant.data_type} if name else set()
        if TensorProto.FLOAT not in kinds or (first_only and index):
            continue
        casts.append(helper.make_node("Cast", [name], [f"{name}/{index}"], to=kind, name=f"to{index}"))
        node.input[index] = f"{name}/{index}"
    for index, name in enumerate(node.output):
        after.append(
            helper.make_node("Cast", [f"{name}/16"], [name], to=TensorProto.FLOAT, name=f"from{index}")
        )
        node.output[index] = f"{name}/16"
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    del graph.node[:]
    graph.node.extend([*casts, copy, *after])
    logger_ = trt.Logger(trt.Logger.INTERNAL_ERROR)
    builder = trt.Builder(logger_)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger_)
    assert parser.parse(model.SerializeToString()), parser.get_error(0).desc()
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM86, 0)
    return builder.build_serialized_network(network, config) is not None


def test_the_exported_graph_as_it_is_would_not_do(mini):
    """What the plain graph is for; if this fails, it is needed no longer."""
    builder = trt.Builder(trt.Logger(trt.Logger.INTERNAL_ERROR))
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, trt.Logger(trt.Logger.INTERNAL_ERROR))
    parsed = parser.parse(mini.model())
    assert not parsed or builder.build_serialized_network(network, builder.create_builder_config()) is None


def test_what_is_no_network_is_refused_in_a_sentence(mini, monkeypatch):
    from clip2depth_ros.engines.tensorrt import builder

    monkeypatch.setattr(builder, "_onnx", lambda *a, **k: (b"no network", set()))
    with pytest.raises(EngineUnavailable, match=r"TensorRT RTX [\d.]+ cannot read the network \("):
        compiled(mini.model(), "fp32")


def test_targets(mini):
    known = known_targets(trt)
    assert {"7.5", "8.0", "8.6", "8.9", "12.0"} <= set(known)
    check_targets(trt, "fp16", known)
    with pytest.raises(
        EngineUnavailable, match=r"does not compile for compute capability 9\.0; it does for 7\.5"
    ):
        check_targets(trt, "fp16", ["8.6", "9.0"])
    with pytest.raises(EngineUnavailable, match=r"compute capability 7\.5 has no bf16"):
        check_targets(trt, "bf16", ["7.5"])
    assert len(compiled(mini.model(), "fp16", "8.6", "8.9", "12.0")) > 0


def test_a_build_is_cancelled(mini):
    from clip2depth_ros.engines.cache import BuildCancelled

    def cancel(line):
        raise BuildCancelled("No longer wanted.")

    with pytest.raises(BuildCancelled):
        build(trt, mini.model(), "fp16", None, cancel, [TARGET])


def test_every_name_that_the_engine_uses_is_there():
    """What can run on a GPU only: the names, and that the calls take the arguments."""
    assert import_tensorrt("tensorrt_rtx") is trt
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.\d+)?", trt.__version__)
    assert all(hasattr(trt, name) for name in ("uint8", "float32", "Runtime", "ILogger"))
    assert trt.TensorIOMode.INPUT != trt.TensorIOMode.OUTPUT
    engine, context = trt.ICudaEngine, trt.IExecutionContext
    expected = [
        (trt.Runtime.deserialize_cuda_engine, "Buffer"),
        (engine.get_tensor_name, "index: "),
        (engine.get_tensor_mode, "name: str"),
        (engine.get_tensor_dtype, "name: str"),
        (engine.get_tensor_shape, "name: str"),
        (engine.create_runtime_config, "IRuntimeConfig"),
        (engine.create_execution_context, "runtime_config: "),
        (trt.IRuntimeConfig.create_runtime_cache, "IRuntimeCache"),
        (trt.IRuntimeConfig.set_runtime_cache, "cache: "),
        (trt.IRuntimeCache.deserialize, "blob: "),
        (trt.IRuntimeCache.serialize, "IHostMemory"),
        (context.set_tensor_address, "name: str, memory: "),
        (context.execute_async_v3, "stream_handle: "),
    ]
    for function, text in expected:
        assert text in function.__doc__, function
    assert isinstance(engine.num_io_tensors, property)
