"""The cache of plans: what is set can be read again, and nothing else."""

from __future__ import annotations


class _PlanCache:
    def __init__(self) -> None:
        self._size, self._memsize = 16, -1

    def get_size(self) -> int:
        return self._size

    def set_size(self, size: int) -> None:
        self._size = size

    def get_memsize(self) -> int:
        return self._memsize

    def set_memsize(self, memsize: int) -> None:
        self._memsize = memsize

    def clear(self) -> None:
        """Forget all plans."""


_cache = _PlanCache()


def get_plan_cache() -> _PlanCache:
    """The cache of plans of this thread and device."""
    return _cache


def clear_plan_cache() -> None:
    """Forget all plans."""
    _cache.clear()


def set_plan_cache_size(size: int) -> None:
    """Set how many plans are kept."""
    _cache.set_size(size)
