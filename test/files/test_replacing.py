# SPDX-License-Identifier: Apache-2.0
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.files.replacing import PartialFile, remove_abandoned, replacing, write_whole


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "facts.json"
    write_whole(path, "one")
    os.chmod(path, 0o640)
    write_whole(path, b"two")
    assert path.read_text() == "two" and os.listdir(tmp_path) == ["facts.json"]
    assert path.stat().st_mode & 0o777 == 0o640


def test_an_exception_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.npz"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as part:
        assert part.suffix == ".npz" and part.parent == tmp_path
        part.write_text("new, half")
        raise RuntimeError
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.npz"]


def test_links_are_replaced_not_followed(tmp_path):
    other = tmp_path / "other"
    other.write_text("somebody's")
    (tmp_path / "facts").symlink_to(other)
    write_whole(tmp_path / "facts", "ours")
    assert other.read_text() == "somebody's" and (tmp_path / "facts").read_text() == "ours"
    # Nor does a link of a partial file's name lead anywhere.
    link = tmp_path / ".facts.abc.part"
    link.symlink_to(other)
    write_whole(tmp_path / "facts", "again")
    assert other.read_text() == "somebody's" and link.is_symlink()


KILLED = """
import os, signal, sys
from clip2depth_ros.files.replacing import PartialFile
partial = PartialFile(sys.argv[1])
partial.write(b"half")
print(partial.path, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_files_of_killed_writers_are_removed_and_others_kept(tmp_path):
    path = tmp_path / "model.onnx"
    foreign = tmp_path / ".other.json.abc.part.json"
    foreign.write_text("")
    living = PartialFile(path)
    ended = subprocess.run([sys.executable, "-c", KILLED, str(path)], capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert os.path.exists(ended.stdout.strip())
    assert [str(p) for p in remove_abandoned(path)] == [ended.stdout.strip()]
    living.write(b"whole")
    living.put_in_place()
    assert path.read_bytes() == b"whole" and foreign.exists()


FULL = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
"""


def run_on_full_disk(code: str, *arguments: str) -> subprocess.CompletedProcess:
    """Python code in a process whose files cannot grow beyond 4096 bytes."""
    command = [sys.executable, "-c", FULL + textwrap.dedent(code), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_a_full_disk_gives_one_sentence_and_keeps_the_old_file(tmp_path):
    path = tmp_path / "big"
    path.write_text("old")
    code = """
    import sys
    from clip2depth_ros.errors import Clip2DepthError
    from clip2depth_ros.files.replacing import write_whole
    try:
        write_whole(sys.argv[1], b"x" * 10000)
    except Clip2DepthError as error:
        print(error)
    """
    ended = run_on_full_disk(code, str(path))
    assert ended.stdout.strip() == f"{path} cannot be written: File too large.", ended.stderr
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["big"]


def test_reserved_space_is_available_on_a_full_disk(tmp_path):
    """A small file system where there may be one, filled up after the reservation."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        partial = PartialFile(tmp_path / "summary.json", reserve=16384)
        with pytest.raises(OSError, match="No space"):
            (tmp_path / "filler").write_bytes(b"x" * 100_000)
        partial.write(b"y" * 16384)
        partial.put_in_place()
        assert (tmp_path / "summary.json").read_bytes() == b"y" * 16384
        with pytest.raises(Clip2DepthError, match=r"filled cannot be written: No space left on device\."):
            write_whole(tmp_path / "filled", b"z" * 65536)
        assert not (tmp_path / "filled").exists()
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
