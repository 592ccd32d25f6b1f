# SPDX-License-Identifier: Apache-2.0
"""Bundles that are damaged or made to harm: one sentence that names the bundle, in little time and memory."""

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from clip2depth_ros.bundle import Bundle
from clip2depth_ros.errors import Clip2DepthError


@pytest.fixture
def folder(tiny_bundle, tmp_path):
    path = tmp_path / "bundle"
    shutil.copytree(tiny_bundle.path, path)
    return path


def zipped(folder, path, **replaced: bytes):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for file in folder.iterdir():
            archive.writestr(file.name, replaced.get(file.stem, file.read_bytes()))
    return path


def read_all(path):
    bundle = Bundle(path)
    bundle.check()
    bundle.model()


def sentence(path) -> str:
    with pytest.raises(Clip2DepthError) as caught:
        read_all(path)
    text = str(caught.value)
    assert str(path) in text and "\n" not in text and len(text) < 600
    return text


def test_a_whole_zip_is_read(folder, tmp_path):
    read_all(zipped(folder, tmp_path / "whole.zip"))


@pytest.mark.parametrize("stem", ["manifest", "check"])
def test_entries_that_unpack_to_too_much(folder, tmp_path, stem):
    path = zipped(folder, tmp_path / "bomb.zip", **{stem: bytes(80 * 2**20)})
    assert path.stat().st_size < 2**21
    assert "claims to have 83886080 bytes unpacked" in sentence(path)


def test_a_header_that_lies_about_the_size(folder, tmp_path):
    path = zipped(folder, tmp_path / "lie.zip", manifest=b" " * 50_000_000)
    content = path.read_bytes()
    true, false = (50_000_000).to_bytes(4, "little"), (1000).to_bytes(4, "little")
    assert content.count(true) == 2
    path.write_bytes(content.replace(true, false))
    assert "manifest.json" in sentence(path)


def npz(image: bytes, depth: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("image.npy", image)
        archive.writestr("depth.npy", depth)
    return file.getvalue()


def npy(array: np.ndarray, shape: str | None = None) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=True)
    content = file.getvalue()
    return content.replace(b"(4, 4)", shape.encode()) if shape else content


@pytest.mark.parametrize(
    "content",
    [
        npz(npy(np.zeros((4, 4))), npy(np.zeros((4, 4)), "(4, 400000000000)")),
        npz(npy(np.zeros((4, 4)), "(9999999, 4)"), npy(np.zeros((4, 4)))),
        npz(npy(np.zeros((4, 4)), "(-4, -4)"), npy(np.zeros((4, 4)))),
        npz(npy(np.array([{"a": 1}], object)), npy(np.zeros((4, 4)))),
        npz(bytes(30_000_000), npy(np.zeros((4, 4)))),
        npz(b"\x93NUMPY\x01\x00\xff\xff", b""),
        b"",
        b"PK\x05\x06" + bytes(18),
    ],
    ids=["wide", "high", "negative", "pickle", "bomb", "header", "empty", "no entries"],
)
def test_check_samples_are_judged_by_their_headers(folder, content):
    (folder / "check.npz").write_bytes(content)
    assert "check.npz" in sentence(folder)


@pytest.mark.parametrize("name", ["manifest.json", "check.npz", "model.onnx"])
def test_devices_pipes_and_folders_are_no_files(folder, name):
    for make in (
        lambda path: path.symlink_to("/dev/zero"),
        os.mkfifo,
        os.mkdir,
    ):
        (folder / name).unlink()
        make(folder / name)
        assert name in sentence(folder)
        (folder / name).rmdir() if (folder / name).is_dir() else None
        (folder / name).touch()


DEEP, LONG = "[" * 200_000, "9" * 100_000


@pytest.mark.parametrize(
    "changes",
    [
        {"input_height": 100_000},
        {"depth_max": "1e400"},
        {"depth_max": LONG},
        {"mean": "[NaN, 0, 0]"},
        {"errors": DEEP},
        {"name": '"' + "x" * 100_000 + '/"'},
        {"input_width": "1" + "0" * 4000},
        {"format_version": "1" + "0" * 4000},
        {"std": '["a\\nb", 1, 2]'},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_impossible_manifests(folder, changes):
    content = json.loads((folder / "manifest.json").read_text())
    marks = {name: f"@{name}@" for name in changes}
    text = json.dumps(content | marks)
    for name, value in changes.items():
        text = text.replace(f'"@{name}@"', str(value))
    (folder / "manifest.json").write_text(text)
    sentence(folder)


def test_random_damage(folder, tmp_path):
    """Flipped bits and cuts anywhere: read as before, or one sentence."""
    rng = np.random.default_rng(0)
    whole = zipped(folder, tmp_path / "whole.zip").read_bytes()
    # Damage to the pixels of the model is caught by its checksum; most of it should hit other things.
    ends = np.r_[0 : min(len(whole), 3000), max(0, len(whole) - 3000) : len(whole)]
    path = tmp_path / "damaged.zip"
    refused = 0
    for trial in range(150):
        content = bytearray(whole)
        if trial % 5 == 0:
            del content[int(rng.integers(len(content))) :]
        for at in rng.choice(ends, 3):
            if at < len(content):
                content[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(content)
        try:
            read_all(path)
        except Clip2DepthError as error:
            refused += 1
            assert str(path) in str(error) and "\n" not in str(error)
    assert refused > 50


def test_a_full_disk_leaves_the_good_bundle(folder):
    code = """
import resource, signal, sys
from clip2depth_ros.bundle import Bundle
from clip2depth_ros.errors import Clip2DepthError
bundle = Bundle(sys.argv[1])
model, manifest, (image, depth) = bundle.model(), bundle.manifest, bundle.check()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (len(model) + 1000, resource.RLIM_INFINITY))
try:
    Bundle.write(sys.argv[1], model + bytes(2000), manifest, image, depth)
except Clip2DepthError as error:
    print(error)
"""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    ended = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True)
    assert "cannot be written: File too large; an older bundle there is unchanged." in ended.stdout, (
        ended.stderr
    )
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
