# SPDX-License-Identifier: Apache-2.0
import json
import re

import cv2
import numpy as np
import pytest

from clip2depth_ros.bundle import open_bundle
from clip2depth_ros.cli import main
from clip2depth_ros.engines import open_engine
from clip2depth_ros.importing import find_kind, import_model, kind_names

KINDS = kind_names()


def difference(depth: np.ndarray, expected: np.ndarray) -> float:
    """Largest relative difference; the same pixels must be known."""
    assert ((depth > 0) == np.isfinite(expected)).mean() > 0.999  # pixels at the mask's threshold may differ
    both = (depth > 0) & np.isfinite(expected)
    assert both.mean() > 0.05
    return float(np.max(np.abs(depth[both] / expected[both] - 1)))


@pytest.fixture(params=KINDS)
def kind(request) -> str:
    return request.param


def test_every_kind_has_a_stand_in(networks):
    assert sorted(networks.INTERFACES) == KINDS
    assert len(KINDS) >= 6


@pytest.mark.parametrize("engine", ["openvino", "pytorch"])
def test_a_bundle_computes_the_documented_result(imported, networks, kind, engine):
    if engine == "pytorch":
        pytest.importorskip("onnx2torch")
    bundle = imported(kind).bundle
    manifest = bundle.manifest
    size = (manifest.input_height, manifest.input_width)
    image = np.random.default_rng(3).integers(0, 256, (*size, 3), np.uint8)
    with open_engine(bundle, engine, precision="fp32", device="cpu") as opened:
        depth = opened.infer(image)
        assert depth.shape == size
        assert depth.dtype == np.float32
        assert difference(depth, networks.reference(kind, image, size)) < 2e-3
    assert manifest.licence
    assert manifest.canonical_focal_px == networks.INTERFACES[kind].focal


@pytest.mark.parametrize("wrong", ["mean", "channels", "input_scale"])
def test_a_wrong_description_of_the_input_changes_the_depth(networks, kind, wrong, tmp_path):
    """Otherwise the tests above would not detect a wrong description."""
    right = find_kind(kind)
    changes = {
        "mean": {"mean": tuple(v + 0.05 * right.input_scale for v in right.mean)},
        "channels": {"channels": "bgr"},
        "input_scale": {"input_scale": 2 * right.input_scale},
    }[wrong]
    path = networks.build(kind, tmp_path / "theirs.onnx")
    bundle = import_model(
        path, right.with_changes(**changes), tmp_path / "b", size=networks.SIZES.get(kind)
    ).bundle
    image, depth = bundle.check()
    expected = networks.reference(kind, image, depth.shape)
    both = (depth > 0) & np.isfinite(expected)
    assert np.percentile(np.abs(depth[both] / expected[both] - 1), 90) > 0.005


def test_run_gives_the_meters_of_a_plain_reference(rgbd, networks, kind, tmp_path, capsys):
    """Through the command line, on real frames. Networks without meters get their factor at import."""
    path = networks.build(kind, tmp_path / "theirs.onnx")
    arguments = ["import", str(path), "--as", kind, "--output", str(tmp_path / "b")]
    if kind in networks.SIZES:
        height, width = networks.SIZES[kind]
        arguments += ["--size", f"{width}x{height}"]
    depth_kind = find_kind(kind).depth_kind
    factor, shift = {"metric": (1.0, 0.0), "scale_free": (1.7, 0.0), "affine_inverse": (0.3, 0.1)}[depth_kind]
    if depth_kind != "metric":
        arguments += ["--factor", str(factor), "--shift", str(shift)]
    assert main(arguments) == 0
    assert find_kind(kind).licence in capsys.readouterr().out
    manifest = json.loads((tmp_path / "b" / "manifest.json").read_text())
    assert manifest["depth_kind"] == "metric"
    net = (manifest["input_height"], manifest["input_width"])
    camera = json.loads((rgbd / "hall" / "camera.json").read_text())
    scale = min(net[0] / camera["height"], net[1] / camera["width"])
    inner = round(camera["height"] * scale), round(camera["width"] * scale)
    arguments = [
        "run",
        "--input",
        str(rgbd / "hall"),
        "--bundle",
        str(tmp_path / "b"),
        "--engine",
        "openvino",
    ]
    arguments += ["--no-stabilize", "--limit", "2", "--size", f"{inner[1]}x{inner[0]}"]
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 0
    assert find_kind(kind).licence in capsys.readouterr().err
    written = sorted((tmp_path / "out" / "depth").glob("*.png"))
    assert len(written) == 2
    for file in written:
        frame = next((rgbd / "hall" / "rgb").glob(f"{file.stem}.*"))
        image = cv2.cvtColor(cv2.imread(str(frame)), cv2.COLOR_BGR2RGB)
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        fitted = np.empty((*net, 3), np.uint8)
        fitted[:] = 122, 116, 104
        y, x = (net[0] - inner[0]) // 2, (net[1] - inner[1]) // 2
        fitted[y : y + inner[0], x : x + inner[1]] = cv2.resize(image, inner[::-1], interpolation=way)
        expected = networks.reference(kind, fitted, net)[y : y + inner[0], x : x + inner[1]]
        if depth_kind == "scale_free":
            expected = factor * expected
        elif depth_kind == "affine_inverse":
            expected = 1 / (factor * expected + shift)
        if manifest["canonical_focal_px"]:
            expected = expected * camera["fx"] * scale / manifest["canonical_focal_px"]
        depth = cv2.imread(str(file), cv2.IMREAD_UNCHANGED) / 1000
        assert difference(depth, expected) < 5e-3  # a millimeter of rounding at 0.2 m


@pytest.mark.parametrize("kind", ["depth_anything_v2", "unidepth_v2", "moge2"])
def test_sixteen_bit_files_are_converted_to_float32(networks, kind, tmp_path):
    path = networks.build(kind, tmp_path / "theirs.onnx", half=True)
    made = import_model(path, find_kind(kind), tmp_path / "b", size=networks.SIZES.get(kind))
    assert any("converted to float32" in note for note in made.notes)
    image, depth = made.bundle.check()
    assert difference(depth, networks.reference(kind, image, depth.shape)) < 5e-3


def test_external_weights_are_included(networks, tmp_path):
    path = networks.build("dpt", tmp_path / "theirs.onnx", external=True)
    made = import_model(path, find_kind("dpt"), tmp_path / "b")
    assert any("External weights were included" in note for note in made.notes)
    (tmp_path / "theirs.onnx_data").unlink()
    with open_engine(made.bundle, "openvino") as engine:
        assert engine.difference < 0.01


@pytest.mark.parametrize("opset", [9, 11, 13, 17, 20])
def test_operator_sets(networks, opset, tmp_path):
    path = networks.build("midas_v21", tmp_path / "theirs.onnx", opset=opset)
    made = import_model(path, find_kind("midas_v21"), tmp_path / "b")
    image, depth = made.bundle.check()
    assert difference(depth, networks.reference("midas_v21", image, depth.shape)) < 2e-3
    assert any("TensorRT 8.5" in note for note in made.notes) == (opset > 17)


def test_a_network_that_is_not_listed(networks, tmp_path, capsys):
    """Described by options, it is equal to the kind with that description."""
    path = networks.build("depth_anything_v2_metric_outdoor", tmp_path / "theirs.onnx")
    arguments = ["import", str(path), "--output", str(tmp_path / "b")]
    assert main(arguments) == 2
    assert "at least --meaning and --licence" in capsys.readouterr().err
    arguments += ["--meaning", "metres", "--licence", "mine", "--depth-range", "0.1", "80"]
    arguments += ["--mean", "0.485", "0.456", "0.406", "--std", "0.229", "0.224", "0.225"]
    assert main(arguments) == 0
    from clip2depth_ros.bundle import Bundle

    bundle = Bundle(tmp_path / "b")
    image, depth = bundle.check()
    assert (
        difference(depth, networks.reference("depth_anything_v2_metric_outdoor", image, depth.shape)) < 2e-3
    )
    assert bundle.manifest.licence == "mine"


def test_the_shift_of_a_point_map_agrees_with_the_published_code(imported, networks):
    """MoGe-2's own method: least squares over the shift, with the best focal length for each; with SciPy."""
    optimize = pytest.importorskip("scipy.optimize")
    from clip2depth_ros.importing.wrapping import _grid

    height, width = 90, 120
    rng = np.random.default_rng(5)
    z = 2 + cv2.resize(rng.uniform(0, 3, (6, 8)), (width, height), interpolation=cv2.INTER_CUBIC)
    diagonal = np.hypot(width, height)
    u, v = np.meshgrid(
        ((2 * np.arange(width) + 1) / width - 1) * width / diagonal,
        ((2 * np.arange(height) + 1) / height - 1) * height / diagonal,
    )
    points = np.stack([u * z / 0.8, v * z / 0.8, z - 0.6], -1) + 0.02 * rng.standard_normal(
        (height, width, 3)
    )
    few = points[np.ix_(_grid(height), _grid(width))].reshape(-1, 3)
    uv = np.stack([u, v], -1)[np.ix_(_grid(height), _grid(width))].reshape(-1, 2)

    def misses(shift):
        flat = few[:, :2] / (few[:, 2] + shift)[:, None]
        return ((flat * uv).sum() / (flat**2).sum() * flat - uv).ravel()

    expected = optimize.least_squares(misses, x0=0, method="lm").x[0]
    assert points_shift(points) == pytest.approx(expected, abs=1e-3)


def points_shift(points: np.ndarray) -> float:
    """The shift that the nodes add to z, computed by onnx's reference."""
    import onnx
    from onnx import TensorProto, helper
    from onnx.reference import ReferenceEvaluator

    from clip2depth_ros.importing.wrapping import Writer, _depth_of_points

    height, width, _ = points.shape
    graph = onnx.GraphProto(name="points")
    graph.input.append(helper.make_tensor_value_info("points", TensorProto.FLOAT, [1, height, width, 3]))
    writer = Writer(graph)
    depth = _depth_of_points(writer, "points", (height, width), True, None)
    graph.node.extend(writer.nodes)
    graph.output.append(helper.make_tensor_value_info(depth, TensorProto.FLOAT, [1, height, width]))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    result = ReferenceEvaluator(model).run(None, {"points": points[None].astype(np.float32)})[0]
    return float(np.median(result[0] - points[..., 2]))


def test_nvidias_compiler_accepts_every_kind(imported, kind):
    trt = pytest.importorskip("tensorrt_rtx")
    from clip2depth_ros.engines.graph import plain_graph

    graph = plain_graph(imported(kind).bundle.model())
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    assert parser.parse(graph.SerializeToString()), [
        str(parser.get_error(i)) for i in range(parser.num_errors)
    ]
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM86, 0)
    assert builder.build_serialized_network(network, config) is not None


def test_files_without_a_depth_network_are_rejected_in_one_sentence(networks, tmp_path, capsys):
    import onnx
    from onnx import TensorProto, helper

    good = networks.build("dpt", tmp_path / "good.onnx")
    networks.build("dpt", tmp_path / "external.onnx", external=True)
    (tmp_path / "external.onnx_data").unlink()
    (tmp_path / "cut.onnx").write_bytes(good.read_bytes()[:-40])
    (tmp_path / "text.onnx").write_text("<html>404</html>")
    (tmp_path / "empty.onnx").write_bytes(b"")

    def saved(name: str, nodes, inputs, outputs, domain: str = ""):
        imports = [helper.make_opsetid("", 17)] + ([helper.make_opsetid(domain, 1)] if domain else [])
        graph = helper.make_graph(nodes, name, inputs, outputs)
        onnx.save(
            helper.make_model(graph, opset_imports=imports, ir_version=8), str(tmp_path / f"{name}.onnx")
        )

    pixels = helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, [1, 3, 384, 384])
    scores = helper.make_tensor_value_info("predicted_depth", TensorProto.FLOAT, [1, 3])
    mean = helper.make_node("ReduceMean", ["pixel_values"], ["predicted_depth"], axes=[2, 3], keepdims=0)
    saved("classifier", [mean], [pixels], [scores])
    same = helper.make_tensor_value_info("predicted_depth", TensorProto.FLOAT, [1, 3, 384, 384])
    quantized = helper.make_node("QAttention", ["pixel_values"], ["predicted_depth"], domain="com.microsoft")
    saved("int8", [quantized], [pixels], [same], "com.microsoft")
    cases = {
        "classifier.onnx": r"has the shape \[1, 3\], which is not depth",
        "cut.onnx": "not an ONNX model or is incomplete|not a valid ONNX model",
        "text.onnx": "not an ONNX model or is incomplete",
        "empty.onnx": "its graph is empty",
        "missing.onnx": "cannot be read: No such file",
        "external.onnx": "has its weights in 'external.onnx_data', which is not in its folder",
        "int8.onnx": r"operators outside the ONNX standard \(com.microsoft.QAttention\)",
    }

    for file, words in cases.items():
        assert main(["import", str(tmp_path / file), "--as", "dpt", "--output", str(tmp_path / "b")]) == 2
        said = capsys.readouterr().err.strip()
        assert re.search(words, said), said
        assert len(said.splitlines()) == 1, said
        assert not (tmp_path / "b").exists()


def test_networks_beyond_two_gigabytes_are_rejected_before_reading(networks, tmp_path, capsys):
    import onnx
    from onnx import TensorProto

    with open(tmp_path / "whole.onnx", "wb") as file:
        file.truncate(2**31)
    model = onnx.load(str(networks.build("dpt", tmp_path / "dpt.onnx")))
    large = model.graph.initializer.add()
    large.name, large.data_type, large.data_location = "large", TensorProto.FLOAT16, TensorProto.EXTERNAL
    large.dims.extend([600_000, 1000])
    large.external_data.add(key="location", value="weights.bin")
    (tmp_path / "beside.onnx").write_bytes(model.SerializeToString())
    for file, words in (("whole", "larger than 2 GB"), ("beside", "has 2.4 GB of float32 weights")):
        command = ["import", str(tmp_path / f"{file}.onnx"), "--as", "dpt", "--output", str(tmp_path / "b")]
        assert main(command) == 2
        said = capsys.readouterr().err.strip()
        assert words in said and "\n" not in said
        assert not (tmp_path / "b").exists()


def test_branches_that_depend_on_the_size_are_resolved(networks, tmp_path):
    """torch.onnx writes an If if the network queries a tensor's size."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    file = networks.build("dpt", tmp_path / "dpt.onnx")
    plain = import_model(file, find_kind("dpt"), tmp_path / "plain").bundle.check()[1]
    model = onnx.load(str(file))
    graph = model.graph
    (last,) = (node for node in graph.node if "predicted_depth" in node.output)
    last.output[0] = "before"
    branches = {}
    for name, op in (("then_branch", "Identity"), ("else_branch", "Neg")):
        out = helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT, None)
        branches[name] = helper.make_graph(
            [helper.make_node(op, ["before"], [f"{name}_out"])], name, [], [out]
        )
    graph.initializer.extend(
        numpy_helper.from_array(np.array([value], np.int64), name)
        for name, value in (("at", 3), ("limit", 100))
    )
    graph.node.extend(
        [
            helper.make_node("Shape", ["pixel_values"], ["sizes"]),
            helper.make_node("Gather", ["sizes", "at"], ["columns"]),
            helper.make_node("Greater", ["columns", "limit"], ["wide"]),
            helper.make_node("If", ["wide"], ["predicted_depth"], **branches),
        ]
    )
    onnx.save(model, str(tmp_path / "if.onnx"))
    bundle = import_model(tmp_path / "if.onnx", find_kind("dpt"), tmp_path / "if").bundle
    assert "If" not in {node.op_type for node in onnx.load(str(bundle.path / "model.onnx")).graph.node}
    assert np.array_equal(bundle.check()[1], plain, equal_nan=True)


def test_a_failed_self_check_keeps_the_existing_bundle(networks, tmp_path, monkeypatch, capsys):
    from clip2depth_ros.errors import Clip2DepthError
    from clip2depth_ros.importing import importer

    file, out = networks.build("dpt", tmp_path / "dpt.onnx"), tmp_path / "bundles" / "b"
    command = ["import", str(file), "--as", "dpt", "--output", str(out)]
    assert main(command) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def refuse(*_):
        raise Clip2DepthError("the engine computes something else.")

    monkeypatch.setattr(importer, "open_engine", refuse)
    assert main([*command, "--shift", "0.1", "--factor", "2"]) == 2
    assert "computes something else" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert list(out.parent.iterdir()) == [out]


def test_an_int8_graph_of_standard_operators_is_accepted(tmp_path):
    """Quantize and dequantize around a convolution, as quantizers for OpenVINO and TensorRT write them."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def constant(name: str, value) -> onnx.TensorProto:
        return numpy_helper.from_array(np.asarray(value), name)

    weights = np.full((1, 3, 1, 1), 40, np.int8)
    nodes = [
        helper.make_node("QuantizeLinear", ["pixel_values", "step", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "step", "zero"], ["x"]),
        helper.make_node("DequantizeLinear", ["w", "w_step", "w_zero"], ["weights"]),
        helper.make_node("Conv", ["x", "weights"], ["y"]),
        helper.make_node("Add", ["y", "offset"], ["z"]),
        helper.make_node("Squeeze", ["z", "axis"], ["predicted_depth"]),
    ]
    parts = [
        constant("step", np.float32(1 / 127)),
        constant("zero", np.int8(0)),
        constant("w", weights),
        constant("w_step", np.float32(0.01)),
        constant("w_zero", np.int8(0)),
        constant("offset", np.float32(3.0)),
        constant("axis", np.array([1], np.int64)),
    ]
    graph = helper.make_graph(
        nodes,
        "int8",
        [helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, [1, 3, 64, 96])],
        [helper.make_tensor_value_info("predicted_depth", TensorProto.FLOAT, [1, 64, 96])],
        parts,
    )
    file = tmp_path / "int8.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(file))
    assert main(["import", str(file), "--as", "dpt", "--output", str(tmp_path / "b")]) == 0
    bundle = open_bundle(tmp_path / "b")
    image, depth = bundle.check()
    # mean and std of 0.5 bring the image to -1..1, in steps of 1 / 127
    exact = 3.0 + 0.4 * (image.astype(np.float64) / 127.5 - 1).sum(axis=2)
    assert np.abs(depth - exact).max() < 3 * 0.4 * 0.5 / 127 + 1e-4


def test_contradictions_with_the_file_are_reported(networks, tmp_path, capsys):
    dpt = networks.build("dpt", tmp_path / "dpt.onnx")
    moge = networks.build("moge2", tmp_path / "moge.onnx")
    free = networks.build("depth_anything_v2", tmp_path / "free.onnx")
    cases = [
        ([dpt, "--as", "metric3d"], "Unknown kind of network 'metric3d'; known kinds: depth_anything_v2,"),
        (
            [dpt, "--as", "unidepth_v2"],
            "has the inputs pixel_values float .*is image; name it with",
        ),
        ([dpt, "--as", "dpt", "--size", "256x256"], "has a fixed image size of 384x384 pixels, not 256x256"),
        (
            [free, "--as", "depth_anything_v2", "--size", "320x240"],
            "multiples of 14, not 320x240; the nearest is 322x238",
        ),
        ([dpt, "--as", "dpt", "--output-name", "depth"], "has depth in depth; name it with --output-name"),
        (
            [moge, "--as", "depth_anything_v2_metric_indoor", "--output-name", "mask"],
            "another input, num_tokens",
        ),
        ([dpt, "--as", "dpt", "--factor", "2"], "needs --shift beside --factor"),
        ([free, "--as", "depth_anything_v2_metric_indoor", "--factor", "2"], "gives meters"),
        ([free, "--meaning", "metres", "--licence", "x"], "images of any size: choose one with --size"),
    ]

    for arguments, words in cases:
        assert main(["import", *map(str, arguments), "--output", str(tmp_path / "b")]) == 2
        said = capsys.readouterr().err.strip()
        assert re.search(words, said), said
        assert len(said.splitlines()) == 1, said


def test_a_disparity_of_zero_passes_the_self_check(networks, tmp_path):
    """The sky has a disparity of zero, for which a relative error is meaningless."""
    from clip2depth_ros.bundle import Bundle

    path = networks.build("dpt", tmp_path / "dpt.onnx")
    bundle = import_model(path, find_kind("dpt"), tmp_path / "b").bundle
    image, depth = bundle.check()
    depth[: len(depth) // 2] *= 1 + 1e-4  # slightly different from the engine, like fp16
    copy = Bundle.write(tmp_path / "c", bundle.model(), bundle.manifest, image, depth)
    with open_engine(copy, "openvino") as engine:
        assert engine.difference < 0.01
