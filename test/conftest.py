# SPDX-License-Identifier: Apache-2.0
"""What all rooms' tests share: real frames, and small exact bundles."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import hypothesis
import numpy as np
import pytest

from clip2depth_ros.bundle import Bundle, Manifest, Quantized
from clip2depth_ros.engines import Engine

# The same examples in every run, and no deadline: a busy machine is no bug.
hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True)
hypothesis.settings.load_profile("repeatable")


ON_A_GRAPH = {"ros", "launch", "demo", "hostile", "test_own_network.py", "system"}
"""What starts ROS processes, or counts those of the whole machine."""


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in the same hook
def pytest_collection_modifyitems(config, items) -> None:
    """Side by side (-n 2 --dist loadgroup) files stay whole, and one process has all ROS graphs."""
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for item in items:
        path = item.path.relative_to(Path(__file__).parent)
        on_a_graph = path.parts[0] in ON_A_GRAPH or item.get_closest_marker("ros")
        item.add_marker(pytest.mark.xdist_group("graph" if on_a_graph else str(path)))


@pytest.fixture(scope="session")
def rgbd() -> Path:
    """Folder of real RGB-D frames; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("CLIP2DEPTH_RGBD", "../shared/rgbd"))
    if not folder.is_dir():
        pytest.skip(f"no real frames at {folder} (set CLIP2DEPTH_RGBD to their folder)")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _fp32_on_every_processor():
    """In this process `auto` computes as exactly on every processor, whatever the bundle holds."""
    from clip2depth_ros.engines import openvino

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openvino, "computes_bf16", lambda: False)
        patch.setattr(openvino, "computes_int8", lambda: False)
        yield


@pytest.fixture(scope="session", autouse=True)
def _own_caches(tmp_path_factory):
    """Tests neither use nor fill the user's cache and bundles."""
    root = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(root / "cache"))
        patch.setenv("XDG_DATA_HOME", str(root / "share"))
        patch.delenv("CLIP2DEPTH_BUNDLE_PATH", raising=False)
        yield


def tiny_manifest(**changes) -> Manifest:
    fields = dict(
        name="tiny",
        backbone="none",
        pretrained="none",
        input_height=48,
        input_width=64,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        canonical_focal_px=None,
        depth_min=0.05,
        depth_max=100.0,
        trained_on="nothing: an exact formula for tests",
        licence="Apache-2.0",
    )
    return Manifest(**(fields | changes))


def tiny_model(manifest: Manifest, depth: np.ndarray | None = None, *, convolution: bool = False) -> bytes:
    """An ONNX network whose answer is known.

    Inverse depth = 0.1 + mean(R, G, B) / 255, 1/metres; or, given `depth` (H, W), that depth for every image.
    convolution: the mean is one, which engines compute in half precision when asked to.
    """
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    height, width = manifest.input_height, manifest.input_width
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, [1, height, width, 3])
    output = helper.make_tensor_value_info("depth", TensorProto.FLOAT, [1, height, width])
    weight = np.float32(1 / 255 if depth is None else 0)
    offset = np.float32(0.1) if depth is None else (1 / np.asarray(depth, np.float32))[None]
    mean = [helper.make_node("ReduceMean", ["colour"], ["grey"], axes=[3], keepdims=0)]
    if convolution:
        mean = [
            helper.make_node("Transpose", ["colour"], ["planes"], perm=[0, 3, 1, 2]),
            helper.make_node("Conv", ["planes", "thirds"], ["plane"], name="mean/Conv"),
            helper.make_node("Squeeze", ["plane", "one"], ["grey"]),
        ]
    nodes = [
        helper.make_node("Cast", ["image"], ["colour"], to=TensorProto.FLOAT),
        *mean,
        helper.make_node("Mul", ["grey", "weight"], ["scaled"]),
        helper.make_node("Add", ["scaled", "offset"], ["inverse"]),
        helper.make_node("Reciprocal", ["inverse"], ["depth"]),
    ]
    constants = [
        numpy_helper.from_array(np.asarray(weight), "weight"),
        numpy_helper.from_array(offset, "offset"),
    ]
    if convolution:
        constants.append(numpy_helper.from_array(np.full((1, 3, 1, 1), 1 / 3, np.float32), "thirds"))
        constants.append(numpy_helper.from_array(np.array([1]), "one"))
    graph = helper.make_graph(nodes, "tiny", [image], [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def tiny_int8_model(manifest: Manifest, factor: float = 1.0) -> bytes:
    """tiny_model with its convolution in 8 bits, which changes its answer by less than rounding does.

    factor: on the weights; 1.1 is a network that was quantized badly.
    """
    onnx = pytest.importorskip("onnx")
    from onnx import helper, numpy_helper

    model = onnx.load_from_string(tiny_model(manifest, convolution=True))
    graph = model.graph
    conv = next(node for node in graph.node if node.op_type == "Conv")
    kept = [tensor for tensor in graph.initializer if tensor.name != "thirds"]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    for name, value in (
        ("one level", np.float32(1)),
        ("no offset", np.uint8(0)),
        ("thirds/int8", np.full((1, 3, 1, 1), 127, np.int8)),
        ("thirds/level", np.float32(factor / 3 / 127)),
        ("thirds/offset", np.int8(0)),
    ):
        graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    place = list(graph.node).index(conv)
    for number, (op_type, inputs, output) in enumerate(
        (
            ("QuantizeLinear", ["planes", "one level", "no offset"], "planes/uint8"),
            ("DequantizeLinear", ["planes/uint8", "one level", "no offset"], "planes/float"),
            ("DequantizeLinear", ["thirds/int8", "thirds/level", "thirds/offset"], "thirds"),
        )
    ):
        graph.node.insert(place + number, helper.make_node(op_type, inputs, [output]))
    conv.input[0] = "planes/float"
    onnx.checker.check_model(model)
    return model.SerializeToString()


def tiny_answer(image: np.ndarray) -> np.ndarray:
    """What tiny_model answers to a (H, W, 3) uint8 image: (H, W) float32, metres."""
    return (1 / (0.1 + image.astype(np.float32).mean(axis=2) / 255)).astype(np.float32)


class ExactEngine(Engine):
    """Answers with a given depth, or with tiny_answer, without any network."""

    name, device, precision = "exact", "test", "fp32"

    def __init__(self, manifest: Manifest, depth: np.ndarray | None = None) -> None:
        self.manifest = manifest
        self.depth = depth
        self.image: np.ndarray | None = None

    def infer(self, image: np.ndarray) -> np.ndarray:
        self.image = image.copy()
        return tiny_answer(image) if self.depth is None else self.depth

    def close(self) -> None:
        pass


@pytest.fixture(scope="session")
def exact_engine():
    """Function that makes an engine with a known answer: exact_engine(depth=None, **manifest fields)."""

    def make(depth: np.ndarray | None = None, **changes) -> ExactEngine:
        if depth is not None:
            depth = np.asarray(depth, np.float32)
            changes = {"input_height": depth.shape[0], "input_width": depth.shape[1]} | changes
        return ExactEngine(tiny_manifest(**changes), depth)

    return make


@pytest.fixture(scope="session")
def make_manifest():
    """Function that makes a valid manifest with some fields changed."""
    return tiny_manifest


@pytest.fixture(scope="session")
def tiny_depth():
    """Function that says what the tiny network answers to an image."""
    return tiny_answer


@pytest.fixture(scope="session")
def make_bundle(tmp_path_factory):
    """Function that writes a tiny bundle: make_bundle(depth=None, convolution=False, int8=None, **manifest
    fields) -> Bundle. int8: the factor of tiny_int8_model; None: no int8 model."""

    def make(
        depth: np.ndarray | None = None, *, convolution: bool = False, int8: float | None = None, **changes
    ) -> Bundle:
        quantized = None
        if int8 is not None:
            changes["int8"] = Quantized(tolerance=0.02, deviation={"noise": 0.001})
            convolution, quantized = True, tiny_int8_model(tiny_manifest(**changes), int8)
        if depth is not None:
            changes = {"input_height": depth.shape[0], "input_width": depth.shape[1]} | changes
        manifest = tiny_manifest(**changes)
        size = (manifest.input_height, manifest.input_width)
        image = np.random.default_rng(7).integers(0, 256, (*size, 3), np.uint8)
        expected = tiny_answer(image) if depth is None else np.asarray(depth, np.float32)
        model = tiny_model(manifest, depth, convolution=convolution)
        folder = tmp_path_factory.mktemp("bundles") / manifest.name
        return Bundle.write(folder, model, manifest, image, expected, int8_model=quantized)

    return make


@pytest.fixture(scope="session")
def tiny_bundle(make_bundle) -> Bundle:
    """A bundle that computes depth from brightness, at once and exactly; no canonical focal length."""
    return make_bundle()


@pytest.fixture
def write_checkpoint():
    """Function (folder, notes=None) -> Path: an untrained network on `mini` for images of 96x64 pixels, its
    CLIP beside it. Skips where PyTorch is missing."""
    torch = pytest.importorskip("torch", reason="a checkpoint needs PyTorch")
    from clip2depth_ros.network import Clip2Depth, create_clip, find_backbone, save_checkpoint
    from clip2depth_ros.network.checkpoint import write_tensors

    def write(folder: Path, notes: dict | None = None) -> Path:
        torch.manual_seed(0)
        backbone = find_backbone("mini")
        clip = create_clip(backbone)
        write_tensors(folder / "clip.safetensors", clip.state_dict(), {})
        network = Clip2Depth(clip, backbone, size=(64, 96), canonical_focal_px=100.0)
        path = folder / "checkpoint.safetensors"
        save_checkpoint(path, network, clip_weights="clip.safetensors", notes=notes)
        return path

    return write


def load_fake_tensorrt():
    """The stand-in's file as a module; test folders are no packages."""
    name = "clip2depth_fake_tensorrt"
    if name not in sys.modules:
        path = Path(__file__).parent / "engines" / "fake_tensorrt.py"
        spec = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture
def fake_tensorrt(monkeypatch, tmp_path):
    """Function that installs a stand-in for TensorRT and a GPU: fake_tensorrt(version="10.3.0", fault="",
    library="tensorrt").

    Returns the stand-in module, which records its `calls`; the engines' cache is the test's own.
    """
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def install(version: str = "10.3.0", fault: str = "", library: str = "tensorrt"):
        module = load_fake_tensorrt()

        def set_module(name, value):
            monkeypatch.setitem(sys.modules, name, value)

        return module.install(set_module, monkeypatch.setattr, version, fault, library)

    return install


@pytest.fixture
def no_gpu(monkeypatch):
    """Neither TensorRT nor a CUDA device, whatever the machine has."""
    from clip2depth_ros.engines import probe

    monkeypatch.setattr(probe, "gpu_facts", lambda index=0: "the test has none")
    monkeypatch.setitem(sys.modules, "tensorrt", None)
