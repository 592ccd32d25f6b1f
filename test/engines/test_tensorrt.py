# SPDX-License-Identifier: Apache-2.0
"""The TensorRT engine on a stand-in: version by version, frame by frame, and when TensorRT misbehaves."""

import gc
import logging
import re

import numpy as np
import pytest

from benchmark.engine_table.device_times import device_times
from clip2depth_ros.camera import Letterbox
from clip2depth_ros.engines import open_engine
from clip2depth_ros.engines.base import EngineUnavailable
from clip2depth_ros.engines.cache import BuildCancelled, clear_cached, list_cached
from clip2depth_ros.engines.tensorrt.builder import _Phases, import_tensorrt
from clip2depth_ros.engines.tensorrt.engine import TensorRtEngine, TensorRtRtxEngine, build_ahead
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.frame import Frame
from clip2depth_ros.pipeline import Pipeline

pytest.importorskip("onnx", reason="the graph is read with onnx")
pytest.importorskip("filelock", reason="the cache's locks are filelock's")

VERSIONS = ["8.5.3.1", "8.6.1", "9.3.0", "10.0.1", "10.3.0", "11.1.0.2"]


def assert_all_given_back(trt) -> None:
    """Every piece of the GPU's memory, its streams, graphs and modules, and the context."""
    gc.collect()
    assert trt.driver.held == {} and trt.driver.contexts == 0 and trt.driver.pushed == []


def random_image(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (48, 64, 3), np.uint8)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_builds_keeps_and_runs(fake_tensorrt, convolved_bundle, tiny_depth, version):
    trt = fake_tensorrt(version)
    for precision in ("fp16", "fp32"):
        for again in (False, True):
            builds = trt.builds
            with TensorRtEngine(convolved_bundle, precision=precision) as engine:
                assert trt.builds - builds == (not again)
                assert (engine.name, engine.precision, engine.graph) == ("tensorrt", precision, True)
                assert engine.device == f"Stand-in GPU, TensorRT {version}"
                assert engine.manifest == convolved_bundle.manifest
                for seed in (1, 2, 3):
                    image = random_image(seed)
                    np.testing.assert_allclose(engine.infer(image), tiny_depth(image), rtol=3e-3)
    assert {entry.key.tensorrt for entry in list_cached()} == {version}


@pytest.mark.parametrize("version", VERSIONS)
def test_how_each_version_is_told_its_precision(fake_tensorrt, convolved_bundle, version):
    trt = fake_tensorrt(version)
    TensorRtEngine(convolved_bundle, precision="fp16").close()
    flags = [call[1] for call in trt.calls if call[0] == "set_flag"]
    (network,) = (call[1] for call in trt.calls if call[0] == "create_network")
    (kept,) = (call[1] for call in trt.calls if call[0] == "build_serialized_network")
    typed = trt.numbers >= (10, 0)
    assert flags == ([] if typed else ["FP16", "PREFER_PRECISION_CONSTRAINTS"])
    assert network == {8: 1, 9: 1, 10: 2, 11: 1}[trt.numbers[0]]
    # of the old versions' layers, what the typed graph leaves in single precision
    assert [(layer.precision, layer.output_type) for layer in kept] == (
        [] if typed else [("float32", "float32")] * len(kept)
    )
    names = {layer.name for layer in kept}
    assert typed or (any("Reciprocal" in name or name == "" for name in names) and "mean/Conv" not in names)
    assert ("clear_flag", "TF32") in trt.calls
    assert ("set_memory_pool_limit", "WORKSPACE", 1 << 30) in trt.calls


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("mini", "8.5.3.1"),
        ("mini", "10.3.0"),
        *(pytest.param("vit_bundle", v, marks=pytest.mark.torch) for v in ("8.5.3.1", "8.6.1", "11.0.0")),
    ],
)
def test_real_networks_pass_their_check(fake_tensorrt, request, version, name):
    """With the graph as that version's parser wants it; the stand-in refuses what it does not."""
    fake_tensorrt(version)
    bundle = request.getfixturevalue(name)
    with open_engine(bundle, "tensorrt", precision="fp16") as engine:
        assert engine.difference < 2e-3
        assert str(engine.attempts[-1]).startswith("tensorrt fp16: chosen, ")


def test_bf16_where_there_is_one(fake_tensorrt, convolved_bundle, monkeypatch):
    fake_tensorrt("10.3.0")
    with open_engine(convolved_bundle, "tensorrt", precision="bf16") as engine:
        assert engine.precision == "bf16"
        assert 1e-6 < engine.difference < 0.01
    fake_tensorrt("9.3.0")
    with pytest.raises(EngineUnavailable, match=r"bf16 needs TensorRT 10, this is 9\.3\.0"):
        open_engine(convolved_bundle, "tensorrt", precision="bf16")
    trt = fake_tensorrt("10.3.0")
    monkeypatch.setitem(trt.gpu, "compute_capability", "7.2")
    with pytest.raises(EngineUnavailable, match=r"compute capability 7\.2\) has no bf16"):
        open_engine(convolved_bundle, "tensorrt", precision="bf16")


def test_other_versions_are_refused_or_warned_of(fake_tensorrt, convolved_bundle, caplog):
    fake_tensorrt("8.4.1.5")
    with pytest.raises(EngineUnavailable, match=r"version 8\.4\.1\.5 is too old, 8\.5 is needed"):
        open_engine(convolved_bundle, "tensorrt")
    fake_tensorrt("12.0.0")
    open_engine(convolved_bundle, "tensorrt").close()
    assert caplog.text.count("TensorRT 12.0.0 is newer than the newest version that was checked (11)") == 1
    fake_tensorrt().__version__ = "unknown"
    with pytest.raises(EngineUnavailable, match="has an unreadable version: 'unknown'"):
        open_engine(convolved_bundle, "tensorrt")


def test_a_driver_that_is_too_old_is_said_in_a_sentence(fake_tensorrt, convolved_bundle):
    fake_tensorrt("8.5.3.1", fault="old_driver")
    with pytest.raises(
        EngineUnavailable, match=r"TensorRT 8\.5\.3\.1 does not start \(CUDA init.* error: 35"
    ):
        open_engine(convolved_bundle, "tensorrt")


def test_missing(no_gpu):
    with pytest.raises(EngineUnavailable, match=r"not installed \(import of tensorrt halted"):
        import_tensorrt()


def test_one_upload_and_one_download_per_frame(fake_tensorrt, convolved_bundle):
    trt = fake_tensorrt(fault="no_graph")
    with TensorRtEngine(convolved_bundle) as engine:
        trt.driver.launches.clear()
        engine.infer(random_image(1))
        assert trt.driver.launches == ["upload", "network", "download"]


def test_with_a_graph_a_frame_is_one_call(fake_tensorrt, convolved_bundle):
    trt = fake_tensorrt()
    with TensorRtEngine(convolved_bundle) as engine:
        trt.driver.launches.clear()
        engine.infer(random_image(1))
        assert trt.driver.launches == ["graph"]


def test_images_are_resized_on_the_gpu_and_come_back_small(fake_tensorrt, convolved_bundle, tiny_depth):
    trt = fake_tensorrt()
    with TensorRtEngine(convolved_bundle) as engine:
        for size in ((640, 480), (90, 200), (640, 480)):
            engine.prepare(size)
            assert engine.prepared == size
            trt.driver.calls.clear()
            engine.prepare(size)  # the same for another camera of that size
            assert trt.driver.calls == [] and engine.prepared == size
            image = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8)
            expected = Letterbox(size, 64, 48).letterbox(image, np.empty((48, 64, 3), np.uint8))
            trt.driver.launches.clear()
            depth = engine.infer(image)
            assert trt.driver.launches == ["graph"]
            fitted = engine.network_input.copy()
            assert np.abs(fitted.astype(int) - expected).max() <= 1
            np.testing.assert_allclose(depth, tiny_depth(fitted), rtol=3e-3)
        # an image of the network's size is still taken, and does not disturb the next large one
        np.testing.assert_allclose(engine.infer(random_image(5)), tiny_depth(random_image(5)), rtol=3e-3)
        np.testing.assert_allclose(engine.infer(image), tiny_depth(fitted), rtol=3e-3)


def test_images_of_the_networks_size_need_no_preparation(fake_tensorrt, convolved_bundle, tiny_depth):
    trt = fake_tensorrt()
    with TensorRtEngine(convolved_bundle) as engine:
        engine.prepare((640, 480))
        trt.driver.calls.clear()
        engine.prepare((64, 48))
        assert engine.prepared is None, "there is nothing to resize"
        assert "cuModuleLoadData" not in {call[0] for call in trt.driver.calls}
        np.testing.assert_allclose(engine.infer(random_image(5)), tiny_depth(random_image(5)), rtol=3e-3)
        with pytest.raises(Clip2DepthError, match="contiguous uint8 images of shape"):
            engine.infer(np.zeros((480, 640, 3), np.uint8))


def test_without_a_graph_large_images_are_queued_step_by_step(fake_tensorrt, convolved_bundle):
    trt = fake_tensorrt(fault="no_graph")
    with TensorRtEngine(convolved_bundle) as engine:
        engine.prepare((640, 480))
        trt.driver.launches.clear()
        engine.infer(np.zeros((480, 640, 3), np.uint8))
        assert trt.driver.launches == ["upload", "kernel", "download", "network", "download"]


@pytest.mark.parametrize("fault", ["", "no_large_image"])
def test_the_pipeline_gives_the_same_depth_wherever_images_are_resized(
    fake_tensorrt, convolved_bundle, fault, monkeypatch
):
    trt = fake_tensorrt(fault=fault)
    images = np.random.default_rng(2).integers(0, 256, (3, 120, 200, 3), np.uint8)

    def depths(engine):
        pipeline = Pipeline(engine)
        frames = [Frame(image, stamp, "camera") for stamp, image in enumerate(images)]
        return [(r.depth.copy(), r.std_dev.copy()) for r in map(pipeline.process, frames)]

    with open_engine(convolved_bundle, "tensorrt", precision="fp32") as engine:
        trt.driver.launches.clear()
        found = depths(engine)
        assert ("kernel" in trt.driver.launches) == (not fault)
        engine._forget_prepared()
        monkeypatch.setattr(type(engine), "prepare", lambda self, size: None)
        np.testing.assert_allclose(found, depths(engine), rtol=0.02)  # a grey level


@pytest.mark.parametrize("fault", ["large_garbage", "stale"])
def test_an_image_resized_on_the_gpu_never_gets_another_depth(fake_tensorrt, convolved_bundle, fault, caplog):
    """The self-check does not see this path, so it is held to the one that it sees."""
    fake_tensorrt(fault=fault)
    with TensorRtEngine(convolved_bundle) as engine:
        for _ in range(2):
            engine.prepare((640, 480))
            assert engine.prepared is None and engine.network_input is None
        with pytest.raises(Clip2DepthError):
            engine.infer(np.zeros((480, 640, 3), np.uint8))
    assert caplog.text.count("this engine gives another depth for images resized on the GPU") == 1


def test_large_images_need_preparation(fake_tensorrt, convolved_bundle):
    fake_tensorrt(fault="no_large_image")
    image = np.zeros((9, 9, 3), np.uint8)
    with TensorRtEngine(convolved_bundle) as engine:
        for _ in range(2):
            with pytest.raises(Clip2DepthError, match="contiguous uint8 images of shape"):
                engine.infer(image)
            engine.prepare((9, 9))
            assert engine.prepared is None
    with pytest.raises(Clip2DepthError, match="was closed"):
        engine.prepare((9, 9))
    with pytest.raises(Clip2DepthError, match="was closed"):
        engine.infer(image)


def test_without_a_graph_it_runs_and_says_why(fake_tensorrt, convolved_bundle, tiny_depth, caplog):
    fake_tensorrt(fault="no_graph")
    with TensorRtEngine(convolved_bundle) as engine:
        assert engine.graph is False
        np.testing.assert_allclose(engine.infer(random_image(4)), tiny_depth(random_image(4)), rtol=3e-3)
    assert "not captured as a CUDA graph (cuStreamBeginCapture: operation not permitted" in caplog.text


def test_allocates_nothing_for_its_answer(fake_tensorrt, convolved_bundle):
    fake_tensorrt()
    with TensorRtEngine(convolved_bundle) as engine:
        assert np.shares_memory(engine.infer(random_image(1)), engine.infer(random_image(2)))


def test_device_times(fake_tensorrt, convolved_bundle):
    trt = fake_tensorrt()
    with TensorRtEngine(convolved_bundle) as engine:
        engine.infer(random_image(1))
        trt.calls.clear()
        assert device_times(engine, 5).shape == (5,)
        assert [call[0] for call in trt.calls] == ["execute_async_v3"] * 5


def test_a_closed_engine_is_an_error(fake_tensorrt, convolved_bundle):
    trt = fake_tensorrt()
    engine = TensorRtEngine(convolved_bundle)
    engine.close()
    engine.close()
    assert_all_given_back(trt)
    for use in (lambda: engine.infer(random_image(0)), lambda: engine.prepare((640, 480))):
        with pytest.raises(Clip2DepthError, match="The tensorrt engine was closed"):
            use()


@pytest.mark.parametrize("image", [np.zeros((64, 48, 3), np.uint8), np.zeros((48, 64, 3), np.float32)])
def test_other_images_are_refused(fake_tensorrt, convolved_bundle, image):
    fake_tensorrt()
    with (
        TensorRtEngine(convolved_bundle) as engine,
        pytest.raises(Clip2DepthError, match="takes contiguous uint8 images of shape"),
    ):
        engine.infer(image)


WRONG = {
    "garbage": r"differs by 30\.\d+% \(99th percentile, allowed 2\.00%\)",
    "garbage_fp16": r"differs by 30\.\d+% \(99th percentile, allowed 2\.00%\)",
    "jumps": r"differs by (19|20)\.\d+%",
    "stale": r"differs by \d+\.\d+%",
    "nan": r"10\.9% of its depth on the check sample is not a finite number",
    "build_none": r"TensorRT 10\.3\.0 cannot build the network \(Could not find any implementation",
    "deserialize_none": r"TensorRT 10\.3\.0 does not accept this engine",
    "context_none": r"no memory on the GPU for this engine",
    "execute_false": r"TensorRT does not run the network",
    "stream_error": r"TensorRT fails on .* \(cuStreamSynchronize: an illegal memory access was encountered\)",
}


@pytest.mark.parametrize("fault", WRONG)
def test_what_computes_wrongly_is_refused_and_its_memory_given_back(fake_tensorrt, convolved_bundle, fault):
    trt = fake_tensorrt("10.3.0", fault)
    with pytest.raises(EngineUnavailable, match=WRONG[fault]):
        open_engine(convolved_bundle, "tensorrt", precision="fp16")
    assert_all_given_back(trt)


@pytest.mark.parametrize("fault", sorted(set(WRONG) - {"garbage_fp16"}))
def test_a_wrong_engine_never_publishes_depth(fake_tensorrt, convolved_bundle, tiny_depth, fault):
    """Auto goes on to an engine that is right, and says so."""
    fake_tensorrt("10.3.0", fault)
    for _ in range(2):  # built, and from the cache
        with open_engine(convolved_bundle) as engine:
            assert engine.name == "openvino"
            assert re.search(f"^tensorrt fp16: .*{WRONG[fault]}", str(engine.attempts[0]))
            assert str(engine.attempts[1]).startswith("tensorrt fp32: ")
            image = random_image(8)
            np.testing.assert_allclose(engine.infer(image), tiny_depth(image), rtol=1e-3)


@pytest.mark.parametrize("version", ["8.6.1", "10.3.0", "11.1.0"])
def test_wrong_in_half_precision_only_goes_on_to_fp32(fake_tensorrt, convolved_bundle, tiny_depth, version):
    fake_tensorrt(version, "garbage_fp16")
    with open_engine(convolved_bundle) as engine:
        assert (engine.name, engine.precision) == ("tensorrt", "fp32")
        assert "rejected" in str(engine.attempts[0]) and "differs by 30." in str(engine.attempts[0])
        np.testing.assert_allclose(engine.infer(random_image(1)), tiny_depth(random_image(1)), rtol=1e-3)


def test_flipped_bytes_in_a_cached_engine_never_reach_tensorrt(
    fake_tensorrt, convolved_bundle, tiny_depth, caplog
):
    trt = fake_tensorrt()
    TensorRtEngine(convolved_bundle).close()
    (entry,) = list_cached()
    content = entry.path.read_bytes()
    (good,) = (call[1] for call in trt.calls if call[0] == "deserialize_cuda_engine")
    for place in (5, 25, 60, len(content) // 2, len(content) - 5):
        flipped = bytearray(content)
        flipped[place] ^= 0x10
        entry.path.write_bytes(flipped)
        trt.calls.clear()
        caplog.clear()
        with caplog.at_level(logging.INFO), open_engine(convolved_bundle, "tensorrt") as engine:
            np.testing.assert_allclose(engine.infer(random_image(1)), tiny_depth(random_image(1)), rtol=3e-3)
        assert trt.builds == 1
        assert {call[1] for call in trt.calls if call[0] == "deserialize_cuda_engine"} == {good}
        assert "building it again" in caplog.text


def test_an_engine_of_another_network_is_not_opened(fake_tensorrt, convolved_bundle, make_bundle):
    """Whole and sealed, with the right key, and yet another size: by hand, or by a fault of ours."""
    from clip2depth_ros.engines import checksummed

    trt = fake_tensorrt()
    other = make_bundle(convolution=True, input_height=32, input_width=32, name="other")
    TensorRtEngine(other).close()
    (entry,) = list_cached()
    _, plan = checksummed.read_checksummed(entry.path)
    entry.path.unlink()
    TensorRtEngine(convolved_bundle).close()
    (entry,) = list_cached()
    facts, _ = checksummed.read_checksummed(entry.path)
    checksummed.write_checksummed(entry.path, facts, plan)
    builds = trt.builds
    TensorRtEngine(convolved_bundle).close()
    assert trt.builds == builds + 1


@pytest.fixture
def fake_rtx(fake_tensorrt):
    """Function that installs a stand-in for TensorRT RTX on a GPU of compute capability 8.6."""

    def install(fault: str = "", capability: str = "8.6"):
        trt = fake_tensorrt("1.7.1.116", fault, "tensorrt_rtx")
        trt.gpu["compute_capability"] = capability
        return trt

    return install


def test_tensorrt_rtx_is_built_for_its_gpu_and_keeps_its_kernels(fake_rtx, convolved_bundle, tiny_depth):
    trt = fake_rtx()
    for again in (False, True):
        trt.calls.clear()
        with open_engine(convolved_bundle) as engine:
            assert (engine.name, engine.precision, engine.graph) == ("tensorrt_rtx", "fp16", True)
            assert str(engine.attempts[0]).startswith("tensorrt: not installed")
            assert engine.device == "Stand-in GPU, TensorRT RTX 1.7.1.116"
            np.testing.assert_allclose(engine.infer(random_image(1)), tiny_depth(random_image(1)), rtol=3e-3)
        assert trt.builds == trt.count("compile_kernels") == (not again)
        assert trt.count("deserialize_kernels") == again
        assert trt.count("create_timing_cache") == 0
        if not again:
            assert ("set_compute_capability", "SM86", 0) in trt.calls
    assert_all_given_back(trt)
    (entry,) = list_cached()
    assert (entry.key.library, entry.key.compute_capability, entry.key.gpu) == ("tensorrt_rtx", "8.6", "")
    assert len(clear_cached(bundle="convolved")) == 2


@pytest.mark.parametrize("damage", ["flip", "cut", "foreign", "rejected"])
def test_kernels_that_are_not_whole_or_not_this_machine_s_are_compiled_again(
    fake_rtx, convolved_bundle, damage, caplog
):
    from clip2depth_ros.engines import checksummed

    trt = fake_rtx()
    TensorRtRtxEngine(convolved_bundle).close()
    (path,) = list_cached()[0].path.parent.glob("*.kernels")
    content = path.read_bytes()
    facts, kernels = checksummed.read_checksummed(path)
    if damage == "flip":
        path.write_bytes(content[:-40] + bytes([content[-40] ^ 1]) + content[-39:])
    elif damage == "cut":
        path.write_bytes(content[:-7])
    elif damage == "foreign":
        checksummed.write_checksummed(path, facts | {"machine": "another driver"}, kernels)
    else:  # by TensorRT RTX, which knows of more than we do
        checksummed.write_checksummed(path, facts, b"of another compiler")
    trt.calls.clear()
    TensorRtRtxEngine(convolved_bundle).close()
    assert trt.builds == 0 and trt.count("compile_kernels") == 1
    assert trt.count("deserialize_kernels") == (damage == "rejected")
    assert ("the kernels are compiled again" in caplog.text) == (damage in ("flip", "cut"))
    trt.calls.clear()
    TensorRtRtxEngine(convolved_bundle).close()
    assert trt.count("compile_kernels") == 0 and path.read_bytes() == content


def test_an_engine_for_several_gpus_serves_each_of_them(fake_rtx, convolved_bundle, tmp_path):
    fake_rtx()
    path = build_ahead(convolved_bundle, ["8.9", "8.6"], cache_dir=tmp_path)
    for capability, builds in (("8.6", 0), ("8.9", 0), ("12.0", 1)):
        trt = fake_rtx(capability=capability)
        with open_engine(convolved_bundle, "tensorrt_rtx", cache_dir=tmp_path):
            assert trt.builds == builds
        with open_engine(convolved_bundle, "tensorrt_rtx", precision="fp32", cache_dir=tmp_path):
            assert trt.builds == builds + 1  # which is another file
    content = bytearray(path.read_bytes())
    content[-50] ^= 4
    path.write_bytes(content)
    trt = fake_rtx()
    with open_engine(convolved_bundle, "tensorrt_rtx", cache_dir=tmp_path):
        assert trt.builds == 1


def test_a_gpu_that_tensorrt_rtx_does_not_know_is_said_at_once(fake_rtx, convolved_bundle):
    trt = fake_rtx(capability="9.0")
    with open_engine(convolved_bundle) as engine:
        assert engine.name == "openvino"
        assert "does not compile for compute capability 9.0; it does for 7.5, 8.0" in str(engine.attempts[1])
    assert trt.calls == []
    fake_rtx(capability="7.5")
    with pytest.raises(EngineUnavailable, match=r"compute capability 7\.5 has no bf16"):
        open_engine(convolved_bundle, "tensorrt_rtx", precision="bf16")


@pytest.mark.parametrize("library", ["tensorrt", "tensorrt_rtx"])
def test_a_kept_engine_that_computes_wrongly_is_built_anew_once(
    fake_tensorrt, convolved_bundle, tiny_depth, library, caplog
):
    """Sealed and with the right key, and yet of another network: what disk and memory can do."""
    trt = fake_tensorrt("10.3.0" if library == "tensorrt" else "1.7.1.116", "", library)
    trt.gpu["compute_capability"] = "8.6"
    open_engine(convolved_bundle, library, precision="fp16").close()
    trt.fault = "garbage"
    with pytest.raises(EngineUnavailable, match="differs by 30"):
        open_engine(convolved_bundle, library, precision="fp16")
    assert trt.builds == 2 and "It came from the cache" in caplog.text and ".engine" in caplog.text
    with pytest.raises(EngineUnavailable, match="differs by 30"):
        open_engine(convolved_bundle, library, precision="fp16")
    assert trt.builds == 2, "not again at every start: that takes minutes"
    trt.fault = ""
    with open_engine(convolved_bundle, library, precision="fp16") as engine:
        np.testing.assert_allclose(engine.infer(random_image(1)), tiny_depth(random_image(1)), rtol=3e-3)


def test_progress_is_told(fake_tensorrt, convolved_bundle):
    fake_tensorrt("10.3.0", "slow_build")
    lines = []
    TensorRtEngine(convolved_bundle, progress=lines.append).close()
    assert lines[0] == "tensorrt fp16: building; this takes minutes on a Jetson"
    assert re.fullmatch(
        r"tensorrt fp16: building, \d s, \d\d %|tensorrt fp16: building, \d s, \d\d%", lines[1]
    )
    fake_tensorrt("8.6.1", "slow_build")
    lines = []
    TensorRtEngine(convolved_bundle, progress=lines.append).close()
    assert re.fullmatch(r"tensorrt fp16: building, \d s", lines[1])


@pytest.mark.parametrize(("version", "kept"), [("8.6.1", 1), ("10.3.0", 0)])
def test_a_build_can_be_cancelled(fake_tensorrt, convolved_bundle, version, kept):
    """Before 9, TensorRT ends it first: that work is not thrown away."""
    trt = fake_tensorrt(version, "slow_build")

    def cancel(line):
        if re.search(r"\d s", line):
            raise BuildCancelled("The node is being shut down.")

    with pytest.raises(BuildCancelled, match="being shut down"):
        open_engine(convolved_bundle, progress=cancel)
    assert trt.builds == 1  # and no other engine was tried
    assert len(list_cached()) == kept
    assert_all_given_back(trt)


def test_nested_phases_add_up():
    phases = _Phases()
    assert phases.fraction() is None
    phases.start("all", None, 4)
    assert phases.fraction() == 0
    phases.step("all", 0)
    phases.start("part", "all", 2)
    phases.step("part", 0)
    assert phases.fraction() == pytest.approx(1.5 / 4)
    phases.finish("part")
    phases.step("all", 3)
    assert phases.fraction() == 1
    phases.finish("all")
    assert phases.fraction() is None


def test_what_tensorrt_logs_is_logged(fake_tensorrt, caplog):
    from clip2depth_ros.engines.tensorrt.builder import logger

    trt = fake_tensorrt()
    log = logger(trt)
    assert logger(trt) is log
    with caplog.at_level(logging.WARNING):
        for severity in (trt.ILogger.ERROR, trt.ILogger.WARNING, trt.ILogger.INFO):
            log.log(severity, f"said at {severity}")
    assert [(r.levelname, r.message) for r in caplog.records] == [
        ("ERROR", "TensorRT: said at 1"),
        ("WARNING", "TensorRT: said at 2"),
    ]
    assert log.last_error == "said at 1"
