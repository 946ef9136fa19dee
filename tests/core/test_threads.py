"""Parallel loops: every item once, errors kept, nothing waits for itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hipct.core.errors import InputError
from hipct.core.threads import available_cores, parallel_for, set_thread_count, thread_count


@pytest.fixture(autouse=True)
def all_cores_afterwards() -> Iterator[None]:
    yield
    set_thread_count(None)


@given(total=st.integers(0, 60), smallest=st.integers(1, 70), threads=st.integers(1, 5))
def test_every_item_is_visited_once_and_ranges_are_worth_a_thread(total, smallest, threads):
    set_thread_count(threads)
    visits = np.zeros(total, int)
    lengths = []

    def task(start, stop):
        visits[start:stop] += 1
        lengths.append(stop - start)

    parallel_for(task, total, smallest=smallest)
    assert (visits == 1).all()
    if total >= smallest:
        assert min(lengths, default=smallest) >= smallest


def test_two_threads_work_at_the_same_time():
    set_thread_count(2)
    meeting = threading.Barrier(2, timeout=20)
    parallel_for(lambda start, stop: meeting.wait(), 2)
    assert not meeting.broken


def test_one_thread_runs_in_the_caller():
    set_thread_count(1)
    seen = []
    parallel_for(lambda start, stop: seen.append((threading.get_ident(), start, stop)), 10)
    assert seen == [(threading.get_ident(), 0, 10)]


def test_nested_loops_finish_and_cover_everything():
    set_thread_count(2)
    visits = np.zeros((8, 50), int)

    def outer(start, stop):
        for row in range(start, stop):

            def inner(first, last, row=row):
                visits[row, first:last] += 1

            parallel_for(inner, 50)

    caller = threading.Thread(target=parallel_for, args=(outer, 8), daemon=True)
    caller.start()
    caller.join(timeout=20)
    assert not caller.is_alive(), "nested loops wait for each other"
    assert (visits == 1).all()


def test_an_error_is_raised_after_every_other_range_has_ended():
    set_thread_count(2)
    visits = np.zeros(40, int)

    def task(start, stop):
        visits[start:stop] += 1
        if start == 0:
            raise RuntimeError("range 0 failed")

    with pytest.raises(RuntimeError, match="range 0 failed"):
        parallel_for(task, 40)
    assert (visits == 1).all()
    # A worker that failed is free for the next loop.
    parallel_for(lambda start, stop: None, 40)


def test_a_loop_after_an_error_in_a_nested_one_is_parallel_again():
    set_thread_count(2)

    def fails(start, stop):
        parallel_for(lambda first, last: 1 / 0, 4)

    with pytest.raises(ZeroDivisionError):
        parallel_for(fails, 2)
    meeting = threading.Barrier(2, timeout=20)
    parallel_for(lambda start, stop: meeting.wait(), 2)


def test_results_do_not_depend_on_the_number_of_threads():
    values = np.random.default_rng(0).normal(size=(64, 33)).astype(np.float32)
    results = []
    for threads in (1, 2, 3, 7):
        set_thread_count(threads)
        out = np.empty_like(values)

        def task(start, stop, out=out):
            out[start:stop] = np.cumsum(np.sin(values[start:stop]), axis=1)

        parallel_for(task, len(values))
        results.append(out.tobytes())
    assert len(set(results)) == 1


def test_loops_from_several_threads_share_the_pool():
    set_thread_count(2)
    visits = np.zeros((4, 100), int)

    def run(row):
        def task(start, stop):
            visits[row, start:stop] += 1

        parallel_for(task, 100)

    callers = [threading.Thread(target=run, args=(row,)) for row in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=20)
    assert (visits == 1).all()


def test_the_thread_count_is_all_cores_unless_set():
    assert thread_count() == available_cores() >= 1
    set_thread_count(3)
    assert thread_count() == 3
    set_thread_count(None)
    assert thread_count() == available_cores()


@pytest.mark.parametrize("count", [0, -1])
def test_a_thread_count_below_one_is_refused(count):
    with pytest.raises(InputError, match=f"is {count}; give 1 or more"):
        set_thread_count(count)
