# SPDX-License-Identifier: Apache-2.0
"""The letterbox on a device gives the CPU's image; the device here is the CPU, by PyTorch."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clip2depth_ros.camera import Letterbox
from clip2depth_ros.engines.device_fit import DeviceFit, taps

torch = pytest.importorskip("torch", reason="the device's arrays are torch's")

pytestmark = pytest.mark.torch


def image_of(size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)


def fitted(letterbox, image):
    width, height = letterbox.net_size
    out = torch.zeros((height, width, 3), dtype=torch.uint8)
    DeviceFit(torch, letterbox, "cpu")(torch.from_numpy(image), out)
    return out.numpy()


SIZES = [(320, 240), (640, 480), (1280, 720), (1920, 1080), (1242, 375), (480, 640), (224, 160), (112, 80)]


@pytest.mark.parametrize("size", SIZES)
def test_it_gives_the_letterbox_s_image(size):
    letterbox = Letterbox(size, 224, 160)
    image = image_of(size)
    expected = letterbox.fit(image, np.empty((160, 224, 3), np.uint8))
    difference = np.abs(fitted(letterbox, image).astype(int) - expected)
    assert difference.max() <= 1
    # a grey level is rounding, not another place: noise shifted by a pixel is far off
    assert difference.mean() < 0.2


@given(st.tuples(st.integers(1, 90), st.integers(1, 90)), st.tuples(st.integers(1, 48), st.integers(1, 48)))
def test_any_size_into_any_input(size, net):
    letterbox = Letterbox(size, *net)
    image = image_of(size, 3)
    expected = letterbox.fit(image, np.empty((net[1], net[0], 3), np.uint8))
    assert np.abs(fitted(letterbox, image).astype(int) - expected).max() <= 1


@given(st.integers(1, 300), st.integers(1, 300))
def test_weights_are_shares_and_keep_the_middle(size, wanted):
    index, weight = taps(size, wanted)
    assert index.shape == weight.shape and len(index) == wanted
    assert index.min() >= 0 and index.max() < size
    assert (weight >= 0).all() and weight.sum(1) == pytest.approx(1, abs=1e-6)
    middle = ((index + 0.5) * weight).sum(1)
    inside = (middle > 1) & (middle < size - 1)
    expected = (np.arange(wanted) + 0.5) * size / wanted
    # a partly covered pixel counts as its middle
    assert middle[inside] == pytest.approx(expected[inside], abs=0.25)


def test_a_plain_image_stays_plain():
    letterbox = Letterbox((633, 457), 224, 160)
    image = np.full((457, 633, 3), (10, 200, 77), np.uint8)
    assert (letterbox.inner(fitted(letterbox, image)) == (10, 200, 77)).all()


def test_opencv_does_it_the_same_way_with_any_number_of_threads():
    before = cv2.getNumThreads()
    try:
        images = []
        for threads in (1, 2):
            cv2.setNumThreads(threads)
            out = np.empty((160, 224, 3), np.uint8)
            images.append(Letterbox((640, 480), 224, 160).fit(image_of((640, 480)), out))
        np.testing.assert_array_equal(*images)
    finally:
        cv2.setNumThreads(before)
