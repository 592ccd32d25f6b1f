# SPDX-License-Identifier: Apache-2.0
"""Phase, images seen and learning rate of each step of a stage. They depend on the step only."""

from __future__ import annotations

import math

from clip2depth_ros.training.configuration import Phase, Stage


class Schedule:
    """The steps of one stage: its phases one after another, linear warm-up, then half a cosine.

    steps, images   total
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        total = sum(phase.share for phase in stage.phases)
        self._starts: list[tuple[int, int, Phase]] = []  # first step, images before it, phase
        self.steps = self.images = 0
        for phase in stage.phases:
            count = max(1, round(stage.images * phase.share / total / phase.batch))
            self._starts.append((self.steps, self.images, phase))
            self.steps += count
            self.images += count * phase.batch

    def phase(self, step: int) -> Phase:
        """The phase that `step` belongs to."""
        return self._start(step)[2]

    def images_before(self, step: int) -> int:
        """Images seen by the steps before this one."""
        first, images, phase = self._start(step)
        return images + (step - first) * phase.batch

    def learning_rate(self, step: int) -> float:
        """The learning rate of `step`, by the share of the images seen before it."""
        stage, done = self._stage, self.images_before(step) / self.images
        if done < stage.warmup_share:
            return stage.learning_rate * max(done / stage.warmup_share, 0.01)
        along = (done - stage.warmup_share) / (1 - stage.warmup_share)
        high, low = stage.learning_rate, stage.final_learning_rate
        return low + 0.5 * (high - low) * (1 + math.cos(math.pi * along))

    def _start(self, step: int) -> tuple[int, int, Phase]:
        return max((s for s in self._starts if s[0] <= step), key=lambda start: start[0])
