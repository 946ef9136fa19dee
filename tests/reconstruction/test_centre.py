"""Slices whose middle lies beside the axis: a sample that has moved, on the grid it had before."""

from __future__ import annotations

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.reconstruction import Reconstructor, fbp

ENGINES = ("fourier", "direct")
SIZE = 72
MOVED = (-4.3, 6.8)
"""By how much the sample has moved, (y, x)."""


def turn(count, degrees=180):
    return np.deg2rad(np.arange(count) * degrees / count)


BLOBS = (
    (1.0, 2.0, -3.0, 7.0),
    (-0.4, 9.0, 5.0, 2.0),
    (0.6, -12.3, -4.2, 2.5),
    (0.5, 1.7, 16.1, 2.0),
)
"""Gaussians of (height, x, y, standard deviation): their line integrals are Gaussians too."""


def sinograms(angles, columns, axis, by):
    """Line integrals of the blobs, moved by (y, x)."""
    a, t = np.asarray(angles)[:, None], np.arange(columns) - axis
    rows = sum(
        mu * s * np.sqrt(2 * np.pi)
        * np.exp(-((t - (x + by[1]) * np.cos(a) - (y + by[0]) * np.sin(a)) ** 2) / (2 * s * s))
        for mu, x, y, s in BLOBS
    )  # fmt: skip
    return np.stack([rows, 0.5 * rows]).astype(np.float32)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("columns", "axis"), [(90, 43.2), (64, 50)])
def test_a_moved_sample_stands_where_it_was(xp, fetch, phantoms, engine, columns, axis):  # noqa: PLR0917
    acquisition = "full" if columns == 90 else "half"
    angles = turn(180, 180 if acquisition == "full" else 360)
    gone = xp.asarray(sinograms(angles, columns, axis, MOVED))
    options = {"acquisition": acquisition, "engine": engine, "size": SIZE}
    result = fetch(fbp(gone, angles, axis, centre_px=MOVED, **options))
    x, y = phantoms.coordinates(SIZE)
    truth = sum(
        mu * np.exp(-((x - bx) ** 2 + (y - by) ** 2) / (2 * s * s)) for mu, bx, by, s in BLOBS
    )
    # Linear interpolation of the rows blurs.
    tolerance = 1e-3 if engine == "fourier" else 2e-2
    inside = np.hypot(x, y) < 30
    for image, level in zip(result, (1.0, 0.5)):
        assert np.sqrt(np.mean((image - level * truth)[inside] ** 2)) < tolerance * level
    away = np.hypot(x + MOVED[1], y + MOVED[0]) > max(axis, columns - 1 - axis) + 0.5
    assert away.any()
    assert ((result == 0) == away).all()
    wrong = fetch(fbp(gone, angles, axis, **options))[0]
    assert np.sqrt(np.mean((wrong - truth)[inside] ** 2)) > 0.1


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("size", [90, 91])
def test_whole_pixels_are_a_crop_of_the_larger_slice(xp, fetch, engine, size):
    angles = turn(120) - 1.0
    rows = sinograms(angles, 64, 30.3, (2, 5))
    whole = fetch(fbp(xp.asarray(rows), angles, 30.3, engine=engine, size=size + 60))
    options = {"engine": engine, "size": size, "centre_px": (-13, 22)}
    part = fetch(fbp(xp.asarray(rows), angles, 30.3, **options))
    crop = whole[:, 17 : 17 + size, 52 : 52 + size]
    # Gridding errors differ from grid to grid.
    tolerance = 2e-3 if engine == "fourier" else 2e-6
    assert np.abs(part - crop).max() < tolerance * np.abs(crop).max()
    assert ((part == 0) == (crop == 0)).all()
    assert 0.2 < (part == 0).mean() < 0.8


@pytest.mark.parametrize("engine", ENGINES)
def test_a_device_equals_numpy(device, fetch, engine):
    angles = turn(70, 360)
    rows = np.random.default_rng(1).random((2, 70, 48), dtype=np.float32)
    options = {
        "engine": engine, "size": 51, "centre_px": (7.7, -3.1), "acquisition": "half",
    }  # fmt: skip
    expected = fbp(rows, angles, 36.4, **options)
    result = fetch(fbp(device.asarray(rows), angles, 36.4, **options))
    assert np.abs(result - expected).max() < 1e-5 * np.abs(expected).max()
    assert ((result == 0) == (expected == 0)).all()
    plan = Reconstructor(angles, 48, 36.4, **options, xp=device)
    view = fetch(plan.plane(device.asarray(rows), (1, 0, 0), (0, 1, 0), (0, 0, 1), (51, 51)))
    slices = fbp(rows, angles, 36.4, **options | {"engine": "direct"})
    assert np.abs(view - slices[1]).max() < 1e-5 * np.abs(slices[1]).max()


@pytest.mark.parametrize("engine", ENGINES)
def test_without_numba_it_is_the_same(engine):
    from hipct.reconstruction.direct import DirectEngine
    from hipct.reconstruction.fourier import FourierEngine

    pytest.importorskip("numba", reason="numba is not installed: nothing to compare")
    angles = turn(50)
    plan = Reconstructor(angles, 40, 18.8, centre_px=(9.4, -2.6), size=45)
    rows = np.random.default_rng(2).random((2, 50, 40), dtype=np.float32)
    kind = FourierEngine if engine == "fourier" else DirectEngine
    images = []
    for accelerated in (True, False):
        out = np.full((2, 45, 45), np.nan, np.float32)
        kind(plan.geometry, accelerated).reconstruct(rows, out)
        images.append(out)
    assert np.abs(images[0] - images[1]).max() < 2e-6 * np.abs(images[1]).max()
    assert ((images[0] == 0) == (images[1] == 0)).all()


@pytest.mark.parametrize("centre", [(1,), "ab", (np.nan, 0), (0, np.inf), 3.0])
def test_a_centre_that_is_none(centre):
    with pytest.raises(InputError, match="centre of the slice"):
        Reconstructor(turn(20), 32, centre_px=centre)
