# SPDX-License-Identifier: Apache-2.0
"""The second bundle that ships, for cameras that look at near things. Needs no PyTorch."""

import numpy as np
import pytest

from clip2depth_ros.bundle import bundle_names
from clip2depth_ros.bundle.library import DEFAULT_BUNDLE, open_bundle
from clip2depth_ros.engines import open_engine
from clip2depth_ros.images.frame import Frame
from clip2depth_ros.pipeline import Pipeline


@pytest.fixture(scope="module")
def mini_near():
    return open_bundle("mini_near")


def test_it_ships_beside_the_default_and_states_its_purpose(mini_near):
    assert {"mini", "mini_near"} <= set(bundle_names()) and DEFAULT_BUNDLE == "mini"
    assert mini_near.manifest.name == "mini_near" and mini_near.manifest.licence == "Apache-2.0"
    assert sorted(p.name for p in mini_near.path.iterdir()) == [
        "check.npz",
        "manifest.json",
        "model.onnx",
        "model_int8.onnx",
    ]
    words = mini_near.manifest.trained_on
    for fact in (
        "14,400",
        "3,072",
        "5,820",
        "258 real RGB-D frames",
        "261 real RGB-D frames",
        "In ordinary rooms the bundle mini is better",
    ):
        assert fact in words
    assert set(mini_near.manifest.errors) == {"unseen simulated rooms"}


def test_it_fits_where_mini_fits(mini_near):
    ours, minis = mini_near.manifest, open_bundle("mini").manifest
    assert ours.model_sha256 != minis.model_sha256
    for fact in (
        "backbone",
        "input_height",
        "input_width",
        "mean",
        "std",
        "canonical_focal_px",
        "depth_kind",
    ):
        assert getattr(ours, fact) == getattr(minis, fact)


def test_it_passes_its_self_check(mini_near):
    image, depth = mini_near.check()
    assert image.std() > 10 and depth.max() / depth.min() > 1.5
    with open_engine(mini_near, "openvino", threads=1) as engine:
        assert engine.difference < 0.02
    facts = mini_near.manifest.int8
    assert set(facts.deviation) == {"places", "rooms", "near"} and max(facts.deviation.values()) < 0.02
    with open_engine(mini_near, "openvino", precision="int8", threads=1) as engine:
        assert 0.001 < engine.difference <= facts.tolerance <= 0.05


def test_near_things_have_smaller_errors_than_with_mini(mini_near):
    """Scenes of seeds that nothing else uses, through the whole pipeline."""
    pytest.importorskip("mujoco", reason="simulated scenes need MuJoCo")
    from clip2depth_ros.simulation.shards import views_of_seed

    views = [
        view for seed in range(4_000_000, 4_000_003) for view in views_of_seed("near", seed, 4, 256, 192)
    ]
    assert len(views) >= 8
    errors = {}
    for bundle in (open_bundle("mini"), mini_near):
        with open_engine(bundle, "openvino", threads=1) as engine:
            pipeline = Pipeline(engine)
            each = []
            for view in views:
                pipeline.reset()
                frame = Frame(image=view.image, stamp=0, frame_id="camera", camera=view.camera)
                depth = pipeline.process(frame).depth
                known = np.isfinite(view.depth) & np.isfinite(depth)
                each.append(np.mean(np.abs(depth[known] / view.depth[known] - 1)))
            errors[bundle.manifest.name] = np.mean(each)
    assert errors["mini_near"] < 0.9 * errors["mini"], errors
    # mini came closer after commit 1bf1395, where it had 0.47: mini_near must still be as good as then.
    assert errors["mini_near"] < 0.7 * 0.47, errors
