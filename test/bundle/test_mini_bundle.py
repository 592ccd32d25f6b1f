# SPDX-License-Identifier: Apache-2.0
"""The bundle that ships: what every user has the minute the package is installed. Needs no PyTorch."""

import numpy as np
import pytest

from clip2depth_ros.bundle.library import open_bundle
from clip2depth_ros.engines import open_engine
from clip2depth_ros.images.frame import Frame
from clip2depth_ros.pipeline import Pipeline


@pytest.fixture(scope="module")
def mini():
    return open_bundle("mini")


def test_it_is_small_and_says_plainly_what_it_is(mini):
    assert sum(p.stat().st_size for p in mini.path.iterdir()) < 25e6
    words = mini.manifest.trained_on.lower()
    for fact in (
        "a mean of the weights of eleven networks",
        "simulated scenes only",
        "258 real rgb-d frames",
        "before a real camera",
        "distances that are often a fifth wrong",
    ):
        assert fact in words
    assert mini.manifest.licence == "Apache-2.0"
    measured = mini.manifest.errors["unseen simulated rooms"]
    assert measured["views"] >= 200
    assert measured["abs_rel"] <= 0.20 and measured["delta1"] >= 0.70
    assert measured["abs_rel"] < 0.4 * measured["abs_rel_constant"]


def test_it_holds_nothing_but_model_manifest_and_check(mini):
    assert sorted(p.name for p in mini.path.iterdir()) == [
        "check.npz",
        "manifest.json",
        "model.onnx",
        "model_int8.onnx",
    ]


def test_in_8_bits_it_is_nearly_the_same(mini):
    facts = mini.manifest.int8
    assert set(facts.deviation) == {"places", "rooms", "near"} and max(facts.deviation.values()) < 0.02
    assert facts.tolerance <= 0.05
    assert len(mini.int8_model()) < len(mini.model()) / 2.5
    with open_engine(mini, "openvino", precision="int8", threads=1) as engine:
        assert 0.001 < engine.difference <= facts.tolerance


def test_its_model_is_for_tensorrt_8_5_too(mini):
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(mini.model())
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 17)]
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    assert shape == [1, mini.manifest.input_height, mini.manifest.input_width, 3]


def test_its_check_sample_is_a_picture_with_depth(mini):
    image, depth = mini.check()
    assert image.std() > 10
    assert depth.max() / depth.min() > 1.5


@pytest.mark.slow
def test_it_sees_unseen_simulated_rooms(mini):
    """Rooms of seeds that nothing else uses, through the whole pipeline, larger than the network's input."""
    pytest.importorskip("mujoco", reason="rooms need MuJoCo")
    from clip2depth_ros.simulation import sample_views

    errors, constant = [], []
    with open_engine(mini, "openvino", threads=1) as engine:
        pipeline = Pipeline(engine)
        for view in sample_views(5_000_000, 36, 320, 240):
            frame = Frame(image=view.image, stamp=0, frame_id="camera", camera=view.camera)
            depth = pipeline.process(frame).depth
            known = np.isfinite(view.depth) & np.isfinite(depth)
            assert known.mean() > 0.5
            errors.append(np.mean(np.abs(depth[known] / view.depth[known] - 1)))
            constant.append(np.mean(np.abs(2.2 / view.depth[known] - 1)))  # 2.2 m: the rooms' median depth
    assert np.mean(errors) < 0.28  # 36 views scatter about the manifest's figure
    assert np.mean(errors) < 0.6 * np.mean(constant)
