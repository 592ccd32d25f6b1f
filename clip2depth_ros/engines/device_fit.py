# SPDX-License-Identifier: Apache-2.0
"""The letterbox on a device of PyTorch's: an image of any size into the network's input, as on the CPU."""

from __future__ import annotations

import numpy as np

from clip2depth_ros.camera import Letterbox


def taps(size: int, wanted: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of `size` pixels make each of `wanted`, and by what share.

    Returns indices (wanted, k) int64 and weights (wanted, k) float32, rows of which sum to 1: what OpenCV's
    INTER_AREA takes when it shrinks, and INTER_LINEAR when it enlarges.
    """
    scale = size / wanted
    if scale >= 1:
        begin = np.arange(wanted) * scale
        first = np.floor(begin + 1e-9).astype(np.int64)
        index = first[:, None] + np.arange(int(np.ceil(scale)) + 1)
        covered = np.minimum(index + 1, (begin + scale)[:, None]) - np.maximum(index, begin[:, None])
        weight = np.clip(covered, 0, None)
    else:
        centre = np.clip((np.arange(wanted) + 0.5) * scale - 0.5, 0, size - 1)
        first = np.floor(centre).astype(np.int64)
        index = first[:, None] + np.arange(2)
        weight = np.stack([1 - (centre - first), centre - first], axis=1)
    weight /= weight.sum(1, keepdims=True)
    return np.minimum(index, size - 1), weight.astype(np.float32)


class DeviceFit:
    """Does on `device` what letterbox.fit does on the CPU, to a grey level.

    torch: the module, which this file does not import by itself. letterbox: fixed for good; it never shrinks
    one axis and enlarges the other, which OpenCV would do in yet another way. device: of torch.
    """

    def __init__(self, torch, letterbox: Letterbox, device) -> None:
        self._torch = torch
        self.letterbox = letterbox
        inner = (letterbox.inner_height, letterbox.inner_width)
        self._taps = [
            tuple(torch.from_numpy(array).to(device) for array in taps(size, wanted))
            for size, wanted in zip(letterbox.size[::-1], inner, strict=True)
        ]
        self._border = torch.tensor(letterbox.border, dtype=torch.uint8, device=device)

    def __call__(self, image, out) -> None:
        """Resize `image` (height, width, 3) uint8 into the middle of `out` (net_height, net_width, 3) uint8,
        and fill its border.
        """
        torch = self._torch
        # rows first: they lie together in memory
        (row, row_weight), (column, column_weight) = self._taps
        lines = torch.einsum("ik,ikwc->iwc", row_weight, image[row].float())
        small = torch.einsum("jk,ijkc->ijc", column_weight, lines[:, column])
        if self.letterbox.net_size != (self.letterbox.inner_width, self.letterbox.inner_height):
            out[:] = self._border
        self.letterbox.inner(out).copy_(small.round_().clamp_(0, 255))
