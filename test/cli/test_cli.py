# SPDX-License-Identifier: Apache-2.0
import subprocess
import sys

import pytest

from clip2depth_ros import __version__
from clip2depth_ros.cli import command_names, main, make_parser
from clip2depth_ros.commands import doctor


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert {"run", "doctor"} <= set(command_names())
    assert all(f"    {name} " in text for name in command_names())


@pytest.mark.parametrize("name", command_names())
def test_every_command_has_its_own_help(name, capsys):
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    assert end.value.code == 0
    assert f"usage: clip2depth {name}" in capsys.readouterr().out


def test_version(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert __version__ in capsys.readouterr().out


def test_an_unknown_command_lists_the_known_ones(capsys):
    with pytest.raises(SystemExit) as end:
        main(["walk"])
    assert end.value.code == 2
    assert "'run'" in capsys.readouterr().err


def test_options_cannot_be_abbreviated(capsys):
    with pytest.raises(SystemExit):
        make_parser("run").parse_args(["run", "--inp", "x", "--output", "y"])
    assert "--input" in capsys.readouterr().err


def test_a_user_error_gives_one_line_and_exit_2(capsys, tmp_path):
    assert main(["run", "--input", str(tmp_path / "nothing"), "--output", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("clip2depth run: ") and error.count("\n") == 1


def test_a_full_disk_gives_one_line_for_every_writer(capsys, monkeypatch):
    def run(_args):
        with open("/dev/full", "w") as file:
            file.write("x")

    monkeypatch.setattr(doctor, "run", run)
    assert main(["doctor"]) == 2
    assert (
        capsys.readouterr().err == "clip2depth doctor: A file cannot be written: No space left on device.\n"
    )


def test_a_missing_rosbags_gives_one_sentence(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "rosbags", None)
    monkeypatch.setitem(sys.modules, "rosbags.highlevel", None)
    bag = tmp_path / "drive.mcap"
    bag.write_bytes(b"")
    assert main(["run", "--input", str(bag), "--output", str(tmp_path / "out")]) == 2
    text = f"clip2depth run: The bag {bag} cannot be read without rosbags: pip install rosbags.\n"
    assert capsys.readouterr().err.endswith(text)
    assert main(["demo", "--output", str(tmp_path / "out")]) == 2
    assert "needs rosbags to write its recording: pip install rosbags.\n" in capsys.readouterr().err


def test_as_a_module(tmp_path):
    """`python -m clip2depth_ros` from the command line: same program, no traceback."""
    call = [
        sys.executable,
        "-m",
        "clip2depth_ros",
        "run",
        "--input",
        str(tmp_path / "no"),
        "--output",
        str(tmp_path),
    ]
    ended = subprocess.run(call, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1 and "Traceback" not in ended.stderr


def test_running_needs_no_pytorch_no_ros_and_no_simulator():
    """The modules of the run path, imported in a new process, do not import any of them."""
    program = """
import sys
import clip2depth_ros.cli, clip2depth_ros.commands.run, clip2depth_ros.commands.doctor
import clip2depth_ros.io.bag, clip2depth_ros.io.video, clip2depth_ros.io.images
import clip2depth_ros.io.simulated, clip2depth_ros.engines.openvino
print([m for m in ("torch", "open_clip", "rclpy", "mujoco", "sensor_msgs") if m in sys.modules])
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert ended.stdout.strip() == "[]", ended.stderr
