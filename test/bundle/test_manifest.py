# SPDX-License-Identifier: Apache-2.0
import json

import pytest

from clip2depth_ros.bundle import Manifest, Quantized
from clip2depth_ros.errors import Clip2DepthError

INT8 = {"sha256": "ab", "tolerance": 0.05, "deviation": {"rooms": 0.01}}


def test_json_round_trip(make_manifest):
    manifest = make_manifest(
        canonical_focal_px=211.5, errors={"rooms": {"abs_rel": 0.3}}, created_with="test"
    )
    assert Manifest.from_json(manifest.to_json()) == manifest
    assert json.loads(manifest.to_json())["format_version"] == 1
    with_int8 = make_manifest(int8=Quantized(**INT8))
    assert Manifest.from_json(with_int8.to_json()) == with_int8
    assert "int8" not in json.loads(manifest.to_json())  # programs from before there was any read it


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 2}, r"version 2 is not known, this program reads version 1"),
        ({"format_version": None}, "version None is not known"),
        ({"name": ""}, "name"),
        ({"name": "../escape"}, "plain name"),
        ({"backbone": 3}, "backbone must be text"),
        ({"input_height": 0}, "input_height must be a positive whole number"),
        ({"input_width": 22.5}, "input_width must be a positive whole number"),
        ({"input_width": True}, "input_width"),
        ({"mean": [0.5, 0.5]}, "mean takes three numbers"),
        ({"mean": 0.5}, "mean must be a list"),
        ({"std": [0.5, 0.5, "x"]}, "std must be a finite number"),
        ({"depth_min": 5.0, "depth_max": 2.0}, "depth range"),
        ({"depth_min": -1.0}, "depth range"),
        ({"canonical_focal_px": 0}, "canonical_focal_px must be positive"),
        ({"canonical_focal_px": "wide"}, "canonical_focal_px must be a finite number"),
        ({"errors": "none"}, "errors must be a table"),
        ({"int8": 3}, "int8 must be a table"),
        ({"int8": {"sha256": "", "tolerance": 0.1}}, "missing entries of int8: deviation"),
        ({"int8": INT8 | {"bits": 4}}, "unknown entries of int8: bits"),
        ({"int8": INT8 | {"tolerance": 0.5}}, "int8.tolerance must be above 0 and at most 0.15, it is 0.5"),
        ({"int8": INT8 | {"tolerance": 0}}, "int8.tolerance must be above 0"),
        ({"int8": INT8 | {"tolerance": "wide"}}, "int8.tolerance must be a finite number"),
        ({"int8": INT8 | {"deviation": 0.1}}, "int8.deviation must be a table"),
        ({"int8": INT8 | {"deviation": {"rooms": "much"}}}, "int8.deviation must be a finite number"),
        ({"int8": INT8 | {"sha256": 1}}, "int8.sha256 must be text"),
        ({"colour": "red"}, "unknown entries: colour"),
    ],
)
def test_wrong_manifests_are_one_sentence(make_manifest, changes, message):
    content = json.loads(make_manifest().to_json()) | changes
    with pytest.raises(Clip2DepthError, match=message):
        Manifest.from_json(json.dumps(content))


def test_missing_entries_are_named(make_manifest):
    content = json.loads(make_manifest().to_json())
    del content["backbone"], content["depth_max"]
    with pytest.raises(Clip2DepthError, match="missing entries: backbone, depth_max"):
        Manifest.from_json(json.dumps(content))


@pytest.mark.parametrize("text", ["", "{", "[]", "3"])
def test_what_is_no_manifest(text):
    with pytest.raises(Clip2DepthError, match="not "):
        Manifest.from_json(text)


def test_what_depth_means_is_metres_unless_said_otherwise(make_manifest):
    content = json.loads(make_manifest().to_json())
    assert content.pop("depth_kind") == "metric"
    assert Manifest.from_json(json.dumps(content)).depth_kind == "metric"  # bundles from before it was said
    assert make_manifest(depth_kind="scale_free").depth_kind == "scale_free"
    with pytest.raises(Clip2DepthError, match="metric, scale_free or affine_inverse, it is 'relative'"):
        make_manifest(depth_kind="relative")
    with pytest.raises(Clip2DepthError, match="takes no canonical_focal_px"):
        make_manifest(depth_kind="affine_inverse", canonical_focal_px=100.0)
