# SPDX-License-Identifier: Apache-2.0
"""The words of the facts are their texts, wherever they are written."""

import copy
import csv
import io
import json

import pytest

from clip2depth_ros.images.origins import FrameWarning, MotionSource, ResetReason, ScaleOrigin


@pytest.mark.parametrize(
    ("word", "text"),
    [
        (MotionSource.OFF, ""),
        (MotionSource.VISUAL_ODOMETRY, "vision"),
        (ScaleOrigin.MEMORY, "memory"),
        (ResetReason.TIME_BACKWARDS, "time ran back"),
    ],
)
def test_a_word_is_written_as_its_text(word, text):
    row = io.StringIO()
    csv.writer(row).writerow(["", word])
    assert row.getvalue() == f",{text}\r\n"
    assert (str(word), f"{word}", f"{word:>3}") == (text, text, f"{text:>3}")
    assert json.dumps([word]) == json.dumps([text])
    assert word == text and bool(word) == bool(text) and {text: 1}[word] == 1


def test_a_warning_is_its_sentence_and_has_a_kind():
    warning = FrameWarning("ranges", "The ranges are not numbers.")
    for each in (warning, copy.deepcopy(warning)):
        assert (each, each.kind) == ("The ranges are not numbers.", "ranges")
