"""Machine current: what counts as absurd, and what takes its place."""

from __future__ import annotations

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.preparation.counts import PixelCounts
from hipct.preparation.current import repair_current
from hipct.preparation.flat import flat_field


@pytest.mark.parametrize("unit", [1.0, 1e-3])
@pytest.mark.parametrize("absurd", [np.nan, 0.0, -3.0, 5.0, np.inf])
def test_absurd_readings_become_the_line_between_their_neighbours(unit, absurd):
    truth = np.linspace(200, 180, 11) * unit
    readings = truth.copy()
    readings[[0, 4, 5]] = absurd * unit
    counts = PixelCounts()
    repaired, flats = repair_current(readings, counts=counts)
    np.testing.assert_allclose(repaired[1:], truth[1:], rtol=1e-12)
    assert repaired[0] == readings[1]
    assert flats is None
    assert counts.current_repaired == 3


def test_flats_without_readings_take_those_of_projections_near_in_time():
    current, flats = repair_current(
        [190.0, 180.0], None, projection_index=[10, 20], flat_index=[0, 15, 30]
    )
    np.testing.assert_allclose(flats, [190, 185, 180])
    np.testing.assert_allclose(current, [190, 180])


def test_projections_take_readings_of_flats_near_in_time():
    current, _ = repair_current([np.nan, 180.0], [200.0], projection_index=[5, 10], flat_index=[0])
    np.testing.assert_allclose(current, [190, 180])


def test_no_current_is_no_normalisation():
    assert repair_current(None, [200.0]) == (None, None)


def test_missing_readings_do_not_change_the_transmission():
    current = np.linspace(0.2, 0.18, 5)
    flats = np.full((1, 1, 1), 1000 * 0.2)
    projections = (500 * current)[:, None, None]
    broken = current.copy()
    broken[2] = 0
    counts = PixelCounts()
    result = flat_field(
        projections,
        flats,
        flat_index=[0],
        flat_current=[0.2],
        current=broken,
        counts=counts,
    )
    np.testing.assert_allclose(result, 0.5, rtol=1e-6)
    assert counts.current_repaired == 1


def test_wrong_input_is_answered_in_sentences():
    with pytest.raises(InputError, match="above 0"):
        repair_current([0.0, np.nan])
    with pytest.raises(InputError, match="one axis"):
        repair_current([[1.0]])
    with pytest.raises(InputError, match="without flat_index"):
        repair_current([1.0], [1.0])
    with pytest.raises(InputError, match="projection_index has shape"):
        repair_current([1.0], projection_index=[1, 2])
    with pytest.raises(InputError, match="frame numbers"):
        repair_current([1.0], projection_index=[np.nan])
