# SPDX-License-Identifier: Apache-2.0
"""A camera at 30 Hz, the network that ships, two processes, DDS between: a swap loses one frame at most."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")
from clip2depth_ros.msg import DepthQuality
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from sensor_msgs.msg import PointCloud2

from clip2depth_ros.bundle import find_bundle
from clip2depth_ros.camera import Camera

pytestmark = [pytest.mark.ros, pytest.mark.slow]
SWAPS = 6


@pytest.fixture
def drive(tmp_path) -> Path:
    """A few images of 640x480 pixels in which something moves."""
    folder = tmp_path / "drive"
    (folder / "rgb").mkdir(parents=True)
    coarse = np.random.default_rng(11).integers(0, 256, (60, 90, 3), np.uint8)
    wide = cv2.resize(coarse, (900, 600), interpolation=cv2.INTER_CUBIC)
    for number in range(40):
        cv2.imwrite(str(folder / f"rgb/{number:06d}.jpg"), wide[:480, 5 * number : 5 * number + 640])
    Camera(640, 480, 525.0, 525.0, 319.5, 239.5).to_file(folder / "camera.json")
    return folder


def test_a_swap_loses_one_frame_at_most(graph, start_process, drive, tmp_path):
    """By the node's own count, from the last frame of one bundle to the first of the other."""
    bundles = []
    for name in ("first", "second"):
        shutil.copytree(find_bundle("mini"), tmp_path / name)
        manifest = tmp_path / name / "manifest.json"
        manifest.write_text(manifest.read_text().replace('"name": "mini"', f'"name": "{name}"'))
        bundles.append(tmp_path / name)
    # With a queue of one, an image that a starved process fetches too late is overwritten, uncounted.
    node = start_process("depth_node", {"bundle": bundles[0], "image.queue": 10}, "-r", "image:=image_raw")
    start_process("camera_node", {"source": drive, "rate": 30.0, "loop": True})
    quality = graph.listen(DepthQuality, "/clip2depth/quality", queue=1000)
    graph.listen(PointCloud2, "/clip2depth/points")
    client = graph.tester.create_client(SetParameters, "/clip2depth/set_parameters")
    graph.wait(lambda: len(quality) > 60 and client.service_is_ready(), "a few frames")
    opening = []
    for swap in range(SWAPS):
        before = quality[-1]
        chosen = bundles[(swap + 1) % 2]
        value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=str(chosen))
        request = SetParameters.Request(parameters=[Parameter(name="bundle", value=value)])
        answer = client.call_async(request)
        graph.wait(answer.done, "the answer")
        assert answer.result().results[0].successful, answer.result().results[0].reason
        graph.wait(lambda chosen=chosen: quality[-1].bundle == chosen.name, "the other bundle")
        opening.append(quality[-1].frames_dropped - before.frames_dropped)
        graph.spin(0.5)

    swapped = [(a, b) for a, b in itertools.pairwise(quality) if a.bundle != b.bundle]
    assert [b.bundle for _, b in swapped] == [bundles[(n + 1) % 2].name for n in range(SWAPS)]
    assert all(b.reset for _, b in swapped)
    lost = [b.frames_dropped - a.frames_dropped for a, b in swapped]
    last = quality[-1]
    print(
        f"lost per swap: {lost}; from asking to the swap: {opening}; in all {last.frames_dropped} of "
        f"{last.images_received} images, latency "
        f"median {np.median([q.latency for q in quality]) * 1e3:.0f} ms, at the swaps "
        f"{[round(b.latency * 1e3) for _, b in swapped]} ms"
    )
    others = [
        b.frames_dropped - a.frames_dropped for a, b in itertools.pairwise(quality) if a.bundle == b.bundle
    ]
    if np.mean(others) < 0.02:
        assert max(lost) <= 1, lost
    else:
        # A machine that does not keep up with the camera drops images all the time. The swap costs it another
        # frame's work: as many images once more, and one.
        assert np.median(lost) <= 1 + 2 * np.percentile(others, 90), (lost, np.percentile(others, 90))
    assert last.bad_images == 0
    assert node.end() == 0
    assert "Traceback" not in node.text()
