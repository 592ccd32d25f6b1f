# SPDX-License-Identifier: Apache-2.0
"""A valid example of every kind of file that is read, and the function that reads it."""

from __future__ import annotations

import contextlib
import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from clip2depth_ros.bundle import Bundle, open_bundle
from clip2depth_ros.camera import Camera
from clip2depth_ros.images.compressed import read_depth, read_rgb
from clip2depth_ros.io import open_source
from clip2depth_ros.scale.memory import ScaleMemory

SIZE = (64, 48)
CAMERA = Camera(*SIZE, 60.0, 60.0, 31.5, 23.5)


@dataclass(frozen=True)
class Kind:
    """name; files: the files to damage, one at a time, in the kind's folder; read: reads all of it."""

    name: str
    files: tuple[str, ...]
    read: Callable[[Path], object]


def all_kinds(folder: Path) -> list[Kind]:
    """Write a valid example of every kind into `folder`/NAME, with the function that reads it."""
    kinds = [*_bundles(folder), *_images(folder), *_cameras(folder), *_recordings(folder), *_rest(folder)]
    return kinds + _with_torch(folder)


def _new(folder: Path, name: str) -> Path:
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    return place


def _picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)


def _read_bundle(path: Path) -> None:
    bundle = open_bundle(path)
    bundle.check()
    bundle.model()
    if bundle.manifest.int8 is not None:
        bundle.int8_model()


def _bundles(folder: Path) -> list[Kind]:
    shipped = open_bundle("mini")
    place = _new(folder, "bundle")
    image, depth = shipped.check()
    # Not a real model: the checksum rejects damaged files before they are parsed.
    Bundle.write(place / "it", b"model" * 200, shipped.manifest, image, depth)
    packed = _new(folder, "bundle zip") / "it.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((place / "it").iterdir()):
            archive.write(path, path.name)
    names = tuple(f"it/{name}" for name in ("manifest.json", "manifest.json", "check.npz", "model.onnx"))
    return [
        Kind("bundle", names, lambda p: _read_bundle(p / "it")),
        Kind("bundle zip", ("it.zip",), lambda p: _read_bundle(p / "it.zip")),
    ]


def _images(folder: Path) -> list[Kind]:
    kinds = []
    for suffix in ("jpg", "png", "webp", "bmp", "ppm", "tiff"):
        name = f"image {suffix}"
        place = _new(folder, name)
        cv2.imwrite(str(place / f"it.{suffix}"), _picture())
        kinds.append(Kind(name, (f"it.{suffix}",), lambda p, s=suffix: read_rgb(p / f"it.{s}")))
    depth = (1000 * np.ones((SIZE[1], SIZE[0]))).astype(np.uint16)
    cv2.imwrite(str(_new(folder, "depth png") / "it.png"), depth)
    return [*kinds, Kind("depth png", ("it.png",), lambda p: read_depth(p / "it.png"))]


def _cameras(folder: Path) -> list[Kind]:
    fields = {"fx": 60.0, "fy": 60.0, "cx": 31.5, "cy": 23.5, "width": 64, "height": 48}
    (_new(folder, "camera json") / "it.json").write_text(json.dumps(fields, indent=1))
    calibration = """image_width: 64
image_height: 48
camera_name: front
distortion_model: plumb_bob
camera_matrix: {rows: 3, cols: 3, data: [60.0, 0.0, 31.5, 0.0, 60.0, 23.5, 0.0, 0.0, 1.0]}
distortion_coefficients: {rows: 1, cols: 5, data: [-0.1, 0.01, 0.0, 0.0, 0.0]}
"""
    (_new(folder, "camera yaml") / "it.yaml").write_text(calibration)
    return [
        Kind("camera json", ("it.json",), lambda p: Camera.from_file(p / "it.json")),
        Kind("camera yaml", ("it.yaml",), lambda p: Camera.from_file(p / "it.yaml")),
    ]


def _iterate(path: Path) -> None:
    with open_source(path, horizontal_fov=None if (path / "camera.json").exists() else 1.0) as source:
        for frame in source:
            assert frame.image.ndim == 3


def _recordings(folder: Path) -> list[Kind]:
    place = _new(folder, "rgbd")
    for name in ("rgb", "depth"):
        (place / name).mkdir(exist_ok=True)
    for index in range(3):
        cv2.imwrite(str(place / "rgb" / f"{index:06d}.jpg"), _picture(index))
        depth = np.full((SIZE[1], SIZE[0]), 1500 + index, np.uint16)
        cv2.imwrite(str(place / "depth" / f"{index:06d}.png"), depth)
    fields = {
        "fx": 60.0,
        "fy": 60.0,
        "cx": 31.5,
        "cy": 23.5,
        "width": 64,
        "height": 48,
        "depth_scale": 1000.0,
        "fps": 30,
    }
    (place / "camera.json").write_text(json.dumps(fields))
    pose = "1 0 0 0 0 1 0 0 0 0 1 0"
    (place / "poses.txt").write_text("".join(f"{index} {pose}\n" for index in range(3)))
    names = ("camera.json", "poses.txt", "rgb/000001.jpg", "depth/000001.png")
    kinds = [Kind("rgbd", names, _iterate)]
    video = _new(folder, "video") / "it.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"MJPG"), 20.0, SIZE)
    for index in range(5):
        writer.write(_picture(index))
    writer.release()
    kinds.append(Kind("video", ("it.avi",), lambda p: _iterate(p / "it.avi")))
    return kinds + _bags(folder) + [_tum(folder)]


def _tum(folder: Path) -> Kind:
    place = _new(folder, "tum")
    for name in ("rgb", "depth"):
        (place / name).mkdir(exist_ok=True)
    lines = {"rgb": "", "depth": ""}
    for index in range(3):
        stamp = f"{1300000000 + index / 30:.6f}"
        cv2.imwrite(str(place / "rgb" / f"{stamp}.png"), _picture(index))
        cv2.imwrite(str(place / "depth" / f"{stamp}.png"), np.full((SIZE[1], SIZE[0]), 5000, np.uint16))
        for name in lines:
            lines[name] += f"{stamp} {name}/{stamp}.png\n"
    for name, text in lines.items():
        (place / f"{name}.txt").write_text(f"# {name}\n{text}")
    truth = "".join(f"{1300000000 + i / 30:.4f} 0 0 {i} 0 0 0 1\n" for i in range(3))
    (place / "groundtruth.txt").write_text(truth)
    return Kind("tum", ("rgb.txt", "depth.txt", "groundtruth.txt"), _iterate)


def _bags(folder: Path) -> list[Kind]:
    try:
        from rosbags import rosbag2
        from rosbags.typesys import Stores, get_typestore
    except ImportError:
        return []
    store = get_typestore(Stores.ROS2_HUMBLE)
    types = store.types
    time_type, header_type = types["builtin_interfaces/msg/Time"], types["std_msgs/msg/Header"]
    image_type = types["sensor_msgs/msg/Image"]
    kinds = []
    plugins = {"bag mcap": rosbag2.StoragePlugin.MCAP, "bag sqlite3": rosbag2.StoragePlugin.SQLITE3}
    for name, plugin in plugins.items():
        place = _new(folder, name)
        shutil.rmtree(place / "it", ignore_errors=True)
        with rosbag2.Writer(place / "it", version=9, storage_plugin=plugin) as writer:
            topic = writer.add_connection("/camera/image_raw", image_type.__msgtype__, typestore=store)
            for index in range(4):
                stamp = 10**9 + index * 10**8
                header = header_type(time_type(stamp // 10**9, stamp % 10**9), "optical")
                data = _picture(index).ravel()
                message = image_type(header, SIZE[1], SIZE[0], "rgb8", 0, SIZE[0] * 3, data)
                writer.write(topic, stamp, store.serialize_cdr(message, image_type.__msgtype__))
        data = next(p.name for p in (place / "it").iterdir() if p.suffix != ".yaml")
        kinds.append(
            Kind(name, (f"it/{data}", f"it/{data}", "it/metadata.yaml"), lambda p: _iterate(p / "it"))
        )
    return kinds


def _recall(path: Path) -> None:
    memory = ScaleMemory(str(path))
    memory.recall(memory.key("mini/optical", CAMERA))


def _rest(folder: Path) -> list[Kind]:
    path = _new(folder, "scale memory") / "it.json"
    memory = ScaleMemory(str(path))
    memory.keep(memory.key("mini/optical", CAMERA), 1.2, 0.05)
    from clip2depth_ros.engines.checksummed import BrokenFile, read_checksummed, write_checksummed

    write_checksummed(_new(folder, "engine cache") / "it.engine", {"precision": "fp16"}, b"engine" * 300)

    def sealed(path: Path) -> None:
        with contextlib.suppress(BrokenFile):  # its caller builds the engine anew
            read_checksummed(path / "it.engine")

    return [
        Kind("scale memory", ("it.json",), lambda p: _recall(p / "it.json")),
        Kind("engine cache", ("it.engine",), sealed),
    ]


def _with_torch(folder: Path) -> list[Kind]:
    try:
        import torch

        from clip2depth_ros.network.checkpoint import read_tensors, write_tensors
        from clip2depth_ros.simulation.shards import load_shard
        from clip2depth_ros.training import configuration
    except ImportError:
        return []
    path = _new(folder, "checkpoint") / "it.safetensors"
    write_tensors(path, {"a": torch.ones(40, 3), "b": torch.zeros(7)}, {"kind": "test"})
    recipe = Path(configuration.__file__).parent / "configs" / "mini_sim.yaml"
    shutil.copy(recipe, _new(folder, "recipe") / "it.yaml")
    arrays = {
        "image": _picture()[None],
        "depth": np.ones((1, SIZE[1], SIZE[0]), np.uint16),
        "fx": np.ones(1, np.float32),
        "caption": np.array(["a room"]),
    }
    np.savez(_new(folder, "shard") / "it.npz", **arrays)
    return [
        Kind("checkpoint", ("it.safetensors",), lambda p: read_tensors(p / "it.safetensors")),
        Kind("recipe", ("it.yaml",), lambda p: configuration.read_recipe(p / "it.yaml")),
        Kind("shard", ("it.npz",), lambda p: load_shard(p / "it.npz")),
    ]
