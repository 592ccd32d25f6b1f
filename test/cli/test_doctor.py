# SPDX-License-Identifier: Apache-2.0
import importlib.util
import itertools
import subprocess

import pytest

from clip2depth_ros.cli import main
from clip2depth_ros.commands import doctor


def levels(findings) -> dict[str, str]:
    return {finding.subject: finding.level for finding in findings}


def test_every_trouble_comes_with_advice(tiny_bundle, capsys):
    main(["doctor", "--bundle", str(tiny_bundle.path)])
    lines = capsys.readouterr().out.splitlines()
    for line, after in itertools.pairwise(lines):
        if line.startswith((doctor.WARN, doctor.FAIL)):
            assert after.strip().startswith("-> ") and len(after.strip()) > 8
    assert lines[-1] in ("The node can run here.", "The node cannot run here.")


def test_the_exit_code_is_the_verdict(monkeypatch, tiny_bundle, capsys):
    monkeypatch.setattr(doctor, "look_at_ros", lambda: iter([doctor.Finding(doctor.OK, "ROS 2", "there")]))
    assert main(["doctor", "--bundle", str(tiny_bundle.path)]) == 0
    assert main(["doctor", "--bundle", "no such bundle"]) == 1
    text = capsys.readouterr().out
    assert "FAIL  Bundle       No bundle is called 'no such bundle'" in text


def test_the_bundle_is_checked_and_timed(tiny_bundle):
    *_, finding = doctor.look_at_bundle(str(tiny_bundle.path))
    assert finding.level == doctor.OK and "differs by 0.000%" in finding.text and "ms a frame" in finding.text


def test_without_rclpy_the_node_cannot_run(monkeypatch):
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "rclpy" else there(name))
    finding = next(doctor.look_at_ros())
    assert finding.level == doctor.FAIL and "setup.bash" in finding.advice


def test_a_broken_rclpy_is_reported_not_raised(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(doctor, "ROS_PROBE", "raise ImportError('librcl.so: wrong ELF class')")
    finding = next(doctor.look_at_ros())
    assert finding.level == doctor.FAIL and "wrong ELF class" in finding.text


def test_an_rclpy_that_hangs_is_reported(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(doctor, "ROS_PROBE", "import time; time.sleep(60)")
    monkeypatch.setattr(doctor, "PROBE_TIMEOUT", 0.5)
    assert "did not answer" in next(doctor.look_at_ros()).text


def test_messages_that_are_not_built(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    answer = '{"path": "/ros", "rmw": "rmw_x", "messages": "ModuleNotFoundError: no msg"}'
    done = subprocess.CompletedProcess([], 0, answer + "\n", "")
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: done)
    found = levels(doctor.look_at_ros())
    assert found["ROS 2"] == doctor.OK and found["Messages"] == doctor.FAIL


@pytest.mark.parametrize(
    ("environment", "level", "word"),
    [
        ({"FASTDDS_DEFAULT_PROFILES_FILE": "/nowhere/profile.xml"}, doctor.WARN, "no file"),
        ({"FASTDDS_DEFAULT_PROFILES_FILE": __file__}, doctor.OK, "PROFILES_FILE"),
        ({"FASTDDS_BUILTIN_TRANSPORTS": "LARGE_DATA"}, doctor.OK, "LARGE_DATA"),
        ({"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}, doctor.OK, "not used"),
        ({}, doctor.WARN, "no profile"),
    ],
)
def test_the_fast_dds_profile(monkeypatch, environment, level, word):
    for name in (
        "FASTDDS_DEFAULT_PROFILES_FILE",
        "FASTRTPS_DEFAULT_PROFILES_FILE",
        "FASTDDS_BUILTIN_TRANSPORTS",
        "RMW_IMPLEMENTATION",
    ):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    (finding,) = doctor.look_at_fast_dds()
    assert finding.level == level and word in finding.text
    assert bool(finding.advice) == (level != doctor.OK)
