# SPDX-License-Identifier: Apache-2.0
"""What the pipeline allocates for a frame: samples and corners, no arrays of the image's size."""

import tracemalloc

import cv2
import numpy as np
import pytest

from clip2depth_ros.camera import Camera
from clip2depth_ros.images.frame import Floor, Frame
from clip2depth_ros.pipeline import Pipeline
from clip2depth_ros.scale import ScaleSettings

FRAME = 66_000_000
WIDTH, HEIGHT = 224, 160
"""Of the network's input, as in the bundle `mini`."""
CAMERA = Camera.from_fov(640, 480, 1.1)
MOUNTING = {"height": 0.6, "pitch": 0.15}


def room() -> np.ndarray:
    """(HEIGHT, WIDTH) float32, meters: a floor in front of a wall at 4 m."""
    rays = CAMERA.scaled(WIDTH, HEIGHT).rays().astype(np.float64)
    floor = Floor.from_mounting(*MOUNTING.values())
    with np.errstate(divide="ignore"):
        to_floor = -floor.height / (rays @ floor.normal)
    return np.where((to_floor > 0) & (to_floor < 4.0), to_floor, 4.0).astype(np.float32)


@pytest.mark.parametrize(
    ("options", "limit"),
    [
        ({"stabilizer": None}, 130_000),
        ({}, 380_000),
        ({"scale": ScaleSettings(**MOUNTING)}, 410_000),
        ({"scale": ScaleSettings(**MOUNTING, odometry=True)}, 410_000),
    ],
    ids=["network only", "stabilizer", "floor", "floor and odometry"],
)
def test_a_frame_allocates_little_and_memory_stays_flat(exact_engine, options, limit):
    engine = exact_engine(room())
    engine.infer = lambda _image: engine.depth  # without the copy that it keeps of the image
    pipeline = Pipeline(engine, **options)
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    image = cv2.resize(noise, CAMERA.size)
    depth = np.empty((480, 640), np.float32)

    def process(index: int) -> None:
        pose = np.eye(4)
        pose[2, 3] = 0.03 * index
        result = pipeline.process(Frame(image, index * FRAME, "camera", CAMERA, odometry=pose))
        result.fill_depth(depth)
        if "stabilizer" not in options:
            assert np.isfinite(result.std_dev).all()

    for index in range(20):
        process(index)
    tracemalloc.start()
    try:
        kept, peaks = [], []
        for index in range(20, 40):
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            process(index)
            peaks.append(tracemalloc.get_traced_memory()[1] - before)
            kept.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    print(f"{max(peaks) / 1e6:.3f} MB a frame")
    # The network's depth has 0.14 MB, the image's 1.2 MB.
    assert max(peaks) < limit
    assert kept[-1] - kept[5] < 20_000
