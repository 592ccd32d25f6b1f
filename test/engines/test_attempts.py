# SPDX-License-Identifier: Apache-2.0
"""The outcomes of attempts, their text, and which are worth a warning."""

from __future__ import annotations

import pytest

from clip2depth_ros.engines import Attempt, Outcome, open_engine


@pytest.mark.parametrize(
    ("attempt", "text"),
    [
        (Attempt("tensorrt", None, Outcome.UNAVAILABLE, "not installed"), "tensorrt: not installed"),
        (
            Attempt("pytorch", None, Outcome.UNAVAILABLE, "no CUDA device", "CUDA"),
            "pytorch on CUDA: no CUDA device",
        ),
        (Attempt("tensorrt", "fp16", Outcome.REJECTED, "no memory"), "tensorrt fp16: no memory"),
        (
            Attempt("openvino", "bf16", Outcome.INACCURATE, "3.00% off"),
            "openvino bf16: not chosen, 3.00% off",
        ),
        (
            Attempt("pytorch", "fp32", Outcome.CHOSEN, "0.12% off", "the CPU"),
            "pytorch on the CPU fp32: chosen, 0.12% off",
        ),
        (Attempt("opencv", "fp32", Outcome.SHARED, "why"), "opencv fp32: shared, why"),
        (Attempt("opencv", "fp32", Outcome.SWAPPED, "why"), "opencv fp32: swapped in, why"),
    ],
)
def test_an_attempt_is_one_line_of_text(attempt, text):
    assert str(attempt) == text


@pytest.mark.parametrize("outcome", Outcome)
def test_a_rejection_is_a_warning_whatever_its_text(outcome):
    attempt = Attempt("tensorrt", "fp16", outcome, "chosen: fp32: no CUDA device")
    assert attempt.is_warning == (outcome is Outcome.REJECTED) and str(attempt)


def test_attempts_are_recorded_in_order(tiny_bundle, fake_tensorrt):
    fake_tensorrt("10.3.0", fault="garbage")
    with open_engine(tiny_bundle) as engine:
        attempts = engine.attempts
    assert [(a.engine, a.precision, a.outcome) for a in attempts[:3]] == [
        ("tensorrt", "fp16", Outcome.REJECTED),
        ("tensorrt", "fp32", Outcome.REJECTED),
        ("tensorrt_rtx", None, Outcome.UNAVAILABLE),
    ]
    assert [a.outcome for a in attempts].count(Outcome.CHOSEN) == 1
    assert attempts[-1].outcome is Outcome.CHOSEN


def test_without_a_gpu_nothing_is_rejected(tiny_bundle, no_gpu):
    with open_engine(tiny_bundle) as engine:
        outcomes = [attempt.outcome for attempt in engine.attempts]
    assert outcomes == [Outcome.UNAVAILABLE] * 3 + [Outcome.CHOSEN]
