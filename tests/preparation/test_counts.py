"""The tally of replaced values."""

from __future__ import annotations

import pytest

from hipct.core.errors import InputError
from hipct.core.threads import parallel_for
from hipct.preparation.counts import KINDS, PixelCounts


def test_merging_adds_every_kind():
    one, two = PixelCounts(), PixelCounts()
    one.add(**{kind: place for place, kind in enumerate(KINDS)})
    two.merge(one)
    two.merge(one)
    assert two.as_dict() == {kind: 2 * place for place, kind in enumerate(KINDS)}
    assert "clamped=6" in repr(one)


def test_replaced_leaves_out_what_was_merely_seen():
    counts = PixelCounts()
    counts.add(values=100, dead=1, nan=2, nonpositive=3, empty_row=4, zinger=5, clamped=6)
    counts.add(current_repaired=50)
    assert counts.replaced == 21


def test_threads_lose_nothing():
    counts = PixelCounts()

    def work(start, stop):
        for _ in range(start, stop):
            counts.add(nan=1, values=2)

    parallel_for(work, 4000)
    assert (counts.nan, counts.values) == (4000, 8000)


def test_unknown_kinds_are_refused():
    with pytest.raises(InputError, match="no kind hot"):
        PixelCounts().add(hot=1)
