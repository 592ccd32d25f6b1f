# SPDX-License-Identifier: Apache-2.0
# nothing of ours is imported where PyTorch is missing
"""Every recipe that ships starts and takes steps: on a few made-up files of the true formats, small, random
CLIP.
"""

import dataclasses
import json
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs PyTorch")

import clip2depth_ros.training as training
from clip2depth_ros.network import create_clip
from clip2depth_ros.training import recipe as recipe_file
from clip2depth_ros.training.configuration import Phase, read_recipe
from clip2depth_ros.training.recipe import Run

pytestmark = [pytest.mark.torch, pytest.mark.slow]

CONFIGS = Path(training.__file__).parent / "configs"
SIZE = (64, 96)
DATE = "2011_09_26"


@cache
def random_clip(backbone, weights):
    """Made once for all recipes with this backbone: it is frozen, and large."""
    assert weights is None
    return create_clip(backbone)


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array)


def pictures(count, width, height, units):
    """Noise before a wall that comes nearer: colour and 16-bit depth."""
    rng = np.random.default_rng(0)
    for n in range(count):
        image = cv2.resize(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8), (width, height))
        yield n, image, np.full((height, width), round((4 - n / 10) * units), np.uint16)


def nyu_raw(root):
    lines = []
    for scene in ("kitchen_0001", "office_0002"):
        for n, image, depth in pictures(3, 640, 480, 1000):
            write(root / scene / f"rgb_{n:05d}.jpg", image)
            write(root / scene / f"sync_depth_{n:05d}.png", depth)
            lines.append(f"/{scene}/rgb_{n:05d}.jpg /{scene}/sync_depth_{n:05d}.png 518.8579\n")
    (root / "nyudepthv2_train_files_with_gt.txt").write_text("".join(lines))


def kitti(raw, annotated):
    lines = []
    for drive in ("0001", "0002"):
        name = f"{DATE}_drive_{drive}_sync"
        for n, image, depth in pictures(2, 1242, 375, 256):
            write(raw / DATE / name / "image_02" / "data" / f"{n:010d}.png", image)
            truth = f"{name}/proj_depth/groundtruth/image_02/{n:010d}.png"
            write(annotated / "train" / truth, depth)
            lines.append(f"{DATE}/{name}/image_02/data/{n:010d}.png {truth} 721.5377\n")
    (raw / "eigen_train_files_with_gt.txt").write_text("".join(lines))
    p_rect = "7.2e+02 0 6.1e+02 44 0 7.2e+02 1.7e+02 0.2 0 0 1 0.003"
    (raw / DATE / "calib_cam_to_cam.txt").write_text(
        f"R_rect_00: 1 0 0 0 1 0 0 0 1\nS_rect_02: 1.242e+03 3.75e+02\nP_rect_02: {p_rect}\n"
    )


def tum(root):
    for sequence in ("rgbd_dataset_freiburg1_desk", "rgbd_dataset_freiburg2_xyz"):
        lists = {"rgb": [], "depth": []}
        for n, image, depth in pictures(3, 640, 480, 5000):
            for kind, array in (("rgb", image), ("depth", depth)):
                write(root / sequence / kind / f"{10 + n / 30:.6f}.png", array)
                lists[kind].append(f"{10 + n / 30:.6f} {kind}/{10 + n / 30:.6f}.png\n")
        for kind, lines in lists.items():
            (root / sequence / f"{kind}.txt").write_text("".join(lines))
        poses = [f"{9.9 + n / 100:.4f} {n / 500:.4f} 0 1 0 0 0 1\n" for n in range(40)]
        (root / sequence / "groundtruth.txt").write_text("".join(poses))


def rgbd(folder):
    for n, image, depth in pictures(2, 320, 240, 1000):
        write(folder / "rgb" / f"{n:06d}.jpg", image)
        write(folder / "depth" / f"{n:06d}.png", depth)
    facts = {"fx": 270, "fy": 270, "cx": 160, "cy": 120, "width": 320, "height": 240, "depth_scale": 1000}
    (folder / "camera.json").write_text(json.dumps(facts))


def made_up(recipe, root, write_rooms):
    """The data of a recipe; returns the kinds that are left out, for they would have to be rendered or
    recorded.
    """
    name = recipe.name
    for entry in (*recipe.data.training, *recipe.data.validation):
        if entry["kind"] == "rgbd":
            rgbd(root / entry["root"])
    if name.startswith("nyu"):
        nyu_raw(root / "nyu" / "sync")
    elif name.startswith("kitti"):
        kitti(root / "kitti" / "raw", root / "kitti" / "depth")
    elif name.startswith("indoor"):
        nyu_raw(root / "nyu" / "sync")
        tum(root / "tum")
    else:
        for what in ("rooms", "places", "near"):
            write_rooms(root / "cache", 0, 32, what)
            write_rooms(root / "cache", 1_000_000_000, 32, what)
    return ("drives", "rosbag")


@pytest.mark.parametrize("name", sorted(path.stem for path in CONFIGS.glob("*.yaml")))
def test_a_shipped_recipe_takes_steps(tmp_path, write_rooms, name, monkeypatch):
    recipe = read_recipe(CONFIGS / f"{name}.yaml")
    canonical, width = recipe.network.canonical_focal_px, recipe.network.size[1]
    monkeypatch.setattr(recipe_file, "create_clip", random_clip)
    absent = made_up(recipe, tmp_path, write_rooms)

    def there(entries):
        small = {
            "rooms": {"rooms": 32, "validation_rooms": 32, "views_per_room": 1, "size": [96, 128]},
            "places": {"places": 32, "validation_places": 32, "views_per_place": 1, "size": [96, 128]},
            "near": {"scenes": 32, "validation_scenes": 32, "views_per_scene": 1, "size": [96, 128]},
        }
        return tuple(entry | small.get(entry["kind"], {}) for entry in entries if entry["kind"] not in absent)

    data = dataclasses.replace(
        recipe.data, training=there(recipe.data.training), validation=there(recipe.data.validation),
        validation_views=2, workers=0,
    )  # fmt: skip
    recipe = dataclasses.replace(
        recipe,
        data=data,
        network=dataclasses.replace(
            recipe.network, size=SIZE, weights="random", canonical_focal_px=canonical * SIZE[1] / width
        ),
        depth=dataclasses.replace(recipe.depth, phases=(Phase(1.0, SIZE, 2),), report_steps=1),
        pretrain=None,
        threads=1,
        # Of the large networks, half a minute each on a processor that emulates bf16.
        precision=recipe.precision if name.startswith("mini") else "no",
    )
    Run(recipe, tmp_path / "run", root=tmp_path, cache=tmp_path / "cache").train(limit=2)
    header, *rows = (tmp_path / "run" / "depth-training.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["1", "2"]
    assert ("temporal" in header) == (recipe.depth.loss.temporal > 0)
    assert (tmp_path / "run" / "checkpoint.safetensors").exists()
