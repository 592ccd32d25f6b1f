# SPDX-License-Identifier: Apache-2.0
import re

import numpy as np
import pytest

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.evaluation.document import (
    Heading,
    Paragraph,
    Picture,
    Table,
    write_html,
    write_markdown,
)
from clip2depth_ros.images.visualization import save_image

BLOCKS = [
    Heading("A <b> & c", 1),
    Paragraph("clip2depth run --x 'a<b'", code=True),
    Paragraph("Beware.", mark=True),
    Table(("what", "value"), [("a|b", "1"), ("c", "2")]),
    Table(("", ""), [("rule", "none")]),
    Picture("pictures/a.png", b"not really", "a picture"),
]


def test_markdown_has_its_pictures_beside_it(tmp_path):
    write_markdown(tmp_path / "report.md", BLOCKS)
    text = (tmp_path / "report.md").read_text()
    assert text.startswith("# A <b> & c\n\n```\nclip2depth run --x 'a<b'\n```\n\n**Beware.**\n")
    assert "| what | value |\n| --- | ---: |\n| a\\|b | 1 |\n| c | 2 |" in text
    assert "|  |  |\n| --- | --- |\n| rule | none |" in text
    for name in re.findall(r"!\[.*?\]\((.*?)\)", text):
        assert (tmp_path / name).read_bytes() == b"not really"


def test_html_stands_by_itself(tmp_path):
    picture = save_image(tmp_path / "a.png", np.zeros((4, 4, 3), np.uint8))
    write_html(tmp_path / "report.html", [*BLOCKS, Picture("a.png", picture.read_bytes(), "b")])
    text = (tmp_path / "report.html").read_text()
    assert "<title>A &lt;b&gt; &amp; c</title>" in text and "a&lt;b" in text
    assert '<p class="mark">Beware.</p>' in text and "<td>a|b</td><td>1</td>" in text
    assert '<table class="text"><thead><tr></tr></thead><tbody><tr><td>rule</td>' in text
    assert text.count("data:image/png;base64,") == 2 and 'src="p' not in text
    assert [p.name for p in tmp_path.iterdir() if p.suffix == ".html"] == ["report.html"]


def test_what_cannot_be_written_is_said(tmp_path):
    (tmp_path / "pictures").write_text("in the way")
    with pytest.raises(Clip2DepthError, match=r"pictures/a.png cannot be written"):
        write_markdown(tmp_path / "report.md", BLOCKS)
