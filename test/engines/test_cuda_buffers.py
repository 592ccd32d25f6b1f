# SPDX-License-Identifier: Apache-2.0
"""FrameBuffers and LargeImage with torch's CPU as the device: what they queue, and the check."""

import contextlib
import types

import numpy as np
import pytest

from clip2depth_ros.camera import Letterbox
from clip2depth_ros.engines import cuda, device_fit

torch = pytest.importorskip("torch", reason="the buffers are torch's")

pytestmark = pytest.mark.torch


class Stream:
    cuda_stream = 7

    def __init__(self, device):
        self.fails = False

    def synchronize(self):
        if self.fails:
            raise RuntimeError("CUDA error: out of memory\nand more")


@pytest.fixture
def buffers(monkeypatch):
    """A frame's buffers for a network of 64x48; the `device` is memory of its own, on the CPU."""
    pinned = types.SimpleNamespace(
        uint8=torch.uint8,
        float32=torch.float32,
        from_numpy=torch.from_numpy,
        tensor=torch.tensor,
        einsum=torch.einsum,
        zeros=lambda *a, **k: torch.zeros(*a, **k).as_subclass(Pinned),
        device=lambda *_: torch.device("cpu"),
        cuda=types.SimpleNamespace(
            Stream=Stream,
            synchronize=lambda device: None,
            device=lambda device: contextlib.nullcontext(),
            stream=lambda stream: contextlib.nullcontext(),
        ),
    )
    monkeypatch.setattr(cuda, "import_torch", lambda: pinned)
    return cuda.FrameBuffers(0, 48, 64)


class Pinned(torch.Tensor):
    """A host tensor; `to` makes a copy, as it does from host to device."""

    def pin_memory(self):
        return self

    def to(self, device):
        return self.as_subclass(torch.Tensor).clone()


def noise(width, height):
    return np.random.default_rng(4).integers(0, 256, (height, width, 3), np.uint8)


def test_an_image_goes_up_and_depth_comes_down(buffers):
    np.copyto(buffers.image, noise(64, 48))
    buffers.upload()
    np.testing.assert_array_equal(buffers.device_image[0].numpy(), buffers.image)
    buffers.device_depth.fill_(3.5)
    assert not buffers.depth.any()
    buffers.download()
    assert (buffers.depth == 3.5).all()


@pytest.mark.parametrize("size", [(640, 480), (90, 200), (32, 24), (64, 48)])
def test_a_large_image_becomes_the_network_s_and_comes_back(buffers, size):
    letterbox = Letterbox(size, 64, 48)
    large = buffers.large_image(letterbox)
    expected = letterbox.fit(noise(*size), np.empty((48, 64, 3), np.uint8)).astype(int)
    np.copyto(large.image, noise(*size))
    buffers.device_image.fill_(200)  # of another image, its border included
    large.upload()
    assert np.abs(buffers.device_image[0].numpy() - expected).max() <= 1
    np.testing.assert_array_equal(buffers.image, buffers.device_image[0].numpy())


def test_a_gpu_that_resizes_wrongly_is_not_asked_to(buffers, monkeypatch, caplog):
    right = device_fit.taps

    def upside_down(size, wanted):
        index, weight = right(size, wanted)
        return index[::-1].copy(), weight

    monkeypatch.setattr(device_fit, "taps", upside_down)
    assert buffers.large_image(Letterbox((640, 480), 64, 48)) is None
    assert "Images are resized on the CPU: the GPU's are off by up to" in caplog.text


def test_a_gpu_that_fails_at_it_is_not_asked_to(buffers, caplog):
    buffers._stream.fails = True
    assert buffers.large_image(Letterbox((640, 480), 64, 48)) is None
    assert "the GPU fails at it (CUDA error: out of memory)" in caplog.text
