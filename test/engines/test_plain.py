# SPDX-License-Identifier: Apache-2.0
"""The ONNX file for other programs: NVIDIA's parser takes it, and it computes the bundle's depth."""

import subprocess
import sys

import numpy as np
import pytest

from clip2depth_ros.cli import main
from clip2depth_ros.engines.base import FLOATS, TOLERANCES
from clip2depth_ros.engines.plain import LAYOUTS, write_plain
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.system.offline import openvino_core

pytest.importorskip("onnx", reason="the graph is read with onnx")


def depth_of(path, given: np.ndarray) -> np.ndarray:
    core = openvino_core()
    hint = {"INFERENCE_PRECISION_HINT": "f32"}
    return np.array(core.compile_model(core.read_model(path), "CPU", hint)(given[None])[0])[0]


@pytest.mark.parametrize("precision", FLOATS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_it_computes_the_bundle_s_depth(mini, tmp_path, layout, precision):
    path = write_plain(mini, tmp_path, layout=layout, precision=precision)
    image, expected = mini.check()
    given = (
        image if layout == "nhwc-uint8" else np.ascontiguousarray(image.transpose(2, 0, 1), np.float32) / 255
    )
    error = np.abs(depth_of(path, given) - expected) / expected
    assert np.percentile(error, 99) < (TOLERANCES[precision] if precision != "fp32" else 1e-4)


@pytest.mark.parametrize("precision", FLOATS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_nvidia_s_parser_and_compiler_take_it_as_it_is(mini, tmp_path, layout, precision):
    trt = pytest.importorskip("tensorrt_rtx", reason="NVIDIA's compiler: pip install 'clip2depth_ros[rtx]'")
    path = write_plain(mini, tmp_path, layout=layout, precision=precision)
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    assert parser.parse_from_file(str(path)), parser.get_error(0).desc()
    given, told = network.get_input(0), network.get_output(0)
    assert (given.name, told.name, told.dtype, tuple(told.shape)) == (
        "image",
        "depth",
        trt.float32,
        (1, 160, 224),
    )
    if layout == "nhwc-uint8":
        assert (given.dtype, tuple(given.shape)) == (trt.uint8, (1, 160, 224, 3))
    else:
        assert (given.dtype, tuple(given.shape)) == (trt.float32, (1, 3, 160, 224))
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM86, 0)
    assert builder.build_serialized_network(network, config) is not None


def test_the_readme_says_what_goes_in_and_comes_out(mini, tmp_path):
    write_plain(mini, tmp_path, layout="nchw-float", precision="fp16")
    text = (tmp_path / "README.md").read_text()
    focal = f"{mini.manifest.canonical_focal_px:g}"
    for words in (
        "float32 [1, 3, 160, 224]: RGB planes",
        "0 to 1",
        "mini.onnx --stronglyTyped",
        focal,
        "meters",
    ):
        assert words in text
    write_plain(mini, tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "uint8 [1, 160, 224, 3]" in text and "--stronglyTyped" not in text and "fp32, written by" in text


def test_the_command_needs_no_pytorch(tmp_path):
    program = """
import sys
sys.modules["torch"] = None
from clip2depth_ros.cli import main
sys.exit(main(["export", "--bundle", "mini", "--output", sys.argv[1], "--layout", "nchw-float"]))
"""
    command = [sys.executable, "-c", program, str(tmp_path / "out")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0 and "mini.onnx: " in ended.stdout, ended.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["README.md", "mini.onnx"]


def test_mistakes_are_sentences(tiny_bundle, tmp_path, capsys):
    with pytest.raises(Clip2DepthError, match="No layout is called 'chw'; known are: nhwc-uint8, nchw-float"):
        write_plain(tiny_bundle, tmp_path, layout="chw")
    (tmp_path / "file").write_text("in the way")
    assert main(["export", "--bundle", str(tiny_bundle.path), "--output", str(tmp_path / "file")]) != 0
    assert "cannot be written" in capsys.readouterr().err
    arguments = ["export", "--checkpoint", "x", "--output", str(tmp_path), "--layout", "nchw-float"]
    assert main(arguments) != 0 and "--layout and --precision are for --bundle" in capsys.readouterr().err
