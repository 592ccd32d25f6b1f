# SPDX-License-Identifier: Apache-2.0
"""config/sros2_policy.xml allows what a running depth_node has: all of it, and nothing else."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
from sensor_msgs.msg import Image

pytestmark = pytest.mark.ros

POLICY = Path(__file__).parents[2] / "config" / "sros2_policy.xml"
NODE = "/clip2depth"


def allowed() -> dict[str, set[str]]:
    """Absolute names by what is allowed with them: publish, subscribe, reply."""
    policy = ElementTree.parse(POLICY).getroot()
    (enclave,) = policy.iterfind("./enclaves/enclave")
    assert enclave.get("path") == NODE
    (profile,) = enclave.iterfind("./profiles/profile")
    assert profile.get("ns") + profile.get("node") == NODE
    names: dict[str, set[str]] = {}
    for group in profile:
        ((what, rule),) = group.attrib.items()
        assert rule == "ALLOW" and group.tag in ("topics", "services")
        texts = [entry.text for entry in group]
        assert len(set(texts)) == len(texts)
        names[what] = {t.replace("~", NODE, 1) if t[0] in "~/" else f"/{t}" for t in texts}
    return names


@pytest.mark.parametrize("transport, image", [("raw", "/image"), ("compressed", "/image/compressed")])
def test_the_policy_is_what_the_node_has(graph, make_depth_node, transport, image):
    node = make_depth_node(
        image_transport=transport,
        odometry__topic="/odom",
        imu__topic="/imu",
        ranges__topic="/ranges",
        use_sim_time=True,
    )
    assert node.get_fully_qualified_name() == NODE
    graph.listen(Image, f"{NODE}/depth/image_rect")  # only then does the node subscribe to its camera
    questions = {
        "publish": graph.tester.get_publisher_names_and_types_by_node,
        "subscribe": graph.tester.get_subscriber_names_and_types_by_node,
        "reply": graph.tester.get_service_names_and_types_by_node,
    }

    def found() -> dict[str, set[str]]:
        return {what: {name for name, _ in ask("clip2depth", "/")} for what, ask in questions.items()}

    graph.wait(lambda: image in found()["subscribe"], "the node to subscribe to its camera")
    graph.spin(0.5)  # the rest of it
    expected = allowed()
    expected["subscribe"] -= {"/image", "/image/compressed"} - {image}
    if find_spec("tf2_ros") is None:
        expected["subscribe"] -= {"/tf", "/tf_static"}
    if find_spec("tf2_msgs") is None:  # PyPI has no wheel of it
        expected["publish"].remove("/tf")
    if find_spec("type_description_interfaces") is None:  # Humble
        expected["reply"].remove(f"{NODE}/get_type_description")
    assert found() == expected
