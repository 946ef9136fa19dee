"""One pool of worker threads for all compute loops of the process, one for those that read.

Numba kernels are compiled with ``nogil`` and called on disjoint ranges from here. That leaves
numba's own thread layers unused: the default one must not be entered from two Dask tasks at a
time, and their partition of the work depends on the machine. Here the ranges write disjoint
output, so that results do not depend on the number of threads. Loops that wait for a disk have
threads of their own: compute loops go on meanwhile.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import pairwise

from hipct.core.errors import InputError

_lock = threading.Lock()
_inside = threading.local()
_pools: dict[str, ThreadPoolExecutor] = {}
_size: int = 0


def available_cores() -> int:
    """Cores that this process may use (affinity respected)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def thread_count() -> int:
    """Threads that compute loops use: :func:`set_thread_count`, else all cores."""
    return _size or available_cores()


def set_thread_count(count: int | None) -> None:
    """Set the number of compute threads; ``None`` returns to all cores."""
    global _size  # noqa: PLW0603 - one number for the process is the point
    if count is not None and count < 1:
        raise InputError(f"The number of threads is {count}; give 1 or more.")
    with _lock:
        for pool in _pools.values():
            pool.shutdown(wait=True)
        _pools.clear()
        _size = count or 0


def parallel_for(
    task: Callable[[int, int], None], total: int, *, smallest: int = 1, reads: bool = False
) -> None:
    """Call ``task(start, stop)`` on ranges that cover ``0 .. total``, on all threads.

    The first error of a task is raised after all have ended. From inside a task the loop runs
    inline, so that nested loops cannot wait for their own threads.

    Parameters
    ----------
    task : callable
        Takes ``start`` and ``stop``; must write to nothing outside its range.
    total : int
        Number of items.
    smallest : int
        Fewest items worth a thread.
    reads : bool
        Whether the task waits for a disk.

    Examples
    --------
    >>> done = [0] * 5
    >>> def mark(start, stop):
    ...     for i in range(start, stop):
    ...         done[i] += 1
    >>> parallel_for(mark, 5)
    >>> done
    [1, 1, 1, 1, 1]
    """
    if total <= 0:
        return
    parts = max(1, total // max(smallest, 1))
    # Where there is nothing to share, the system is not even asked for its cores.
    threads = thread_count() if parts > 1 and not getattr(_inside, "active", False) else 1
    if threads == 1:
        task(0, total)
        return
    # A few ranges a thread even out a machine whose cores are not equally free.
    parts = min(4 * threads, parts)
    bounds = [total * part // parts for part in range(parts + 1)]
    pool = _shared_pool("read" if reads else "compute")
    futures = [pool.submit(_run, task, a, b) for a, b in pairwise(bounds)]
    wait(futures)
    for future in futures:
        future.result()


def _run(task: Callable[[int, int], None], start: int, stop: int) -> None:
    _inside.active = True
    try:
        task(start, stop)
    finally:
        _inside.active = False


def _shared_pool(purpose: str) -> ThreadPoolExecutor:
    with _lock:
        if purpose not in _pools:
            _pools[purpose] = ThreadPoolExecutor(
                thread_count(), thread_name_prefix=f"hipct-{purpose}"
            )
        return _pools[purpose]
