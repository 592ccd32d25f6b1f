# SPDX-License-Identifier: Apache-2.0
"""The two GPU engines on a real CUDA device; everything here skips, and says why, where there is none."""

import threading

import numpy as np
import pytest

from clip2depth_ros.camera import Letterbox
from clip2depth_ros.engines import open_engine, survey
from clip2depth_ros.engines.base import TOLERANCES, EngineUnavailable
from clip2depth_ros.engines.cache import list_cached
from clip2depth_ros.engines.tensorrt import TensorRtEngine

pytestmark = [pytest.mark.gpu, pytest.mark.torch]


@pytest.fixture(scope="module")
def gpu() -> survey.GpuFacts:
    facts = survey.gpu_facts()
    if isinstance(facts, str):
        pytest.skip(f"no CUDA device: {facts}")
    torch = pytest.importorskip("torch", reason="the GPU engines keep their memory in torch tensors")
    pytest.importorskip("onnx2torch", reason="the GPU engines' package onnx2torch is missing")
    if not torch.cuda.is_available():
        pytest.skip(f"PyTorch {torch.__version__} sees no CUDA device")
    return facts


@pytest.fixture(scope="module")
def tensorrt(gpu) -> str:
    try:
        return survey.tensorrt_version()
    except EngineUnavailable as error:
        pytest.skip(f"TensorRT: {error}")


@pytest.fixture(scope="module", params=["mini", "vit_bundle"])
def bundle(request, gpu):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def reference(bundle):
    """Single precision PyTorch on the same device, and images to compare on."""
    size = (bundle.manifest.input_height, bundle.manifest.input_width, 3)
    images = np.random.default_rng(5).integers(0, 256, (4, *size), np.uint8)
    with open_engine(bundle, "pytorch", device="cuda", precision="fp32") as engine:
        return images, np.stack([engine.infer(image).copy() for image in images])


def compare(engine, reference, precision: str) -> None:
    images, expected = reference
    for image, depth in zip(images, expected, strict=True):
        error = np.abs(engine.infer(image) - depth) / depth
        assert np.percentile(error, 99) < TOLERANCES[precision]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_pytorch_on_cuda(bundle, reference, precision):
    with open_engine(bundle, "pytorch", device="cuda", precision=precision) as engine:
        compare(engine, reference, precision)
        times = engine.device_times(5)
        assert times.shape == (5,) and (times > 0).all()


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_tensorrt(tensorrt, bundle, reference, precision, gpu):
    if precision == "bf16" and (int(tensorrt.split(".")[0]) < 10 or float(gpu.compute_capability) < 8):
        pytest.skip(f"no bf16 in TensorRT {tensorrt} on compute capability {gpu.compute_capability}")
    lines = []
    with open_engine(bundle, "tensorrt", precision=precision, progress=lines.append) as engine:
        assert lines and engine.graph
        compare(engine, reference, precision)
        assert (engine.device_times(5) > 0).all()
    lines.clear()
    with open_engine(bundle, "tensorrt", precision=precision, progress=lines.append) as engine:
        assert lines == []  # from the cache
        compare(engine, reference, precision)


def test_tensorrt_without_a_graph_computes_the_same(tensorrt, bundle, reference, monkeypatch):
    from clip2depth_ros.engines import cuda

    def refuses(self, work):
        raise RuntimeError("not now")

    monkeypatch.setattr(cuda.FrameBuffers, "capture", refuses)
    with TensorRtEngine(bundle, precision="fp32") as engine:
        assert engine.graph is False
        compare(engine, reference, "fp32")


@pytest.mark.parametrize("name", ["pytorch", "tensorrt"])
def test_images_are_resized_on_the_gpu(request, gpu, bundle, name):
    if name == "tensorrt":
        request.getfixturevalue("tensorrt")
    manifest = bundle.manifest
    with open_engine(bundle, name, precision="fp32", device="cuda") as engine:
        for size in ((640, 480), (1920, 1080), (64, 48), (640, 480)):
            letterbox = Letterbox(size, manifest.input_width, manifest.input_height)
            assert engine.fits(letterbox)
            image = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8)
            fitted, expected = np.empty((2, manifest.input_height, manifest.input_width, 3), np.uint8)
            depth = engine.infer_image(image, fitted).copy()
            assert np.abs(letterbox.fit(image, expected).astype(int) - fitted).max() <= 1
            np.testing.assert_allclose(depth, engine.infer(fitted), rtol=1e-3)


def test_tensorrt_from_another_thread(tensorrt, bundle, reference):
    with open_engine(bundle, "tensorrt") as engine:
        failures = []

        def run():
            try:
                compare(engine, reference, engine.precision)
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    assert failures == []


def test_flipped_bytes_on_disk_never_run(tensorrt, bundle, reference):
    TensorRtEngine(bundle, precision="fp16").close()
    for entry in list_cached():
        content = bytearray(entry.path.read_bytes())
        content[len(content) // 2] ^= 0x40
        entry.path.write_bytes(content)
    with open_engine(bundle, "tensorrt", precision="fp16") as engine:
        compare(engine, reference, "fp16")


def test_auto_takes_tensorrt(tensorrt, bundle):
    with open_engine(bundle) as engine:
        assert engine.name == "tensorrt", engine.choice
