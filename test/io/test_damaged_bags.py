# SPDX-License-Identifier: Apache-2.0
"""Bags that lost their end, or any of their bytes: read as far as they go, or one sentence."""

import logging
import shutil

import numpy as np
import pytest

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.io import bag_file, open_source

from .test_bag import bag, image_message, picture, write_bag  # noqa: F401 - a fixture

rosbag2 = pytest.importorskip("rosbags.rosbag2")
MCAP, SQLITE = rosbag2.StoragePlugin.MCAP, rosbag2.StoragePlugin.SQLITE3


def long_bag(path, storage):
    """Forty images of some size, so that a cut leaves some of them."""
    rng = np.random.default_rng(0)
    stamps = [10**9 + i * 10**8 for i in range(40)]
    images = [image_message(t, rng.integers(0, 255, (240, 320, 3), np.uint8), "rgb8") for t in stamps]
    write_bag(path, {"/camera/image_raw": list(zip(stamps, images, strict=True))}, storage)
    return next(p for p in path.iterdir() if p.suffix in (".mcap", ".db3"))


def cut(file, part: float) -> None:
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * part)])


def read(path) -> int:
    with open_source(path, horizontal_fov=1.0) as source:
        return sum(1 for _ in source)


@pytest.mark.parametrize("form", ["folder", "without metadata", "file"])
def test_an_mcap_is_read_up_to_its_cut(tmp_path, caplog, form):
    file = long_bag(tmp_path / "bag", MCAP)
    assert read(tmp_path / "bag") == 40
    cut(file, 0.5)
    if form != "folder":
        # What a recorder that loses power leaves: metadata.yaml is written last.
        (tmp_path / "bag" / "metadata.yaml").unlink()
    with caplog.at_level(logging.WARNING):
        frames = read(file if form == "file" else tmp_path / "bag")
    assert 12 <= frames <= 20
    assert "was cut off; it is read up to byte" in caplog.text and str(file) in caplog.text


def test_a_sqlite_bag_is_read_up_to_its_cut(tmp_path, caplog):
    file = long_bag(tmp_path / "bag", SQLITE)
    cut(file, 0.6)
    with caplog.at_level(logging.WARNING):
        try:
            frames = read(tmp_path / "bag")
        except Clip2DepthError as error:
            # SQLite's tables of contents may lie behind the cut.
            assert str(tmp_path / "bag") in str(error) and "\n" not in str(error)
        else:
            assert 0 < frames < 40 and "is damaged after" in caplog.text


def test_damage_anywhere_is_a_sentence(bag, tmp_path):  # noqa: F811
    rng = np.random.default_rng(0)
    file = next(p for p in bag.iterdir() if p.suffix in (".mcap", ".db3"))
    whole, metadata = file.read_bytes(), (bag / "metadata.yaml").read_bytes()
    refused = 0
    for trial in range(60):
        folder = tmp_path / f"bag{trial}"
        shutil.copytree(bag, folder)
        target, content = (
            (folder / file.name, bytearray(whole))
            if trial % 3
            else (folder / "metadata.yaml", bytearray(metadata))
        )
        if trial % 4 == 0:
            del content[int(rng.integers(len(content))) :]
        for at in rng.integers(0, max(1, len(content)), 8):
            if at < len(content):
                content[at] ^= 1 << int(rng.integers(8))
        target.write_bytes(content)
        try:
            read(folder)
        except Clip2DepthError as error:
            refused += 1
            assert "\n" not in str(error) and len(str(error)) < 600
            assert str(folder) in str(error)
        shutil.rmtree(folder)
    assert refused > 5


@pytest.mark.parametrize(
    "metadata",
    [
        "",
        "[1, 2]",
        "rosbag2_bagfile_information: 5",
        "rosbag2_bagfile_information: {version: abc}",
        "{" * 5000,
        "a: &a [*a]\n",
        "a: " + "9" * 10_000,
        "a: 2001-99-99",
        "a: b: c:\n  d",
        "\x00",
    ],
    ids=range(10),
)
def test_metadata_that_is_none(bag, tmp_path, metadata):  # noqa: F811
    folder = tmp_path / "bag"
    shutil.copytree(bag, folder)
    (folder / "metadata.yaml").write_text(metadata)
    with pytest.raises(Clip2DepthError) as caught:
        read(folder)
    assert str(folder) in str(caught.value) and "\n" not in str(caught.value)


def test_a_damaged_image_costs_its_own_frame(tmp_path):
    stamps = [10**9 + i * 10**8 for i in range(5)]
    messages = [(t, image_message(t, picture(i), "rgb8")) for i, t in enumerate(stamps)]
    messages[2][1].step = 7
    messages[3][1].encoding = "\x1b[2Jrgb"
    write_bag(tmp_path / "bag", {"/camera/image_raw": messages}, MCAP)
    with open_source(tmp_path / "bag", horizontal_fov=1.0) as source:
        assert len(list(source)) == 3 and source.bad_images == 2


@pytest.mark.parametrize(
    ("storage", "mode"),
    [
        (SQLITE, rosbag2.CompressionMode.MESSAGE),
        (MCAP, rosbag2.CompressionMode.MESSAGE),
        (MCAP, rosbag2.CompressionMode.STORAGE),
    ],
)
def test_what_is_compressed_unpacks_to_no_more_than_a_limit(tmp_path, monkeypatch, storage, mode):
    def messages(height: int) -> dict:
        image = image_message(10**9, np.zeros((height, 1000, 3), np.uint8), "rgb8")
        return {"/camera/image_raw": [(10**9, image)]}

    write_bag(tmp_path / "small", messages(300), storage, mode)
    write_bag(tmp_path / "large", messages(400), storage, mode)
    monkeypatch.setattr(bag_file, "_UNPACKED_LIMIT", 10**6)
    assert read(tmp_path / "small") == 1
    with pytest.raises(Clip2DepthError, match=r"large cannot be read: .* 1000000"):
        read(tmp_path / "large")


def test_a_bag_compressed_as_a_whole_unpacks_to_no_more_than_its_size_allows(tmp_path, monkeypatch):
    def messages(image: np.ndarray) -> dict:
        return {"/camera/image_raw": [(10**9, image_message(10**9, image, "rgb8"))]}

    whole = rosbag2.CompressionMode.FILE
    real = np.random.default_rng(0).integers(0, 255, (400, 1000, 3), np.uint8)
    write_bag(tmp_path / "real", messages(real), SQLITE, whole)
    write_bag(tmp_path / "bomb", messages(np.zeros((4000, 1000, 3), np.uint8)), SQLITE, whole)
    monkeypatch.setattr(bag_file, "_UNPACKED_LIMIT", 10**6)
    monkeypatch.setattr(bag_file.tempfile, "tempdir", str(tmp_path))
    assert read(tmp_path / "real") == 1
    with pytest.raises(Clip2DepthError, match=r"bomb cannot be read: .* unpacks to more than"):
        read(tmp_path / "bomb")
    assert {p.name for p in tmp_path.iterdir()} == {"real", "bomb"}  # nothing half unpacked stays
    monkeypatch.setattr(bag_file.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, 10**5))
    with pytest.raises(Clip2DepthError, match=r"real cannot be read: .* more than 100000 bytes"):
        read(tmp_path / "real")
