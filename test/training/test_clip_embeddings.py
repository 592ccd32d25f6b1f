# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E402  # nothing of ours is imported where PyTorch is missing
"""A CLIP by itself: embeddings that are those of its training, and `clip2depth evaluate --clip`."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="a CLIP needs PyTorch")

import open_clip

from clip2depth_ros.cli import main
from clip2depth_ros.commands._shared import clip_options
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.network import Clip2Depth, create_clip, find_backbone
from clip2depth_ros.network.checkpoint import write_tensors
from clip2depth_ros.training.loss.objectives import LARGEST_LOGIT_SCALE, ClipWithDepth, caption_loss
from clip2depth_ros.training.validation.clip_embeddings import ClipEmbeddings

pytestmark = pytest.mark.torch
SEED = 5


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("run") / "clip.safetensors"
    write_tensors(path, create_clip(find_backbone("mini")).state_dict(), {})
    return path


def test_embeddings_are_unit_vectors_and_those_that_training_compares(weights):
    embeddings = ClipEmbeddings("mini", weights, "cpu")
    images = np.random.default_rng(0).integers(0, 256, (3, *embeddings.size, 3), np.uint8)
    captions = ["a kitchen with a table", "a chair at 2 metres in an office", "a door"]
    image, text = embeddings.of_images(images), embeddings.of_texts(captions)
    np.testing.assert_allclose([np.linalg.norm(v, axis=1) for v in (image, text)], 1, rtol=1e-5)
    np.testing.assert_allclose(embeddings.of_images(images[1:2]), image[1:2], atol=1e-5)
    clip = create_clip(embeddings.backbone, weights)
    network = Clip2Depth(clip, embeddings.backbone, size=embeddings.size, frozen=False)
    module = ClipWithDepth(clip, network, open_clip.get_tokenizer(embeddings.backbone.clip)).eval()
    with torch.no_grad():
        _, trained = module(torch.from_numpy(images), captions)
        scale = clip.logit_scale.exp().clamp(max=LARGEST_LOGIT_SCALE)
        again = caption_loss(scale * torch.from_numpy(image @ text.T), captions)
    assert again.item() == pytest.approx(trained.item(), rel=1e-4)


def test_many_sentences_are_encoded_like_few(weights):
    embeddings = ClipEmbeddings("mini", weights, "cpu")
    texts = [f"a box {i} metres away" for i in range(70)]
    np.testing.assert_allclose(embeddings.of_texts(texts)[66:], embeddings.of_texts(texts[66:]), atol=1e-5)


def test_other_weights_are_refused_in_a_sentence(tmp_path):
    write_tensors(tmp_path / "other.safetensors", {"a": torch.zeros(2)}, {})
    (tmp_path / "broken.safetensors").write_bytes(b"not at all")
    for name in ("other", "broken"):
        with pytest.raises(Clip2DepthError, match=rf"{name}.safetensors does not contain weights of clip2"):
            ClipEmbeddings("mini", tmp_path / f"{name}.safetensors", "cpu")


def test_a_clip_is_judged_on_rooms(weights, write_rooms, tmp_path, capsys):
    write_rooms(tmp_path, SEED, 6)
    call = ["evaluate", "--clip", str(weights), "--data", "rooms", "--split", "all", "--cache", str(tmp_path)]
    for setting in ("size=[96,128]", "rooms=6", "views_per_room=1", f"seed={SEED}"):
        call += ["--set", setting]
    assert main([*call, "--output", str(tmp_path / "all")]) == 0
    said = capsys.readouterr().out
    assert "6 views, " in said and "Image of a caption: recall " in said
    found = json.loads((tmp_path / "all/retrieval.json").read_text())
    assert found["retrieval"]["views"] == 6 and found["classification"] is None
    assert found["clip"]["backbone"] == "mini" and (tmp_path / "all/retrieval.html").is_file()
    assert main([*call, "--output", str(tmp_path / "some"), "--every", "2", "--limit", "2"]) == 0
    assert json.loads((tmp_path / "some/retrieval.json").read_text())["retrieval"]["views"] == 2
    assert main([*call, "--output", str(tmp_path / "one"), "--limit", "1"]) == 2
    assert "at least two views" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--input", "sim:1"], "give one of --data and --config"),
        ([], "give one of --data and --config"),
        (["--data", "rooms", "--limit", "0"], "must be at least 1"),
        (["--data", "rooms", "--checkpoint", "c"], "remove --checkpoint"),
        (["--data", "rooms", "--flip", "--median-scaling"], "remove --flip, --median-scaling"),
        (["--data", "rooms", "--backbone", "maxi"], "unknown backbone 'maxi'"),
    ],
)
def test_what_does_not_go_with_a_clip_is_said(arguments, complaint, weights, tmp_path, capsys):
    assert main(["evaluate", "--clip", str(weights), "--output", str(tmp_path), *arguments]) == 2
    assert complaint in capsys.readouterr().err


def test_without_pytorch_it_says_what_to_install(weights, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(clip_options, "find_spec", lambda name: None)
    assert main(["evaluate", "--clip", str(weights), "--data", "rooms", "--output", str(tmp_path)]) == 2
    assert "pip install 'clip2depth_ros[train]'" in capsys.readouterr().err
