# SPDX-License-Identifier: Apache-2.0
"""config/depth.foxglove.json: a layout of Foxglove's structure that shows topics and fields which exist."""

import json
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
# The settings of each panel type that are used here, as in foxglove.layouts of foxglove-sdk 0.30.
SETTINGS = {
    "Image": {"imageMode"},
    "3D": {"cameraState", "followMode", "followTf", "scene", "transforms", "topics", "layers"},
    "Plot": {
        *("paths", "minYValue", "showLegend", "legendDisplay", "showPlotValuesInLegend", "showXAxisLabels"),
        *("showYAxisLabels", "isSynced", "xAxisVal", "followingViewWidth", "sidebarDimension"),
    },
    "DiagnosticSummary": {"topicToRender", "minLevel", "pinnedIds", "hardwareIdFilter", "sortByLevel"},
}


@pytest.fixture(scope="module")
def layout():
    return json.loads((ROOT / "config" / "depth.foxglove.json").read_text(encoding="utf-8"))


def panels_of(node) -> list[str]:
    """The panel ids of a tree of splits, in order."""
    if isinstance(node, str):
        return [node]
    assert set(node) == {"direction", "splitPercentage", "first", "second"}
    assert node["direction"] in ("row", "column") and 0 < node["splitPercentage"] < 100
    return panels_of(node["first"]) + panels_of(node["second"])


def test_every_panel_is_placed_once_and_every_placed_one_is_configured(layout):
    assert set(layout) == {"configById", "globalVariables", "userNodes", "playbackConfig", "layout"}
    placed = panels_of(layout["layout"])
    assert len(placed) == len(set(placed)) and set(placed) == set(layout["configById"])


def test_every_panel_is_of_a_known_type_and_has_settings_of_that_type(layout):
    for panel, settings in layout["configById"].items():
        kind, _, name = panel.partition("!")
        assert name and set(settings) - {"foxglovePanelTitle"} <= SETTINGS[kind], panel


def test_it_shows_what_rviz_shows_and_quality_and_diagnostics(layout):
    panels = layout["configById"]
    modes = {panel: settings["imageMode"] for panel, settings in panels.items() if "imageMode" in settings}
    shown = {mode["imageTopic"] for mode in modes.values()} | set(panels["3D!points"]["topics"])
    rviz = yaml.safe_load((ROOT / "config" / "depth.rviz").read_text())["Visualization Manager"]["Displays"]
    # Foxglove remaps no topics: the camera's is the one that demo.launch.py and the README use.
    expected = {display["Topic"]["Value"] for display in rviz if "Topic" in display} - {"/image"}
    assert shown == expected | {"/camera/image_raw"}
    assert panels["DiagnosticSummary!diagnostics"]["topicToRender"] == "/diagnostics"
    assert all(mode["minValue"] < mode["maxValue"] for mode in modes.values() if "colorMap" in mode)


def test_it_plots_fields_of_the_quality_message(layout):
    paths = [path["value"] for panel in layout["configById"].values() for path in panel.get("paths", ())]
    message = (ROOT / "msg" / "DepthQuality.msg").read_text(encoding="utf-8")
    numbers = re.findall(r"^(?:float32|uint64) (\w+)", message, re.MULTILINE)
    assert {"/clip2depth/quality.latency", "/clip2depth/quality.scale"} <= set(paths)
    assert set(paths) <= {f"/clip2depth/quality.{name}" for name in numbers}
