# SPDX-License-Identifier: Apache-2.0
import csv
import json
import math

import numpy as np
import pytest

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.evaluation.engine_wrappers import Watched
from clip2depth_ros.evaluation.evaluate import COLUMNS, Evaluation
from clip2depth_ros.images.frame import Frame
from clip2depth_ros.metrics.benchmark_rules import RULES
from clip2depth_ros.pipeline import Pipeline

CAMERA = Camera.from_fov(64, 48, 1.0)


def frame(depth, index=0, pose=None):
    image = np.full((48, 64, 3), 100, np.uint8)
    return Frame(image, index * 10**8, "camera", CAMERA, f"f{index}", depth, pose)


@pytest.fixture
def evaluate(exact_engine, tmp_path):
    """Function that opens an evaluation of an engine that answers `depth` to everything."""

    def make(depth, rule="none", **options):
        watched = Watched(exact_engine(depth, backbone="ViT-B-16-quickgelu"))
        pipeline = Pipeline(watched, stabilizer=None)
        return Evaluation(pipeline, watched, RULES[rule], tmp_path / "out", **options)

    return make


def rows(folder):
    with open(folder / "images.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_for_each_judged_image_and_their_mean(evaluate):
    depth = np.full((48, 64), 2.0, np.float32)
    with evaluate(depth, temporal=False) as evaluation:
        evaluation.add(frame(depth, 0))
        evaluation.add(frame(None, 1))
        evaluation.add(frame(depth * 2, 2))
        metrics = evaluation.finish({"command": "c"})
    found = rows(evaluation.folder)
    assert [row["image"] for row in found] == ["f0", "f2"]
    assert tuple(found[0])[:-1] == COLUMNS
    assert float(found[1]["abs_rel"]) == pytest.approx(0.5) and float(found[1]["scale"]) == pytest.approx(2.0)
    assert float(found[1]["stamp"]) == pytest.approx(0.2) and float(found[1]["seconds"]) > 0
    assert metrics["errors"]["abs_rel"] == pytest.approx(0.25)
    assert metrics["images"] == {"seen": 3, "judged": 2, "without_truth": 1, "judged_pixels": 2 * 48 * 64}
    written = json.loads((evaluation.folder / "metrics.json").read_text())
    assert written["errors"]["abs_rel"] == 0.25 and written["command"] == "c"
    assert written["rule"]["name"] == "none" and written["marks"] == []
    assert written["blockiness"] == {"ratio": None, "patch": 16} and written["sequence"] is None


def test_median_scaling_and_other_marks_stand_in_every_output(evaluate):
    depth = np.full((48, 64), 2.0, np.float32)
    with evaluate(depth, median_scaling=True, marks=("flip averaging",)) as evaluation:
        evaluation.add(frame(depth * 2))
        metrics = evaluation.finish({})
    assert metrics["errors"]["abs_rel"] == pytest.approx(0.0, abs=1e-6) and metrics["errors"]["scale"] == 2
    assert metrics["marks"] == ["flip averaging", "median scaling"]
    assert rows(evaluation.folder)[0]["marks"] == "flip averaging; median scaling"


def test_blockiness_is_that_of_the_network_s_own_pixels(evaluate):
    """Patches of 16 in the network's 192x256, seen through a letterbox at 64x48 of the image."""
    blocks = np.exp(0.1 * np.random.default_rng(0).normal(size=(12, 16))).astype(np.float32)
    gentle = np.exp(0.001 * np.add.outer(np.arange(192), np.arange(256))).astype(np.float32)
    depth = 2 * np.kron(blocks, np.ones((16, 16), np.float32)) * gentle
    with evaluate(depth, temporal=False) as evaluation:
        evaluation.add(frame(np.full((48, 64), 2.0, np.float32)))
        metrics = evaluation.finish({})
    assert metrics["blockiness"]["ratio"] > 20


def test_a_sequence_of_known_poses_is_measured_for_steadiness(evaluate):
    depth = np.full((48, 64), 2.0, np.float32)
    with evaluate(depth) as evaluation:
        for index in range(3):
            evaluation.add(frame(depth, index, np.eye(4)))
        metrics = evaluation.finish({})
    assert metrics["sequence"]["depth"]["tae"] == pytest.approx(0.0, abs=1e-6)
    assert math.isclose(metrics["sequence"]["truth"]["rtc"], 1.0)


def test_nothing_to_judge_is_an_error(evaluate):
    with evaluate(np.full((48, 64), 2.0), "nyu", temporal=False) as evaluation:
        evaluation.add(frame(np.full((48, 64), 50.0, np.float32)))
        with pytest.raises(Clip2DepthError, match=r"None of the 1 images .* rule 'nyu'"):
            evaluation.finish({})
