"""Normalisation by air columns, on known drifts and on real scans without flats."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.preparation.air import air_normalise
from hipct.preparation.counts import PixelCounts
from hipct.preparation.flat import FlatField


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float32, 1e-6), (np.float64, 1e-13)])
def test_a_beam_with_a_slope_that_changes_from_frame_to_frame_is_divided_out(dtype, rtol):
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.2, 0.9, (4, 3, 50))
    truth[..., :6] = truth[..., -9:] = 1
    level, slope = rng.uniform(500, 900, (2, 4, 3, 1))
    beam = level + slope * np.linspace(0, 1, 50)
    result = air_normalise((truth * beam).astype(dtype), left=6, right=9)
    assert result.dtype == dtype
    np.testing.assert_allclose(result, truth, rtol=rtol)


def test_one_side_is_a_mean():
    frame = np.array([[[90.0, 110.0, 50.0, 20.0]]])
    np.testing.assert_allclose(air_normalise(frame, left=2)[0, 0], [0.9, 1.1, 0.5, 0.2])
    np.testing.assert_allclose(air_normalise(frame, right=1)[0, 0], [4.5, 5.5, 2.5, 1])


def test_missing_pixels_are_left_out_of_the_mean():
    frame = np.array([[[np.nan, 100.0, 50.0]]])
    np.testing.assert_allclose(air_normalise(frame, left=2)[0, 0, 1:], [1, 0.5])


def test_frames_without_beam_become_empty_rows_and_are_counted():
    counts = PixelCounts()
    frames = np.array([[[0, 0, 0], [2, 1, 2]], [[-1, 5, 5], [np.nan, 5, 5]]], np.float32)
    result = air_normalise(frames, left=1, counts=counts)
    np.testing.assert_array_equal(result, [[[1, 1, 1], [1, 0.5, 1]], [[1, 1, 1], [1, 1, 1]]])
    assert counts.empty_row == 9


def test_in_place():
    frames = np.full((2, 1, 5), 7.0, np.float32)
    assert air_normalise(frames, left=2, right=2, out=frames) is frames
    np.testing.assert_array_equal(frames, 1)


def scan(path):
    with h5py.File(path) as file:
        return file["exchange/data"][...]


def test_imat_rods_flux_is_steady_afterwards(shared_data):
    projections = scan(shared_data / "imat_rods_flux" / "scan.h5")
    result = air_normalise(projections, left=40, right=40)
    air = np.concatenate([result[..., :40], result[..., -40:]], axis=-1).mean(axis=(1, 2))
    np.testing.assert_allclose(air, 1, atol=1e-3)

    def unsteadiness(transmission):
        """Spread over angles of the total of all line integrals, which an object keeps."""
        total = -np.log(transmission).sum(axis=(1, 2))
        return total.std() / total.mean()

    assert unsteadiness(projections / projections[..., :40].mean()) > 0.25
    assert unsteadiness(result) < 0.1


def test_sarepy_equals_its_own_recipe_where_counts_are_good(shared_data):
    projections = scan(shared_data / "sarepy_neutron360" / "scan.h5").astype(np.float32)
    result = air_normalise(projections, left=30)
    expected = projections / projections[:, :, :30].mean(axis=2, keepdims=True)
    np.testing.assert_allclose(result, expected, rtol=1e-5)
    counts = PixelCounts()
    rows, columns = projections.shape[1:]
    FlatField.without_flats(rows, columns).apply(projections, counts=counts)
    assert counts.nonpositive == (projections <= 0).sum() > 0


def test_wrong_input_is_answered_in_sentences():
    good = np.ones((1, 2, 4))
    for left, right in ((0, 0), (-1, 2), (3, 2)):
        with pytest.raises(InputError, match="air columns"):
            air_normalise(good, left=left, right=right)
    with pytest.raises(InputError, match="three axes"):
        air_normalise(good[0], left=1)
