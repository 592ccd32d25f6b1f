# SPDX-License-Identifier: Apache-2.0
"""The fast median is bit-identical to numpy's."""

import math

import numpy as np
import pytest

from clip2depth_ros.metrics.medians import median


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 2, 3, 24, 151, 8500])
def test_it_equals_numpy(size, kind):
    rng = np.random.default_rng(size)
    for values in (rng.standard_normal(size), rng.integers(0, 3, size), np.full(size, 0.1)):
        values = values.astype(kind)
        before = values.copy()
        assert median(values) == float(np.median(values))
        assert (values == before).all()


@pytest.mark.parametrize("size", [1, 2, 9, 1000])
def test_infinity_is_valid_and_nan_gives_nan(size):
    values = np.arange(size, dtype=np.float32)
    values[-1] = math.inf
    assert median(values) == float(np.median(values))
    values[size // 3] = math.nan
    assert math.isnan(median(values))
