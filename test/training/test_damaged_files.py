# SPDX-License-Identifier: Apache-2.0
"""Recipes, checkpoints and shards that are damaged: one sentence that names the file."""

import json
import struct

import numpy as np
import pytest

pytest.importorskip("torch")

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.network.checkpoint import FORMAT, checkpoint_facts, read_tensors
from clip2depth_ros.simulation.mapped import MappedShard
from clip2depth_ros.simulation.shards import load_shard
from clip2depth_ros.training.configuration import read_recipe

BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(12)
)


def sentence(read, path) -> str:
    with pytest.raises(Clip2DepthError) as caught:
        read(path)
    text = str(caught.value)
    assert str(path) in text and "\n" not in text and len(text) < 600
    return text


@pytest.mark.parametrize(
    "text",
    [BOMB, "[" * 5000, b"\xff\xfe", "a: b: c", "name: " + "9" * 10_000, "name: 2001-99-99", "", "x: &a [*a]"],
    ids=range(8),
)
def test_recipes(tmp_path, text):
    path = tmp_path / "recipe.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    sentence(read_recipe, path)


def tensors(header: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header


def facts(text: str) -> bytes:
    return tensors(json.dumps({"__metadata__": {"format": FORMAT, "facts": text}}).encode())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        tensors(b"{}", 2**62),
        tensors(b"{"),
        tensors(b"\xff\xff"),
        tensors(b'{"a":{"dtype":"F32","shape":[4000000000,4000000000],"data_offsets":[0,8]}}') + bytes(8),
        tensors(b"{}"),
        facts("{"),
        facts("[" * 100_000),
        facts("[]"),
        tensors(b'{"__metadata__":{"format":"clip2depth-checkpoint-1"}}'),
    ],
    ids=range(10),
)
def test_checkpoints(tmp_path, content):
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(content)
    sentence(checkpoint_facts, path)


def test_devices_are_no_checkpoints(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    path.symlink_to("/dev/zero")
    sentence(read_tensors, path)


def test_shards(tmp_path):
    path = tmp_path / "shard.npz"
    rng = np.random.default_rng(0)
    arrays = {
        "image": np.zeros((1, 4, 4, 3), np.uint8),
        "depth": np.zeros((1, 4, 4), np.uint16),
        "fx": np.ones(1, np.float32),
        "caption": np.array(["a room"]),
    }
    np.savez(path, **arrays)
    whole = path.read_bytes()
    assert len(MappedShard(path)) == 1 and load_shard(path)["fx"][0] == 1
    for read in (MappedShard, load_shard):
        for trial in range(60):
            content = bytearray(whole)
            if trial % 5 == 0:
                del content[int(rng.integers(len(content))) :]
            for at in rng.integers(0, max(1, len(content)), 6):
                if at < len(content):
                    content[at] ^= 1 << int(rng.integers(8))
            path.write_bytes(content)
            try:
                read(path)
            except Clip2DepthError as error:
                assert str(path) in str(error) and "\n" not in str(error)
        path.write_bytes(whole.replace(b"(1, 4, 4, 3)", b"(9**9, 4, 3)"))
        sentence(read, path)
