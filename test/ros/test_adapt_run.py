# SPDX-License-Identifier: Apache-2.0
"""A run of the command that adapts: its outcomes, and what is on disk whatever kills it. No ROS graph."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from clip2depth_ros.bundle import Bundle
from clip2depth_ros.camera import Camera
from clip2depth_ros.keyframes import KeyframeStore
from clip2depth_ros.ros.nodes import adapt_run
from clip2depth_ros.ros.nodes.adapt_run import AdaptRun
from clip2depth_ros.ros.nodes.adapt_state import AdaptState

STAND_IN = Path(__file__).with_name("adapt_stand_in.py")


@pytest.fixture
def kept(tmp_path) -> KeyframeStore:
    store = KeyframeStore(tmp_path / "keyframes", 10**8)
    image = np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)
    for n in range(5):
        pose = np.eye(4)
        pose[0, 3] = 0.1 * n
        store.add(image, pose, n * 10**9, Camera(64, 48, 60.0, 60.0, 31.5, 23.5))
    return store


def run_with(folder: Path, mode: str) -> AdaptRun:
    return AdaptRun(folder, (sys.executable, str(STAND_IN), mode))


def outcome_of(run: AdaptRun):
    """Wait for the end."""
    end = time.monotonic() + 60
    while (outcome := run.poll()) is None:
        assert time.monotonic() < end
        time.sleep(0.02)
    return outcome


def whole_run(folder, mode, kept, bundle):
    run = run_with(folder, mode)
    run.prepare(str(bundle), 4, kept.snapshot)
    assert run.start() is None and run.is_running
    outcome = outcome_of(run)
    assert not run.is_running
    return run, outcome


def test_a_better_bundle_is_put_beside_the_others(tmp_path, kept, tiny_bundle):
    run, outcome = whole_run(tmp_path, "better", kept, tiny_bundle.path)
    assert outcome.kind == "better" and outcome.bundle == str(tmp_path / "tiny-0001")
    assert outcome.measures == {"kept out photometric before": 0.2, "kept out photometric after": 0.1}
    assert Bundle(outcome.bundle).name == "tiny-0001" and run.newest == 4
    run.clear()
    assert not run.is_pending and not (tmp_path / "run").exists()
    assert json.loads((tmp_path / "report/summary.json").read_text())["outcome"] == "adapted"
    _, outcome = whole_run(tmp_path, "better", kept, outcome.bundle)
    assert outcome.bundle == str(tmp_path / "tiny-0002")


def test_the_command_gets_the_prepared_options(tmp_path, kept, tiny_bundle):
    options = ("--scale-height", "0.31", "--mounting", "0", "0", "0", "0", "-0.2", "0")
    run_with(tmp_path, "hang").prepare(str(tiny_bundle.path), 4, kept.snapshot, options)
    run = run_with(tmp_path, "better")  # of a node that was restarted
    assert run.start() is None and outcome_of(run).kind == "better"
    run.clear()
    said = (tmp_path / "report/log.txt").read_text()
    assert "floor 0.31 ['0', '0', '0', '0', '-0.2', '0']" in said


@pytest.mark.parametrize(
    ("mode", "kind", "words"),
    [
        ("refuse", "refused", "Nothing was gained"),
        ("crash", "failed", "exit code 1: Nothing was gained"),
        ("broken", "failed", "no valid bundle: Bundle .* is damaged"),
    ],
)
def test_what_is_no_gain_leaves_no_bundle(tmp_path, kept, tiny_bundle, mode, kind, words):
    run, outcome = whole_run(tmp_path, mode, kept, tiny_bundle.path)
    assert outcome.kind == kind and outcome.bundle == ""
    assert re.search(words, outcome.text)
    run.clear()
    assert run.bundles() == [] and not run.is_pending
    assert (tmp_path / "report/log.txt").is_file()


def test_a_command_that_is_not_there_is_said(tmp_path, kept):
    run = AdaptRun(tmp_path, ["/no/such/program"])
    run.prepare("mini", 4, kept.snapshot)
    outcome = run.start()
    assert outcome.kind == "failed" and "/no/such/program cannot be started" in outcome.text


def test_one_that_takes_too_long_is_ended(tmp_path, kept, tiny_bundle, monkeypatch):
    monkeypatch.setattr(adapt_run, "LONGEST", 0.5)
    _, outcome = whole_run(tmp_path, "hang", kept, tiny_bundle.path)
    assert outcome.kind == "failed" and "took more than" in outcome.text


def test_the_child_runs_when_nobody_else_wants_to(tmp_path, kept, tiny_bundle):
    run = run_with(tmp_path, "hang")
    run.prepare(str(tiny_bundle.path), 4, kept.snapshot)
    run.start()
    pid = run._process.pid
    assert os.getpriority(os.PRIO_PROCESS, pid) == 19
    assert os.sched_getscheduler(pid) == os.SCHED_IDLE
    run.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert run.is_pending, "the next start goes on"


def test_a_run_that_is_killed_again_and_again_is_given_up(tmp_path, kept, tiny_bundle):
    run = run_with(tmp_path, "hang")
    run.prepare(str(tiny_bundle.path), 4, kept.snapshot)
    for _ in range(adapt_run.ATTEMPTS):
        run = run_with(tmp_path, "hang")
        assert run.is_pending and run.start() is None
        run.stop()
    outcome = run_with(tmp_path, "hang").start()
    assert outcome.kind == "failed" and "not started again" in outcome.text


def test_killed_between_the_bundle_and_its_report_it_comes_out_once_more(tmp_path, kept, tiny_bundle):
    _, outcome = whole_run(tmp_path, "better", kept, tiny_bundle.path)
    again = run_with(tmp_path, "crash")  # would fail, if it were started
    assert again.is_pending
    assert again.start() == outcome


def test_a_killed_child_is_a_failed_run(tmp_path, kept, tiny_bundle):
    run = run_with(tmp_path, "hang")
    run.prepare(str(tiny_bundle.path), 4, kept.snapshot)
    run.start()
    os.kill(run._process.pid, signal.SIGKILL)
    outcome = outcome_of(run)
    assert outcome.kind == "failed" and "signal 9" in outcome.text


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"bundle": 1}', '{"bundle": "a", "name": "b", "newest": "x"}']
)
def test_a_damaged_request_ends_the_run(tmp_path, text):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/request.json").write_text(text)
    run = run_with(tmp_path, "better")
    assert run.is_pending and run.start().kind == "failed"
    run.clear()
    assert not run.is_pending


def test_only_what_is_old_and_unused_is_removed(tmp_path):
    for n in range(1, 9):
        (tmp_path / f"mini-{n:04d}").mkdir()
    run = run_with(tmp_path, "better")
    run.remove_bundles({str(tmp_path / "mini-0002")}, 3)
    assert [path.name[-1] for path in run.bundles()] == ["2", "6", "7", "8"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"applied": 1}', '{"no": "such"}', '{"before": [1]}'])
def test_a_damaged_state_is_a_new_one(tmp_path, text):
    (tmp_path / "state.json").write_text(text)
    assert AdaptState.read(tmp_path / "state.json") == AdaptState()


def test_the_state_is_read_as_it_was_written(tmp_path):
    state = AdaptState("a-0001", ["mini"], "a-0002", 17, "better: x", {"before": 0.2})
    state.write(tmp_path / "state.json")
    assert AdaptState.read(tmp_path / "state.json") == state
