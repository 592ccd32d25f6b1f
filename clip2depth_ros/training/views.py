# SPDX-License-Identifier: Apache-2.0
"""Rendered views in memory, and the batches drawn from them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.training.augmentation import Augmentation


@dataclass
class Batch:
    """image (B, H, W, 3) uint8 RGB; depth (B, H, W) float32 canonical metres, NaN unknown; captions."""

    image: np.ndarray
    depth: np.ndarray
    captions: list[str]


class ViewSet:
    """Views of many rooms: images (h, w, 3) uint8, depths (h, w) float16, focal lengths, captions."""

    def __init__(self) -> None:
        self._images: list[np.ndarray] = []
        self._depths: list[np.ndarray] = []
        self._focal: list[float] = []
        self._captions: list[str] = []

    def __len__(self) -> int:
        return len(self._captions)

    def add(self, image: np.ndarray, depth: np.ndarray, fx: float, caption: str) -> None:
        """Add one view: image (h, w, 3) uint8, depth (h, w) m, fx in pixels of the image."""
        self._images.append(image)
        self._depths.append(depth.astype(np.float16))
        self._focal.append(float(fx))
        self._captions.append(caption)

    def view(self, index: int) -> tuple[np.ndarray, np.ndarray, float, str]:
        """Image, depth, fx and caption of one view."""
        return self._images[index], self._depths[index], self._focal[index], self._captions[index]

    def batch(self, indices, augmentation: Augmentation, rng: np.random.Generator, **geometry) -> Batch:
        """Augmented views; geometry: size, canonical_focal_px, border_colour as Augmentation takes them."""
        made = [augmentation(*self.view(int(i)), rng=rng, **geometry) for i in indices]
        images, depths, captions = zip(*made, strict=True)
        return Batch(np.stack(images), np.stack(depths), list(captions))

    def random_batch(
        self, count: int, augmentation: Augmentation, seed: tuple[int, ...], **geometry
    ) -> Batch:
        """A batch that depends on `seed` and the views alone."""
        if not len(self):
            raise Clip2DepthError("there are no views to train on: render some first")
        rng = np.random.default_rng(seed)
        return self.batch(rng.integers(len(self), size=count), augmentation, rng, **geometry)


def prefetch(make: Callable[[int], Batch], first: int, ahead: int = 3) -> Iterator[Batch]:
    """make(first), make(first + 1), ... made by a thread, a few ahead of their use."""
    made: queue.Queue = queue.Queue(maxsize=ahead)
    stop = threading.Event()

    def fill() -> None:
        step = first
        while not stop.is_set():
            try:
                item = make(step)
            except Exception as error:  # handed to the consumer, which raises it
                item = error
            while not stop.is_set():
                try:
                    made.put(item, timeout=0.2)
                    break
                except queue.Full:
                    continue
            step += 1

    thread = threading.Thread(target=fill, daemon=True)
    thread.start()
    try:
        while True:
            item = made.get()
            if isinstance(item, Exception):
                raise item
            yield item
    finally:
        stop.set()
        thread.join()
