# SPDX-License-Identifier: Apache-2.0
"""A small document, written as Markdown with image files and as self-contained HTML."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clip2depth_ros.files.replacing import write_whole

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 66rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 } img { max-width: 100% }
th, td { border-bottom: 1px solid #ccc; padding: .2rem .8rem; text-align: right }
th:first-child, td:first-child, .text td { text-align: left } code { overflow-wrap: anywhere }
.mark { background: #fff3c4; padding: .5rem 1rem; border-left: 4px solid #e0a800 }
"""


@dataclass(frozen=True)
class Heading:
    text: str
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    text: str
    code: bool = False
    mark: bool = False


@dataclass(frozen=True)
class Table:
    """Numbers, right-aligned below their headings; without headings, text, left-aligned."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Picture:
    """file: its name below the document's folder; content: the file's bytes, .png or .jpg."""

    file: str
    content: bytes
    text: str


Block = Heading | Paragraph | Table | Picture


def write_markdown(path: Path, blocks: Sequence[Block]) -> None:
    """Write `path` and the files of its images. Raises Clip2DepthError when they cannot be written."""
    parts = []
    for block in blocks:
        if isinstance(block, Picture):
            write_whole(path.parent / block.file, block.content)
        parts.append(_markdown(block))
    write_whole(path, ("\n\n".join(parts) + "\n").encode())


def write_html(path: Path, blocks: Sequence[Block]) -> None:
    """Write `path` with embedded images. Raises Clip2DepthError when it cannot be written."""
    title = next(block.text for block in blocks if isinstance(block, Heading))
    body = "\n".join(_html(block) for block in blocks)
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )
    write_whole(path, page.encode())


def _markdown(block: Block) -> str:
    if isinstance(block, Heading):
        return f"{'#' * block.level} {block.text}"
    if isinstance(block, Paragraph):
        return f"```\n{block.text}\n```" if block.code else f"**{block.text}**" if block.mark else block.text
    if isinstance(block, Picture):
        return f"![{block.text}]({block.file})"
    rule = "---:" if any(block.header) else "---"
    lines = [block.header, ["---", *[rule] * (len(block.header) - 1)], *block.rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _html(block: Block) -> str:
    if isinstance(block, Heading):
        return f"<h{block.level}>{html.escape(block.text)}</h{block.level}>"
    if isinstance(block, Paragraph):
        text = html.escape(block.text)
        if block.code:
            return f"<p><code>{text}</code></p>"
        return f'<p class="mark">{text}</p>' if block.mark else f"<p>{text}</p>"
    if isinstance(block, Picture):
        kind = "png" if block.file.endswith(".png") else "jpeg"
        source = f"data:image/{kind};base64,{base64.b64encode(block.content).decode()}"
        return f'<p><img alt="{html.escape(block.text)}" src="{source}"></p>'
    numbers = any(block.header)
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in block.header) if numbers else ""
    rows = ("".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in block.rows)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    kind = "" if numbers else ' class="text"'
    return f"<table{kind}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
