# SPDX-License-Identifier: Apache-2.0
import ast
import logging
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from clip2depth_ros.bundle import Bundle
from clip2depth_ros.engines import open_engine, self_check
from clip2depth_ros.engines.openvino import OpenVinoEngine
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.system.offline import import_openvino
from clip2depth_ros.system.paths import user_folder


@pytest.fixture(scope="module")
def engine(tiny_bundle):
    with open_engine(tiny_bundle) as engine:
        yield engine


def random_image(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (48, 64, 3), np.uint8)


def test_computes_what_the_network_says(engine, tiny_depth):
    for seed in range(3):
        image = random_image(seed)
        np.testing.assert_allclose(engine.infer(image), tiny_depth(image), rtol=1e-4)


def test_sees_a_buffer_that_was_refilled(engine, tiny_depth):
    buffer = random_image(1)
    engine.infer(buffer)
    buffer[:] = random_image(2)
    np.testing.assert_allclose(engine.infer(buffer), tiny_depth(random_image(2)), rtol=1e-4)


def test_allocates_nothing_for_its_answer(engine):
    buffer = random_image(1)
    assert np.shares_memory(engine.infer(buffer), engine.infer(buffer))


def test_says_what_it_is(engine, tiny_bundle):
    assert (engine.name, engine.precision) == ("openvino", "fp32")
    assert engine.device
    assert engine.manifest == tiny_bundle.manifest


def test_infers_in_single_precision(engine):
    # OpenVINO would choose bf16 by itself on processors that have it.
    ov = import_openvino()
    assert engine._compiled.get_property("INFERENCE_PRECISION_HINT") == ov.Type.f32


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity"), reason="threads and cores are looked at as on Linux"
)
def test_threads_may_run_on_every_core(tiny_bundle):
    """Pinned, two nodes on one computer would fight for the first cores."""
    program = f"""
import os
import numpy as np
from clip2depth_ros.bundle import Bundle
from clip2depth_ros.engines import open_engine
with open_engine(Bundle({str(tiny_bundle.path)!r})) as engine:
    engine.infer(np.zeros((48, 64, 3), np.uint8))
    print([len(os.sched_getaffinity(int(task))) for task in os.listdir("/proc/self/task")])
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert set(ast.literal_eval(ended.stdout)) == {len(os.sched_getaffinity(0))}, ended.stderr


def test_number_of_threads(tiny_bundle):
    with open_engine(tiny_bundle, "openvino", threads=1) as engine:
        assert engine._compiled.get_property("INFERENCE_NUM_THREADS") == 1
    with pytest.raises(Clip2DepthError, match="threads must be 0"):
        open_engine(tiny_bundle, threads=-1)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((64, 48, 3), np.uint8),
        np.zeros((48, 64, 3), np.float32),
        np.zeros((48, 128, 3), np.uint8)[:, ::2],
    ],
)
def test_other_images_are_refused(engine, image):
    with pytest.raises(Clip2DepthError, match="takes contiguous uint8 images of shape"):
        engine.infer(image)


def test_a_closed_engine_is_an_error(tiny_bundle):
    engine = open_engine(tiny_bundle)
    engine.close()
    engine.close()
    with pytest.raises(Clip2DepthError, match="was closed"):
        engine.infer(random_image(0))


def test_unknown_engine(tiny_bundle):
    known = "auto, tensorrt, tensorrt_rtx, pytorch, openvino, opencv"
    with pytest.raises(Clip2DepthError, match=f"No engine is called 'magic'; known are: {known}"):
        open_engine(tiny_bundle, "magic")


def rewritten(bundle: Bundle, tmp_path, depth=None, model=None, **changes) -> Bundle:
    from dataclasses import replace

    image, expected = bundle.check()
    manifest = replace(bundle.manifest, **changes)
    return Bundle.write(
        tmp_path / "changed",
        bundle.model() if model is None else model,
        manifest,
        image,
        expected if depth is None else depth,
    )


def test_an_engine_that_computes_wrongly_is_refused_with_the_figure(tiny_bundle, tmp_path):
    _, expected = tiny_bundle.check()
    wrong = rewritten(tiny_bundle, tmp_path, depth=expected / 1.25)
    with pytest.raises(Clip2DepthError, match=r"rejected for bundle .*differs by 25\.00% .*allowed 1\.00%"):
        open_engine(wrong)


def test_a_small_difference_passes_and_is_measured(tiny_bundle, tmp_path, engine):
    _, expected = tiny_bundle.check()
    near = rewritten(tiny_bundle, tmp_path, depth=expected * 1.004)
    assert self_check(engine, near) == pytest.approx(0.004, rel=0.05)
    with pytest.raises(Clip2DepthError, match=r"0.40%"):
        self_check(engine, near, tolerance=0.001)


def test_an_engine_that_answers_nan_is_refused(exact_engine, tiny_bundle):
    broken = exact_engine(np.full((48, 64), np.nan))
    with pytest.raises(
        Clip2DepthError, match=r"100.0% of its depth on the check sample is not a finite number"
    ):
        self_check(broken, tiny_bundle)


def test_a_check_sample_without_depth_proves_nothing(engine, tiny_bundle, tmp_path):
    empty = rewritten(tiny_bundle, tmp_path, depth=np.full((48, 64), np.nan, np.float32))
    with pytest.raises(Clip2DepthError, match="contains no known depth"):
        self_check(engine, empty)


def test_what_is_no_onnx_is_refused(tiny_bundle, tmp_path):
    with pytest.raises(Clip2DepthError, match=r"OpenVINO cannot read model.onnx"):
        open_engine(rewritten(tiny_bundle, tmp_path, model=b"no network at all" * 10))


def test_a_model_of_another_size_than_the_manifest_says(make_bundle, tiny_bundle, tmp_path):
    other = make_bundle(input_height=32, input_width=32)
    with pytest.raises(Clip2DepthError, match=r"has image u8 \[1, 32, 32, 3\], expected u8 \[1, 48, 64, 3\]"):
        open_engine(rewritten(tiny_bundle, tmp_path, model=other.model()))


def test_without_a_cache_folder_it_works_and_says_so(tiny_bundle, tmp_path, caplog, tiny_depth):
    (tmp_path / "file").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        engine = OpenVinoEngine(tiny_bundle, cache_dir=tmp_path / "file" / "cache")
    assert "No cache for compiled models" in caplog.text
    np.testing.assert_allclose(engine.infer(random_image(3)), tiny_depth(random_image(3)), rtol=1e-4)


DAMAGE = """
import logging, random, sys
from pathlib import Path
import numpy as np
from clip2depth_ros.bundle import Bundle
from clip2depth_ros.engines import open_engine
logging.basicConfig(level=logging.WARNING, stream=sys.stdout, format="%(message)s")
bundle = Bundle(sys.argv[1])
image, expected = bundle.check()
open_engine(bundle, "openvino", precision="fp32").close()
(path,) = (Path(sys.argv[2]) / "clip2depth" / "openvino").iterdir()
whole = path.read_bytes()
for seed in range(int(sys.argv[3])):
    rng = random.Random(seed)
    content = bytearray(whole)
    if seed % 3 == 0:
        del content[rng.randrange(len(content)):]
    else:
        for _ in range(rng.choice((1, 1, 8, 200))):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
    with open_engine(bundle, "openvino", precision="fp32") as engine:
        assert engine.cached is None, seed
        assert np.allclose(engine.infer(image), expected, rtol=1e-4), seed
    with open_engine(bundle, "openvino", precision="fp32") as engine:
        assert engine.cached == path, seed
print("survived")
"""


@pytest.mark.parametrize(("bundle", "seeds"), [("tiny_bundle", 60), ("mini", 5)])
def test_a_damaged_cache_never_disables_the_engine(request, tmp_path, bundle, seeds):
    """Real compiled models, bits flipped and ends cut off, in a process that OpenVINO might crash."""
    bundle = request.getfixturevalue(bundle)
    ended = subprocess.run(
        [sys.executable, "-c", DAMAGE, str(bundle.path), str(tmp_path), str(seeds)],
        capture_output=True,
        text=True,
        timeout=280,
        env=os.environ | {"XDG_CACHE_HOME": str(tmp_path)},
    )
    assert ended.returncode == 0 and ended.stdout.endswith("survived\n"), (
        ended.stdout[-800:] + ended.stderr[-800:]
    )
    said = [line for line in ended.stdout.splitlines() if line.startswith("The compiled model ")]
    assert len(said) == seeds and all("compiled again" in line and str(tmp_path) in line for line in said)


def test_a_cached_model_that_computes_wrongly_is_compiled_anew(
    tiny_bundle, make_bundle, monkeypatch, tmp_path, caplog, tiny_depth
):
    """Whole by its checksum, and yet of another network: the self-check finds it, it is replaced."""
    from clip2depth_ros.engines import checksummed

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    open_engine(make_bundle(depth=np.full((48, 64), 3.0)), "openvino").close()
    (other,) = user_folder("cache", "openvino").iterdir()
    _, wrong = checksummed.read_checksummed(other)
    other.unlink()
    open_engine(tiny_bundle, "openvino").close()
    (path,) = user_folder("cache", "openvino").iterdir()
    facts, _ = checksummed.read_checksummed(path)
    checksummed.write_checksummed(path, facts, wrong)
    with open_engine(tiny_bundle, "openvino") as engine:
        np.testing.assert_allclose(engine.infer(random_image(3)), tiny_depth(random_image(3)), rtol=1e-4)
    assert f"It came from the cache ({path}); it is compiled again and replaced." in caplog.text
    with open_engine(tiny_bundle, "openvino") as engine:
        assert engine.cached == path
    assert checksummed.read_checksummed(path)[0] == facts


def test_the_cache_is_filled_and_read(tiny_bundle, tmp_path, tiny_depth):
    cache = tmp_path / "cache"
    OpenVinoEngine(tiny_bundle, cache_dir=cache).close()
    assert any(cache.iterdir())
    again = OpenVinoEngine(tiny_bundle, cache_dir=cache)
    np.testing.assert_allclose(again.infer(random_image(3)), tiny_depth(random_image(3)), rtol=1e-4)
    shutil.rmtree(cache)
