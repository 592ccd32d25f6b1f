# SPDX-License-Identifier: Apache-2.0
"""Several cameras on one engine: opened once, fair, each with its own depth, closed with the last."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from clip2depth_ros.camera import Letterbox
from clip2depth_ros.engines import Engine, Outcome, open_engine
from clip2depth_ros.engines.cache import BuildCancelled
from clip2depth_ros.engines.shared import EnginePool
from clip2depth_ros.engines.turns import Queue, Turn
from clip2depth_ros.errors import Clip2DepthError

DEADLINE = 30.0


class OneBuffer(Engine):
    """Answers with the image's brightness, always in the same array, and resizes images as a GPU does: those
    of the size that was prepared last.
    """

    device, precision = "test", "fp32"

    def __init__(self, bundle, name: str) -> None:
        self.name = "first" if name == "auto" else name
        self.manifest = bundle.manifest
        self.closed = False
        self.fault = ""
        self.inside = 0
        self.sizes: list[tuple[int, int]] = []
        self._depth = np.empty((self.manifest.input_height, self.manifest.input_width), np.float32)

    def infer(self, image):
        if image.shape[1::-1] == self.prepared:
            width, height = self.manifest.input_width, self.manifest.input_height
            self.network_input = np.empty((height, width, 3), np.uint8)
            image = Letterbox(self.prepared, width, height).letterbox(image, self.network_input)
        self.inside += 1
        assert self.inside == 1, "one at a time"
        assert not self.closed
        try:
            if self.fault:
                raise Clip2DepthError(self.fault)
            self._depth.fill(np.nan)
            time.sleep(0.001)
            self._depth[:] = image.mean(axis=2)
            return self._depth
        finally:
            self.inside -= 1

    def prepare(self, size):
        if size != self.prepared:
            self.sizes.append(size)
        self.prepared = size

    def close(self):
        self.closed = True


class Maker:
    """Stands in for open_engine, and holds openings back until `go`."""

    def __init__(self) -> None:
        self.engines: list[OneBuffer] = []
        self.begun = 0
        self.fault = ""
        self.go = threading.Event()
        self.go.set()

    def __call__(self, bundle, name, *, progress, **options):
        self.begun += 1
        progress("building")
        while not self.go.wait(0.01):
            progress("still building")
        if self.fault:
            raise Clip2DepthError(self.fault)
        self.engines.append(OneBuffer(bundle, name))
        return self.engines[-1]


@pytest.fixture
def maker():
    made = Maker()
    yield made
    made.go.set()


@pytest.fixture
def pool(maker):
    return EnginePool(maker)


def image_of(value: int, engine: Engine) -> np.ndarray:
    return np.full((engine.manifest.input_height, engine.manifest.input_width, 3), value, np.uint8)


def together(*works) -> None:
    """Call each in a thread of its own, and raise what they raised."""
    raised: list[BaseException] = []

    def guarded(work):
        try:
            work()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=guarded, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
        assert not thread.is_alive(), "stuck"
    if raised:
        raise raised[0]


def until(condition) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


@pytest.mark.parametrize("places", [1, 2, 3])
def test_a_queue_is_first_come_first_served_and_never_too_full(places):
    queue, order = Queue(places), []
    for _ in range(places):
        queue.enter()
    threads = []
    for number in range(12):

        def wait(number=number):
            queue.enter()
            order.append(number)

        threads.append(threading.Thread(target=wait, daemon=True))
        threads[-1].start()
        until(lambda number=number: len(queue._waiting) == number + 1)
    for number in range(12):
        assert order == list(range(number)), "nobody enters before somebody leaves"
        queue.leave()
        until(lambda number=number: len(order) > number)
    for thread in threads:
        thread.join(DEADLINE)
    assert order == list(range(12))
    for _ in range(places):
        queue.leave()
    with queue:
        assert queue._free == places - 1


def test_a_turn_is_left_once_and_without_a_queue_always_mine():
    free = Turn()
    assert free.is_mine
    free.enter()
    free.leave()
    assert free.is_mine
    queue = Queue(1)
    turn, other = Turn(queue), Turn(queue)
    assert not turn.is_mine
    turn.enter()
    turn.enter()
    turn.leave()
    turn.leave()
    other.enter()
    entered = threading.Event()
    waiting = threading.Thread(target=lambda: (turn.enter(), entered.set()), daemon=True)
    waiting.start()
    assert not entered.wait(0.1), "left twice, the place was there twice"
    other.leave()
    assert entered.wait(DEADLINE)


def test_the_same_is_opened_once_and_closed_with_the_last(pool, maker, tiny_bundle):
    first = pool.open(pool.turn(), tiny_bundle, "auto", threads=2)
    second = pool.open(pool.turn(), tiny_bundle, "auto", threads=2)
    (engine,) = maker.engines
    assert (second.name, second.device, second.precision) == ("first", "test", "fp32")
    assert second.manifest == tiny_bundle.manifest and second.attempts[-1].outcome is Outcome.SHARED
    first.close()
    first.close()
    assert not engine.closed
    assert second.infer(image_of(9, second))[0, 0] == 9
    with pytest.raises(Clip2DepthError, match="was closed"):
        first.infer(image_of(1, first))
    second.close()
    assert engine.closed
    third = pool.open(pool.turn(), tiny_bundle, "auto", threads=2)
    assert len(maker.engines) == 2 and third.infer(image_of(3, third))[0, 0] == 3


def test_what_differs_is_opened_beside(pool, maker, tiny_bundle, make_bundle):
    other = make_bundle(name="other")
    for bundle, name, threads in (
        (tiny_bundle, "auto", 1),
        (tiny_bundle, "auto", 2),
        (tiny_bundle, "second", 1),
        (other, "auto", 1),
    ):
        pool.open(pool.turn(), bundle, name, threads=threads)
    assert len(maker.engines) == 4


def test_a_swap_and_a_fresh_start_share_what_auto_chose(pool, maker, tiny_bundle, make_bundle):
    """A node on "auto" asks by name when it swaps bundles."""
    other = make_bundle(name="other")
    pool.open(pool.turn(), tiny_bundle, "auto")
    pool.open(pool.turn(), tiny_bundle, "first")
    assert len(maker.engines) == 1
    pool.open(pool.turn(), other, "first")
    pool.open(pool.turn(), other, "auto")
    assert len(maker.engines) == 2


def test_two_at_once_open_one_engine_and_both_are_told_how_far_it_is(pool, maker, tiny_bundle):
    maker.go.clear()
    told: dict[int, list[str]] = {0: [], 1: []}
    handles = []

    def open_(number):
        handles.append(pool.open(pool.turn(), tiny_bundle, progress=told[number].append))

    def let_go():
        until(lambda: all("still building" in lines for lines in told.values()))
        maker.go.set()

    together(lambda: open_(0), lambda: open_(1), let_go)
    assert len(handles) == 2 and maker.begun == 1


def test_who_is_called_off_leaves_the_opening_to_the_one_that_waits(pool, maker, tiny_bundle):
    maker.go.clear()
    called_off = threading.Event()
    handles = []

    def progress(_line):
        if called_off.is_set():
            raise BuildCancelled("no longer wanted")

    def builder():
        with pytest.raises(BuildCancelled):
            pool.open(pool.turn(), tiny_bundle, progress=progress)

    def waiter():
        until(lambda: maker.begun == 1)
        handles.append(pool.open(pool.turn(), tiny_bundle))

    def caller_off():
        until(lambda: maker.begun == 1)
        called_off.set()
        until(lambda: maker.begun == 2)
        maker.go.set()

    together(builder, waiter, caller_off)
    assert len(handles) == len(maker.engines) == 1


def test_who_waits_can_be_called_off(pool, maker, tiny_bundle):
    maker.go.clear()

    def progress(_line):
        raise BuildCancelled("no longer wanted")

    def waiter():
        until(lambda: maker.begun == 1)
        with pytest.raises(BuildCancelled):
            pool.open(pool.turn(), tiny_bundle, progress=progress)
        maker.go.set()

    together(lambda: pool.open(pool.turn(), tiny_bundle), waiter)


def test_a_refused_engine_is_refused_to_each_and_may_come_later(pool, maker, tiny_bundle):
    maker.fault = "no memory on the GPU"
    for _ in range(2):
        with pytest.raises(Clip2DepthError, match="no memory"):
            pool.open(pool.turn(), tiny_bundle)
    maker.fault = ""
    assert pool.open(pool.turn(), tiny_bundle).name == "first"


def test_depth_belongs_to_the_handle(pool, tiny_bundle):
    """The engine answers in one array; no camera sees another's depth in its own."""
    handles = [pool.open(pool.turn(), tiny_bundle) for _ in range(3)]

    def work(number):
        handle, image = handles[number], image_of(10 * number, handles[number])
        for _ in range(60):
            depth = handle.infer(image)
            time.sleep(0.0005)
            assert (depth == 10 * number).all()

    together(*(lambda number=number: work(number) for number in range(3)))


def test_handles_give_what_the_plain_engine_gives(tiny_bundle):
    pool, rng = EnginePool(), np.random.default_rng(4)
    size = (tiny_bundle.manifest.input_height, tiny_bundle.manifest.input_width, 3)
    images = rng.integers(0, 256, (2, 20, *size), np.uint8)
    handles = [pool.open(pool.turn(), tiny_bundle, "openvino") for _ in range(2)]
    assert handles[0]._opened is handles[1]._opened
    found = np.empty((2, 20, *size[:2]), np.float32)

    def work(camera):
        for number, image in enumerate(images[camera]):
            found[camera, number] = handles[camera].infer(image)

    together(lambda: work(0), lambda: work(1))
    with open_engine(tiny_bundle, "openvino") as plain:
        for camera in range(2):
            for number, image in enumerate(images[camera]):
                np.testing.assert_array_equal(found[camera, number], plain.infer(image))


def test_a_fault_costs_the_image_and_nobodys_turn(pool, maker, tiny_bundle):
    turns = [pool.turn() for _ in range(4)]
    handles = [pool.open(turn, tiny_bundle) for turn in turns]
    maker.engines[0].fault = "CUDA error 999"
    for _ in range(3):
        for turn, handle in zip(turns, handles, strict=True):
            turn.enter()
            with pytest.raises(Clip2DepthError, match="999"):
                handle.infer(image_of(1, handle))
            turn.leave()
    maker.engines[0].fault = ""
    assert [handle.infer(image_of(5, handle))[0, 0] for handle in handles] == [5.0] * 4


def prepared(engine: Engine, size: tuple[int, int]) -> bool:
    """Whether the engine takes images of this size after `prepare`."""
    engine.prepare(size)
    assert engine.prepared in (None, size)
    assert (engine.network_input is None) == (engine.prepared is None)
    return engine.prepared == size


def test_an_engine_that_resizes_is_not_prepared_again_for_every_camera(pool, maker, tiny_bundle):
    large, small = (640, 480), (320, 200)
    first, second, third = (pool.open(pool.turn(), tiny_bundle) for _ in range(3))
    (engine,) = maker.engines
    for _ in range(3):
        assert prepared(first, large) and prepared(second, large) and not prepared(third, small)
    assert engine.sizes == [large]
    picture = np.full((480, 640, 3), 50, np.uint8)
    assert first.infer(picture)[20, 20] == 50 and first.network_input[20, 20, 0] == 50
    second.infer(picture + 1)
    assert first.network_input[20, 20, 0] == 50, "another camera's call does not change it"
    with pytest.raises(Clip2DepthError, match="contiguous uint8 images of shape"):
        third.infer(picture)
    # One of the two that share it goes, the other gets images of another size: it is theirs alone then.
    first.close()
    assert prepared(second, small) and not prepared(third, large)
    assert engine.sizes == [large, small]
    second.close()
    assert prepared(third, small) and third.infer(picture[:200, :320])[20, 20] == 50


def test_the_tensorrt_engine_serves_two_sizes(fake_tensorrt, tiny_bundle):
    """On the stand-in for a GPU. Images of the first size are resized there, those of the other before."""
    fake_tensorrt()
    pool, rng = EnginePool(), np.random.default_rng(5)
    manifest = tiny_bundle.manifest
    plain = open_engine(tiny_bundle, "tensorrt")
    handles = [pool.open(pool.turn(), tiny_bundle, "tensorrt") for _ in range(2)]
    sizes = [(128, 96), (96, 72)]
    fitted = np.empty((manifest.input_height, manifest.input_width, 3), np.uint8)
    assert [prepared(*each) for each in zip(handles, sizes, strict=True)] == [True, False]
    assert prepared(plain, sizes[0])
    for _ in range(3):
        for handle, size in zip(handles, sizes, strict=True):
            image = rng.integers(0, 256, (size[1], size[0], 3), np.uint8)
            if prepared(handle, size):
                np.testing.assert_array_equal(handle.infer(image), plain.infer(image))
                np.testing.assert_array_equal(handle.network_input, plain.network_input)
            else:
                Letterbox(size, manifest.input_width, manifest.input_height).letterbox(image, fitted)
                np.testing.assert_array_equal(handle.infer(fitted), plain.infer(fitted))
    for engine in (plain, *handles):
        engine.close()


@pytest.mark.parametrize("cameras", [2, 6])
def test_no_camera_starves_and_no_image_grows_old(cameras, maker, pool, tiny_bundle):
    """Workers that always have a new image: as many each, and the image is taken when its turn is near."""
    turns = [pool.turn() for _ in range(cameras)]
    handles = [pool.open(turn, tiny_bundle) for turn in turns]
    done, served, end = [0] * cameras, [], threading.Event()
    waited = [0]

    def work(number):
        image = image_of(number, handles[number])
        while not end.is_set():
            turns[number].enter()
            taken = len(served)
            handles[number].infer(image)
            served.append(number)
            waited[0] = max(waited[0], len(served) - 1 - taken)
            turns[number].leave()
            done[number] += 1
            if sum(done) > 100 * cameras:
                end.set()

    together(*(lambda number=number: work(number) for number in range(cameras)))
    assert min(done) >= 0.8 * max(done), done
    # Between an image and its depth at most one other camera's image is inferred, and the one in the engine.
    assert waited[0] <= 2, waited
