"""Detector distortion: a distorted grid comes back, against SciPy, algotom and nabu."""

from __future__ import annotations

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.preparation import distortion
from hipct.preparation.distortion import (
    Undistortion,
    displacement_of_maps,
    radial_displacement,
    undistort,
)
from hipct.preparation.flat import flat_field

ROWS, COLUMNS = 90, 120
CENTRE = (41.3, 63.8)
BARREL = [1.0, 2e-5, 8e-6]
"""Of the backward model: up to 2.2 px at a dot."""


def field():
    return radial_displacement(ROWS, COLUMNS, CENTRE, BARREL)


def noise(frames=3, seed=0):
    return np.random.default_rng(seed).integers(0, 60000, (frames, ROWS, COLUMNS), np.uint16)


DOTS = [(r, c) for r in range(12, ROWS - 8, 13) for c in range(12, COLUMNS - 8, 13)]


def grid(row, column, sigma=1.5):
    """Dots, at any places."""
    image = np.zeros(row.shape)
    for r, c in DOTS:
        image += np.exp(-((row - r) ** 2 + (column - c) ** 2) / (2 * sigma**2))
    return image


def true_grid(sigma=1.5):
    return grid(*np.indices((ROWS, COLUMNS)), sigma)


def raw_grid(sigma=1.5):
    """What the optics make of the dots: every raw pixel shows the scene at its corrected place."""
    place = [axis - centre for axis, centre in zip(np.indices((ROWS, COLUMNS)), CENTRE)]
    raw_radius = np.hypot(*place)
    radius = raw_radius
    for _ in range(60):
        radius = raw_radius / np.polynomial.polynomial.polyval(radius, BARREL)
    shrink = radius / np.maximum(raw_radius, 1e-9)
    return grid(*(centre + part * shrink for centre, part in zip(CENTRE, place)), sigma)


def misplaced(image):
    """Distance of each dot from where it belongs, by its centre of mass."""
    offset = np.arange(-5, 6)
    found = []
    for r, c in DOTS:
        part = image[r - 5 : r + 6, c - 5 : c + 6]
        mass = part.sum()
        centre = (part.sum(1) @ offset / mass, part.sum(0) @ offset / mass)
        found.append(np.hypot(*centre))
    return np.array(found)


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_a_distorted_grid_comes_back(xp, fetch, interpolation):
    raw = raw_grid().astype(np.float32)
    assert misplaced(raw).max() > 1.5
    result = fetch(undistort(xp.asarray(raw[None]), field(), interpolation=interpolation))[0]
    # Linear blurs a dot here more and there less, and so moves it.
    most = 0.02 if interpolation == "cubic" else 0.05
    assert misplaced(result).max() < most
    assert misplaced(result).mean() < 0.4 * most


def test_cubic_keeps_what_linear_smooths():
    """Against dots that were never distorted."""
    raw, true = raw_grid().astype(np.float32), true_grid()
    error = {
        kind: np.abs(undistort(raw[None], field(), interpolation=kind)[0] - true)[8:-8, 8:-8].max()
        for kind in ("linear", "cubic")
    }
    assert error["linear"] > 0.06
    assert error["cubic"] < 0.5 * error["linear"]


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_constants_stay(xp, fetch, interpolation):
    frames = xp.full((2, ROWS, COLUMNS), 1234, np.uint16)
    result = fetch(undistort(frames, field(), interpolation=interpolation))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, 1234, rtol=3e-7)


def test_linear_is_that_of_scipy(xp, fetch):
    ndimage = pytest.importorskip("scipy.ndimage")
    frames, displacement = noise(), field()
    displacement += np.random.default_rng(1).uniform(-3, 3, displacement.shape)
    places = np.moveaxis(displacement, 2, 0) + np.indices((ROWS, COLUMNS))
    result = fetch(undistort(xp.asarray(frames), displacement, interpolation="linear"))
    for frame, corrected in zip(frames, result):
        expected = ndimage.map_coordinates(frame.astype(float), places, order=1, mode="nearest")
        np.testing.assert_allclose(corrected, expected, atol=0.02)


def test_cubic_is_exact_for_parabolas():
    row, column = np.mgrid[:ROWS, :COLUMNS]
    displacement = np.random.default_rng(2).uniform(-0.9, 0.9, (ROWS, COLUMNS, 2))

    def surface(r, c):
        return 3 + 0.1 * r - 0.2 * c + 0.003 * r * r - 0.002 * c * c + 0.001 * r * c

    frame = surface(row, column).astype(np.float32)[None]
    result = undistort(frame, displacement, interpolation="cubic")[0]
    expected = surface(row + displacement[..., 0], column + displacement[..., 1])
    np.testing.assert_allclose(result[2:-2, 2:-2], expected[2:-2, 2:-2], atol=2e-5)


def test_algotom_takes_the_same_coefficients():
    correction = pytest.importorskip("algotom.prep.correction")
    frame = noise(1)[0].astype(np.float32)
    expected = correction.unwarp_projection(frame, CENTRE[1], CENTRE[0], BARREL)
    # It rounds places to float32: 4e-6 px between counts of up to 60 000.
    np.testing.assert_allclose(
        undistort(frame[None], field(), interpolation="linear")[0], expected, atol=0.6
    )


def test_nabu_takes_the_same_maps():
    peer = pytest.importorskip("nabu.io.detector_distortion")
    frame = noise(1)[0].astype(np.float32)
    places = np.moveaxis(field(), 2, 0) + np.indices((ROWS, COLUMNS))
    corrector = peer.DetectorDistortionMapsXZ(map_x=places[1], map_z=places[0])
    region = corrector.set_sub_region_transformation((None, None, 0, ROWS))
    # Where a place is a whole number its weights fall on one pixel twice, as 1 and 0.
    expected = corrector.transform(frame[region[2] : region[3]])
    result = undistort(frame[None], displacement_of_maps(*places), interpolation="linear")[0]
    np.testing.assert_allclose(result, expected, atol=0.02)


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_slabs_give_the_numbers_of_the_whole(xp, fetch, interpolation):
    frames = noise()
    whole = fetch(undistort(xp.asarray(frames), field(), interpolation=interpolation))
    for rows in (slice(0, 17), slice(17, 40), slice(40, 90), slice(-1, None)):
        part = Undistortion(field(), rows, interpolation=interpolation)
        wanted = len(range(ROWS)[rows])
        assert part.source.stop - part.source.start <= wanted + 12
        given = xp.asarray(np.ascontiguousarray(frames[:, part.source]))
        np.testing.assert_array_equal(fetch(part.apply(given)), whole[:, rows])


def test_flats_and_projections_alike(xp, fetch):
    """Dust and beam are at their raw places in both, and divide out; the sample moves."""
    raw_sample = np.exp(-0.5 * raw_grid(3.0))
    gain = 20000 * (1 + 0.2 * np.sin(np.mgrid[:ROWS, :COLUMNS][1] / 4))
    flats = np.repeat(np.round(gain)[None], 3, 0).astype(np.uint16)
    projections = np.round(gain * raw_sample)[None].astype(np.uint16)
    corrected = [undistort(xp.asarray(f), field()) for f in (projections, flats)]
    transmission = fetch(flat_field(*corrected))[0]
    expected = np.exp(-0.5 * true_grid(3.0))
    assert np.abs(transmission - expected)[6:-6, 6:-6].max() < 0.02
    assert misplaced(-np.log(transmission)).max() < 0.08
    assert np.abs(raw_sample - expected)[6:-6, 6:-6].max() > 0.15


@pytest.mark.parametrize("dtype", ["u2", ">u2", "f4", "f8"])
@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
@pytest.mark.parametrize("size", [(30, 41), (1, 7), (2, 1), (1, 1)])
def test_array_code_and_loop_agree(monkeypatch, size, interpolation, dtype):
    frames = np.random.default_rng(4).integers(0, 60000, (2, *size)).astype(dtype)
    displacement = np.random.default_rng(5).uniform(-3, 3, (*size, 2))
    loop = undistort(frames, displacement, interpolation=interpolation)
    monkeypatch.setattr(distortion, "has_numba", lambda: False)
    plain = undistort(frames, displacement, interpolation=interpolation)
    np.testing.assert_allclose(loop, plain, atol=0.05)


def test_nothing_is_fetched(standin):
    part = Undistortion(field(), slice(10, 30))
    given = standin.asarray(noise()[:, part.source])
    part.apply(given)
    standin._transfers.reset()
    part.apply(given)
    assert (standin._transfers.to_host, standin._transfers.to_device) == (0, 0)


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="finite coefficient"):
        radial_displacement(4, 4, (1, 1), [])
    with pytest.raises(InputError, match="The maps have shapes"):
        displacement_of_maps(np.zeros((3, 4)), np.zeros((4, 3)))
    with pytest.raises(InputError, match="displacement has shape"):
        Undistortion(np.zeros((3, 4)))
    with pytest.raises(InputError, match="interpolation"):
        Undistortion(field(), interpolation="spline")
    with pytest.raises(InputError, match="follow one another"):
        Undistortion(field(), slice(0, 9, 2))
    part = Undistortion(field(), slice(40, 50))
    with pytest.raises(InputError, match="are needed"):
        part.apply(noise())
