# SPDX-License-Identifier: Apache-2.0
"""The table of a frame's facts agrees with the message, the document and the frame."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

from clip2depth_ros.images.facts import (
    FACTS,
    SUMMARIZED,
    facts_markdown,
    read_facts,
    scale_facts,
    summarized,
    summary_of,
)
from clip2depth_ros.images.frame import NAN, STAGES, DepthFrame, Floor, FrameFacts
from clip2depth_ros.images.origins import MotionSource, ScaleOrigin
from clip2depth_ros.io.results import CELLS, COLUMNS

ROOT = Path(__file__).parents[2]
FIELD = re.compile(r"^([\w/]+(?:\[\])?) +(\w+) *(?:#.*)?$")


def message_fields() -> dict[str, str]:
    """Type of each field of DepthQuality, by name, in the message's order."""
    lines = (ROOT / "msg/DepthQuality.msg").read_text().splitlines()
    lines = [line for line in lines if line and not line.startswith("#")]
    found = [FIELD.match(line) for line in lines]
    assert all(found), lines
    return {match[2]: match[1] for match in found}


def frame_of(**facts) -> DepthFrame:
    image = np.zeros((24, 32, 3), np.uint8)
    std_dev = np.full((24, 32), 0.25, np.float32)
    return DepthFrame(
        np.ones((24, 32), np.float32), image, None, 0, "optical", FrameFacts(**facts), std_dev=std_dev
    )


def test_every_field_of_the_message_has_its_fact_and_its_type():
    fields = message_fields()
    assert len(fields) > 30
    assert {fact.name: fact.type for fact in FACTS if fact.in_message} == fields


def test_names_are_unique_and_every_fact_goes_somewhere():
    assert len({fact.name for fact in FACTS}) == len(FACTS)
    assert all((fact.in_csv or fact.in_message) and fact.meaning for fact in FACTS)


def test_the_columns_of_the_table_are_what_they_were():
    """Whoever reads quality.csv by the position of a column."""
    times = [f"{stage}_time" for stage in STAGES]
    expected = (
        "valid_fraction focal_scale temporal_error reset motion flicker deviation scale scale_deviation"
    )
    expected += " scale_source scale_shift floor_height floor_pitch floor_roll"
    assert list(COLUMNS) == ["frame", "stamp", *times, *expected.split()]
    assert {fact.type for fact in FACTS if fact.in_csv} <= set(CELLS)


@pytest.mark.parametrize("floor", [None, Floor.from_mounting(0.5, 0.1, -0.2)])
def test_values_have_the_types_of_their_facts(floor):
    facts = {"motion": MotionSource.ODOMETRY, "scale_source": ScaleOrigin.RANGES, "reset": True}
    values = read_facts(frame_of(times={"infer": 0.5}, scale=1.5, floor=floor, **facts))
    types = {"float32": float, "string": str, "bool": bool}
    for fact in FACTS:
        assert (fact.name in values) == (fact.read is not None)
        if fact.read is not None:
            assert isinstance(values[fact.name], types[fact.type]), fact.name
    assert (values["infer_time"], values["fit_time"], values["scale"], values["deviation"]) == (
        0.5,
        0,
        1.5,
        0.25,
    )
    if floor is None:
        assert math.isnan(values["floor_height"])
    else:
        assert [values[f"floor_{name}"] for name in ("height", "pitch", "roll")] == pytest.approx(
            [0.5, 0.1, -0.2]
        )


def test_summaries():
    frames = [
        read_facts(frame_of(valid_fraction=v, flicker=f, temporal_error=t, reset=r, motion=m))
        for v, f, t, r, m in (
            (0.5, NAN, NAN, True, MotionSource.NONE),
            (1.0, 2.0, 0.1, False, MotionSource.VISUAL_ODOMETRY),
            (1.0, 0.5, 0.3, False, MotionSource.VISUAL_ODOMETRY),
            (1.0, 0.0, 0.2, False, MotionSource.OFF),
        )
    ]
    assert summarized({name: [frame[name] for frame in frames] for name in SUMMARIZED}) == {
        "valid_fraction": 0.875,
        "temporal_error": 0.2,
        "resets": 1,
        "motion": {"none": pytest.approx(1 / 3), "vision": pytest.approx(2 / 3)},
        "flicker": pytest.approx(math.log(2)),
        "deviation": 0.25,
    }
    assert summarized({name: [] for name in SUMMARIZED}) == {
        "valid_fraction": 0.0,
        "temporal_error": None,
        "resets": 0,
        "motion": None,
        "flicker": None,
        "deviation": None,
    }
    assert summary_of("temporal_error", [NAN, 0.25]) == 0.25


def test_the_scale_at_the_end():
    assert scale_facts(None) is None and scale_facts(FrameFacts()) is None
    last = FrameFacts(scale=2.0, scale_deviation=0.1, scale_source=ScaleOrigin.HEIGHT)
    assert scale_facts(last) == {"value": 2.0, "deviation": 0.1, "source": "height"}
    last.scale_shift = 0.5
    assert scale_facts(last)["shift"] == 0.5


def test_the_document_is_up_to_date():
    assert (ROOT / "docs/quality.md").read_text() == facts_markdown(), (
        "run: python -m clip2depth_ros.images.facts > docs/quality.md"
    )
