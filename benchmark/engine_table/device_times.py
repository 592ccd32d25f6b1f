# SPDX-License-Identifier: Apache-2.0
"""The time that a GPU takes for the network alone."""

from __future__ import annotations

import numpy as np

from clip2depth_ros.engines import Engine


def device_times(engine: Engine, repeats: int) -> np.ndarray:
    """Seconds that the device takes for the network alone, once per repeat, on the last image inferred.

    Measured by CUDA events, without the copies to and from the device; empty for an engine on the CPU.
    """
    buffers = getattr(engine, "buffers", None)
    if buffers is None:
        return np.empty(0)
    with engine.queueing():
        return buffers.times(engine.queue_network, repeats)
