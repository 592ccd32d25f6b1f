# SPDX-License-Identifier: Apache-2.0
"""Each parameter is written once: node, file and documentation agree, and wrong values are refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from clip2depth_ros import engines
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.ros.parameters import depth_settings as settings
from clip2depth_ros.ros.parameters.adapt_settings import AdaptSettings
from clip2depth_ros.ros.parameters.declaration import adapt_yaml, depth_yaml, parameters_markdown
from clip2depth_ros.ros.parameters.depth_settings import CameraSettings, DepthSettings
from clip2depth_ros.settings import parameters_of, setting, settings_from

ROOT = Path(__file__).parents[2]
BOTH = [
    *parameters_of(DepthSettings),
    *parameters_of(CameraSettings),
    *(fact for fact in parameters_of(AdaptSettings) if fact.name.startswith("adapt.")),
]


def flat(values: dict, prefix: str = "") -> dict:
    result = {}
    for name, value in values.items():
        result |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return result


def test_the_parameter_file_is_the_settings_class():
    assert (ROOT / "config/depth.yaml").read_text() == depth_yaml(), (
        "run: python -m clip2depth_ros.ros.parameters --yaml > config/depth.yaml"
    )
    values = flat(yaml.safe_load(depth_yaml())["/**"]["ros__parameters"])
    assert values == {fact.name: fact.default for fact in parameters_of(DepthSettings)}
    assert settings_from(DepthSettings, values) == DepthSettings()


def test_the_adapting_nodes_parameter_file_is_its_settings_class():
    assert (ROOT / "config/adapt.yaml").read_text() == adapt_yaml(), (
        "run: python -m clip2depth_ros.ros.parameters --adapt-yaml > config/adapt.yaml"
    )
    values = flat(yaml.safe_load(adapt_yaml())["/**"]["ros__parameters"])
    assert settings_from(AdaptSettings, values) == AdaptSettings()


def test_what_both_nodes_know_of_camera_and_robot_is_the_same():
    depth = {fact.name: fact for fact in parameters_of(DepthSettings)}
    shared = [fact for fact in parameters_of(AdaptSettings) if not fact.name.startswith("adapt.")]
    assert shared and all(fact == depth[fact.name] for fact in shared)


def test_the_documentation_is_the_settings_class():
    assert (ROOT / "docs/parameters.md").read_text() == parameters_markdown(), (
        "run: python -m clip2depth_ros.ros.parameters --markdown > docs/parameters.md"
    )


def test_engines_and_precisions_are_those_that_there_are():
    assert ("auto", *engines.ENGINE_NAMES) == settings.ENGINES
    assert ("auto", *engines.PRECISIONS) == settings.PRECISIONS


@pytest.mark.parametrize("fact", BOTH, ids=lambda fact: fact.name)
def test_every_parameter_is_described_and_its_default_fits(fact):
    assert fact.description.endswith(".") and len(fact.description) > 15
    assert fact.checked(fact.default) == fact.default
    if fact.type in (int, float):
        assert fact.minimum is not None and fact.maximum is not None


@pytest.mark.parametrize(
    "fact", [fact for fact in BOTH if fact.type in (int, float)], ids=lambda fact: fact.name
)
def test_ranges_are_held(fact):
    for value in (fact.minimum - 1, fact.maximum + 1):
        with pytest.raises(Clip2DepthError, match=f"'{fact.name}' .* must lie in"):
            fact.checked(fact.type(value))
    if fact.type is float:
        for value in (float("nan"), float("inf")):
            with pytest.raises(Clip2DepthError, match=fact.name):
                fact.checked(value)


@pytest.mark.parametrize("fact", BOTH, ids=lambda fact: fact.name)
def test_types_are_held(fact):
    wrong = {bool: 1, int: True, float: "1.0", str: 1}[fact.type]
    with pytest.raises(Clip2DepthError, match=f"'{fact.name}' must be .*, not"):
        fact.checked(wrong)


def test_choices_are_held_and_named():
    with pytest.raises(Clip2DepthError, match="must be one of: raw, compressed"):
        settings_from(DepthSettings, {"image_transport": "theora"})


def test_values_that_do_not_go_together_are_refused():
    with pytest.raises(Clip2DepthError, match=r"points\.min_range"):
        settings_from(DepthSettings, {"points.min_range": 5.0, "points.max_range": 4.0})
    with pytest.raises(Clip2DepthError, match=r"depth\.width"):
        settings_from(DepthSettings, {"depth.width": 320})
    assert settings_from(DepthSettings, {"depth.width": 320, "depth.height": 240}).depth.size == (320, 240)


def test_whole_numbers_are_numbers():
    value = settings_from(DepthSettings, {"points.max_range": 10}).points.max_range
    assert value == 10.0 and type(value) is float


def test_a_range_with_one_end():
    @dataclasses.dataclass(frozen=True)
    class Half:
        height: float = setting(1.0, "Of something.", minimum=0.0)

    (fact,) = parameters_of(Half)
    assert fact.range_text() == "0 to inf"
    assert fact.checked(1e9) == 1e9
    with pytest.raises(Clip2DepthError):
        fact.checked(-1e-9)


@pytest.mark.ros
class TestOnANode:
    def test_every_parameter_is_declared_with_its_facts(self, make_depth_node):
        node = make_depth_node(active=False)
        for fact in parameters_of(DepthSettings):
            descriptor = node.describe_parameter(fact.name)
            assert descriptor.description == fact.description
            assert descriptor.read_only == fact.read_only
            ranges = [*descriptor.integer_range, *descriptor.floating_point_range]
            assert [(r.from_value, r.to_value) for r in ranges] == (
                [(fact.minimum, fact.maximum)] if fact.type in (int, float) else []
            )
            if fact.name != "bundle":
                assert node.get_parameter(fact.name).value == fact.default

    def test_values_from_outside_arrive(self, make_depth_node):
        node = make_depth_node(active=False, points__max_range=7, points__stride=4, depth__encoding="16UC1")
        assert node.settings.points.max_range == 7.0
        assert node.settings.points.stride == 4
        assert node.get_parameter("points.max_range").value == 7.0
        assert node.settings.depth.encoding == "16UC1"

    @pytest.mark.parametrize(
        ("name", "value"),
        [("points__stride", 0), ("points__stride", 2.5), ("image_transport", "theora"), ("bundle", 7)],
    )
    def test_wrong_values_at_the_start_are_an_error(self, make_depth_node, name, value):
        with pytest.raises(Clip2DepthError, match=name.replace("__", ".")):
            make_depth_node(active=False, **{name: value})

    def test_changes_at_run_time(self, make_depth_node):
        from rclpy.parameter import Parameter

        node = make_depth_node(active=False)

        def change(**values):
            return node.set_parameters_atomically(
                [Parameter(name.replace("__", "."), value=value) for name, value in values.items()]
            )

        assert change(points__stride=3).successful
        assert node.settings.points.stride == 3
        assert change(points__rate=4.0).successful
        assert (node.settings.points.stride, node.settings.points.rate) == (3, 4.0)
        before = node.settings

        refused = change(points__stride=0)
        assert not refused.successful and refused.reason
        refused = change(depth__encoding="64FC1")
        assert not refused.successful and "32FC1, 16UC1" in refused.reason
        refused = change(points__max_range=0.05)
        assert not refused.successful and "min_range" in refused.reason
        assert change(points__min_range=0.01, points__max_range=0.05).successful
        assert not change(bundle="other").successful
        refused = change(points__max_range=6.0, points__stride=99)
        assert not refused.successful
        assert node.settings.points.max_range == 0.05, "a refused change must change nothing"
        assert before.points.max_range == 20.0, "settings are replaced, not altered"

    def test_a_whole_number_for_a_float_at_run_time(self, make_depth_node):
        from rclpy.parameter import Parameter

        node = make_depth_node(active=False)
        if not hasattr(node, "add_pre_set_parameters_callback"):
            pytest.skip("this rclpy cannot change a value before it is checked")
        assert node.set_parameters([Parameter("points.max_range", value=9)])[0].successful
        assert node.settings.points.max_range == 9.0
