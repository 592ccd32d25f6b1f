# SPDX-License-Identifier: Apache-2.0
"""The accounting of the soak test: images that are lost, published twice or invented are found."""

import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmark"))

from soaking import camera, hour, watcher  # noqa: E402


def account(published: range, sent: int = 100, dropped: int = 0, killed_at: tuple[int, ...] = (), **changes):
    """The counts of a camera that sent images 0, 1, ... and of a node that published some of them."""
    images = np.zeros(sent, camera.RECORD)
    images["stamp"] = images["sent"] = np.arange(sent) * 33_000_000
    images["good"] = True
    seen = np.zeros(2 * len(published), watcher.RECORD)
    seen["kind"] = np.tile([watcher.DEPTH, watcher.QUALITY], len(published))
    seen["stamp"] = np.repeat(np.array(published) * 33_000_000, 2)
    seen["processed"] = np.repeat(np.arange(len(published)) + 1, 2)
    seen["dropped"] = dropped
    for name, value in changes.items():
        seen[name][10] = value
    found = hour.Hour()
    hour._count(found, images, seen, list(killed_at))
    return found


def test_a_run_without_losses_has_no_fault():
    found = account(range(100))
    assert (found.sent, found.processed, found.unexplained, found.faults) == (100, 100, 0, [])


def test_overtaken_images_are_explained_and_lost_ones_are_not():
    assert account(range(10, 100), dropped=10).unexplained == 0
    assert account(range(10, 100), dropped=7).unexplained == 3


def test_one_image_may_be_lost_with_a_killed_camera():
    assert account(range(1, 100), killed_at=(1_000_000,)).unexplained == 0
    assert account(range(2, 100), killed_at=(1_000_000,)).unexplained == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stamp": 5}, "a stamp that no image had"),
        ({"stamp": 0}, "have no counterpart"),
        ({"wrong": 3}, "hold wrong values"),
    ],
)
def test_wrong_depth_is_a_fault(change, words):
    assert any(words in fault for fault in account(range(100), **change).faults)


def test_the_plan_is_reproducible_and_contains_every_behavior():
    plans = [camera.plan(0, phase) for phase in range(240)]
    assert plans == [camera.plan(0, phase) for phase in range(240)]
    assert {p[0] for p in plans} == set(camera.BEHAVIORS) and {p[2] for p in plans} == set(camera.ENCODINGS)


@pytest.mark.parametrize("encoding", camera.ENCODINGS)
def test_the_cameras_images_are_decoded(encoding):
    pytest.importorskip("rclpy")
    from sensor_msgs.msg import Image

    from clip2depth_ros.io.messages.images import ImageCodec

    rgb = np.full((48, 64, 3), (200, 120, 40), np.uint8)
    rows = camera.encoded(rgb, encoding)
    message = Image(width=64, height=48, encoding=encoding, step=rows.shape[1], data=rows.reshape(-1))
    image = ImageCodec().decode(message)
    expected = np.full(3, 138) if encoding == "mono8" else rgb[24, 32]
    assert np.abs(image[24, 32].astype(int) - expected).max() <= 4
