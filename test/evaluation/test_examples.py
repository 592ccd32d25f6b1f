# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from clip2depth_ros.evaluation import examples
from clip2depth_ros.evaluation.examples import Examples, color_ratio
from clip2depth_ros.images.visualization import FAR, NEAR, UNKNOWN

IMAGE = np.full((48, 64, 3), 128, np.uint8)
TRUTH = np.full((48, 64), 2.0, np.float32)


def feed(errors, seen=None):
    found = Examples()
    draw = found._draw

    def watched(name, *arguments):
        if seen is not None:
            seen.append(name)
        return draw(name, *arguments)

    found._draw = watched
    for number, error in enumerate(errors):
        found.add(f"{number}", IMAGE, TRUTH * (1 + error), TRUTH, error)
    return found


def test_best_median_and_worst_are_what_they_say():
    errors = np.random.default_rng(0).permutation(30) / 30
    found = feed(errors)
    stacked = {}
    found._stack = lambda panels: stacked.setdefault(len(stacked), [p.error for p in panels])
    found.sheets()
    best, worst, median = stacked.values()  # in the order in which they choose
    assert best == pytest.approx(np.arange(4) / 30)
    assert worst == pytest.approx(np.arange(26, 30) / 30)
    assert sorted(median) == pytest.approx(np.arange(13, 17) / 30)


def test_memory_is_bounded_and_the_extremes_are_not_lost(monkeypatch):
    monkeypatch.setattr(examples, "KEPT", 8)
    errors = 0.5 + 0.001 * np.random.default_rng(1).random(100)
    errors[37], errors[71] = 0.9, 0.1
    found = feed(errors)
    assert len(found._kept) <= 8 and [p.number for p in found._ends] == [71, 37]
    numbers = []
    found._stack = lambda panels: numbers.append([p.number for p in panels])
    found.sheets()
    assert 71 in numbers[0] and 37 in numbers[1]
    assert not set(numbers[0]) & set(numbers[1]) and not set(numbers[2]) & set(numbers[0] + numbers[1])


def test_frames_of_a_film_that_look_alike_are_shown_once():
    numbers = []
    found = feed(np.arange(200) / 200)
    found._stack = lambda panels: numbers.extend(p.number for p in panels)
    found.sheets()
    assert len(numbers) == 12 and np.diff(sorted(numbers)).min() >= 4


@pytest.mark.parametrize(("count", "labels"), [(1, ["best"]), (2, ["best", "worst"])])
def test_few_images_give_few_sheets(count, labels):
    assert list(feed([0.1, 0.2][:count]).sheets()) == labels


def test_the_colours_range_is_fixed_by_the_first_truth():
    room, road = Examples(), Examples()
    room.add("a", IMAGE, TRUTH, TRUTH, 0.0)
    room.add("b", IMAGE, TRUTH, 30 * TRUTH, 0.0)
    road.add("a", IMAGE, TRUTH, 30 * TRUTH, 0.0)
    assert room.range == (NEAR, FAR) and road.range == examples.OUTDOORS
    assert Examples().sheets() == {}


def test_errors_colours():
    picture = color_ratio(np.array([[1.0, 2.0, 0.5, 8.0, np.nan, 0.0]]))
    assert picture[0].tolist() == [
        [255, 255, 255],
        [255, 50, 50],
        [50, 50, 255],
        [255, 50, 50],
        list(UNKNOWN),
        list(UNKNOWN),
    ]


def test_sparse_truth_stays_visible_when_it_is_shrunk():
    truth = np.full((60, 80), np.nan, np.float32)
    truth[::10, ::10] = 7.0
    small = examples._shrunk(truth, (8, 6))
    assert small.shape == (6, 8) and np.all(small == 7.0)
    assert np.isnan(examples._shrunk(np.full((60, 80), np.nan, np.float32), (8, 6))).all()
