# SPDX-License-Identifier: Apache-2.0
"""The HTML pages: Sphinx builds them from docs/ without a warning, with the public Python API."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_sphinx_builds_every_page_without_a_warning(tmp_path):
    for module in ("sphinx", "myst_parser"):
        pytest.importorskip(module, reason=f"{module} is not installed: pip install '.[docs]'")
    out = tmp_path / "out"
    options = ["-W", "--keep-going", "-q", "-b", "html", "-d", tmp_path / "trees"]
    command = [sys.executable, "-m", "sphinx", *options, ROOT / "docs", out]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=280)
    assert done.returncode == 0, done.stderr
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")} | {"api", "index"}
    assert pages <= {path.stem for path in out.glob("*.html")}
    documented = set(re.findall(r'id="(clip2depth_ros\.[\w.]+)"', (out / "api.html").read_text()))
    named = set(re.findall(r"^\.\. auto\w+:: (\S+)", (ROOT / "docs" / "api.rst").read_text(), re.MULTILINE))
    assert "clip2depth_ros.DepthEstimator" in named and named <= documented
    assert "clip2depth_ros.DepthEstimator.video" in documented


def test_rosdoc2_is_pointed_at_these_pages():
    assert "<rosdoc2>rosdoc2.yaml</rosdoc2>" in (ROOT / "package.xml").read_text()
    kind, settings = yaml.safe_load_all((ROOT / "rosdoc2.yaml").read_text())
    assert kind == {"type": "rosdoc2 config", "version": 1}
    (builder,) = settings["builders"]
    assert (ROOT / builder["sphinx"]["sphinx_sourcedir"] / "conf.py").is_file()
