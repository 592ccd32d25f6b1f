# SPDX-License-Identifier: Apache-2.0
"""One slot, the newest wins, and every image is accounted for."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clip2depth_ros.engines.turns import Queue, Turn
from clip2depth_ros.ros.nodes.mailbox import Counts, Mailbox


@given(st.lists(st.sampled_from(["put", "take"]), max_size=50))
def test_every_image_is_counted_once(steps):
    mailbox, number, taken = Mailbox(), 0, 0
    waiting = False
    for step in steps:
        if step == "put":
            number += 1
            mailbox.put(number)
            waiting = True
        elif waiting:
            assert mailbox.take() == number, "the newest"
            mailbox.count("processed")
            taken += 1
            waiting = False
    mailbox.close()
    assert mailbox.take() is None
    assert mailbox.counts == Counts(received=number, processed=taken, dropped=number - taken)


def test_take_waits_for_an_image():
    mailbox, got = Mailbox(), []
    thread = threading.Thread(target=lambda: got.append(mailbox.take()))
    thread.start()
    mailbox.put("image")
    thread.join(30)
    assert got == ["image"]


def test_close_ends_waiting():
    mailbox, got = Mailbox(), []
    threads = [
        threading.Thread(target=lambda: got.append(mailbox.take())),
        threading.Thread(target=lambda: got.append(mailbox.wait_for_info(lambda _info: True, 1000))),
    ]
    for thread in threads:
        thread.start()
    mailbox.close()
    for thread in threads:
        thread.join(30)
    assert got == [None, None]


def test_a_camera_info_that_comes_later_is_waited_for():
    mailbox, got = Mailbox(), []
    thread = threading.Thread(
        target=lambda: got.append(mailbox.wait_for_info(lambda info: info == "right", 1000))
    )
    thread.start()
    mailbox.put_info("wrong")
    mailbox.put_info("right")
    thread.join(30)
    assert got == ["right"]


def test_a_newer_image_ends_the_wait_for_camera_info():
    mailbox = Mailbox()
    mailbox.put_info("wrong")
    mailbox.put("newer")
    assert mailbox.wait_for_info(lambda info: info == "right", 1000) is None
    assert mailbox.take() == "newer"


def test_patience_ends():
    started = time.monotonic()
    assert Mailbox().wait_for_info(lambda _info: True, 0.05) is None
    assert time.monotonic() - started >= 0.04


def test_threads_lose_no_count():
    mailbox, total = Mailbox(), 2000

    def work():
        while mailbox.take() is not None:
            mailbox.count("processed")

    worker = threading.Thread(target=work)
    worker.start()
    for number in range(total):
        mailbox.put(number)
    mailbox.close()
    worker.join(30)
    counts = mailbox.counts
    assert counts.received == total
    assert counts.processed + counts.dropped == total


def test_interposed_work_is_done_by_the_taker_before_the_next_image():
    mailbox, done = Mailbox(), []
    mailbox.put("first")
    mailbox.interpose(lambda: done.append(threading.current_thread().name))
    taker = threading.Thread(target=lambda: done.append(mailbox.take()), name="taker")
    taker.start()
    taker.join(10)
    assert done == ["taker", "first"]


def test_interposed_work_needs_no_image_and_is_left_undone_by_a_closed_mailbox():
    mailbox, done = Mailbox(), []
    did = threading.Event()
    taker = threading.Thread(target=lambda: done.append(mailbox.take()))
    taker.start()
    mailbox.interpose(did.set)
    assert did.wait(10)
    mailbox.close()
    mailbox.interpose(lambda: done.append("too late"))
    taker.join(10)
    assert done == [None] and mailbox.take() is None


@pytest.mark.parametrize(
    ("camera", "most", "taken"), [(30, 10, 100), (30, 20, 200), (30, 40, 300), (30, 0, 300), (60, 25, 125)]
)
def test_at_most_so_many_images_a_second(camera, most, taken):
    """Of a camera whose timing wobbles by 4 ms, over 10 s (5 s at 60 Hz)."""
    from clip2depth_ros.ros.inputs.camera_input import RateLimit

    limit, rng = RateLimit(), np.random.default_rng(0)
    times = 1000 + np.arange(300) / camera + rng.uniform(0, 0.004, 300)
    admitted = [t for t in times if limit.admits(t, most)]
    assert abs(len(admitted) - taken) <= 0.02 * taken
    if 0 < most < camera:
        assert np.diff(admitted).max() < 2 / most and np.diff(admitted).min() > 0.5 / most


def test_a_pause_is_not_made_up_for():
    from clip2depth_ros.ros.inputs.camera_input import RateLimit

    limit = RateLimit()
    assert [limit.admits(t, 10.0) for t in (1.0, 1.05, 1.1, 61.1, 61.15, 61.2)] == [
        True,
        False,
        True,
        True,
        False,
        True,
    ]


def test_what_is_left_out_is_counted():
    mailbox = Mailbox()
    mailbox.skip()
    assert mailbox.counts == Counts(received=1, dropped=1)


def turns():
    """A turn and another camera's, of one queue with one place."""
    queue = Queue(1)
    return Turn(queue), Turn(queue)


def until(condition) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_who_waits_for_its_turn_gets_the_newest_image():
    mine, other = turns()
    mailbox, got = Mailbox(mine), []
    other.enter()
    taker = threading.Thread(target=lambda: got.append(mailbox.take()))
    taker.start()
    mailbox.put("old")
    until(lambda: mine._queue._waiting)
    mailbox.put("new")
    assert not got
    other.leave()
    taker.join(30)
    assert got == ["new"] and mine.is_mine
    assert mailbox.counts == Counts(received=2, dropped=1)


def test_an_image_that_is_withdrawn_meanwhile_does_not_hold_the_turn():
    mine, other = turns()
    mailbox, got = Mailbox(mine), []
    other.enter()
    taker = threading.Thread(target=lambda: got.append(mailbox.take()))
    taker.start()
    mailbox.put("image")
    until(lambda: mine._queue._waiting)
    mailbox.clear()
    other.leave()
    other.enter()  # this would block
    mailbox.close()
    taker.join(30)
    assert got == [None] and not mine.is_mine


def test_waiting_for_camera_info_does_not_hold_the_turn():
    mine, other = turns()
    mailbox, got = Mailbox(mine), []
    mailbox.put("image")
    assert mailbox.take() == "image" and mine.is_mine
    mailbox.put_info("right")
    assert mailbox.wait_for_info(lambda info: info == "right", 1000) == "right" and mine.is_mine
    assert mailbox.wait_for_info(lambda info: info == "left", 0) is None and mine.is_mine
    waiting = threading.Thread(target=lambda: got.append(mailbox.wait_for_info(lambda i: i == "left", 1000)))
    waiting.start()
    other.enter()  # this would block
    mailbox.put_info("left")
    waiting.join(30)
    assert got == ["left"] and not mine.is_mine


def test_a_slow_camera_loses_nothing_to_a_fast_one():
    """One sends every 2 ms, the other every 40 ms; an image takes 4 ms of what they share."""
    queue, device, total = Queue(2), Queue(1), 40
    boxes = [Mailbox(Turn(queue)) for _ in range(2)]

    def work(mailbox):
        while mailbox.take() is not None:
            with device:
                time.sleep(0.004)
            mailbox._turn.leave()
            mailbox.count("processed")

    workers = [threading.Thread(target=work, args=(mailbox,)) for mailbox in boxes]
    for worker in workers:
        worker.start()
    for number in range(20 * total):
        boxes[0].put(number)
        if number % 20 == 0:
            boxes[1].put(number)
        time.sleep(0.002)
    for mailbox, worker in zip(boxes, workers, strict=True):
        mailbox.close()
        worker.join(30)
    fast, slow = (mailbox.counts for mailbox in boxes)
    assert fast.received == 20 * total and fast.processed + fast.dropped == fast.received
    assert slow.received == total and slow.processed >= 0.8 * total, slow
    assert fast.dropped > fast.received // 4, "it was not busy enough to tell"
