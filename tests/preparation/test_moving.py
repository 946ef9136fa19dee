"""Frames moved by fractions of a pixel: against waves, against the rows of a series, by bits."""

from __future__ import annotations

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.preparation import moving
from hipct.preparation.moving import move_frames, moving_halo
from hipct.reconstruction.stitching_weights import HALO_ROWS, resample_rows

SHAPE = 5, 40, 61
DOWN = np.array([0.3, -1.25, 0.0, 2.0, 3.71])
RIGHT = np.array([-0.4, 0.0, 1.5, -3.0, 6.2])


@pytest.fixture(params=["compiled", "array code"])
def both(request, monkeypatch):
    """The compiled loop, where there is numba, and the array code."""
    if request.param == "array code":
        monkeypatch.setattr(moving, "has_numba", lambda: False)


def waves(down, right, frequency=(0.27, -0.31)):
    """Plane waves, each frame shifted."""
    frames, rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    down, right = (np.broadcast_to(part, SHAPE[0])[:, None, None] for part in (down, right))
    phase = frequency[0] * (rows + down) + frequency[1] * (columns + right)
    return np.cos(2 * np.pi * phase + frames).astype(np.float32)


def wanted(shifts):
    before, after = moving_halo(shifts)
    return range(before, SHAPE[1] - after)


@pytest.mark.usefixtures("both")
@pytest.mark.parametrize("frequency", [(0.27, -0.31), (0.35, 0.02), (0.0, 0.35)])
def test_a_wave_is_where_it_has_moved_to(xp, fetch, frequency):
    rows = wanted(DOWN)
    moved = fetch(move_frames(xp.asarray(waves(0, 0, frequency)), DOWN, RIGHT, rows))
    inside = slice(12, -12)
    expected = waves(DOWN, RIGHT, frequency)[:, rows.start : rows.stop, inside]
    # Halfway between two samples the taps are wrong by up to 0.5 %, in either direction.
    assert np.abs(moved[..., inside] - expected).max() < 0.008
    assert moved.dtype == np.float32


@pytest.mark.usefixtures("both")
def test_one_shift_of_all_rows_is_that_of_a_series(xp, fetch):
    """Rows between rows, as sub-scans are put together: the same values."""
    values = np.random.default_rng(1).random(SHAPE, np.float32)
    fraction = 1234 / 4096
    assert moving_halo(fraction) == HALO_ROWS
    moved = move_frames(xp.asarray(values), fraction, 0.0, wanted(fraction))
    np.testing.assert_allclose(
        fetch(moved), resample_rows(values, fraction, axis=1), rtol=0, atol=1e-6
    )


@pytest.mark.usefixtures("both")
def test_whole_pixels_copy_and_borders_go_on(xp, fetch):
    values = np.random.default_rng(2).random(SHAPE, np.float32)
    down, right = np.array([0, 1, -2, 3, 50]), np.array([0, -2, 5, 70, -80])
    moved = move_frames(xp.asarray(values), down, right, range(SHAPE[1]), ends=(True, True))
    padded = np.pad(values, ((0, 0), (90, 90), (90, 90)), mode="edge")
    for frame, expected, r, c in zip(fetch(moved), padded, down, right):
        part = expected[90 + r : 90 + r + SHAPE[1], 90 + c : 90 + c + SHAPE[2]]
        np.testing.assert_array_equal(frame, part)


@pytest.mark.usefixtures("both")
def test_borders_go_on_between_pixels(xp, fetch):
    values = np.random.default_rng(3).random(SHAPE, np.float32)
    moved = move_frames(xp.asarray(values), DOWN, RIGHT, range(SHAPE[1]), ends=(True, True))
    wide = np.pad(values, ((0, 0), (20, 20), (20, 20)), mode="edge")
    expected = move_frames(wide, DOWN, RIGHT, range(20, 20 + SHAPE[1]))[..., 20:-20]
    np.testing.assert_allclose(fetch(moved), expected, rtol=0, atol=1e-6)


@pytest.mark.usefixtures("both")
def test_a_frame_does_not_depend_on_the_others(xp, fetch):
    """Nor a row on which rows are wanted: blocks and slabs of any size give the same bytes."""
    values = xp.asarray(np.random.default_rng(4).random(SHAPE, np.float32))
    rows = wanted(DOWN)
    whole = fetch(move_frames(values, DOWN, RIGHT, rows))
    for k in range(SHAPE[0]):
        one = move_frames(values[k : k + 1], DOWN[k], RIGHT[k : k + 1], range(10, 20))
        np.testing.assert_array_equal(fetch(one)[0], whole[k, 10 - rows.start : 20 - rows.start])


def test_compiled_and_array_code_agree(monkeypatch):
    values = np.random.default_rng(5).random(SHAPE, np.float32)
    compiled = move_frames(values, DOWN, RIGHT, wanted(DOWN))
    monkeypatch.setattr(moving, "has_numba", lambda: False)
    again = move_frames(values, DOWN, RIGHT, wanted(DOWN))
    np.testing.assert_allclose(compiled, again, rtol=0, atol=1e-6)


def test_into_a_view_and_from_one(xp, fetch):
    values = xp.asarray(np.random.default_rng(6).random((5, 44, 70), np.float32))
    part = values[:, 2:42, 5:66]
    rows = wanted(DOWN)
    out = xp.full((5, len(rows) + 3, 80), -7, np.float32)
    move_frames(part, DOWN, RIGHT, rows, out=out[:, 3:, 9:70])
    expected = move_frames(part.copy(), DOWN, RIGHT, rows)
    np.testing.assert_array_equal(fetch(out)[:, 3:, 9:70], fetch(expected))
    assert (fetch(out)[:, :3] == -7).all()
    assert (fetch(out)[..., 70:] == -7).all()


def test_the_device_is_asked_for_nothing(standin):
    values = standin.zeros(SHAPE, np.float32)
    standin._transfers.reset()
    move_frames(values, DOWN, RIGHT, wanted(DOWN))
    assert standin._transfers.to_host == 0


def test_what_cannot_be_is_refused(xp):
    values = xp.zeros(SHAPE, np.float32)
    with pytest.raises(InputError, match="4 rows more before"):
        move_frames(values, 0.5, 0.0, range(20))
    with pytest.raises(InputError, match="5 rows more after"):
        move_frames(values, 0.5, 0.0, range(SHAPE[1]), ends=(True, False))
    with pytest.raises(InputError, match="2 rows more after"):
        move_frames(values, 2.0, 0.0, range(SHAPE[1]))
    with pytest.raises(InputError, match="rows is"):
        move_frames(values, 0.0, 0.0, range(10, 50))
    with pytest.raises(InputError, match="float32"):
        move_frames(values.astype(np.float64), 0.0, 0.0, range(4))
    with pytest.raises(InputError, match="rows_px has shape"):
        move_frames(values, [0.0, 1.0], 0.0, range(4))
    with pytest.raises(InputError, match=r"columns_px\[1\] is nan"):
        move_frames(values, 0.0, [0.0, np.nan, 0, 0, 0], range(4))
