# SPDX-License-Identifier: Apache-2.0
"""A data set is added by one file and one line of KINDS; recipes, training and evaluation then know it."""

import argparse
import importlib
import json

import numpy as np
import pytest

from clip2depth_ros.cli import main
from clip2depth_ros.commands._shared.data_options import open_data
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.training.datasets import KINDS, open_data_set
from clip2depth_ros.training.datasets.registry import Kind
from clip2depth_ros.training.views.augmentation import Augmentation
from clip2depth_ros.training.views.batches import BatchMaker

# The file that somebody adds to training/datasets/.
SOURCE = """
from pathlib import Path

import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.images.frame import Frame
from clip2depth_ros.training.datasets.base import DataSet
from clip2depth_ros.training.datasets.splits import check_split


class Walls(DataSet):
    def __init__(self, root: Path, walls: int, split: str = "train", distance: float = 1.0) -> None:
        check_split("walls", split, official_test=False)
        self.name, self.count, self.distance = f"walls of {root}", walls, distance

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        image, depth = np.full((24, 32, 3), index, np.uint8), np.full((24, 32), self.distance, np.float32)
        return Frame(image, index, "camera", Camera.from_fov(32, 24, 1.0), f"wall {index}", depth)
"""


@pytest.fixture
def walls(tmp_path, monkeypatch):
    """An entry of the new kind."""
    (tmp_path / "walls_of_a_test.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("walls_of_a_test")
    monkeypatch.setitem(KINDS, "walls", Kind(module.Walls))
    return {"kind": "walls", "root": str(tmp_path), "walls": 4, "distance": 3}


def test_a_recipe_names_it_with_the_arguments_of_its_constructor(walls, tmp_path):
    data = open_data_set({**walls, "weight": 2.0}, cache=tmp_path)
    assert (data.name, len(data)) == (f"walls of {tmp_path}", 4)
    assert [frame.depth[0, 0] for frame in data] == [3.0] * 4
    for wrong, message in (
        ({"hight": 1}, "of kind walls has no entry 'hight': known ones are root, walls, split, distance"),
        ({"walls": "four"}, "A data set of kind walls: walls must be a whole number"),
    ):
        with pytest.raises(Clip2DepthError, match=message):
            open_data_set(walls | wrong)
    with pytest.raises(Clip2DepthError, match="of kind walls lacks 'walls'"):
        open_data_set({"kind": "walls", "root": str(tmp_path)})


def test_training_draws_batches_from_it(walls):
    maker = BatchMaker((open_data_set(walls),), (1.0,), Augmentation(), (0, 0), None)
    batch = maker(0, size=(24, 32), count=4)
    assert sorted(batch.image[:, 0, 0, 0].tolist()) == [0, 1, 2, 3] and np.all(batch.depth == 3.0)


def test_evaluate_takes_it(walls, tmp_path):
    command = ["evaluate", "--bundle", "mini", "--engine", "opencv", "--data", "walls", "--split", "all"]
    options = ["--root", str(tmp_path), "--set", "walls=3", "--no-temporal"]
    assert main([*command, *options, "--output", str(tmp_path / "report")]) == 0
    assert json.loads((tmp_path / "report" / "metrics.json").read_text())["images"]["judged"] == 3
    with pytest.raises(Clip2DepthError, match="--data walls needs --root"):
        open_data(argparse.Namespace(config=None, data="walls", root=None))
