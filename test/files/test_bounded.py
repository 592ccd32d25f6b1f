# SPDX-License-Identifier: Apache-2.0
"""Bounded reading: a file that is too long, missing or not regular is rejected and named."""

from __future__ import annotations

import os
import time
import tracemalloc

import pytest

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.files.bounded import MAX_FACTS, MAX_NESTED, load_yaml, read_bounded, reading


def test_a_file_up_to_the_limit_is_read(tmp_path):
    file = tmp_path / "file"
    for size in (0, 1, 99, 100):
        file.write_bytes(b"x" * size)
        assert read_bounded(file, 100) == b"x" * size
        assert read_bounded(str(file), 100) == b"x" * size


def test_a_longer_file_is_rejected_without_being_read(tmp_path):
    file = tmp_path / "file"
    with file.open("wb") as sparse:
        sparse.truncate(2**40)
    tracemalloc.start()
    with pytest.raises(Clip2DepthError, match=r"file is longer than 1000 bytes"):
        read_bounded(file, 1000)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("name", ["", "nothing", "folder", "zero", "pipe", "loop", "nul\0"])
def test_a_path_that_is_not_a_file_is_rejected_and_named(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Clip2DepthError) as refusal:
        read_bounded(tmp_path / name, 1000)
    assert str(tmp_path / name) in str(refusal.value)


def test_a_file_without_a_stated_size_is_read():
    assert read_bounded("/proc/self/status", 100_000).startswith(b"Name:")


@pytest.mark.parametrize(
    ("raised", "words"),
    [
        (ValueError("line 1\n  and\tline 2."), "file cannot be read: line 1 and line 2."),
        (MemoryError(), "file cannot be read: MemoryError."),
        (RecursionError("deep"), "file cannot be read: deep."),
        (KeyError("\x1b[31m" + "x" * 9000), r"file cannot be read: '\\x1b\[31mx*\.\.\."),
    ],
)
def test_any_exception_of_a_reader_becomes_one_sentence(tmp_path, raised, words):
    with pytest.raises(Clip2DepthError, match=words) as refusal, reading(tmp_path / "file"):
        raise raised
    assert str(refusal.value).isprintable() and len(str(refusal.value)) < 500


def test_our_own_errors_pass_through(tmp_path):
    with pytest.raises(Clip2DepthError, match=r"^as it is$"), reading(tmp_path / "file"):
        raise Clip2DepthError("as it is")


@pytest.mark.parametrize("opening", ["[", "{a: "])
def test_deeply_nested_yaml_is_rejected_at_once(tmp_path, opening):
    path = tmp_path / "it.yaml"
    path.write_text(opening * ((MAX_FACTS - 10) // len(opening)))
    began = time.process_time()
    with pytest.raises(Clip2DepthError, match=f"it.yaml.*nested more than {MAX_NESTED} deep") as found:
        load_yaml(path)
    assert time.process_time() - began < 5.0 and "\n" not in str(found.value)


def test_yaml_may_be_nested(tmp_path):
    path = tmp_path / "it.yaml"
    path.write_text("[" * MAX_NESTED + "]" * MAX_NESTED)
    value = load_yaml(path)
    for _ in range(MAX_NESTED - 1):
        (value,) = value
    assert value == []
