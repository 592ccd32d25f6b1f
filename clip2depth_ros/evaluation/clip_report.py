# SPDX-License-Identifier: Apache-2.0
"""Evaluation of a CLIP on views of a data set with captions, as text, tables and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from clip2depth_ros.evaluation.document import Block, Heading, Paragraph, Table, write_html, write_markdown
from clip2depth_ros.evaluation.retrieval import RECALL_AT, classification, retrieval
from clip2depth_ros.files.replacing import write_whole

PROMPT = "a photo of {} {}"  # article, kind of place

# From N texts to their (N, D) unit vectors.
Encode = Callable[[Sequence[str]], np.ndarray]


def judge_clip(
    images: np.ndarray, captions: Sequence[str], places: Sequence[str | None], texts: Encode
) -> dict:
    """Retrieval by the captions and, where they name two kinds of places or more, classification of the kind.

    Args:
        images: (N, D) unit vectors of the images.
        captions: of each image.
        places: kind of place that each caption names, or None.
        texts: encodes sentences.
    """
    found = {"retrieval": retrieval(images @ texts(captions).T, captions), "classification": None}
    kinds = sorted({place for place in places if place is not None})
    if len(kinds) > 1:
        named = [index for index, place in enumerate(places) if place is not None]
        prompts = [PROMPT.format("an" if kind[0] in "aeiou" else "a", kind) for kind in kinds]
        truth = np.array([kinds.index(places[index]) for index in named])
        found["classification"] = classification(images[named] @ texts(prompts).T, truth, kinds)
        found["classification"]["prompts"] = prompts
    return found


def write_clip_report(folder: Path, metrics: dict) -> None:
    """Write retrieval.json, .md and .html. metrics: of judge_clip, with the facts of the report's head."""
    blocks = [*_head(metrics), *_retrieval(metrics["retrieval"]), *_classification(metrics["classification"])]
    write_markdown(folder / "retrieval.md", blocks)
    write_html(folder / "retrieval.html", blocks)
    text = json.dumps(metrics, indent=2, allow_nan=False)
    write_whole(folder / "retrieval.json", text + "\n")


def clip_in_words(metrics: dict) -> str:
    """A few lines for the terminal."""
    found = metrics["retrieval"]
    lines = [f"{found['views']} views, {found['different_captions']} different captions."]
    for name, words in _DIRECTIONS.items():
        one = found[name]
        recall = ", ".join(
            f"{one['recall'][f'{k}']:.1%} at {k} (chance {one['chance']['recall'][f'{k}']:.1%})"
            for k in RECALL_AT
        )
        lines.append(
            f"{words}: recall {recall}; median rank {one['median_rank']:g} "
            f"(chance {one['chance']['median_rank']})."
        )
    named = metrics["classification"]
    if named:
        lines.append(
            f"Kind of place, one of {len(named['classes'])}, by '{named['prompts'][0]}' and the like: "
            f"{named['accuracy']:.1%} right, {named['mean_over_classes']:.1%} in the mean over kinds (chance "
            f"{named['chance']:.1%}, always the most frequent one {named['most_frequent']:.1%})."
        )
    return "\n".join(lines)


_DIRECTIONS = {"image_to_text": "Caption of an image", "text_to_image": "Image of a caption"}


def _head(metrics: dict) -> list[Block]:
    clip = metrics["clip"]
    rows = [
        ("CLIP", f"{clip['backbone']}, weights of SHA-256 {clip['sha256'][:16]}"),
        (
            "views",
            f"{metrics['retrieval']['views']} of {metrics['input']}, {clip['width']}x{clip['height']} pixels",
        ),
        ("program", metrics["program"]),
    ]
    return [
        Heading("Retrieval by a CLIP", 1),
        Paragraph(metrics["command"], code=True),
        Table(("", ""), rows),
    ]


def _retrieval(found: dict) -> list[Block]:
    rows = []
    for name, words in _DIRECTIONS.items():
        for label, one in ((words, found[name]), ("by chance", found[name]["chance"])):
            recalls = (f"{one['recall'][f'{k}']:.1%}" for k in RECALL_AT)
            rows.append((label, *recalls, f"{one['median_rank']:g}"))
    return [
        Heading("Which caption belongs to which image?"),
        Table(("", *(f"recall@{k}" for k in RECALL_AT), "median rank"), rows),
        Paragraph(
            f"Each of {found['views']} images against all their captions, and the other way round, by cosine "
            f"similarity. {found['different_captions']} captions differ; equal ones are each other's right "
            "answer. Of equal similarities, wrong answers rank first. Other views of the same place are "
            "wrong answers too."
        ),
    ]


def _classification(found: dict | None) -> list[Block]:
    if found is None:
        return []
    rows = [
        (kind, f"{one['views']}", f"{one['right']:.1%}", one["taken_for"] or "")
        for kind, one in found["classes"].items()
    ]
    return [
        Heading("What kind of place is it?"),
        Table(("", "views", "right", "else mostly taken for"), rows),
        Paragraph(
            f"The nearest of {len(rows)} sentences such as '{found['prompts'][0]}', never trained for: "
            f"{found['accuracy']:.1%} right, {found['mean_over_classes']:.1%} in the mean over kinds. Chance "
            f"is {found['chance']:.1%}; always saying the most frequent kind is right for "
            f"{found['most_frequent']:.1%}."
        ),
    ]
