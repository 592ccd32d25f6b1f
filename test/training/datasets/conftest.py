# SPDX-License-Identifier: Apache-2.0
"""Small files in the true formats, as the data sets' authors publish them."""

import cv2
import numpy as np
import pytest


def _write_image(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[..., ::-1] if image.ndim == 3 else image)


@pytest.fixture
def write_image():
    """Function (path, image): image (H, W, 3) uint8 RGB or (H, W) uint16, as PNG or JPEG by the suffix."""
    return _write_image


@pytest.fixture
def numbered():
    """Function (number, height, width): an image whose red says its number and whose left half is bright."""

    def make(number, height=480, width=640):
        image = np.full((height, width, 3), (number, 60, 60), np.uint8)
        image[:, : width // 2, 1] = 200
        return image

    return make


@pytest.fixture
def millimetres():
    """Function (metres, height, width): 16-bit depth of a wall with an unknown first row."""

    def make(metres, height=480, width=640, units=1000):
        depth = np.full((height, width), round(metres * units), np.uint16)
        depth[0] = 0
        return depth

    return make
