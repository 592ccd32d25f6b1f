# SPDX-License-Identifier: Apache-2.0
"""Sphinx settings of these pages: `python -m sphinx -b html docs OUT`, or `rosdoc2 build --package-path .`.

rosdoc2 copies docs/ into its build folder, adds pages of its own, and runs this file there with its theme.
"""

import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = next((folder for folder in HERE.parents if (folder / "package.xml").is_file()), None)
if ROOT is not None:  # otherwise autodoc imports the installed package
    sys.path.insert(0, str(ROOT))

from clip2depth_ros import __version__  # noqa: E402

project = "clip2depth_ros"
author = "clip2depth_ros maintainers"
copyright = "clip2depth_ros maintainers"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
# rosdoc2 also writes a page for each module; api.rst has the public names.
exclude_patterns = ["clip2depth_ros*.rst", "modules.rst", "__readme_include.rst", "standard_docs/original"]
html_theme = "alabaster"  # comes with Sphinx
html_static_path, html_css_files = ["_static"], ["pages.css"]
default_role = "code"
myst_heading_anchors = 4  # links to headings use GitHub's names
autodoc_member_order = "bysource"

# Written by rosdoc2 only: the message definition; README, changelog and license.
ROSDOC2_PAGES = ("interfaces/message_definitions", "standards")
LINK = r"(?<!!)\[([^\]]+)\]"


def _adapt_page(app, page, source):
    """Replace links to files outside docs/ by their text, and list rosdoc2's pages in the index."""
    source[0] = re.sub(LINK + r"\(\.\./[^)]*\)", r"\1", source[0])
    pages = [name for name in ROSDOC2_PAGES if (Path(app.srcdir) / f"{name}.rst").is_file()]
    if page == "index" and pages:
        source[0] += "\n.. toctree::\n   :caption: Package\n   :maxdepth: 1\n\n"
        source[0] += "".join(f"   {name}\n" for name in pages)


def _adapt_rosdoc2_copies(app):
    """Point the links in rosdoc2's copies of README and CONTRIBUTING to these pages."""
    for path in (Path(app.srcdir) / "standard_docs" / "original").glob("*.md"):
        text = path.read_text(encoding="utf-8").replace("](docs/", "](/")
        path.write_text(re.sub(LINK + r"\((?!/|#|https?:)[^)]*\)", r"\1", text), encoding="utf-8")


def _plain_text(app, what, name, obj, options, lines):
    """Docstrings are plain text: `*`, `|` and indentation are not markup in them."""
    paragraphs = "\n".join(lines).split("\n\n")
    for number, paragraph in enumerate(paragraphs):
        parts = re.split(r"(`+[^`]+`+)", paragraph)
        parts[::2] = [re.sub(r"([*|])", r"\\\1", part) for part in parts[::2]]
        paragraphs[number] = "\n".join(line.strip() for line in "".join(parts).split("\n"))
    lines[:] = "\n\n".join(paragraphs).split("\n")


def setup(app):
    app.connect("builder-inited", _adapt_rosdoc2_copies)
    app.connect("source-read", _adapt_page)
    app.connect("autodoc-process-docstring", _plain_text)
