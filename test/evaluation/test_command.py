# SPDX-License-Identifier: Apache-2.0
"""`clip2depth evaluate` as a person types it."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from clip2depth_ros.camera import Camera
from clip2depth_ros.cli import main
from clip2depth_ros.evaluation import plots
from clip2depth_ros.io.results import TRUTH_RANGE
from clip2depth_ros.metrics.benchmark_rules import RULES


def evaluate(room, out, bundle, *options) -> int:
    return main(
        ["evaluate", "--input", str(room), "--output", str(out), "--bundle", str(bundle.path), *options]
    )


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_a_sequence_with_poses_from_end_to_end(room, tmp_path, tiny_bundle, capsys):
    out = tmp_path / "out"
    assert evaluate(room, out, tiny_bundle) == 0
    metrics = metrics_of(out)
    assert metrics["images"]["judged"] == 6 and metrics["errors"]["abs_rel"] == pytest.approx(0.25, abs=0.01)
    assert metrics["errors"]["delta1"] < 1 and metrics["errors"]["delta2"] == 1
    assert metrics["constant"]["metres"] == pytest.approx(2.0, rel=0.01)
    assert metrics["sequence"]["depth"]["tae"] < 0.02 and metrics["sequence"]["truth"]["tae"] == 0
    assert metrics["network"]["sha256"] == tiny_bundle.manifest.model_sha256
    assert metrics["settings"]["stabilizer"] == "on"
    with open(out / "images.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 6
    for name in ("report.md", "report.html"):
        text = (out / name).read_text()
        assert "Evaluation of tiny" in text and f"--bundle {tiny_bundle.path}" in text
        assert tiny_bundle.manifest.model_sha256[:16] in text and "1.5-2 m" not in text
    for line in (out / "report.md").read_text().splitlines():
        if line.startswith("!["):
            assert cv2.imread(str(out / line.rpartition("(")[2][:-1])) is not None
    said = capsys.readouterr().out
    assert "6 of 6 images, rule 'none': AbsRel 0.2" in said and "In time: TAE" in said


def test_flip_and_median_scaling_are_marked_wherever_one_looks(room, tmp_path, tiny_bundle, capsys):
    out = tmp_path / "out"
    assert evaluate(room, out, tiny_bundle, "--flip", "--median-scaling", "--no-temporal") == 0
    assert metrics_of(out)["errors"]["abs_rel"] < 0.02
    assert metrics_of(out)["sequence"] is None
    for text in (
        capsys.readouterr().out,
        *((out / name).read_text() for name in ("images.csv", "metrics.json", "report.md", "report.html")),
    ):
        assert "flip averaging" in text and "median scaling" in text


def test_true_ranges_mend_the_scale_and_that_is_marked(room, tmp_path, tiny_bundle):
    options = ("--scale-ranges", "40", "--no-temporal")
    assert evaluate(room, tmp_path / "a", tiny_bundle, *options) == 0
    found = metrics_of(tmp_path / "a")
    assert found["marks"] == ["scale from 40 ranges a frame, drawn from the true depth"]
    assert found["errors"]["abs_rel"] < 0.24
    assert evaluate(room, tmp_path / "b", tiny_bundle, "--no-stabilize", "--no-temporal") == 0
    assert metrics_of(tmp_path / "b")["settings"]["stabilizer"].startswith("off")


@pytest.mark.parametrize(("every", "distortion"), [(1, 0.0), (2, 0.0), (1, -0.2)])
def test_the_figures_are_those_of_run(room, tmp_path, tiny_bundle, every, distortion):
    Camera(64, 48, 60, 60, 31.5, 23.5, (distortion, 0, 0, 0, 0)).to_file(room / "camera.json")
    assert (RULES["none"].depth_min, RULES["none"].depth_max) == TRUTH_RANGE
    options = ("--no-stabilize", "--every", str(every))
    assert evaluate(room, tmp_path / "evaluated", tiny_bundle, *options, "--no-temporal") == 0
    call = ["run", "--input", str(room), "--output", str(tmp_path / "ran"), "--bundle", str(tiny_bundle.path)]
    assert main([*call, *options]) == 0
    ran = json.loads((tmp_path / "ran/summary.json").read_text())["errors"]
    found = metrics_of(tmp_path / "evaluated")
    assert ran["frames"] == found["images"]["judged"] == 6 // every
    for name in ("abs_rel", "rmse", "delta1"):
        assert found["errors"][name] == pytest.approx(ran[name], rel=1e-5)


def test_a_data_set_is_judged_image_by_image_under_its_own_rule(room, tmp_path, tiny_bundle):
    out = tmp_path / "out"
    call = ["evaluate", "--data", "rgbd", "--root", str(room), "--split", "all", "--output", str(out)]
    assert main([*call, "--bundle", str(tiny_bundle.path), "--limit", "4"]) == 0
    found = metrics_of(out)
    assert found["images"]["judged"] == 4 and found["rule"]["name"] == "none"
    assert found["settings"]["stabilizer"].startswith("off")
    assert found["errors"]["abs_rel"] == pytest.approx(0.25, abs=0.01)
    assert found["sequence"]["depth"]["tae"] is not None
    assert main([*call, "--bundle", str(tiny_bundle.path), "--rule", "nyu", "--no-temporal"]) == 0
    nyu = metrics_of(out)
    # Eigen's crop of 48x64 begins in row 4 and column 4; rows 0 to 9 are unknown
    assert nyu["rule"]["name"] == "nyu" and nyu["images"]["judged_pixels"] == 6 * (47 - 10) * (60 - 4)


def test_a_recipe_s_test_set_is_judged(room, tmp_path, tiny_bundle, capsys):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("data:\n  test:\n    - {kind: rgbd, root: room, split: all}\n")
    call = ["evaluate", "--config", str(recipe), "--output", str(tmp_path / "out"), "--no-temporal"]
    call += ["--bundle", str(tiny_bundle.path), "--root", str(tmp_path)]
    assert main(call) == 0
    assert metrics_of(tmp_path / "out")["images"]["judged"] == 6
    for text, problem in (
        ("data: {}", "names no test set"),
        ("data:\n  test: [{}, {}]", "names 2 test sets"),
    ):
        recipe.write_text(text)
        assert main(call) == 2
        assert problem in capsys.readouterr().err


def test_without_matplotlib_the_report_says_how_to_get_plots(room, tmp_path, tiny_bundle, monkeypatch):
    monkeypatch.setattr(plots, "find_spec", lambda name: None)
    assert evaluate(room, tmp_path / "out", tiny_bundle, "--no-temporal", "--limit", "2") == 0
    text = (tmp_path / "out/report.md").read_text()
    assert "pip install 'clip2depth_ros[evaluate]'" in text and "plots.png" not in text
    assert (tmp_path / "out/pictures/best.jpg").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "give exactly one of --input, --data and --config"),
        (["--input", "x", "--data", "nyu_raw"], "give exactly one of --input, --data and --config"),
        (["--data", "nyu_labelled"], "--data nyu_labelled needs --root"),
        (["--data", "nyu", "--root", "."], "no data set of kind 'nyu'; there are nyu_labelled"),
        (["--config", "none.yaml"], "no configuration none.yaml"),
        (["--config", str(Path(__file__))], "cannot be read"),
        (["--data", "rgbd", "--root", ".", "--set", "every"], "--set takes NAME=VALUE, not 'every'"),
        (["--data", "rgbd", "--root", ".", "--set", "colour=red"], "has no entry 'colour'"),
        (["--data", "rgbd", "--root", ".", "--scale-ranges", "9"], "a recording as --input"),
        (["--data", "rgbd", "--root", ".", "--every", "0"], "must be at least 1"),
    ],
)
def test_mistakes_are_one_line(tmp_path, capsys, options, message):
    assert main(["evaluate", "--output", str(tmp_path / "out"), *options]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_an_input_without_truth_says_so(room, tmp_path, tiny_bundle, capsys):
    assert evaluate(room / "rgb", tmp_path / "out", tiny_bundle, "--no-temporal") == 2
    assert "has no ground truth" in capsys.readouterr().err
    for path in (room / "depth").iterdir():
        path.unlink()
    assert evaluate(room, tmp_path / "out", tiny_bundle, "--no-temporal") == 2
    assert "None of the 6 images has ground-truth depth" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["hall", "kitti"])
def test_real_frames_give_what_run_gives(rgbd, tmp_path, name):
    """The shipped bundle on a few real frames, by both commands."""
    call = ["--input", str(rgbd / name), "--no-stabilize", "--limit", "3"]
    assert main(["evaluate", *call, "--output", str(tmp_path / "a")]) == 0
    assert main(["run", *call, "--output", str(tmp_path / "b")]) == 0
    found, ran = metrics_of(tmp_path / "a"), json.loads((tmp_path / "b/summary.json").read_text())["errors"]
    for error in ("abs_rel", "rmse", "delta1"):
        assert found["errors"][error] == pytest.approx(ran[error], rel=1e-4)
    assert (found["sequence"] is None) == (name == "kitti")  # unrelated views are no sequence
    assert np.isfinite(found["blockiness"]["ratio"]) if name == "hall" else True


def test_a_bundle_without_metres_is_judged_in_the_metres_of_a_source(room, tmp_path, make_bundle, capsys):
    bundle, out = make_bundle(depth_kind="scale_free"), tmp_path / "out"
    assert evaluate(room, out, bundle) == 2
    said = capsys.readouterr().err.strip()
    assert "gives depth up to an unknown factor" in said and "--scale-ranges" in said and "\n" not in said
    assert evaluate(room, out, bundle, "--scale-ranges", "60") == 0
    metrics = metrics_of(out)
    # The tiny network is 25 % off by a factor alone; the ranges take that away.
    assert metrics["errors"]["abs_rel"] < 0.15 and metrics["images"]["judged"] == 6
    assert "60 ranges a frame" in metrics["settings"]["scale"]
