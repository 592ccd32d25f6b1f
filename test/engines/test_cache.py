# SPDX-License-Identifier: Apache-2.0
"""Built engines on disk: what is not whole or not ours is never loaded, and each is built once."""

import json
import logging
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from clip2depth_ros.engines import cache, checksummed
from clip2depth_ros.engines.base import EngineUnavailable
from clip2depth_ros.engines.cache import BuildCancelled, EngineKey, cached_engine, clear_cached, list_cached

pytest.importorskip("filelock", reason="the cache's locks are filelock's")

KEY = EngineKey("mini", "ab" * 32, "10.3.0", "Orin", "8.7", "fp16", (1, 160, 224, 3))
PLAN = bytes(range(256)) * 20


class Builder:
    """Builds PLAN, counts how often, and loads whatever it is given but for `refused`."""

    def __init__(self, plan: bytes = PLAN, timing: bytes | None = b"timing") -> None:
        self.plan, self.timing = plan, timing
        self.builds = 0
        self.given: list[bytes | None] = []
        self.loaded: list[bytes] = []
        self.refused: set[bytes] = set()

    def build(self, timing):
        self.builds += 1
        self.given.append(timing)
        return self.plan, self.timing

    def load(self, plan):
        self.loaded.append(plan)
        if plan in self.refused:
            raise EngineUnavailable("TensorRT does not take it")
        return f"engine of {len(plan)} bytes"

    def open(self, folder, key=KEY, progress=lambda line: None):
        return cached_engine(key, self.build, self.load, cache_dir=folder, progress=progress)[0]


@pytest.fixture
def built(tmp_path):
    """The path of an engine in a cache."""
    Builder().open(tmp_path)
    return tmp_path / KEY.file_name


def reason(folder, caplog) -> str:
    """Why an engine is built again, by the log; it is, once, and works."""
    builder = Builder()
    caplog.clear()
    with caplog.at_level(logging.INFO):
        assert builder.open(folder) == f"engine of {len(PLAN)} bytes"
    assert builder.builds == 1
    assert builder.loaded == [PLAN]
    lines = [record.message for record in caplog.records if record.name == cache.__name__]
    assert len(lines) == 1
    again = Builder()
    again.open(folder)
    assert again.builds == 0
    return lines[0]


def test_an_engine_is_built_once(tmp_path):
    builder = Builder()
    assert builder.open(tmp_path) == builder.open(tmp_path) == f"engine of {len(PLAN)} bytes"
    assert builder.builds == 1
    assert builder.loaded == [PLAN, PLAN]


@pytest.mark.parametrize(
    "change",
    [
        {"model_sha256": "cd" * 32},
        {"tensorrt": "10.3.1"},
        {"gpu": "Orin Nano"},
        {"compute_capability": "8.9"},
        {"precision": "fp32"},
        {"input_shape": (1, 224, 160, 3)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_everything_an_engine_depends_on_is_in_its_key(tmp_path, change):
    builder = Builder()
    builder.open(tmp_path)
    builder.open(tmp_path, replace(KEY, **change))
    assert builder.builds == 2
    builder.open(tmp_path)
    assert builder.builds == 2


def test_file_names_are_plain_and_speak(tmp_path):
    assert KEY.file_name.startswith("mini-224x160-fp16-")
    odd = replace(KEY, bundle="../../a b\n/é")
    assert "/" not in odd.file_name and odd.file_name.isascii()
    Builder().open(tmp_path, odd)
    assert list_cached(tmp_path)[0].key == odd


@pytest.mark.parametrize("kept", [0, 10, 20, 30, 200, 5000, -1])
def test_a_truncated_file_is_built_again(built, caplog, kept):
    built.write_bytes(built.read_bytes()[:kept])
    assert "was truncated" in reason(built.parent, caplog)


def test_no_flipped_bit_is_ever_loaded(built, caplog):
    content = built.read_bytes()
    builder = Builder()
    for place in [*range(0, len(content), 97), 0, len(content) - 1, len(content) - 33]:
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        built.write_bytes(flipped)
        before = builder.builds
        builder.open(built.parent)
        assert builder.builds == before + 1, f"byte {place}"
    assert set(builder.loaded) == {PLAN}
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 4
    built.write_bytes(flipped)
    assert "is damaged (its checksum does not match); building it again" in reason(built.parent, caplog)


@pytest.mark.parametrize("content", [b"ELF and so on" * 99, b"\0" * 400])
def test_a_foreign_file_is_built_again(built, caplog, content):
    built.write_bytes(content)
    assert "was not written by this program" in reason(built.parent, caplog)


def test_a_sealed_file_of_something_else_is_built_again(built, caplog):
    checksummed.write_checksummed(built, {"tensorrt": "10.3.0"}, PLAN[::-1])
    assert "does not contain an engine of this program" in reason(built.parent, caplog)


def test_a_stale_file_is_built_again(built, caplog):
    facts, _ = checksummed.read_checksummed(built)
    facts["key"]["tensorrt"] = "8.6.1"
    checksummed.write_checksummed(built, facts, PLAN[::-1])
    said = reason(built.parent, caplog)
    assert "is stale: it was built by TensorRT 8.6.1 on Orin (8.7), but TensorRT 10.3.0" in said


def test_after_an_update_it_says_what_there_was(built, caplog):
    with caplog.at_level(logging.INFO):
        Builder().open(built.parent, replace(KEY, tensorrt="10.14.1"))
    assert "no engine yet for TensorRT 10.14.1 on Orin (8.7), only for TensorRT 10.3.0 on Orin" in caplog.text


def test_an_engine_that_tensorrt_refuses_is_built_again(built, caplog):
    builder = Builder(plan=PLAN[::-1])
    builder.refused = {PLAN}
    with caplog.at_level(logging.INFO):
        builder.open(built.parent)
    assert builder.builds == 1
    assert "cannot be opened (TensorRT does not take it); building it again" in caplog.text
    assert checksummed.read_checksummed(built)[1] == PLAN[::-1]


def test_an_engine_that_cannot_be_loaded_when_new_is_not_kept(tmp_path):
    builder = Builder()
    builder.refused = {PLAN}
    with pytest.raises(EngineUnavailable, match="does not take it"):
        builder.open(tmp_path)
    assert builder.builds == 1
    assert list_cached(tmp_path) == []


def test_the_timing_cache_is_kept_and_handed_on(tmp_path):
    builder = Builder()
    builder.open(tmp_path)
    builder.open(tmp_path, replace(KEY, precision="fp32"))
    builder.open(tmp_path, replace(KEY, tensorrt="10.14"))
    assert builder.given == [None, b"timing", None]


def test_a_damaged_timing_cache_is_made_anew(tmp_path, caplog):
    builder = Builder()
    builder.open(tmp_path)
    (timing,) = tmp_path.glob("*.timing")
    timing.write_bytes(timing.read_bytes()[:-3])
    builder.open(tmp_path, replace(KEY, precision="fp32"))
    assert builder.given == [None, None]
    assert "timing cache" in caplog.text and "was truncated" in caplog.text


def test_writing_fails_whole(tmp_path, monkeypatch, caplog):
    """A full disk leaves neither a part of an engine nor the node without one."""

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    builder = Builder()
    assert builder.open(tmp_path) == f"engine of {len(PLAN)} bytes"
    assert "cannot be written (No space left on device)" in caplog.text
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")] == []


def test_a_new_engine_replaces_the_old_in_one_step(built, monkeypatch):
    """Readers see the old file until the new one is whole."""
    old = built.read_bytes()
    seen = []
    replace_ = os.replace

    def watched(source, target):
        seen.append((Path(target).read_bytes(), checksummed.read_checksummed(Path(source))[1]))
        replace_(source, target)

    monkeypatch.setattr(os, "replace", watched)
    checksummed.write_checksummed(built, {"new": True}, b"payload")
    assert seen == [(old, b"payload")]
    assert checksummed.read_checksummed(built) == ({"new": True}, b"payload")


def test_without_a_writable_folder_it_builds_for_this_run(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    builder = Builder()
    builder.open(tmp_path / "file" / "cache")
    builder.open(tmp_path / "file" / "cache")
    assert builder.builds == 2
    assert "this engine is built for this run only" in caplog.text


def test_an_engine_in_a_folder_that_nobody_can_write_is_opened(built, monkeypatch):
    """As shipped in an image: no lock is taken, nothing is written."""
    monkeypatch.setattr(cache, "_lock", None)
    monkeypatch.setattr(checksummed, "write_checksummed", None)
    builder = Builder()
    builder.open(built.parent)
    assert builder.builds == 0


def test_the_lock_of_a_build_that_failed_is_free_again(tmp_path):
    def fails(timing):
        raise EngineUnavailable("no")

    with pytest.raises(EngineUnavailable):
        cached_engine(KEY, fails, Builder().load, cache_dir=tmp_path, progress=print)
    builder = Builder()
    builder.open(tmp_path)
    assert builder.builds == 1


def test_waiting_for_another_build_is_told_and_can_be_cancelled(tmp_path):
    import filelock

    lines = []

    def cancel(line):
        lines.append(line)
        raise BuildCancelled("stopped")

    with (
        filelock.FileLock(f"{tmp_path / KEY.file_name}.lock"),
        pytest.raises(BuildCancelled, match="stopped"),
    ):
        Builder().open(tmp_path, progress=cancel)
    assert lines == ["another process builds this engine; waiting"]


def test_two_threads_build_once(tmp_path):
    builder = Builder()
    inside = threading.Event()
    build = builder.build

    def slow(timing):
        inside.set()
        threading.Event().wait(0.3)
        return build(timing)

    builder.build = slow
    first = threading.Thread(target=builder.open, args=(tmp_path,))
    first.start()
    assert inside.wait(10)
    lines = []
    builder.open(tmp_path, progress=lines.append)
    first.join()
    assert builder.builds == 1
    assert lines == ["another process builds this engine; waiting"]


TWO = """
import sys, time
from pathlib import Path
from clip2depth_ros.engines.cache import EngineKey, cached_engine
folder, log, kill = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "killed"
key = EngineKey("mini", "ab" * 32, "10.3.0", "Orin", "8.7", "fp16", (1, 160, 224, 3))
def build(timing):
    with log.open("a") as file:
        file.write("build\\n")
    print("building", flush=True)
    time.sleep(60 if kill else 1.0)
    return b"plan" * 1000, None
print(cached_engine(key, build, len, cache_dir=folder, progress=print)[0], flush=True)
"""


def start(folder, log, kill="") -> subprocess.Popen:
    command = [sys.executable, "-c", TWO, str(folder), str(log), kill]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_build_once(tmp_path):
    log = tmp_path / "log"
    both = [start(tmp_path / "cache", log) for _ in range(2)]
    ended = [process.communicate(timeout=120) for process in both]
    assert [out.splitlines()[-1] for out, _ in ended] == ["4000", "4000"], ended
    assert log.read_text() == "build\n"
    assert sorted("another process builds" in out for out, _ in ended) == [False, True]


def test_a_process_that_was_killed_while_building_blocks_nobody(tmp_path):
    log = tmp_path / "log"
    first = start(tmp_path / "cache", log, "killed")
    assert first.stdout.readline() == "building\n"
    first.kill()
    first.communicate()
    out, err = start(tmp_path / "cache", log).communicate(timeout=120)
    assert out.splitlines()[-1] == "4000", err


def test_the_list_tells_what_there_is(built):
    broken = built.with_name("other.engine")
    broken.write_bytes(built.read_bytes()[:-1])
    whole, cut = sorted(list_cached(built.parent), key=lambda entry: entry.key is None)
    assert (whole.path, whole.key, whole.problem) == (built, KEY, None)
    assert whole.size == built.stat().st_size
    assert whole.build_seconds >= 0 and whole.built.endswith("+00:00")
    assert cut.key is None and "was truncated" in cut.problem


def test_facts_are_json_and_no_pickle(built):
    header = built.read_bytes()[36:]
    assert (
        json.JSONDecoder().raw_decode(header[: header.index(b"}}") + 2].decode())[0]["key"]["gpu"] == "Orin"
    )


def test_an_empty_or_missing_cache_lists_nothing(tmp_path):
    assert list_cached(tmp_path) == list_cached(tmp_path / "none") == []
    assert clear_cached(tmp_path / "none") == []


def test_clearing(built):
    other = replace(KEY, bundle="another", model_sha256="cd" * 32)
    Builder().open(built.parent, other)
    assert clear_cached(built.parent, bundle="another") == [built.parent / other.file_name]
    assert [entry.key for entry in list_cached(built.parent)] == [KEY]
    assert built in clear_cached(built.parent)
    assert list(built.parent.iterdir()) == []


def test_the_default_is_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.engine_folder() == tmp_path / "clip2depth" / "tensorrt"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert cache.engine_folder() == Path("/home/somebody/.cache/clip2depth/tensorrt")
