# SPDX-License-Identifier: Apache-2.0
"""OpenCV's DNN module as an engine, and what OpenCV before 4.7 has to be given."""

import json
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest

from clip2depth_ros.bundle import Bundle
from clip2depth_ros.camera import Camera
from clip2depth_ros.engines import open_engine
from clip2depth_ros.engines.base import EngineUnavailable
from clip2depth_ros.engines.opencv import OpenCvEngine
from clip2depth_ros.engines.squeeze_axes import axes_as_attributes
from clip2depth_ros.errors import Clip2DepthError


def random_image(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (48, 64, 3), np.uint8)


@pytest.mark.parametrize("version", [cv2.__version__, "4.5.4-dev"])
def test_it_computes_what_the_bundle_says(convolved_bundle, tiny_depth, monkeypatch, version):
    monkeypatch.setattr(cv2, "__version__", version)
    with open_engine(convolved_bundle, "opencv") as engine:
        assert (engine.name, engine.precision, engine.cached) == ("opencv", "fp32", None)
        assert engine.difference < 1e-5 and engine.device.endswith(f"OpenCV {version}")
        for seed in range(2):
            image = random_image(seed)
            depth = engine.infer(image)
            assert depth.dtype == np.float32
            np.testing.assert_allclose(depth, tiny_depth(image), rtol=1e-4)


def test_mini_gets_the_depth_of_its_check_sample(mini):
    with open_engine(mini, "opencv") as engine:
        assert engine.difference < 1e-5


def test_auto_tries_it_last_and_rejects_nothing(tiny_bundle, no_gpu, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setitem(sys.modules, "torch", None)
    with open_engine(tiny_bundle) as engine:
        assert engine.name == "opencv"
        assert tuple(map(str, engine.attempts[3:5])) == (
            "openvino: not installed (pip install openvino)",
            "pytorch on the CPU: not installed (pip install 'clip2depth_ros[pytorch]')",
        )
        assert str(engine.attempts[5]).startswith("opencv fp32: chosen") and len(engine.attempts) == 6
        assert not any(attempt.is_warning for attempt in engine.attempts)


def test_what_it_cannot_do_is_a_sentence(tiny_bundle):
    with pytest.raises(EngineUnavailable, match="opencv bf16: computes in fp32, not in bf16"):
        open_engine(tiny_bundle, "opencv", precision="bf16")
    with pytest.raises(Clip2DepthError, match="threads must be 0"):
        OpenCvEngine(tiny_bundle, threads=-1)
    engine = OpenCvEngine(tiny_bundle)
    with pytest.raises(Clip2DepthError, match=r"contiguous uint8 images of shape \(48, 64, 3\)"):
        engine.infer(random_image(0)[::2])
    engine.close()
    engine.close()
    with pytest.raises(Clip2DepthError, match="The opencv engine was closed"):
        engine.infer(random_image(0))


def test_threads_are_opencvs_own(tiny_bundle):
    before = cv2.getNumThreads()
    try:
        with OpenCvEngine(tiny_bundle, threads=1) as engine:
            assert cv2.getNumThreads() == 1 and engine.device.startswith("CPU, 1 threads, OpenCV ")
    finally:
        cv2.setNumThreads(before)


@pytest.mark.parametrize(
    ("model", "version", "words"),
    [
        (b"\x0b", "4.6.0", r"OpenCV 4.6.0 cannot read model.onnx \(not a protobuf message: type 3"),
        (b"\x3a\xff", "4.6.0", "not a protobuf message: no integer at byte 1"),
        (b"\x3a\x7f\x0a", "4.6.0", "a protobuf message that is truncated at byte 3"),
        (b"\x3a\x7f\x0a", cv2.__version__, r"cannot read model.onnx \(Failed to parse onnx model"),
    ],
)
def test_a_model_that_is_none_is_a_sentence(tiny_bundle, tmp_path, monkeypatch, model, version, words):
    bundle = Bundle.write(tmp_path / "broken", model, tiny_bundle.manifest, *tiny_bundle.check())
    monkeypatch.setattr(cv2, "__version__", version)
    with pytest.raises(EngineUnavailable, match=words):
        OpenCvEngine(bundle)


def test_a_model_of_another_shape_is_refused(tiny_bundle, make_bundle, tmp_path):
    onnx = pytest.importorskip("onnx")
    deeper = onnx.load_from_string(tiny_bundle.model())
    (mean,) = (node for node in deeper.graph.node if node.op_type == "ReduceMean")
    mean.attribute[1].i = 1  # keepdims
    del deeper.graph.output[0].type.tensor_type.shape.dim[:]
    smaller = make_bundle(np.ones((24, 32)), name="small").model()
    version = re.escape(f"OpenCV {cv2.__version__}")
    for i, (model, words) in enumerate(
        [
            (deeper.SerializeToString(), r"computes float32 \(48, 64, 1\) from model.onnx, expected float32"),
            (smaller, "(computes|cannot run) "),  # OpenCV 5 clamps sizes that do not fit
        ]
    ):
        bundle = Bundle.write(tmp_path / f"{i}", model, tiny_bundle.manifest, *tiny_bundle.check())
        with pytest.raises(EngineUnavailable, match=f"{version} {words}"):
            OpenCvEngine(bundle)


def test_axes_become_attributes_and_all_else_stays(mini, convolved_bundle):
    onnx = pytest.importorskip("onnx")
    for bundle in (mini, convolved_bundle):  # the axes are a Constant node's, and an initializer
        expected = onnx.load_from_string(bundle.model())
        (squeeze,) = (node for node in expected.graph.node if node.op_type == "Squeeze")
        del squeeze.input[1]
        squeeze.attribute.append(onnx.helper.make_attribute("axes", [1]))
        written = axes_as_attributes(bundle.model())
        assert onnx.load_from_string(written) == expected
        assert axes_as_attributes(written) == written


def test_axes_that_old_opencv_would_take_wrongly_stay(convolved_bundle):
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(convolved_bundle.model())
    for axes in (onnx.numpy_helper.from_array(np.array([-3]), "one"), None):
        kept = [tensor for tensor in model.graph.initializer if tensor.name != "one"]
        del model.graph.initializer[:]
        model.graph.initializer.extend(kept if axes is None else [*kept, axes])
        content = model.SerializeToString()
        assert axes_as_attributes(content) == content


def test_run_works_where_opencv_is_all_there_is(tiny_bundle, tmp_path):
    """OpenVINO, PyTorch, onnx and rosbags hidden."""
    room = tmp_path / "room"
    (room / "rgb").mkdir(parents=True)
    cv2.imwrite(str(room / "rgb/000000.png"), np.full((48, 64, 3), 77, np.uint8))
    Camera.from_fov(64, 48, 1.0).to_file(room / "camera.json")
    arguments = ["--input", room, "--output", tmp_path / "out", "--bundle", tiny_bundle.path]
    program = f"""
import sys
sys.modules |= dict.fromkeys("openvino torch onnx onnx2torch tensorrt tensorrt_rtx rosbags".split())
from clip2depth_ros.cli import main
sys.exit(main(["run", *{[str(word) for word in arguments]}]))
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["engine"]["name"] == "opencv" and summary["frames"] == 1
    depth = cv2.imread(str(tmp_path / "out/depth/000000.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_allclose(depth, 1000 / (0.1 + 77 / 255), atol=1)
