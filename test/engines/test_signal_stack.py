# SPDX-License-Identifier: Apache-2.0
"""Engines come and go, and the process still answers signals: OpenVINO frees stacks that are in use."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

pytest.importorskip("openvino", reason="the CPU engine needs OpenVINO")

# Python handles signals on the stack for signal handlers, where there is one.
PROGRAM = """
import faulthandler, os, signal, sys, threading
from clip2depth_ros.bundle import open_bundle
from clip2depth_ros.engines.openvino import OpenVinoEngine, computes_bf16

faulthandler.enable()
heard = []
signal.signal(signal.SIGUSR1, lambda *_: heard.append(1))
bundle, cache = open_bundle(sys.argv[1]), sys.argv[2]

def engine():
    return OpenVinoEngine(bundle, cache_dir=cache)

computes_bf16()
first, second = engine(), engine()
first.close()
second.close()
del first, second
os.kill(os.getpid(), signal.SIGUSR1)
third = [engine()]
thread = threading.Thread(target=lambda: third.pop().close())
thread.start()
thread.join()
os.kill(os.getpid(), signal.SIGUSR1)
print(len(heard))
"""


def test_signals_are_heard_after_engines_that_ended_in_any_order(tiny_bundle, tmp_path):
    program = [sys.executable, "-c", PROGRAM, str(tiny_bundle.path), str(tmp_path)]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, (signal.strsignal(abs(ended.returncode)), ended.stderr)
    assert ended.stdout == "2\n"
