# SPDX-License-Identifier: Apache-2.0
"""Retrieval and classification figures from similarities of images and texts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

RECALL_AT = (1, 5, 10)


def retrieval(scores: np.ndarray, captions: Sequence[str]) -> dict:
    """Recall and ranks of N images among N captions.

    Args:
        scores: (N, N), similarity of image i (row) and caption j (column).
        captions: of the images, in order. Equal captions are right answers of each other.

    Returns "image_to_text" and "text_to_image", each with "recall" (share of the queries whose best right
    answer is among the first 1, 5, 10), "median_rank" of that answer, from 1, and the same under "chance".
    """
    same = np.equal.outer(np.asarray(captions, object), np.asarray(captions, object)).astype(bool)
    return {
        "views": len(captions),
        "different_captions": len(set(captions)),
        "image_to_text": _direction(scores, same),
        "text_to_image": _direction(scores.T, same),
    }


def match_ranks(scores: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(N,) rank of each query's best right answer, from 1; a wrong answer of equal score ranks before it.

    scores: (N, M) of query and answer. right: (N, M) bool, at least one in a row.
    """
    best = np.where(right, scores, -np.inf).max(1)
    return 1 + (~right & (scores >= best[:, None])).sum(1)


def chance_recall(right: Sequence[int], answers: int, first: int) -> float:
    """Expected recall among the `first` of `answers` in random order.

    right: number of right answers of each query.
    """
    all_ways = math.comb(answers, min(first, answers))
    missed = [math.comb(answers - int(n), min(first, answers)) / all_ways for n in right]
    return 1 - float(np.mean(missed))


def classification(scores: np.ndarray, truth: np.ndarray, names: Sequence[str]) -> dict:
    """Share of N images whose best class is the right one, overall and by class.

    Args:
        scores: (N, K), similarity of image and class.
        truth: (N,) int, the right class.
        names: (K,) of the classes; each has an image.
    """
    chosen = scores.argmax(1)
    classes = {}
    for index, name in enumerate(names):
        found = chosen[truth == index]
        wrong = np.bincount(found[found != index], minlength=len(names))
        classes[name] = {
            "views": len(found),
            "right": float((found == index).mean()),
            "taken_for": names[int(wrong.argmax())] if wrong.any() else None,
        }
    return {
        "views": len(truth),
        "accuracy": float((chosen == truth).mean()),
        "mean_over_classes": float(np.mean([found["right"] for found in classes.values()])),
        "chance": 1 / len(names),
        "most_frequent": max(found["views"] for found in classes.values()) / len(truth),
        "classes": classes,
    }


def _direction(scores: np.ndarray, same: np.ndarray) -> dict:
    ranks, right, answers = match_ranks(scores, same), same.sum(1), len(same)
    half = next(n for n in range(1, answers + 1) if chance_recall(right, answers, n) >= 0.5)
    return {
        "recall": {f"{k}": float((ranks <= k).mean()) for k in RECALL_AT},
        "median_rank": float(np.median(ranks)),
        "chance": {
            "recall": {f"{k}": chance_recall(right, answers, k) for k in RECALL_AT},
            "median_rank": half,
        },
    }
