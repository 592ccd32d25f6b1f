# SPDX-License-Identifier: Apache-2.0
"""FrameBuffers and LargeImage on a stand-in for CUDA's driver, and their calls put to the real bindings."""

import gc

import numpy as np
import pytest

from clip2depth_ros.camera import Letterbox
from clip2depth_ros.engines.base import EngineUnavailable
from clip2depth_ros.engines.tensorrt import cuda, device_letterbox


@pytest.fixture
def driver(stand_in, monkeypatch):
    driver = stand_in._fake_driver().FakeDriver()
    monkeypatch.setattr(cuda, "import_driver", lambda: driver)
    return driver


@pytest.fixture
def buffers(driver):
    """A frame's buffers for a network of 64x48."""
    return cuda.FrameBuffers(0, 48, 64)


def noise(width, height):
    return np.random.default_rng(4).integers(0, 256, (height, width, 3), np.uint8)


def run(buffers, *queued):
    with buffers.on_device():
        for work in queued:
            work()
    buffers.wait()


def test_an_image_goes_up_and_depth_comes_down(buffers):
    """Neither before it is waited for."""
    assert not buffers.image.any() and not buffers.depth.any()
    depth = np.full((48, 64), 3.5, np.float32)
    run(buffers, lambda: buffers.to_device(buffers.device_depth, depth))
    np.copyto(buffers.image, noise(64, 48))
    with buffers.on_device():
        buffers.upload()
        buffers.download()
    assert not buffers.depth.any()
    buffers.wait()
    assert (buffers.depth == 3.5).all()
    buffers.image[:] = 0
    run(buffers, buffers.return_image)
    np.testing.assert_array_equal(buffers.image, noise(64, 48))


@pytest.mark.parametrize("size", [(640, 480), (90, 200), (32, 24), (64, 48)])
def test_a_large_image_becomes_the_network_s_and_comes_back(buffers, size):
    letterbox = Letterbox(size, 64, 48, border=(1, 200, 77))
    large = buffers.large_image(letterbox)
    expected = letterbox.letterbox(noise(*size), np.empty((48, 64, 3), np.uint8)).astype(int)
    np.copyto(large.image, noise(*size))
    buffers.image[:] = 200
    run(buffers, buffers.upload, large.upload)  # over another image, its border included
    assert np.abs(buffers.image - expected).max() <= 1


def test_a_gpu_that_resizes_wrongly_is_not_asked_to(buffers, monkeypatch, caplog):
    right = device_letterbox.taps

    def upside_down(size, wanted):
        index, weight = right(size, wanted)
        return index[::-1].copy(), weight

    monkeypatch.setattr(device_letterbox, "taps", upside_down)
    assert buffers.large_image(Letterbox((640, 480), 64, 48)) is None
    assert "Images are resized on the CPU because the GPU is off by up to" in caplog.text


@pytest.mark.parametrize(
    "function", ["cuMemAlloc", "cuModuleLoadData", "cuLaunchKernel", "cuStreamSynchronize"]
)
def test_a_gpu_that_fails_at_it_is_not_asked_to(buffers, driver, caplog, function):
    driver.fail[function] = 2
    assert buffers.large_image(Letterbox((640, 480), 64, 48)) is None
    assert f"resizing on the GPU failed ({function}: out of memory)" in caplog.text


@pytest.mark.parametrize(
    "function", ["cuInit", "cuDevicePrimaryCtxRetain", "cuMemHostAlloc", "cuStreamCreate"]
)
def test_what_the_gpu_does_not_give_is_said_and_the_rest_given_back(driver, function):
    driver.fail[function] = 2
    with pytest.raises(EngineUnavailable, match=rf"no memory or stream \({function}: out of memory\)"):
        cuda.FrameBuffers(0, 48, 64)
    gc.collect()
    assert driver.held == {} and driver.contexts == 0


def test_an_error_without_a_text_is_a_number(driver):
    driver.fail["cuInit"] = 12345
    with pytest.raises(EngineUnavailable, match="cuInit: error 12345"):
        cuda.FrameBuffers(0, 48, 64)


def test_an_array_that_was_kept_outlives_its_buffers(driver, buffers):
    """A caller's depth of the last frame must not become somebody else's memory."""
    depth = buffers.depth[3:]
    depth[:] = 1.25
    buffers.close()
    del buffers
    gc.collect()
    assert len(driver.held) == 1 and driver.contexts == 1
    assert (depth == 1.25).all()


def test_a_capture_that_fails_leaves_the_stream_usable(driver, buffers):
    def work():
        buffers.upload()
        raise cuda.CudaError("not now")

    with pytest.raises(cuda.CudaError, match="not now"):
        buffers.capture(work)
    assert buffers.device.driver.pushed == []
    np.copyto(buffers.image, noise(64, 48))
    run(buffers, buffers.upload, buffers.return_image)


def test_a_graph_repeats_what_was_recorded(buffers):
    replay = buffers.capture(lambda: (buffers.upload(), buffers.return_image()))
    np.copyto(buffers.image, noise(64, 48))
    run(buffers, replay)
    assert buffers.times(replay, 3).shape == (3,)


def test_without_the_bindings_it_is_said(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cuda.bindings.driver", None)
    with pytest.raises(EngineUnavailable, match=r"needs NVIDIA's cuda-bindings .*pip install cuda-bindings"):
        cuda.FrameBuffers(0, 48, 64)


def test_the_real_bindings_take_every_call(driver, buffers):
    """They have each name and take these arguments: they get as far as asking for a driver."""
    real = pytest.importorskip("cuda.bindings.driver", reason="NVIDIA's cuda-bindings is not installed")
    from clip2depth_ros.engines import probe

    if not isinstance(probe.gpu_facts(), str):
        pytest.skip("with a GPU these calls would be carried out; the gpu tests do that")
    large = buffers.large_image(Letterbox((640, 480), 64, 48))
    run(buffers, buffers.capture(large.upload))
    buffers.times(buffers.upload, 1)
    assert int(real.CUstream_flags.CU_STREAM_NON_BLOCKING) == driver.CUstream_flags.CU_STREAM_NON_BLOCKING
    mode = real.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
    assert cuda.memory_in_use() == 5 << 30
    del large, buffers
    gc.collect()
    seen = {}
    for name, *arguments in driver.calls:
        seen.setdefault(name, arguments)
    assert len(seen) >= 25
    assert "cuGetErrorString" not in seen
    seen["cuGetErrorString"] = [real.CUresult.CUDA_ERROR_OUT_OF_MEMORY]
    for name, arguments in seen.items():
        if name == "cuStreamBeginCapture":
            arguments = [arguments[0], mode]
        with pytest.raises(RuntimeError, match=r"driver|cuda"):
            getattr(real, name)(*arguments)
    assert int(real.CUresult.CUDA_SUCCESS) == 0


def test_pytorch_reads_the_device_s_arrays_where_they_lie(buffers):
    interface = buffers.device_depth.__cuda_array_interface__
    assert interface["shape"] == (1, 48, 64) and interface["typestr"] == "<f4"
    assert interface["data"] == (buffers.depth_address, False) and interface["version"] == 3
