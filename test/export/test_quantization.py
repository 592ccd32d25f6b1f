# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E402  # onnx may be missing
"""Networks in 8 bits: the files beside the plain one, and the measured errors."""

import json
import sys

import numpy as np
import pytest

from clip2depth_ros.bundle import Bundle, open_bundle
from clip2depth_ros.cli import main
from clip2depth_ros.commands._shared.calibration_options import calibration_images
from clip2depth_ros.engines import open_engine, self_check
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.visualization import save_image

onnx = pytest.importorskip("onnx", reason="the graph is read with onnx")
from onnx import helper, numpy_helper


@pytest.fixture
def with_nncf():
    for name in ("nncf", "onnxruntime"):
        if name not in sys.modules:
            pytest.importorskip(name, reason=f"8 bits need {name}: pip install 'clip2depth_ros[int8]'")


@pytest.fixture
def noise():
    """Images of the tiny bundle's size, with all brightness levels."""
    rng = np.random.default_rng(3)
    return [
        (rng.integers(0, 256, (48, 64, 3)) * rng.uniform(0.1, 1, (1, 1, 3))).astype(np.uint8)
        for _ in range(30)
    ]


def kinds_of_weights(model: bytes) -> list[int]:
    return [tensor.data_type for tensor in onnx.load_from_string(model).graph.initializer if tensor.dims]


def test_the_int8_model_is_written_beside_the_plain_one(with_nncf, make_bundle, noise, tmp_path):
    from clip2depth_ros.export.quantization import quantize

    plain = make_bundle(convolution=True)
    written = quantize(plain, {"noise": noise, "dark": [image // 4 for image in noise]}, tmp_path / "b")
    assert written.model() == plain.model()
    assert onnx.TensorProto.INT8 in kinds_of_weights(written.int8_model())
    assert written.manifest.model_sha256 == plain.manifest.model_sha256
    facts = written.manifest.int8
    assert set(facts.deviation) == {"noise", "dark"} and 0.01 <= facts.tolerance <= 0.15
    with open_engine(written, "openvino", precision="int8") as engine:
        assert self_check(engine, written) == engine.difference <= facts.tolerance
        found = []
        with open_engine(written, "openvino", precision="fp32") as reference:
            for image in noise:
                depth = reference.infer(image).copy()
                found.append(np.mean(np.abs(engine.infer(image) - depth) / depth))
    assert 0 < np.mean(found) < 0.01
    assert facts.deviation["noise"] == pytest.approx(np.mean(found), rel=0.5)


def harsh(bundle, folder, *, gentle: bool) -> Bundle:
    """A network whose first convolution loses all information in 8 bits; gentle: the second one is equal."""
    model = onnx.load_from_string(bundle.model())
    graph = model.graph
    conv = next(node for node in graph.node if node.op_type == "Conv")
    # red is a thousand times as large and its weight that much smaller: one range for all three colors
    # removes the others
    louder = np.array([1000, 1, 1], np.float32).reshape(1, 3, 1, 1)
    thirds = next(tensor for tensor in graph.initializer if tensor.name == "thirds")
    thirds.CopyFrom(numpy_helper.from_array(np.float32(1 / 3) / louder, "thirds"))
    graph.initializer.append(numpy_helper.from_array(louder, "louder"))
    place = list(graph.node).index(conv)
    graph.node.insert(place, helper.make_node("Mul", ["planes", "louder"], ["loud"], name="loud"))
    conv.input[0] = "loud"
    if gentle:
        graph.initializer.append(numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "same"))
        conv.output[0] = "first"
        graph.node.insert(place + 2, helper.make_node("Conv", ["first", "same"], ["plane"], name="second"))
    return Bundle.write(folder, model.SerializeToString(), bundle.manifest, *bundle.check())


def test_a_layer_with_large_errors_in_8_bits_stays_in_float32(with_nncf, make_bundle, noise, tmp_path):
    from clip2depth_ros.export.quantization import MOST_DEVIATION, quantize

    bundle = harsh(make_bundle(convolution=True), tmp_path / "a", gentle=True)
    written = quantize(bundle, {"noise": noise}, tmp_path / "b")
    weights = onnx.load_from_string(written.int8_model()).graph.initializer
    assert [list(t.dims) for t in weights if t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 4] == [
        [1, 1, 1, 1]
    ]
    assert [1, 3, 1, 1] in [list(t.dims) for t in weights if t.data_type == onnx.TensorProto.FLOAT]
    assert written.manifest.int8.deviation["noise"] <= MOST_DEVIATION


def test_a_network_without_a_layer_in_8_bits_is_not_written(with_nncf, make_bundle, noise, tmp_path):
    from clip2depth_ros.export.quantization import quantize

    bundle = harsh(make_bundle(convolution=True), tmp_path / "a", gentle=False)
    with pytest.raises(Clip2DepthError, match="No layer can be in 8 bits"):
        quantize(bundle, {"noise": noise}, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_an_nncf_failure_gives_one_sentence(with_nncf, make_bundle, noise, tmp_path, monkeypatch):
    from clip2depth_ros.export.quantization import quantize
    from clip2depth_ros.system.offline import import_nncf

    def refuse(*_, **__):
        raise RuntimeError("no such operator\nand a long tale")

    monkeypatch.setattr(import_nncf(), "quantize_with_accuracy_control", refuse)
    with pytest.raises(Clip2DepthError, match=r"NNCF .* \(RuntimeError: no such operator\): not written\.$"):
        quantize(make_bundle(convolution=True), {"noise": noise}, tmp_path / "b")


def test_unsuitable_images_are_rejected(make_bundle, noise, tmp_path):
    from clip2depth_ros.export.quantization import quantize

    bundle = make_bundle(convolution=True)
    with pytest.raises(Clip2DepthError, match="noise: 23 images are too few for 8 bits, at least 24"):
        quantize(bundle, {"noise": noise[:23]}, tmp_path / "b")
    with pytest.raises(Clip2DepthError, match="The engine takes contiguous uint8 images"):
        quantize(bundle, {"noise": [image[1:] for image in noise]}, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_the_command_can_write_into_the_bundles_own_folder(with_nncf, make_bundle, noise, tmp_path, capsys):
    bundle = make_bundle(convolution=True)
    for number, image in enumerate(noise):
        save_image(tmp_path / "seen" / f"{number}.png", image)
    arguments = ["--bundle", str(bundle.path), "--output", str(bundle.path), "--int8"]
    assert main(["export", *arguments, "--calibration", str(tmp_path / "seen")]) == 0
    written = open_bundle(bundle.path)
    assert list(written.manifest.int8.deviation) == ["seen"]
    assert "mean difference from the plain model's depth" in capsys.readouterr().out
    assert not [path for path in bundle.path.iterdir() if ".part" in path.name]
    assert json.loads((bundle.path / "manifest.json").read_text())["int8"]["sha256"]


def test_without_nncf_one_sentence(tiny_bundle, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "nncf", None)
    arguments = ["export", "--bundle", str(tiny_bundle.path), "--output", str(tmp_path / "b")]
    assert main([*arguments, "--int8"]) == 2
    error = capsys.readouterr().err
    assert "--int8 needs nncf" in error and error.endswith("pip install 'clip2depth_ros[int8]'\n")
    assert main([*arguments, "--calibration", "somewhere"]) == 2
    assert "--calibration is for --int8" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_calibration_images_of_a_folder(tiny_bundle, noise, tmp_path):
    for number, image in enumerate(noise):
        save_image(tmp_path / f"{number:02}.png", np.repeat(image, 2, axis=1))
    manifest, spec, name = tiny_bundle.manifest, str(tmp_path), tmp_path.name
    drawn = calibration_images(manifest, [spec], count=20)[name]
    assert len(drawn) == 20 and {image.shape for image in drawn} == {(48, 64, 3)}
    assert len({image.tobytes() for image in drawn}) == 20
    again = calibration_images(manifest, [spec, spec], count=20)[name]
    assert all(map(np.array_equal, drawn, again))
    assert len(calibration_images(manifest, [spec], count=40)[name]) == 30
    assert set(calibration_images(manifest, [spec, spec], count=1)) == {name, spec}
    # twice as wide as high: a border above and below
    assert len(np.unique(drawn[0][0].reshape(-1, 3), axis=0)) == 1


@pytest.mark.slow
def test_calibration_images_of_every_kind_of_scene(tiny_bundle):
    pytest.importorskip("mujoco", reason="scenes need MuJoCo")
    images = calibration_images(tiny_bundle.manifest, [], count=3)
    assert set(images) == {"places", "rooms", "near"}
    for own in images.values():
        assert len({image.tobytes() for image in own}) == 3 and own[0].shape == (48, 64, 3)
