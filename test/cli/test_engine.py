# SPDX-License-Identifier: Apache-2.0
"""`clip2depth engine`: TensorRT engines are built, listed, checked and cleared (TensorRT is a stand-in)."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import time

import pytest

from clip2depth_ros.cli import main
from clip2depth_ros.commands._shared import engine_options
from clip2depth_ros.commands._shared.engine_options import BuildLine


@pytest.fixture
def engine(tiny_bundle, tmp_path, capsys):
    """Function that calls `clip2depth engine` on a cache of its own: exit code, stdout, stderr."""

    def call(action: str, *arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["engine", action, "--cache", str(tmp_path / "cache"), *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def tiny(tiny_bundle):
    return "--bundle", str(tiny_bundle.path)


def test_build_list_check_clear(engine, tiny, fake_tensorrt):
    trt = fake_tensorrt("10.3.0")
    code, out, err = engine("build", *tiny)
    assert code == 0 and "on tensorrt fp16" in out and "differs by" in out
    assert "building" in err, "a build of minutes is not silent"
    assert trt.builds == 1

    code, out, _ = engine("list")
    assert code == 0 and out.count("\n") == 2
    assert "tiny 64x48 fp16, TensorRT 10.3.0" in out

    code, out, err = engine("check", *tiny, "--engine", "tensorrt")
    assert code == 0 and "tensorrt fp16: chosen" in out and err == ""
    assert trt.builds == 1, "it was taken from the cache"

    assert engine("build", *tiny)[0] == 0 and trt.builds == 1
    assert engine("build", *tiny, "--again")[0] == 0 and trt.builds == 2

    code, out, _ = engine("clear", "--bundle", "another")
    assert code == 0 and out.startswith("0 files removed")
    code, out, _ = engine("clear")
    assert code == 0 and "removed tiny-64x48-fp16" in out
    assert "No engine in" in engine("list")[1]


def test_the_precision_that_is_asked_for_is_built(engine, tiny, fake_tensorrt):
    fake_tensorrt("10.3.0")
    assert "on tensorrt fp32" in engine("build", *tiny, "--precision", "fp32")[1]
    assert "fp32" in engine("list")[1]


def test_a_damaged_file_is_listed_as_such_and_fails_the_list(engine, tiny, fake_tensorrt, tmp_path):
    fake_tensorrt("10.3.0")
    engine("build", *tiny)
    (path,) = (tmp_path / "cache").glob("*.engine")
    content = bytearray(path.read_bytes())
    content[-10] ^= 0xFF
    path.write_bytes(content)
    code, out, _ = engine("list")
    assert code == 1 and "it is built again when needed" in out


def test_an_engine_that_computes_nonsense_is_refused_with_the_figure(engine, tiny, fake_tensorrt):
    fake_tensorrt("10.3.0", fault="garbage")
    code, out, err = engine("check", *tiny, "--engine", "tensorrt")
    assert code == 2 and out == ""
    assert "differs by" in err and "fp16" in err and "fp32" in err
    assert "Traceback" not in err


def test_without_a_gpu_it_says_so_in_one_sentence(engine, tiny, no_gpu):
    code, out, err = engine("build", *tiny)
    assert code == 2 and out == "" and err.count("\n") == 1
    assert "no CUDA device" in err


def test_check_tells_every_step_of_the_choice(engine, tiny, no_gpu):
    code, out, _ = engine("check", *tiny)
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == [
        "tensorrt:",
        "tensorrt_rtx:",
        "pytorch",
        "openvino",
        "Bundle",
    ]


def test_a_build_hears_the_interrupt(engine, tiny, monkeypatch):
    """The builder holds no lock of Python's, so the signal comes while it works."""
    ended = threading.Event()

    def build(_bundle, _name, *, progress, **_options):
        try:
            progress("tensorrt fp16: building, 43%")
            os.kill(os.getpid(), signal.SIGINT)  # the command waits for this thread by now
            while True:
                progress("tensorrt fp16: building, 44%")
                time.sleep(0.01)
        finally:
            ended.set()

    monkeypatch.setattr(engine_options, "open_engine", build)
    code, out, err = engine("build", *tiny)
    assert code == 130 and out == "" and "building, 43%" in err
    assert ended.wait(5), "the build was called off"


class Screen(io.StringIO):
    def __init__(self, on_terminal: bool) -> None:
        super().__init__()
        self.on_terminal = on_terminal

    def isatty(self) -> bool:
        return self.on_terminal


BUILD = (
    "tensorrt fp16: another process builds this engine; waiting",
    "tensorrt fp16: building, 1 %",
    "tensorrt fp16: building, 2 %",
    "tensorrt fp16: built in 81 s",
)


@pytest.mark.parametrize("on_terminal", [True, False])
def test_every_step_of_a_build_has_its_line(monkeypatch, on_terminal):
    """On a terminal a line ends with its last text; elsewhere, text that follows at once is left out."""
    screen = Screen(on_terminal)
    monkeypatch.setattr(sys, "stderr", screen)
    with BuildLine() as line:
        for text in BUILD:
            line(text)
    # On a terminal, "\r" returns to the start of the line, and what is longer there is overwritten.
    lines = [line.split("\r")[-1].rstrip() for line in screen.getvalue().split("\n")]
    assert lines == [BUILD[0], BUILD[2 if on_terminal else 1], BUILD[3], ""]


def test_rtx_engines_are_built_without_a_gpu_and_listed(engine, tiny, no_gpu):
    pytest.importorskip("tensorrt_rtx", reason="NVIDIA's compiler: pip install 'clip2depth_ros[rtx]'")
    build = ("build", *tiny, "--engine", "tensorrt_rtx")
    code, out, err = engine(*build, "--target", "8.9, 8.6")
    assert code == 0 and "MB." in out and "It is compared with the bundle's check sample" in out
    assert "building" in err
    code, out, _ = engine("list")
    assert code == 0 and out.count("\n") == 2
    assert "tiny 64x48 fp16, TensorRT RTX 1." in out and "for compute capability 8.6, 8.9, built" in out
    assert engine(*build, "--target", "8.6,8.9")[2] == "", (
        "the same targets in another order are there already"
    )
    assert engine(*build, "--target", "8.6")[2] == "", "one of them is served by it"
    assert "building" in engine(*build, "--target", "8.6", "--precision", "fp32")[2]
    assert "building" in engine(*build, "--target", "8.6", "--again")[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--target", "8.6"), "--target needs --engine tensorrt_rtx"),
        (
            ("--engine", "tensorrt_rtx", "--target", "sm86"),
            "--target sm86: expected compute capabilities such as",
        ),
        (("--engine", "tensorrt_rtx", "--target", ""), "expected compute capabilities"),
        (("--engine", "tensorrt_rtx", "--target", "9.0"), "does not compile for compute capability 9.0"),
    ],
)
def test_targets_that_make_no_sense(engine, tiny, no_gpu, arguments, message):
    if "9.0" in arguments:
        pytest.importorskip("tensorrt_rtx")
    code, _, err = engine("build", *tiny, *arguments)
    assert code != 0 and message in err and "Traceback" not in err
