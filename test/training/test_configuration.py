# SPDX-License-Identifier: Apache-2.0
# nothing of ours is imported where PyTorch is missing
from pathlib import Path

import pytest
import yaml

pytest.importorskip("torch", reason="training needs PyTorch")

import clip2depth_ros.training as training
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.network import find_backbone
from clip2depth_ros.training.configuration import read_recipe
from clip2depth_ros.training.datasets import KINDS

pytestmark = pytest.mark.torch

CONFIGS = Path(training.__file__).parent / "configs"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda p: p.name)
def test_shipped_recipes_are_readable_and_fit_their_backbone(path):
    recipe = read_recipe(path)
    backbone = find_backbone(recipe.network.backbone)
    if backbone.pretrained is None:  # then the CLIP is made by the recipe, or given as a file or a bundle
        weights = recipe.network.weights
        assert recipe.pretrain is not None or weights.endswith(".safetensors") or weights == "mini"
    else:
        assert recipe.pretrain is None and recipe.network.weights == "pretrained"
    assert recipe.data.training and recipe.data.validation
    for entry in (*recipe.data.training, *recipe.data.validation, *recipe.data.test):
        assert entry["kind"] in KINDS
    assert "test" not in {entry.get("split") for entry in (*recipe.data.training, *recipe.data.validation)}
    trained = {entry.get("root") for entry in recipe.data.training}
    for entry in recipe.data.validation:  # "all" only of a folder that is not trained on
        assert entry["split"] != "test"
        assert entry["split"] != "all" or (entry["kind"] == "rgbd" and entry["root"] not in trained)
    for stage in filter(None, (recipe.pretrain, recipe.depth)):
        assert sum(phase.share for phase in stage.phases) == pytest.approx(1.0)
        assert all(side % backbone.stride == 0 for phase in stage.phases for side in phase.size)


def changed(tmp_path, *path_and_value):
    *path, last, value = path_and_value
    entries = yaml.safe_load((CONFIGS / "mini_sim.yaml").read_text())
    where = entries
    for key in path:
        where = where[key]
    if value is None:
        del where[last]
    else:
        where[last] = value
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(entries))
    return file


@pytest.mark.parametrize(("change", "message"), [
    (("depth", "learnig_rate", 1.0), "recipe.yaml: depth has no entry 'learnig_rate': known ones are images"),
    (("depth", "images", None), "recipe.yaml: depth lacks 'images'"),
    (("depth", "images", "many"), "depth: images must be a whole number, not 'many'"),
    (("network", "size", [1, 2, 3]), r"network: size must have 2 entries, not 3"),
    (("depth", "phases", 0, "share", "half"), r"depth: phases\[0\]: share must be a number"),
    (("data", 3), "data must be a mapping, not 3"),
    (("precision", "bfloat"), "recipe.yaml: precision must be one of bf16, fp16, no"),
    (("depth", "optimizer", "sgd"), "recipe.yaml: depth: optimizer must be one of adamw, muon"),
    (("decoder", "old"), "recipe.yaml: decoder must be one of new, joint"),
    (("depth", "phases", 0, "batch", 0), r"depth: phases\[0\]: share, size and batch must be above 0"),
    (("depth", "phases", []), "depth: phases must have an entry"),
    (("depth", "images", 0), "depth: images must be above 0"),
    (("depth", "average", 1.0), "depth: average must be at least 0 and below 1"),
    (("data", "workers", -1), "data: workers must not be negative"),
    (("threads", 0), "threads must be at least 1"),
    (("data", "training", 0, "rooms"), r"data: training\[0\] must be a mapping, not 'rooms'"),
    (("depth", "minutes", 16.0), "depth has no entry 'minutes'"),
])  # fmt: skip
def test_a_mistake_is_named_with_its_place(tmp_path, change, message):
    with pytest.raises(Clip2DepthError, match=message):
        read_recipe(changed(tmp_path, *change))


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(Clip2DepthError, match=r"none.yaml cannot be read: No such file"):
        read_recipe(tmp_path / "none.yaml")
    (tmp_path / "broken.yaml").write_text("a: [1")
    with pytest.raises(Clip2DepthError, match=r"broken.yaml cannot be read: while parsing"):
        read_recipe(tmp_path / "broken.yaml")
