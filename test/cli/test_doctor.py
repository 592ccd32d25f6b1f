# SPDX-License-Identifier: Apache-2.0
import importlib.util
import itertools
import subprocess
import sys

import pytest

from clip2depth_ros.cli import main
from clip2depth_ros.commands import doctor
from clip2depth_ros.commands._shared import doctor_engines, findings
from clip2depth_ros.engines import Attempt, EngineUnavailable, Outcome
from clip2depth_ros.engines.probe import GpuFacts

GPU = GpuFacts("Orin", "8.7", 8 * 2**30, "", "12.6")


@pytest.fixture
def gpu(monkeypatch):
    """Function that simulates a GPU, or its absence with a reason."""
    return lambda facts: monkeypatch.setattr(doctor_engines, "gpu_facts", lambda: facts)


def levels(findings) -> dict[str, str]:
    return {finding.subject: finding.level for finding in findings}


def test_every_problem_has_advice(tiny_bundle, capsys):
    main(["doctor", "--bundle", str(tiny_bundle.path)])
    lines = capsys.readouterr().out.splitlines()
    for line, after in itertools.pairwise(lines):
        if line.startswith((doctor.WARN, doctor.FAIL)):
            assert after.strip().startswith("-> ") and len(after.strip()) > 8
    assert lines[-1] in ("The node can run here.", "The node cannot run here.")


def test_the_exit_code_is_the_result(monkeypatch, tiny_bundle, capsys):
    monkeypatch.setattr(doctor, "look_at_ros", lambda: iter([doctor.Finding(doctor.OK, "ROS 2", "there")]))
    assert main(["doctor", "--bundle", str(tiny_bundle.path)]) == 0
    assert main(["doctor", "--bundle", "no such bundle"]) == 1
    text = capsys.readouterr().out
    assert "FAIL  Bundle       No bundle is called 'no such bundle'" in text


def test_all_attempts_are_listed_and_the_bundle_is_checked_and_timed(no_gpu, tiny_bundle, capsys):
    main(["doctor", "--bundle", str(tiny_bundle.path)])
    lines = capsys.readouterr().out.splitlines()
    steps = [line for line in lines if line.startswith("ok    Engine ")]
    assert [step.split()[2] for step in steps] == ["tensorrt:", "tensorrt_rtx:", "pytorch", "openvino"]
    assert "no CUDA device" in steps[0] and "chosen" in steps[-1]
    (bundle,) = [line for line in lines if line.startswith("ok    Bundle ")]
    assert "openvino fp32: differs by 0.000%" in bundle and "ms a frame" in bundle


def test_the_bundles_depth_kind_is_reported(no_gpu, make_bundle, capsys):
    for kind, words in (("metric", "metric: meters"), ("scale_free", "scale_free: depth up to a factor")):
        main(["doctor", "--bundle", str(make_bundle(depth_kind=kind).path)])
        assert f"depth_kind {words}" in capsys.readouterr().out


def test_an_engine_that_computes_wrongly_is_a_warning():
    rejected = Attempt("tensorrt", "fp16", Outcome.REJECTED, "its depth differs by 12.30%")
    finding = doctor_engines._attempt(rejected)
    assert finding.level == doctor.WARN and finding.advice
    assert finding.text == "tensorrt fp16: its depth differs by 12.30%"
    chosen = Attempt("openvino", "fp32", Outcome.CHOSEN, "0.00% off")
    assert doctor_engines._attempt(chosen).level == doctor.OK


def test_only_the_requested_engine_is_checked(tiny_bundle, capsys):
    main(["doctor", "--bundle", str(tiny_bundle.path), "--engine", "openvino", "--precision", "fp16"])
    assert "FAIL  Bundle       The openvino engine does not run bundle" in capsys.readouterr().out


def test_without_openvino_the_selected_engine_is_reported(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    (finding,) = doctor_engines.look_at_openvino()
    assert finding.level == doctor.WARN and finding.advice == "pip install openvino"
    assert finding.text.startswith("not installed; without it the opencv engine runs the network")


@pytest.mark.parametrize(
    ("facts", "level", "words"),
    [(GPU, doctor.OK, "Orin, compute capability 8.7, 8.0 GiB"), ("no driver", doctor.OK, "none: no driver")],
)
def test_the_gpu(gpu, facts, level, words):
    gpu(facts)
    finding = list(doctor_engines.look_at_gpu())[-1]
    assert finding.level == level and words in finding.text


def test_a_jetson_whose_gpu_is_hidden_is_a_warning(gpu, monkeypatch, tmp_path):
    gpu("no NVIDIA driver")
    model = tmp_path / "model"
    model.write_text("NVIDIA Jetson Orin Nano\0")
    monkeypatch.setattr(doctor_engines, "JETSON", model)
    jetson, finding = doctor_engines.look_at_gpu()
    assert jetson.text == "NVIDIA Jetson Orin Nano"
    assert finding.level == doctor.WARN and "runtime" in finding.advice


@pytest.mark.parametrize(("facts", "level"), [(GPU, doctor.WARN), ("no driver", doctor.OK)])
def test_missing_packages_are_a_warning_only_with_a_gpu(gpu, monkeypatch, facts, level):
    installed = {"tensorrt": "10.3.0"}

    def version(library):
        if library not in installed:
            raise EngineUnavailable("not installed")
        return installed[library]

    gpu(facts)
    monkeypatch.setattr(doctor_engines, "tensorrt_version", version)
    monkeypatch.setattr(doctor_engines, "package_version", lambda name: None)
    tensorrt, bindings = doctor_engines.look_at_tensorrt()
    assert (tensorrt.level, tensorrt.text) == (doctor.OK, "10.3.0")
    assert bindings.level == level and "cuda-bindings is not installed" in bindings.text
    installed.clear()
    (neither,) = doctor_engines.look_at_tensorrt()
    assert neither.level == level and "tensorrt not installed; tensorrt_rtx not installed" in neither.text
    (pytorch,) = doctor_engines.look_at_pytorch()
    assert pytorch.level == doctor.OK  # nothing on the run path needs it
    installed["tensorrt_rtx"] = "1.7.1"
    monkeypatch.setattr(doctor_engines, "package_version", lambda name: "13.5.0")
    assert [(f.level, f.subject) for f in doctor_engines.look_at_tensorrt()] == [
        (doctor.OK, "TensorRT RTX"),
        (doctor.OK, "CUDA"),
    ]


@pytest.mark.parametrize(
    ("answer", "level", "words"),
    [
        ("print('[\"12.6\", true]')", doctor.OK, "2.8.0 with CUDA 12.6"),
        ("print('[\"12.6\", false]')", doctor.WARN, "built for CUDA 12.6 and sees no GPU"),
        ("print('[\"\", false]')", doctor.WARN, "built without CUDA"),
        ("raise ImportError('libcudart.so.12')", doctor.WARN, "does not work: ImportError: libcudart.so.12"),
    ],
)
def test_a_pytorch_that_cannot_use_the_gpu(gpu, monkeypatch, answer, level, words):
    gpu(GPU)
    monkeypatch.setattr(doctor_engines, "package_version", lambda name: "2.8.0")
    monkeypatch.setattr(doctor_engines, "CUDA_PROBE", answer)
    (finding,) = doctor_engines.look_at_pytorch()
    assert finding.level == level and words in finding.text
    assert bool(finding.advice) == (level != doctor.OK)


def test_without_rclpy_the_node_cannot_run(monkeypatch):
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "rclpy" else there(name))
    finding = next(doctor.look_at_ros())
    assert finding.level == doctor.FAIL and "setup.bash" in finding.advice


@pytest.mark.parametrize(
    ("versions", "distribution", "said"),
    [
        ({"ros-rclpy": "9.1.2"}, "", "9.1.2 from the PyPI wheels"),
        ({"rclpy": "3.3.15"}, "humble", "3.3.15 from ROS humble"),
        ({}, "", "unknown version from an installation"),
    ],
)
def test_where_rclpy_comes_from(monkeypatch, versions, distribution, said):
    monkeypatch.setattr(doctor, "package_version", versions.get)
    monkeypatch.setenv("ROS_DISTRO", distribution)
    assert doctor._rclpy_version() == said


def test_a_broken_rclpy_is_reported_not_raised(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(doctor, "ROS_PROBE", "raise ImportError('librcl.so: wrong ELF class')")
    finding = next(doctor.look_at_ros())
    assert finding.level == doctor.FAIL and "wrong ELF class" in finding.text


def test_an_rclpy_that_hangs_is_reported(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(doctor, "ROS_PROBE", "import time; time.sleep(60)")
    monkeypatch.setattr(findings, "PROBE_TIMEOUT", 0.5)
    assert "did not answer" in next(doctor.look_at_ros()).text


def test_messages_that_are_not_built(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    answer = '{"path": "/ros", "rmw": "rmw_x", "messages": "ModuleNotFoundError: no msg"}'
    done = subprocess.CompletedProcess([], 0, answer + "\n", "")
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: done)
    found = levels(doctor.look_at_ros())
    assert found["ROS 2"] == doctor.OK and found["Messages"] == doctor.FAIL


@pytest.mark.parametrize(
    ("environment", "level", "word"),
    [
        ({"FASTDDS_DEFAULT_PROFILES_FILE": "/nowhere/profile.xml"}, doctor.WARN, "not a file"),
        ({"FASTDDS_DEFAULT_PROFILES_FILE": __file__}, doctor.OK, "PROFILES_FILE"),
        ({"FASTDDS_BUILTIN_TRANSPORTS": "LARGE_DATA"}, doctor.OK, "LARGE_DATA"),
        ({"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}, doctor.OK, "not used"),
        ({}, doctor.WARN, "no profile"),
    ],
)
def test_the_fast_dds_profile(monkeypatch, environment, level, word):
    for name in (
        "FASTDDS_DEFAULT_PROFILES_FILE",
        "FASTRTPS_DEFAULT_PROFILES_FILE",
        "FASTDDS_BUILTIN_TRANSPORTS",
        "RMW_IMPLEMENTATION",
    ):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    (finding,) = doctor.look_at_fast_dds()
    assert finding.level == level and word in finding.text
    assert bool(finding.advice) == (level != doctor.OK)
