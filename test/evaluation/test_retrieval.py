# SPDX-License-Identifier: Apache-2.0
"""Retrieval and naming by a CLIP, on cases that can be counted by hand."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from clip2depth_ros.evaluation.clip_report import clip_in_words, judge_clip, write_clip_report
from clip2depth_ros.evaluation.retrieval import chance_recall, classification, match_ranks, retrieval

# A cat's picture finds the cat, a dog's and a cow's each the next one's caption before their own.
SCORES = np.array([[0.9, 0.1, 0.2], [0.3, 0.5, 0.7], [0.8, 0.2, 0.6]])


def test_ranks_of_the_right_answer():
    np.testing.assert_array_equal(match_ranks(SCORES, np.eye(3, dtype=bool)), [1, 2, 2])
    np.testing.assert_array_equal(match_ranks(SCORES.T, np.eye(3, dtype=bool)), [1, 1, 2])


def test_of_several_right_answers_the_best_counts_and_the_others_do_not_stand_before_it():
    right = np.array([[True, True, False], [True, True, False], [False, False, True]])
    np.testing.assert_array_equal(match_ranks(SCORES, right), [1, 2, 2])
    assert match_ranks(np.array([[0.1, 0.3, 0.2, 0.4]]), np.array([[True, False, True, True]])) == [1]


def test_nothing_is_won_by_calling_everything_the_same():
    np.testing.assert_array_equal(match_ranks(np.ones((4, 4)), np.eye(4, dtype=bool)), [4] * 4)


def test_both_directions_and_equal_captions():
    found = retrieval(SCORES, ["a cat", "a dog", "a cow"])
    assert found["views"] == found["different_captions"] == 3
    assert found["image_to_text"]["recall"] == {"1": pytest.approx(1 / 3), "5": 1.0, "10": 1.0}
    assert found["text_to_image"]["recall"]["1"] == pytest.approx(2 / 3)
    assert (found["image_to_text"]["median_rank"], found["text_to_image"]["median_rank"]) == (2, 1)
    # two cows: the second picture's best caption is now as right as its own
    found = retrieval(SCORES, ["a cat", "a cow", "a cow"])
    assert found["different_captions"] == 2
    assert found["image_to_text"]["recall"]["1"] == pytest.approx(2 / 3)
    assert found["image_to_text"]["chance"]["recall"]["1"] == pytest.approx((1 + 2 + 2) / 9)


@pytest.mark.parametrize("first", [1, 2, 4, 9])
def test_chance_is_the_mean_over_all_orders(first):
    right, answers = [1, 2, 3], 5
    expected = []
    for n in right:
        orders = list(itertools.permutations(range(answers)))
        expected.append(np.mean([min(order.index(i) for i in range(n)) < first for order in orders]))
    assert chance_recall(right, answers, first) == pytest.approx(np.mean(expected))


@pytest.mark.parametrize("views", [1, 2, 7, 100])
def test_by_chance_the_median_is_the_middle(views):
    found = retrieval(np.eye(views), [str(i) for i in range(views)])
    assert found["image_to_text"]["chance"]["median_rank"] == (views + 1) // 2
    assert found["image_to_text"]["recall"] == {"1": 1.0, "5": 1.0, "10": 1.0}


def test_classes_and_what_they_are_taken_for():
    chosen = np.array([0, 1, 1, 1, 2, 0])
    found = classification(np.eye(3)[chosen], np.array([0, 0, 0, 1, 2, 2]), ["attic", "bath", "cellar"])
    assert found["accuracy"] == pytest.approx(3 / 6)
    assert found["mean_over_classes"] == pytest.approx((1 / 3 + 1 + 1 / 2) / 3)
    assert (found["chance"], found["most_frequent"]) == (pytest.approx(1 / 3), 0.5)
    assert found["classes"]["attic"] == {"views": 3, "right": pytest.approx(1 / 3), "taken_for": "bath"}
    assert found["classes"]["bath"] == {"views": 1, "right": 1.0, "taken_for": None}


VECTORS = {"a lamp in an attic": 0, "a photo of an attic": 0, "a tub in a bath": 1, "a photo of a bath": 1}


def encode(texts):
    return np.eye(3)[[VECTORS.get(text, 2) for text in texts]]


def test_a_clip_is_judged_and_the_report_says_the_same_everywhere(tmp_path):
    captions = ["a lamp in an attic", "a tub in a bath", "nothing"]
    images = np.eye(3)[[0, 1, 1]]
    found = judge_clip(images, captions, ["attic", "bath", None], encode)
    assert found["classification"]["accuracy"] == 1.0 and found["classification"]["views"] == 2
    assert found["classification"]["prompts"] == ["a photo of an attic", "a photo of a bath"]
    assert found["retrieval"]["image_to_text"]["recall"]["1"] == pytest.approx(2 / 3)
    clip = {"backbone": "mini", "sha256": "0123456789abcdef" * 4, "height": 96, "width": 128}
    metrics = {"command": "clip2depth evaluate", "program": "p", "input": "rooms", "clip": clip, **found}
    write_clip_report(tmp_path, metrics)
    assert json.loads((tmp_path / "retrieval.json").read_text()) == metrics
    for text in (
        clip_in_words(metrics),
        *((tmp_path / f"retrieval.{end}").read_text() for end in ("md", "html")),
    ):
        assert "66.7%" in text and "a photo of an attic" in text and "100.0% right" in text


def test_views_of_one_kind_of_place_are_not_classified(tmp_path):
    captions = ["a lamp in an attic", "nothing"]
    found = judge_clip(np.eye(3)[:2], captions, ["attic", None], encode)
    assert found["classification"] is None
    clip = {"backbone": "mini", "sha256": "0" * 64, "height": 96, "width": 128}
    metrics = {"command": "c", "program": "p", "input": "rooms", "clip": clip, **found}
    write_clip_report(tmp_path, metrics)
    assert "kind" not in clip_in_words(metrics) + (tmp_path / "retrieval.md").read_text()
