# SPDX-License-Identifier: Apache-2.0
"""What all rooms' tests share: real frames, and small exact bundles."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import numpy as np
import pytest

from clip2depth_ros.bundle import Bundle, Manifest
from clip2depth_ros.engines import Engine

# The same examples in every run, and no deadline: a busy machine is no bug.
hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True)
hypothesis.settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def rgbd() -> Path:
    """Folder of real RGB-D frames; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("CLIP2DEPTH_RGBD", "../shared/rgbd"))
    if not folder.is_dir():
        pytest.skip(f"no real frames at {folder} (set CLIP2DEPTH_RGBD to their folder)")
    return folder


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


def tiny_model(manifest: Manifest, depth: np.ndarray | None = None) -> bytes:
    """An ONNX network whose answer is known.

    Inverse depth = 0.1 + mean(R, G, B) / 255, 1/metres; or, given `depth` (H, W), that depth for every image.
    """
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    height, width = manifest.input_height, manifest.input_width
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, [1, height, width, 3])
    output = helper.make_tensor_value_info("depth", TensorProto.FLOAT, [1, height, width])
    weight = np.float32(1 / 255 if depth is None else 0)
    offset = np.float32(0.1) if depth is None else (1 / np.asarray(depth, np.float32))[None]
    nodes = [
        helper.make_node("Cast", ["image"], ["colour"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["colour"], ["grey"], axes=[3], keepdims=0),
        helper.make_node("Mul", ["grey", "weight"], ["scaled"]),
        helper.make_node("Add", ["scaled", "offset"], ["inverse"]),
        helper.make_node("Reciprocal", ["inverse"], ["depth"]),
    ]
    constants = [
        numpy_helper.from_array(np.asarray(weight), "weight"),
        numpy_helper.from_array(offset, "offset"),
    ]
    graph = helper.make_graph(nodes, "tiny", [image], [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def tiny_answer(image: np.ndarray) -> np.ndarray:
    """What tiny_model answers to a (H, W, 3) uint8 image: (H, W) float32, metres."""
    return (1 / (0.1 + image.astype(np.float32).mean(axis=2) / 255)).astype(np.float32)


class ExactEngine(Engine):
    """Answers with a given depth, or with tiny_answer, without any network."""

    name, device, precision = "exact", "test", "f32"

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
    """Function that writes a tiny bundle: make_bundle(depth=None, **manifest fields) -> Bundle."""

    def make(depth: np.ndarray | None = None, **changes) -> Bundle:
        if depth is not None:
            changes = {"input_height": depth.shape[0], "input_width": depth.shape[1]} | changes
        manifest = tiny_manifest(**changes)
        size = (manifest.input_height, manifest.input_width)
        image = np.random.default_rng(7).integers(0, 256, (*size, 3), np.uint8)
        expected = tiny_answer(image) if depth is None else np.asarray(depth, np.float32)
        folder = tmp_path_factory.mktemp("bundles") / manifest.name
        return Bundle.write(folder, tiny_model(manifest, depth), manifest, image, expected)

    return make


@pytest.fixture(scope="session")
def tiny_bundle(make_bundle) -> Bundle:
    """A bundle that computes depth from brightness, at once and exactly; no canonical focal length."""
    return make_bundle()
