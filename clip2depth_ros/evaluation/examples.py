# SPDX-License-Identifier: Apache-2.0
"""Image sheets of the best, median and worst images, selected with bounded memory."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from clip2depth_ros.images.visualization import FAR, NEAR, UNKNOWN, legend, sheet, side_by_side

CELL_HEIGHT, CELL_WIDTH = 150, 240  # pixels, at most
OUTDOORS = (1.5, 80.0)  # meters, range of the colors where the ground truth reaches farther than a room
KEPT = 300  # panels in memory, 20 kB each
ROWS = 4  # of a sheet
APART = 0.02  # of all images: closer frames of a video look the same
FACTOR = 2.0  # depth / ground truth at the ends of the color scale


@dataclass(frozen=True)
class _Panel:
    number: int
    error: float
    coded: bytes


class Examples:
    """Panels (image, depth, ground truth, error) of some of the images.

    The best, the worst and evenly spread others are kept, KEPT at most. The first image's ground truth
    selects the color range: indoors or outdoors.
    """

    def __init__(self) -> None:
        self.range: tuple[float, float] | None = None
        self._count = 0
        self._step = 1
        self._kept: list[_Panel] = []
        self._ends: list[_Panel] = []

    def add(self, name: str, image: np.ndarray, depth: np.ndarray, truth: np.ndarray, error: float) -> None:
        """Add an image: (H, W, 3) uint8 RGB, depth and ground truth (H, W) meters, its AbsRel."""
        number, self._count = self._count, self._count + 1
        if self.range is None:
            far = float(np.nanpercentile(truth, 95)) if np.isfinite(truth).any() else 0.0
            self.range = OUTDOORS if far > 1.2 * FAR else (NEAR, FAR)
        extreme = not self._ends or error < self._ends[0].error or error >= self._ends[-1].error
        if number % self._step and not extreme:
            return
        panel = _Panel(number, error, self._draw(name, image, depth, truth, error))
        if extreme:
            ends = sorted([*self._ends, panel], key=lambda p: p.error)
            self._ends = [ends[0], ends[-1]]
        if number % self._step == 0:
            self._kept.append(panel)
            if len(self._kept) > KEPT:
                self._step *= 2
                self._kept = [p for p in self._kept if p.number % self._step == 0]

    def sheets(self) -> dict[str, np.ndarray]:
        """Image sheets "best", "median" and "worst", (H, W, 3) uint8 RGB; fewer for few images."""
        known = {p.number: p for p in [*self._kept, *self._ends]}
        ranked = sorted(known.values(), key=lambda p: p.error)
        rows = min(ROWS, max(1, len(ranked) // 3))
        chosen: set[int] = set()
        orders = {
            "best": ranked,
            "worst": ranked[::-1],
            "median": sorted(ranked, key=lambda p: abs(ranked.index(p) - (len(ranked) - 1) / 2)),
        }
        found = {}
        for label, order in orders.items():
            panels: list[_Panel] = []
            for panel in order:
                near = (abs(panel.number - other) < APART * self._count for other in chosen)
                if len(panels) < rows and panel.number not in chosen and not any(near):
                    panels.append(panel)
                    chosen.add(panel.number)
            if panels:
                found[label] = self._stack(sorted(panels, key=lambda p: p.error))
        return {label: found[label] for label in ("best", "median", "worst") if label in found}

    def _stack(self, panels: list[_Panel]) -> np.ndarray:
        pictures = [
            cv2.cvtColor(cv2.imdecode(np.frombuffer(p.coded, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)  # pyright: ignore[reportCallIssue]
            for p in panels
        ]
        width = max(p.shape[1] for p in pictures)
        return np.vstack([sheet(pictures), legend(width, *self.range)])  # pyright: ignore[reportOptionalIterable]

    def _draw(
        self, name: str, image: np.ndarray, depth: np.ndarray, truth: np.ndarray, error: float
    ) -> bytes:
        height, width = image.shape[:2]
        scale = min(CELL_HEIGHT / height, CELL_WIDTH / width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        depth = cv2.resize(depth.astype(np.float32), size, interpolation=cv2.INTER_NEAREST_EXACT)
        truth = _shrunk(truth.astype(np.float32), size)
        with np.errstate(invalid="ignore"):
            ratio = depth / truth
        columns = [
            (name, cv2.resize(image, size, interpolation=cv2.INTER_AREA)),
            (f"depth (AbsRel {error:.3f})", depth),
            ("ground truth", truth),
            ("error: red too far", color_ratio(ratio)),
        ]
        near, far = self.range  # pyright: ignore[reportGeneralTypeIssues]
        picture = side_by_side(columns, near=near, far=far, with_legend=False)
        bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()


def color_ratio(ratio: np.ndarray) -> np.ndarray:
    """Colors of depth / ground truth, (H, W) float: white correct, red far, blue near, full at FACTOR.

    NaN and non-positive values become UNKNOWN. Returns (H, W, 3) uint8 RGB.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        known = np.isfinite(ratio) & (ratio > 0)
        error = np.clip(np.log(np.where(known, ratio, 1.0)) / np.log(FACTOR), -1.0, 1.0)
    picture = np.full((*ratio.shape, 3), 255.0)
    picture[..., 0] -= 205.0 * np.maximum(-error, 0.0)
    picture[..., 1] -= 205.0 * np.abs(error)
    picture[..., 2] -= 205.0 * np.maximum(error, 0.0)
    picture[~known] = UNKNOWN
    return np.rint(picture).astype(np.uint8)


def _shrunk(truth: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Ground truth at a smaller size: the mean of the known pixels per cell, so that sparse points show."""
    known = np.isfinite(truth)
    total, count = (
        cv2.resize(values.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        for values in (np.where(known, truth, 0), known)
    )
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 1e-6)
