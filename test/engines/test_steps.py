# SPDX-License-Identifier: Apache-2.0
"""Which steps of the choice are worth a warning."""

from __future__ import annotations

import pytest

from clip2depth_ros.engines import open_engine
from clip2depth_ros.engines.attempts import was_passed_over


@pytest.mark.parametrize(
    ("step", "passed_over"),
    [
        ("tensorrt: not installed (No module named 'tensorrt')", False),
        ("pytorch on CUDA: no CUDA device (no driver)", False),
        ("tensorrt fp16: Engine tensorrt is refused: differs by 12.30%", True),
        ("tensorrt fp32: TensorRT 10.3.0 cannot build the network (no memory)", True),
        ("pytorch on CUDA fp16: chosen, 0.12% off on the check sample", False),
    ],
)
def test_what_was_tried_in_vain_is_told_from_what_is_not_there(step, passed_over):
    assert was_passed_over(step) == passed_over


def test_the_steps_are_those_that_engines_tell(tiny_bundle, fake_tensorrt):
    fake_tensorrt("10.3.0", fault="garbage")
    with open_engine(tiny_bundle) as engine:
        steps = engine.choice
    assert [step.split(":")[0] for step in steps if step.startswith("tensorrt")] == [
        "tensorrt fp16",
        "tensorrt fp32",
        "tensorrt_rtx",
    ]
    assert was_passed_over(steps[0]) and was_passed_over(steps[1]) and not was_passed_over(steps[-1])


def test_without_a_gpu_nothing_was_passed_over(tiny_bundle, no_gpu):
    with open_engine(tiny_bundle) as engine:
        assert len(engine.choice) == 4 and not any(map(was_passed_over, engine.choice))
