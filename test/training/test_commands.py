# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E402  # nothing of ours is imported where PyTorch is missing
"""`clip2depth train` and `clip2depth export` as a person types them."""

import json

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch")

from clip2depth_ros.bundle.library import Bundle, open_bundle
from clip2depth_ros.camera import Camera
from clip2depth_ros.cli import main
from clip2depth_ros.commands import export
from clip2depth_ros.training.validation import unseen_rooms
from clip2depth_ros.training.views.batches import Batch

pytestmark = pytest.mark.torch


@pytest.fixture
def checkpoint(tmp_path, write_checkpoint):
    return write_checkpoint(tmp_path)


@pytest.fixture
def made_up_rooms(monkeypatch):
    """Rooms without a renderer: noise at 2 m, and half of it unknown."""

    def views(count, size, canonical_focal_px, *, first_room=0):
        rng = torch.Generator().manual_seed(first_room)
        image = torch.randint(0, 256, (count, *size, 3), generator=rng, dtype=torch.uint8).numpy()
        depth = torch.full((count, *size), 2.0)
        depth[:, : size[0] // 2] = torch.nan
        return Batch(image, depth.numpy(), [""] * count)

    monkeypatch.setattr(unseen_rooms, "held_out_views", views)


def test_export_writes_a_bundle_with_its_measured_errors(checkpoint, made_up_rooms, tmp_path, capsys):
    command = ["export", "--checkpoint", str(checkpoint), "--output", str(tmp_path / "small")]
    assert main([*command, "--trained-on", "nothing at all", "--evaluate", "3"]) == 0
    manifest = Bundle(tmp_path / "small").manifest
    assert (manifest.name, manifest.trained_on) == ("small", "nothing at all")
    errors = manifest.errors["unseen simulated rooms"]
    assert errors["views"] == 3 and errors["abs_rel"] > 0
    assert errors["abs_rel_constant"] == pytest.approx(0.0, abs=1e-6)
    assert "bundle 'small'" in capsys.readouterr().out


def test_export_of_a_blend_computes_and_states_it(checkpoint, made_up_rooms, tmp_path):
    command = ["export", "--checkpoint", str(checkpoint), "--trained-on", "nothing."]
    for name, more in (("own", []), ("blend", ["--blend", "mini", "0.75"])):
        assert main([*command, *more, "--output", str(tmp_path / name)]) == 0
    own, blend, mini = Bundle(tmp_path / "own"), Bundle(tmp_path / "blend"), open_bundle("mini")
    assert own.manifest.trained_on == "nothing."
    sha = mini.manifest.model_sha256[:12]
    assert (
        blend.manifest.trained_on
        == f"nothing. Weights: 0.75 of this training, the rest of bundle mini (model {sha})."
    )
    assert np.abs(np.log(blend.check()[1] / own.check()[1])).mean() > 1e-3


def test_an_evaluation_of_the_checkpoint_goes_into_the_manifest(checkpoint, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(export, "find_spec", lambda name: None if name == "mujoco" else True)
    room, report = tmp_path / "room", tmp_path / "report"
    for name, picture in (
        ("rgb", np.full((48, 64, 3), 90, np.uint8)),
        ("depth", np.full((48, 64), 2000, np.uint16)),
    ):
        (room / name).mkdir(parents=True)
        cv2.imwrite(str(room / name / "000000.png"), picture)
    Camera.from_fov(64, 48, 1.0).to_file(room / "camera.json")
    call = ["evaluate", "--data", "rgbd", "--root", str(room), "--split", "all", "--output", str(report)]
    assert main([*call, "--checkpoint", str(checkpoint), "--flip", "--no-temporal"]) == 0
    command = ["export", "--checkpoint", str(checkpoint), "--trained-on", "nothing", "--report", str(report)]
    command += ["--check-image", str(room / "rgb/000000.png"), "--output", str(tmp_path / "b")]
    assert main(command) == 0
    bundle = Bundle(tmp_path / "b")
    errors = bundle.manifest.errors["rgbd all"]
    assert errors["images"] == 1 and errors["rule"] == "none" and errors["with"] == "flip averaging"
    assert 0 < errors["abs_rel"] < 100
    # the photograph in the middle of the network's input, and the border above and below it
    image, _ = bundle.check()
    assert image[32, 48].tolist() == [90, 90, 90] and image[0, 0].tolist() != [90, 90, 90]

    facts = json.loads((report / "metrics.json").read_text())
    facts["network"]["sha256"] = "0" * 64
    (report / "metrics.json").write_text(json.dumps(facts))
    assert main(command) == 2 and "belongs to other weights" in capsys.readouterr().err
    (report / "metrics.json").write_text("[]")
    assert main(command) == 2 and "is not a result of" in capsys.readouterr().err
    assert main([*command[:-6], "--output", str(tmp_path / "c")]) == 2
    assert "simulated rooms need MuJoCo" in capsys.readouterr().err


def test_export_wants_to_know_what_it_was_trained_on(checkpoint, tmp_path, capsys):
    assert main(["export", "--checkpoint", str(checkpoint), "--output", str(tmp_path / "b")]) == 2
    assert "give it with --trained-on" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--blend", "mini", "half"], "--blend needs a bundle and a number from 0 to 1, not 'half'"),
        (["--blend", "mini", "2"], "--blend needs a bundle and a number from 0 to 1, not '2'"),
        (["--blend", "none", "0.5"], "none"),
        (["--blend", "mini", "0.5", "--report", "R"], "--report is of the checkpoint's own weights"),
    ],
)
def test_a_blend_that_cannot_be_is_refused_before_anything_is_rendered(
    checkpoint, tmp_path, capsys, monkeypatch, options, said
):
    monkeypatch.setattr(export, "_rooms", lambda: pytest.fail("rendered"))
    call = ["export", "--checkpoint", str(checkpoint), "--trained-on", "nothing", *options]
    assert main([*call, "--output", str(tmp_path / "b")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_without_pytorch_both_say_what_to_install(checkpoint, tmp_path, capsys, monkeypatch):
    from clip2depth_ros.commands import train

    for command in (export, train):
        monkeypatch.setattr(command, "find_spec", lambda name: None)
    for call in (["export", "--checkpoint", str(checkpoint)], ["train", "--config", "mini_sim.yaml"]):
        assert main([*call, "--output", str(tmp_path / "o")]) == 2
        assert "pip install 'clip2depth_ros[train]'" in capsys.readouterr().err


def test_an_unknown_configuration_answers_with_those_that_ship(tmp_path, capsys):
    assert main(["train", "--config", "none.yaml", "--output", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "no configuration none.yaml: give a file or an included configuration: " in said
    assert "mini_sim.yaml, nyu_vitb16.yaml" in said
