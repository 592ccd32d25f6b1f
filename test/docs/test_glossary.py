# SPDX-License-Identifier: Apache-2.0
"""docs/glossary.md is an alphabetical table of one sentence for each term."""

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
TEXT = (DOCS / "glossary.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (.+?) \| (.+) \|$", TEXT, re.MULTILINE)[1:]  # without the heading


def test_every_term_stands_once_and_in_alphabetical_order():
    terms = [term.strip("`").lower() for term, _ in ROWS]
    assert len(terms) > 50
    assert terms == sorted(set(terms))


def test_every_term_has_one_sentence():
    for term, meaning in ROWS:
        text = re.sub(r"\([^)]*\)|\[[^]]*\]|`[^`]*`|\d\.\d", "", meaning)
        assert text.endswith(".") and text.count(".") == 1, f"{term}: {meaning}"


def test_its_quality_fields_are_in_the_message():
    message = (DOCS.parent / "msg" / "DepthQuality.msg").read_text(encoding="utf-8")
    fields = set(re.findall(r"^[a-z]\S* (\w+)", message, re.MULTILINE))
    named = set(re.findall(r"\(`(\w+)` in `~/quality`", TEXT))
    assert named and named <= fields
