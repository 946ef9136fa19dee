"""Rows of a half-acquisition go on beyond the field: geometry, level and memory of that step."""

import tracemalloc
from typing import NamedTuple

import numpy as np
import pytest

from benchmarks.phantoms import away_from_edges, lobes, seen_by_a_detector, truth
from hipct.acquisition.scan import ScanInfo
from hipct.core.errors import InputError
from hipct.pipeline.outside import Outside
from hipct.reconstruction import Reconstructor
from hipct.reconstruction.half import extended_width

COLUMNS, ANGLES = 160, 480
THETA = np.arange(ANGLES) * 2 * np.pi / ANGLES


class Settings(NamedTuple):
    outside: str = "body"
    outside_px: int | None = None


def scan(acquisition="half", columns=COLUMNS):
    return ScanInfo(
        projections=ANGLES, rows=4, columns=columns, dtype=np.dtype(np.uint16), angles_rad=THETA,
        acquisition=acquisition,
    )  # fmt: skip


@pytest.mark.parametrize("axis", [141.3, 17.6, 79.5, -4.0])
def test_the_level_inside_of_the_field_is_right(axis, xp, fetch):
    """A body of 1.1 times the field on a ground of zero, on either side and with any overlap."""
    reach = max(axis, COLUMNS - 1 - axis)
    body = lobes(1.1 * reach)
    rows = seen_by_a_detector(body, THETA, COLUMNS, axis, 0.5)[None].astype(np.float32)
    outside = Outside.of(scan(), axis, Settings())
    size = extended_width(COLUMNS, axis)
    assert outside.size == size
    assert outside.extra_px == np.ceil(0.25 * reach)
    wide = outside.continued(xp.asarray(rows), THETA)
    assert wide.shape == (1, ANGLES, outside.columns)

    def bias(lines, columns, axis):
        plan = Reconstructor(THETA, columns, axis, acquisition="half", size=size, xp=xp)
        image = fetch(plan.reconstruct(lines))[0]
        inner = away_from_edges(body, size, 4, 0.95 * reach)
        # A hole that was not measured is nobody's business.
        inner &= ~away_from_edges((), size, 0, max(-axis, 0) + 4)
        return abs((image - truth(body, size))[inner].mean())

    assert bias(wide, outside.columns, outside.axis) < 6e-3
    assert bias(xp.asarray(rows), COLUMNS, axis) > 0.1


def test_detector_columns_stay_where_the_axis_has_them():
    rows = np.random.default_rng(0).uniform(1, 2, (2, ANGLES, COLUMNS)).astype(np.float32)
    for axis in (141.3, 17.6):
        outside = Outside.of(scan(), axis, Settings(outside_px=30))
        first = round(outside.axis - axis)
        assert outside.extra_px == 30
        wide = outside.continued(rows, THETA)
        assert np.array_equal(wide[:, :, first : first + COLUMNS], rows)


@pytest.mark.parametrize(("acquisition", "settings"), [
    ("half", Settings("padding")), ("full", Settings("body")), ("half", Settings("padding", 40)),
])  # fmt: skip
def test_nothing_changes_where_it_is_not_wanted_or_nothing_is_missing(acquisition, settings):
    outside = Outside.of(scan(acquisition), 100.0, settings)
    rows = np.ones((1, ANGLES, COLUMNS), np.float32)
    assert (outside.columns, outside.axis, outside.size) == (COLUMNS, 100.0, None)
    assert outside.continued(rows, THETA) is rows
    assert outside.memory_bytes(16, ANGLES, on_device=False) == 0


def test_columns_that_no_body_needs_are_refused():
    outside = Outside.of(scan(), 141.3, Settings(outside_px=2 * COLUMNS + 1))
    with pytest.raises(InputError, match="between 1 and 320"):
        outside.continued(np.ones((1, ANGLES, COLUMNS), np.float32), THETA)


def test_memory_is_what_is_taken():
    rows = np.ones((16, ANGLES, COLUMNS), np.float32)
    outside = Outside.of(scan(), 141.3, Settings())
    outside.continued(rows, THETA)
    tracemalloc.start()
    wide = outside.continued(rows, THETA)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    estimate = outside.memory_bytes(16, ANGLES, on_device=False)
    assert wide.nbytes <= peak
    assert peak < 1.25 * estimate
