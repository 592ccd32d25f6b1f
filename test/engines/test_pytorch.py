# SPDX-License-Identifier: Apache-2.0
"""The PyTorch engine on the CPU, against OpenVINO and against the exported networks' own depth."""

import sys

import numpy as np
import pytest

from benchmark.engine_table.device_times import device_times
from clip2depth_ros.engines import open_engine
from clip2depth_ros.engines.base import EngineUnavailable
from clip2depth_ros.engines.pytorch import PyTorchEngine
from clip2depth_ros.errors import Clip2DepthError

pytest.importorskip("torch", reason="the engine is PyTorch's")
pytest.importorskip("onnx2torch", reason="the engine reads bundles with onnx2torch")

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Two that wait for each other on a busy machine take many times as long."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def engine(convolved_bundle):
    with open_engine(convolved_bundle, "pytorch", device="cpu") as engine:
        yield engine


def random_image(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (48, 64, 3), np.uint8)


@pytest.mark.parametrize("name", ["tiny_bundle", "mini", "vit_bundle"])
def test_it_agrees_with_openvino(request, name):
    bundle = request.getfixturevalue(name)
    height, width = bundle.manifest.input_height, bundle.manifest.input_width
    with open_engine(bundle, "pytorch", device="cpu") as ours, open_engine(bundle, "openvino") as other:
        assert ours.difference < 2e-5
        for seed in range(2):
            image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
            np.testing.assert_allclose(ours.infer(image), other.infer(image), rtol=2e-4)


def test_it_sees_a_buffer_that_was_refilled(engine, tiny_depth):
    buffer = random_image(1)
    first = engine.infer(buffer)
    buffer[:] = random_image(2)
    again = engine.infer(buffer)
    np.testing.assert_allclose(again, tiny_depth(random_image(2)), rtol=1e-4)
    assert np.shares_memory(first, again)


def test_it_says_what_it_is(engine, convolved_bundle):
    assert (engine.name, engine.precision) == ("pytorch", "fp32")
    assert engine.device.startswith("CPU, ")
    assert engine.manifest == convolved_bundle.manifest
    assert str(engine.attempts[-1]).startswith("pytorch on the CPU fp32: chosen")
    assert device_times(engine, 3).size == 0


def test_bf16_is_near_and_really_half(mini):
    with open_engine(mini, "pytorch", device="cpu", precision="bf16") as engine:
        assert engine.precision == "bf16"
        assert 1e-4 < engine.difference < 0.02
        assert engine.infer(mini.check()[0]).dtype == np.float32


def test_without_a_gpu_it_falls_back_on_the_cpu(convolved_bundle, no_gpu):
    with open_engine(convolved_bundle, "pytorch") as engine:
        assert str(engine.attempts[0]) == "pytorch on CUDA: no CUDA device (the test has none)"
        assert engine.device.startswith("CPU, ")


def test_fp16_is_for_gpus(convolved_bundle, no_gpu):
    with pytest.raises(EngineUnavailable, match="computes in fp32 or bf16 on the CPU"):
        open_engine(convolved_bundle, "pytorch", precision="fp16")


def test_auto_comes_to_it_where_openvino_is_missing(convolved_bundle, no_gpu, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with open_engine(convolved_bundle) as engine:
        assert engine.name == "pytorch"
        assert str(engine.attempts[3]) == "openvino: not installed (pip install openvino)"


def test_without_its_packages_it_is_unavailable(convolved_bundle, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx2torch", None)
    with pytest.raises(EngineUnavailable, match=r"not installed \(import of onnx2torch halted"):
        PyTorchEngine(convolved_bundle, device="cpu")


def test_an_operator_that_onnx2torch_lacks(convolved_bundle, monkeypatch):
    import onnx2torch

    def lacks(graph):
        raise NotImplementedError("Converter is not implemented (Strange, 17)")

    monkeypatch.setattr(onnx2torch, "convert", lacks)
    with pytest.raises(EngineUnavailable, match=r"cannot read the network \(Converter is not implemented"):
        PyTorchEngine(convolved_bundle, device="cpu")


def test_threads(convolved_bundle):
    import torch

    for threads in (2, 1):
        with PyTorchEngine(convolved_bundle, device="cpu", threads=threads) as engine:
            assert torch.get_num_threads() == threads
            assert engine.device.startswith(f"CPU, {threads} threads")
    with pytest.raises(Clip2DepthError, match="threads must be 0"):
        PyTorchEngine(convolved_bundle, device="cpu", threads=-1)


def test_other_images_are_refused(engine):
    with pytest.raises(Clip2DepthError, match="takes contiguous uint8 images of shape"):
        engine.infer(np.zeros((64, 48, 3), np.uint8))


def test_a_closed_engine_is_an_error(convolved_bundle):
    engine = PyTorchEngine(convolved_bundle, device="cpu")
    engine.close()
    engine.close()
    for use in (lambda: engine.infer(random_image(0)), lambda: engine.prepare((640, 480))):
        with pytest.raises(Clip2DepthError, match="The pytorch engine was closed"):
            use()


def test_an_engine_that_computes_wrongly_is_refused(make_bundle):
    from clip2depth_ros.bundle import Bundle

    bundle = make_bundle(name="wrong")
    image, expected = bundle.check()
    wrong = Bundle.write(bundle.path, bundle.model(), bundle.manifest, image, expected / 1.25)
    with pytest.raises(EngineUnavailable, match=r"differs by 25\.00%"):
        open_engine(wrong, "pytorch", device="cpu")
