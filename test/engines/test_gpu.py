# SPDX-License-Identifier: Apache-2.0
"""The GPU engines on a real CUDA device; everything here skips, and says why, where there is none.

Without PyTorch the reference is the bundle's check sample alone.
"""

import threading

import numpy as np
import pytest

from benchmark.engine_table.device_times import device_times
from clip2depth_ros.camera import Letterbox
from clip2depth_ros.engines import open_engine, probe
from clip2depth_ros.engines.base import TOLERANCES, EngineUnavailable
from clip2depth_ros.engines.cache import list_cached
from clip2depth_ros.engines.tensorrt.builder import check_targets, import_tensorrt
from clip2depth_ros.engines.tensorrt.engine import TensorRtEngine, TensorRtRtxEngine

pytestmark = pytest.mark.gpu

KINDS = {"tensorrt": TensorRtEngine, "tensorrt_rtx": TensorRtRtxEngine}


@pytest.fixture(scope="module")
def gpu() -> probe.GpuFacts:
    facts = probe.gpu_facts()
    if isinstance(facts, str):
        pytest.skip(f"no CUDA device: {facts}")
    pytest.importorskip("cuda.bindings.driver", reason="NVIDIA's cuda-bindings is missing")
    return facts


@pytest.fixture(scope="module")
def torch(gpu):
    torch = pytest.importorskip("torch", reason="PyTorch is missing")
    pytest.importorskip("onnx2torch", reason="the pytorch engine's package onnx2torch is missing")
    if not torch.cuda.is_available():
        pytest.skip(f"PyTorch {torch.__version__} sees no CUDA device")


@pytest.fixture(scope="module", params=["tensorrt", "tensorrt_rtx"])
def tensorrt(request, gpu) -> str:
    """The name of the engine; skips where the library is missing or does not know this GPU."""
    try:
        trt = import_tensorrt(request.param)
        if request.param == "tensorrt_rtx":
            check_targets(trt, "fp32", [gpu.compute_capability])
    except EngineUnavailable as error:
        pytest.skip(f"{request.param}: {error}")
    return request.param


@pytest.fixture(scope="module", params=["mini", "vit_bundle"])
def bundle(request, gpu):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def reference(bundle, gpu):
    """Images and their depth: by PyTorch in fp32 on the same device, else the check sample's."""
    image, depth = bundle.check()
    try:
        engine = open_engine(bundle, "pytorch", device="cuda", precision="fp32")
    except EngineUnavailable:
        return image[None], depth[None]
    size = (bundle.manifest.input_height, bundle.manifest.input_width, 3)
    images = np.concatenate([image[None], np.random.default_rng(5).integers(0, 256, (4, *size), np.uint8)])
    with engine:
        return images, np.stack([engine.infer(image).copy() for image in images])


def compare(engine, reference, precision: str) -> None:
    images, expected = reference
    for image, depth in zip(images, expected, strict=True):
        error = np.abs(engine.infer(image) - depth) / depth
        assert np.percentile(error, 99) < TOLERANCES[precision]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_pytorch_on_cuda(torch, bundle, reference, precision):
    with open_engine(bundle, "pytorch", device="cuda", precision=precision) as engine:
        compare(engine, reference, precision)
        times = device_times(engine, 5)
        assert times.shape == (5,) and (times > 0).all()


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_tensorrt(tensorrt, bundle, reference, precision, gpu):
    version = probe.tensorrt_version(tensorrt)
    old = tensorrt == "tensorrt" and int(version.split(".")[0]) < 10
    if precision == "bf16" and (old or float(gpu.compute_capability) < 8):
        pytest.skip(f"no bf16 in {tensorrt} {version} on compute capability {gpu.compute_capability}")
    lines = []
    with open_engine(bundle, tensorrt, precision=precision, progress=lines.append) as engine:
        assert lines and engine.graph
        compare(engine, reference, precision)
        assert (device_times(engine, 5) > 0).all()
    lines.clear()
    with open_engine(bundle, tensorrt, precision=precision, progress=lines.append) as engine:
        assert lines == []  # from the cache
        compare(engine, reference, precision)


def test_tensorrt_without_a_graph_computes_the_same(tensorrt, bundle, reference, monkeypatch):
    from clip2depth_ros.engines.tensorrt import cuda

    def refuses(self, work):
        raise RuntimeError("not now")

    monkeypatch.setattr(cuda.FrameBuffers, "capture", refuses)
    with KINDS[tensorrt](bundle, precision="fp32") as engine:
        assert engine.graph is False
        compare(engine, reference, "fp32")


@pytest.mark.parametrize("name", ["pytorch", "tensorrt"])
def test_images_are_resized_on_the_gpu(request, gpu, bundle, name):
    name = request.getfixturevalue("tensorrt") if name == "tensorrt" else name
    if name == "pytorch":
        request.getfixturevalue("torch")
    manifest = bundle.manifest
    with open_engine(bundle, name, precision="fp32", device="cuda") as engine:
        for size in ((640, 480), (1920, 1080), (64, 48), (640, 480)):
            letterbox = Letterbox(size, manifest.input_width, manifest.input_height)
            engine.prepare(size)
            assert engine.prepared == size
            image = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8)
            expected = np.empty((manifest.input_height, manifest.input_width, 3), np.uint8)
            depth = engine.infer(image).copy()
            fitted = engine.network_input.copy()
            assert np.abs(letterbox.letterbox(image, expected).astype(int) - fitted).max() <= 1
            np.testing.assert_allclose(depth, engine.infer(fitted), rtol=1e-3)


def test_tensorrt_from_another_thread(tensorrt, bundle, reference):
    with open_engine(bundle, tensorrt) as engine:
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
    KINDS[tensorrt](bundle, precision="fp16").close()
    for entry in list_cached():
        content = bytearray(entry.path.read_bytes())
        content[len(content) // 2] ^= 0x40
        entry.path.write_bytes(content)
    with open_engine(bundle, tensorrt, precision="fp16") as engine:
        assert engine.cached is None
        compare(engine, reference, "fp16")


def test_auto_takes_tensorrt(tensorrt, bundle):
    with open_engine(bundle) as engine:
        assert engine.name in ("tensorrt", "tensorrt_rtx"), engine.attempts


def test_memory_is_given_back(tensorrt, bundle):
    """Ten openings from the cache leave what two left."""
    from clip2depth_ros.engines.tensorrt import cuda

    used = []
    for _ in range(10):
        open_engine(bundle, tensorrt, precision="fp32").close()
        used.append(cuda.memory_in_use())
    assert used[-1] - used[1] < 64 << 20, used
