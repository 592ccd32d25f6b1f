# SPDX-License-Identifier: Apache-2.0
"""A bundle's weights come back into a network that can be trained, and compute the same depth."""

import copy

import numpy as np
import pytest

pytest.importorskip("torch", reason="recovery needs PyTorch")
pytest.importorskip("onnx", reason="the graph is read with onnx")

import torch

from clip2depth_ros.bundle import open_bundle
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.export.exporter import export_bundle
from clip2depth_ros.network import create_network
from clip2depth_ros.training.recovery import blend_with_bundle, load_bundle_weights

pytestmark = pytest.mark.torch

SIZE = (64, 96)
OPTIONS = {"size": SIZE, "canonical_focal_px": 100.0}


@pytest.fixture(autouse=True)
def _one_thread_and_one_seed():
    torch.set_num_threads(1)
    torch.manual_seed(3)


def some_images(count, size=SIZE):
    return np.random.default_rng(0).integers(0, 256, (count, *size, 3), dtype=np.uint8)


def depth_of(network, images):
    network.eval()
    with torch.no_grad():
        return network(torch.from_numpy(images)).numpy()


@pytest.fixture
def trained(tmp_path):
    """A network none of whose weights and statistics are initial ones, and its bundle."""
    network = create_network("mini", weights=None, frozen=False, **OPTIONS)
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=3e-3)
    for _ in range(2):
        network.train()
        loss = network(torch.from_numpy(some_images(2))).log().square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    bundle = export_bundle(
        network, tmp_path / "small", name="small", trained_on="noise", check_image=some_images(1)[0]
    )
    return network, bundle


def test_another_network_computes_the_bundle_s_depth_on_images_it_never_saw(trained):
    network, bundle = trained
    torch.manual_seed(9)
    other = create_network("mini", weights=None, frozen=False, **OPTIONS)
    unseen = np.random.default_rng(7).integers(0, 256, (2, *SIZE, 3), dtype=np.uint8)
    expected = depth_of(network, unseen)
    assert np.abs(depth_of(other, unseen) / expected - 1).max() > 0.01
    other.train()
    load_bundle_weights(other, bundle, some_images(4))
    assert other.training
    assert depth_of(other, unseen) == pytest.approx(expected, rel=1e-4)


def test_statistics_are_those_of_the_images_so_that_training_begins_at_the_bundle_s_depth(trained):
    network, bundle = trained
    other = create_network("mini", weights=None, frozen=False, **OPTIONS)
    images = some_images(4)
    load_bundle_weights(other, bundle, images)
    expected = depth_of(network, images)
    other.eval()
    other.image_tower.train()  # batch statistics of these very images, where the folded norms are
    with torch.no_grad():
        assert other(torch.from_numpy(images)).numpy() == pytest.approx(expected, rel=1e-3)


def test_the_bundle_that_ships_comes_back():
    bundle = open_bundle("mini")
    image, expected = bundle.check()
    manifest = bundle.manifest
    network = create_network(
        "mini",
        weights=None,
        canonical_focal_px=manifest.canonical_focal_px,
        depth_range=(manifest.depth_min, manifest.depth_max),
    )
    load_bundle_weights(network, bundle, image[None])
    assert depth_of(network, image[None])[0] == pytest.approx(expected, rel=1e-3)


def test_another_backbone_is_refused(trained):
    network = create_network("MobileCLIP2-S0", weights=None, size=SIZE)
    with pytest.raises(Clip2DepthError, match="backbone 'mini', the network of 'MobileCLIP2-S0'"):
        load_bundle_weights(network, trained[1], some_images(1))


def test_another_architecture_of_the_same_name_is_refused(trained):
    network = create_network("mini", weights=None, skips=False, **OPTIONS)
    with pytest.raises(Clip2DepthError, match="another architecture"):
        load_bundle_weights(network, trained[1], some_images(1))


def test_a_bundle_without_condition_has_no_film_to_take(tmp_path):
    plain = create_network("mini", weights=None, condition="none", **OPTIONS)
    bundle = export_bundle(
        plain, tmp_path / "plain", name="plain", trained_on="noise", check_image=some_images(1)[0]
    )
    with pytest.raises(Clip2DepthError, match="no FiLM constants"):
        load_bundle_weights(create_network("mini", weights=None, **OPTIONS), bundle, some_images(1))


def test_a_blend_is_the_bundle_at_0_and_the_network_at_1_and_between_them_otherwise(trained):
    network, bundle = trained
    images = some_images(3)
    theirs = depth_of(network, images)
    torch.manual_seed(9)
    other = create_network("mini", weights=None, frozen=False, **OPTIONS)
    load_bundle_weights(other, bundle, some_images(4))
    with torch.no_grad():  # trained further, so to speak
        for weights in other.parameters():
            weights.add_(0.02 * weights.abs().mean() * torch.randn_like(weights))
    own = depth_of(other, images)
    blended = {}
    for part in (0.0, 0.5, 1.0):
        network = copy.deepcopy(other)
        blend_with_bundle(network, bundle, part, some_images(1))
        blended[part] = depth_of(network, images)
    assert blended[1.0] == pytest.approx(own, rel=1e-4)
    assert blended[0.0] == pytest.approx(theirs, rel=2e-3)
    apart = [np.abs(np.log(blended[0.5] / depth)).mean() for depth in (own, theirs)]
    assert max(apart) < np.abs(np.log(own / theirs)).mean()


def test_a_blend_does_not_depend_on_the_images(trained):
    bundle = trained[1]
    depths = []
    for images in (some_images(1), 255 - some_images(4) // 2):
        torch.manual_seed(9)
        other = create_network("mini", weights=None, frozen=False, **OPTIONS)
        blend_with_bundle(other, bundle, 0.5, images)
        depths.append(depth_of(other, some_images(2)))
    assert depths[0] == pytest.approx(depths[1], rel=1e-3)


@pytest.mark.parametrize("part", [-0.1, 1.1, float("nan")])
def test_a_blend_refuses_a_part_outside_0_to_1(trained, part):
    network, bundle = trained
    with pytest.raises(Clip2DepthError, match="from 0 to 1, not"):
        blend_with_bundle(network, bundle, part, some_images(1))
