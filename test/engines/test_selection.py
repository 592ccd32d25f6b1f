# SPDX-License-Identifier: Apache-2.0
"""Which engine is chosen, and what is recorded about it."""

import logging
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from clip2depth_ros.engines import ENGINE_NAMES, Outcome, open_engine, openvino, probe, selection
from clip2depth_ros.engines.base import EngineUnavailable
from clip2depth_ros.engines.tensorrt import cuda
from clip2depth_ros.errors import Clip2DepthError


def test_without_a_gpu_it_is_openvino_and_says_why(tiny_bundle, no_gpu, caplog):
    with caplog.at_level(logging.INFO), open_engine(tiny_bundle) as engine:
        assert (engine.name, engine.precision) == ("openvino", "fp32")
        assert engine.difference < 1e-5
    assert tuple(map(str, engine.attempts[:3])) == (
        "tensorrt: no CUDA device (the test has none)",
        "tensorrt_rtx: no CUDA device (the test has none)",
        "pytorch on CUDA: no CUDA device (the test has none)",
    )
    assert str(engine.attempts[3]).startswith("openvino fp32: chosen, 0.00% off on the check sample, on ")
    assert len(engine.attempts) == 4
    lines = [record.message for record in caplog.records if record.name == selection.__name__]
    assert lines == [str(attempt) for attempt in engine.attempts]


def test_bf16_where_the_processor_has_it_and_it_is_right(convolved_bundle, no_gpu, monkeypatch):
    monkeypatch.setattr(openvino, "computes_bf16", lambda: True)
    with open_engine(convolved_bundle, "openvino") as engine:
        assert (engine.precision, len(engine.attempts)) == ("bf16", 1)
        assert engine.difference < 0.02
    with open_engine(convolved_bundle, "openvino", precision="fp32") as engine:
        assert engine.precision == "fp32"
    check = selection.self_check

    def rougher(engine, bundle):
        return check(engine, bundle) + 0.02 * (engine.precision == "bf16")

    monkeypatch.setattr(selection, "self_check", rougher)
    with open_engine(convolved_bundle, "openvino") as engine:
        assert engine.precision == "fp32" and engine.attempts[0].outcome is Outcome.INACCURATE
    with open_engine(convolved_bundle, "openvino", precision="bf16") as engine:
        assert engine.precision == "bf16"


def test_int8_where_there_is_no_bf16_and_the_bundle_holds_it(make_bundle, no_gpu, monkeypatch, tiny_depth):
    monkeypatch.setattr(openvino, "computes_int8", lambda: True)
    bundle = make_bundle(int8=1.0)
    with open_engine(bundle) as engine:
        assert (engine.name, engine.precision) == ("openvino", "int8")
        assert str(engine.attempts[3]).startswith("openvino int8: chosen, ") and str(
            engine.attempts[3]
        ).endswith("; the processor does not compute bf16, and the bundle contains an int8 model")
        assert not any(attempt.is_warning for attempt in engine.attempts)
        image, _ = bundle.check()
        np.testing.assert_allclose(engine.infer(image), tiny_depth(image), rtol=0.02)
        kernels = {
            op.get_rt_info()["runtimePrecision"] for op in engine._compiled.get_runtime_model().get_ops()
        }
        assert kernels & {"u8", "i8"}
    monkeypatch.setattr(openvino, "computes_bf16", lambda: True)
    with open_engine(bundle) as engine:
        assert engine.precision == "bf16"
    with open_engine(bundle, precision="int8") as engine:
        assert (engine.name, engine.precision) == ("openvino", "int8")
    monkeypatch.setattr(openvino, "computes_int8", lambda: False)
    monkeypatch.setattr(openvino, "computes_bf16", lambda: False)
    with open_engine(bundle) as engine:
        assert engine.precision == "fp32"


def test_int8_that_computes_wrongly_gives_way_to_fp32(make_bundle, no_gpu, monkeypatch, caplog):
    """Held to the bundle's own tolerance, 2 %, not to another precision's."""
    monkeypatch.setattr(openvino, "computes_int8", lambda: True)
    with open_engine(make_bundle(int8=1.1), "openvino") as engine:
        assert engine.precision == "fp32"
    rejected, chosen = engine.attempts
    refused = str(rejected)
    assert refused.startswith("openvino int8: ") and "(99th percentile, allowed 2.00%)" in refused
    assert rejected.outcome is Outcome.REJECTED and refused in caplog.text
    assert str(chosen).endswith("; the processor does not compute bf16, and int8 was rejected")
    with pytest.raises(EngineUnavailable, match=r"allowed 2\.00%"):
        open_engine(make_bundle(int8=1.1), precision="int8")


def test_a_damaged_int8_model_is_a_broken_bundle(make_bundle, no_gpu, monkeypatch):
    monkeypatch.setattr(openvino, "computes_int8", lambda: True)
    bundle = make_bundle(int8=1.0, name="broken8")
    (bundle.path / "model_int8.onnx").write_bytes(b"another")
    with pytest.raises(Clip2DepthError, match=r"model_int8\.onnx is damaged or was replaced") as error:
        open_engine(bundle)
    assert not isinstance(error.value, EngineUnavailable)


def test_int8_and_plain_do_not_share_a_compiled_model(make_bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    bundle = make_bundle(int8=1.0)
    for precision in ("fp32", "int8", "fp32", "int8"):
        with open_engine(bundle, "openvino", precision=precision) as engine:
            first = engine.cached is None
    assert not first and len(list((tmp_path / "clip2depth" / "openvino").iterdir())) == 2


def test_int8_of_a_bundle_that_has_none(tiny_bundle, no_gpu):
    with pytest.raises(EngineUnavailable, match="openvino int8: the bundle contains no int8 model; ") as e:
        open_engine(tiny_bundle, precision="int8")
    assert "tensorrt: has no int8" in str(e.value)
    for engine in ("opencv", "pytorch"):
        with pytest.raises(EngineUnavailable, match="computes in fp"):
            open_engine(tiny_bundle, engine, precision="int8", device="cpu")


def test_with_a_gpu_and_without_tensorrt(tiny_bundle, fake_tensorrt, monkeypatch):
    fake_tensorrt()
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with open_engine(tiny_bundle) as engine:
        assert str(engine.attempts[0]).startswith("tensorrt: not installed (import of tensorrt halted")
        assert [str(attempt).split(":")[0] for attempt in engine.attempts[1:]] == [
            "tensorrt_rtx",
            "pytorch on CUDA fp16",
            "pytorch on CUDA fp32",
            "openvino fp32",
        ]


def test_refusals_are_warnings(convolved_bundle, fake_tensorrt, caplog):
    pytest.importorskip("onnx")
    fake_tensorrt("10.3.0", "garbage_fp16")
    with caplog.at_level(logging.INFO), open_engine(convolved_bundle) as engine:
        assert engine.precision == "fp32"
    levels = [record.levelname for record in caplog.records if record.name == selection.__name__]
    assert levels == ["WARNING", "INFO"]


def test_what_nobody_foresaw_in_one_engine_leaves_the_next(tiny_bundle, no_gpu, monkeypatch):
    """An interface that some version of a library no longer has, for example."""

    def broken(bundle, options):
        raise TypeError("compile_model() got an unexpected argument")

    pytest.importorskip("onnx2torch")
    monkeypatch.setattr(openvino, "OPENVINO", replace(openvino.OPENVINO, open=broken))
    with open_engine(tiny_bundle) as engine:
        assert engine.name == "pytorch"
        assert str(engine.attempts[3]) == (
            "openvino fp32: failed unexpectedly (TypeError: compile_model() got an unexpected argument)"
        )
    with pytest.raises(TypeError):
        open_engine(tiny_bundle, "openvino")


def test_tensorrt_by_name_is_not_swapped_for_another(convolved_bundle, fake_tensorrt):
    pytest.importorskip("onnx")
    fake_tensorrt("10.3.0", "garbage")
    with pytest.raises(EngineUnavailable) as error:
        open_engine(convolved_bundle, "tensorrt")
    text = str(error.value)
    assert text.startswith(
        f"The tensorrt engine does not run bundle {convolved_bundle.path}: tensorrt fp16: "
    )
    assert "; tensorrt fp32: " in text and "openvino" not in text and text.endswith(".")


def test_tensorrt_by_name_without_a_gpu(tiny_bundle, no_gpu):
    with pytest.raises(EngineUnavailable, match=r"tensorrt: no CUDA device \(the test has none\)\.$"):
        open_engine(tiny_bundle, "tensorrt")


def test_cuda_by_name_is_not_swapped_for_the_cpu(tiny_bundle, no_gpu):
    with pytest.raises(EngineUnavailable, match=r"No engine runs bundle .*no CUDA device") as error:
        open_engine(tiny_bundle, device="cuda")
    assert "openvino" not in str(error.value)


def test_the_cpu_by_name_leaves_the_gpu_alone(tiny_bundle, fake_tensorrt):
    trt = fake_tensorrt()
    with open_engine(tiny_bundle, device="cpu") as engine:
        assert engine.name == "openvino"
        assert len(engine.attempts) == 1
    assert trt.calls == []


def test_the_second_device(tiny_bundle, fake_tensorrt):
    fake_tensorrt()
    with pytest.raises(EngineUnavailable, match=r"no CUDA device \(there is one device\)"):
        open_engine(tiny_bundle, "tensorrt", device="cuda:1")


def test_fp16_by_name_where_nothing_has_it(tiny_bundle, no_gpu):
    with pytest.raises(
        EngineUnavailable, match=r"openvino fp16: computes in fp32, bf16 or int8, not in fp16"
    ):
        open_engine(tiny_bundle, precision="fp16")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"name": "magic"},
            "No engine is called 'magic'; known are: auto, tensorrt, tensorrt_rtx, pytorch, ",
        ),
        ({"precision": "int4"}, "No precision is called 'int4'; known are: fp16, bf16, int8, fp32"),
        ({"device": "gpu"}, "device 'gpu' is unknown; known are: cpu, cuda, cuda:0"),
        ({"device": "cuda:"}, "device 'cuda:' is unknown"),
        ({"device": "cuda:x"}, "device 'cuda:x' is unknown"),
        ({"name": "openvino", "device": "cuda"}, "The openvino engine runs on the CPU, not on 'cuda'"),
        ({"name": "opencv", "device": "cuda"}, "The opencv engine runs on the CPU, not on 'cuda'"),
        ({"name": "tensorrt", "device": "cpu"}, "The tensorrt engine runs on CUDA devices, not on 'cpu'"),
        ({"threads": -1}, "threads must be 0"),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(tiny_bundle, arguments, message):
    with pytest.raises(Clip2DepthError, match=message) as error:
        open_engine(tiny_bundle, **arguments)
    assert not isinstance(error.value, EngineUnavailable)


def test_a_broken_bundle_is_no_engines_fault(make_bundle, fake_tensorrt):
    bundle = make_bundle(name="broken")
    (bundle.path / "model.onnx").write_bytes(b"another")
    fake_tensorrt()
    with pytest.raises(Clip2DepthError, match="damaged or was replaced") as error:
        open_engine(bundle)
    assert not isinstance(error.value, EngineUnavailable)


def test_without_a_gpu_pytorch_is_not_imported(tiny_bundle):
    """It takes seconds and hundreds of megabytes."""
    program = f"""
import sys
from clip2depth_ros.bundle import Bundle
from clip2depth_ros.engines import open_engine, probe
probe.gpu_facts = lambda index=0: "the test has none"
with open_engine(Bundle({str(tiny_bundle.path)!r})) as engine:
    print(engine.name, sorted({{"torch", "onnx", "onnx2torch", "tensorrt", "filelock"}} & set(sys.modules)))
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert ended.stdout == "openvino []\n", ended.stderr


def test_device_numbers():
    assert [cuda.device_index(name) for name in (None, "cuda", "cuda:0", "cuda:3")] == [0, 0, 0, 3]


def test_the_names_are_in_the_order_of_trying():
    assert ENGINE_NAMES == ("tensorrt", "tensorrt_rtx", "pytorch", "openvino", "opencv")


class Driver:
    """libcuda's functions, as ctypes calls them."""

    def __init__(self, status: int = 0, devices: int = 1) -> None:
        self.status, self.devices = status, devices

    def cuInit(self, flags):
        return self.status

    def cuDeviceGetCount(self, count):
        count._obj.value = self.devices

    def cuDriverGetVersion(self, version):
        version._obj.value = 12060

    def cuDeviceGet(self, device, index):
        device._obj.value = index

    def cuDeviceGetName(self, name, length, device):
        name.value = b"Orin (nvgpu)"

    def cuDeviceTotalMem_v2(self, memory, device):
        memory._obj.value = 8 << 30

    def cuDeviceGetAttribute(self, value, attribute, device):
        value._obj.value = {75: 8, 76: 7}[attribute]


def test_what_the_driver_tells(monkeypatch):
    monkeypatch.setattr(probe.ctypes, "CDLL", lambda name: Driver())
    facts = probe.gpu_facts()
    assert (facts.name, facts.compute_capability, facts.memory, facts.cuda, facts.count) == (
        "Orin (nvgpu)",
        "8.7",
        8 << 30,
        "12.6",
        1,
    )
    assert probe.gpu_facts(2) == "there is no CUDA device 2, the driver sees 1"


@pytest.mark.parametrize(
    ("status", "message"),
    [(100, "the NVIDIA driver sees no device"), (803, "the NVIDIA driver does not start: error 803")],
)
def test_a_driver_that_serves_nothing(monkeypatch, status, message):
    monkeypatch.setattr(probe.ctypes, "CDLL", lambda name: Driver(status))
    assert probe.gpu_facts() == message
    with pytest.raises(EngineUnavailable, match=message):
        probe.require_gpu()


def test_no_driver(monkeypatch):
    def missing(name):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(probe.ctypes, "CDLL", missing)
    assert probe.gpu_facts() == "no NVIDIA driver: libcuda.so.1 is missing"


def test_versions_without_importing():
    assert probe.package_version("numpy")
    assert probe.package_version("no-such-package") is None
