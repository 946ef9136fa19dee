"""The flat field where the frames live, against NumPy's array code: same bits, same counters."""

from __future__ import annotations

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.preparation import flat as flat_module
from hipct.preparation import reduction
from hipct.preparation.counts import PixelCounts
from hipct.preparation.flat import FlatField, flat_field
from hipct.preparation.reduction import reduce_frames
from hipct.preparation.repair import mend_rows

FLAT_INDEX = [12, 0, 1, 2, 9, 10, 11]
SIZES = [(1, 1, 1), (1, 7, 1), (6, 1, 95), (5, 9, 33), (1, 3, 64), (33, 2, 65), (3, 17, 200)]
DTYPES = ("uint8", "uint16", "uint32", "int32", "float32", "int16", "int64", "float64")


@pytest.fixture(autouse=True)
def array_code(monkeypatch):
    """What everything is compared with, in parts of several rows."""
    monkeypatch.setattr(flat_module, "has_numba", lambda: False)
    monkeypatch.setattr(reduction, "has_numba", lambda: False)
    monkeypatch.setattr(reduction, "PART", 400)


def scan(size, dtype):
    """Flats, darks, projections with every kind of fault, machine currents, frame numbers."""
    rng = np.random.default_rng()
    angles, rows, columns = size
    most = 250 if dtype == "uint8" else 4000
    flats = rng.integers(0, most, (7, rows, columns)) * (rng.random((rows, columns)) > 0.1)
    darks = rng.integers(0, 50, (3, rows, columns))
    projections = rng.integers(0, most, size).astype(dtype)
    projections[rng.random(size) < 0.1] = 0
    projections[rng.random((angles, rows)) < 0.2] = 0
    if projections.dtype.kind == "f":
        projections[rng.random(size) < 0.1] = np.nan
        projections[rng.random(size) < 0.1] = np.inf
    when = {
        "projection_index": rng.uniform(-2, 14, angles),
        "current": rng.uniform(0.1, 0.2, angles),
    }
    return flats.astype(np.uint16), darks.astype(np.uint16), projections, when


def moved(field, device):
    """The same references on the device."""
    dark, references = device.asarray(field.dark), device.asarray(field.references)
    return FlatField(dark, references, field.times, field.with_current)


def both(field, projections, device, fetch, **how):
    """Transmission and counters, of NumPy and of the device."""
    counts, on_device = PixelCounts(), PixelCounts()
    expected = field.apply(projections, counts=counts, **how)
    there = moved(field, device)
    result = fetch(there.apply(device.asarray(projections), counts=on_device, **how))
    assert result.dtype == np.float32
    assert counts.as_dict() == on_device.as_dict()
    np.testing.assert_array_equal(result, expected)
    return result, counts


@pytest.mark.parametrize("nonpositive", ["mend", "keep"])
@pytest.mark.parametrize(
    ("size", "dtype"), [(s, "uint16") for s in SIZES] + [((5, 3, 70), d) for d in DTYPES]
)
def test_same_bits_and_counters(device, fetch, size, dtype, nonpositive):
    flats, darks, projections, when = scan(size, dtype)
    field = FlatField.from_frames(
        flats, darks, flat_index=FLAT_INDEX, flat_current=np.linspace(0.1, 0.2, 7)
    )
    both(field, projections, device, fetch, nonpositive=nonpositive, **when)


def test_neighbours_are_found_beyond_any_number_of_unusable_pixels(device, fetch):
    columns = 401
    rng = np.random.default_rng()
    projections = rng.integers(100, 900, (4, 6, columns)).astype(np.uint16)
    projections[:, 0, 3:390] = 0  # usable ones at both ends
    projections[:, 1, :333] = 0  # on the right alone
    projections[:, 2, 70:] = 0  # on the left alone
    projections[1:3, 3] = 0  # nowhere
    flats = np.full((3, 6, columns), 1000, np.uint16)
    flats[:, 4] = 0  # a dead row
    flats[:, 5, 32:224] = 0  # whole warps of dead pixels
    result, counts = both(FlatField.from_frames(flats, None), projections, device, fetch)
    line = np.interp(np.arange(columns), [2, 390], result[0, 0, [2, 390]])
    np.testing.assert_allclose(result[0, 0, 2:391], line[2:391], rtol=1e-6)
    assert (result[:, 1, :334] == result[:, 1, 333:334]).all()
    assert (result[:, 2, 69:] == result[:, 2, 69:70]).all()
    assert (result[1:3, 3] == 1).all()
    assert (result[:, 4] == 1).all()
    assert counts.empty_row == (2 + 4) * columns
    assert counts.dead == 4 * 192
    assert counts.nonpositive == 4 * (387 + 333 + 331)


@pytest.mark.parametrize("how", ["median", "mean"])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 6, 40])
@pytest.mark.parametrize("dtype", DTYPES)
def test_frames_are_reduced_where_they_live(xp, fetch, count, how, dtype):
    rng = np.random.default_rng()
    frames = rng.integers(0, 50, (count, 9, 33)).astype(dtype)
    if frames.dtype.kind == "f":
        frames[rng.random(frames.shape) < 0.2] = np.nan
        frames[rng.random(frames.shape) < 0.1] = np.inf
        frames[:, 4, 5:20] = np.nan
        frames[1:, 5, 5:20] = -np.inf
    dark = rng.integers(0, 30, (9, 33)).astype(np.float32)
    scale = rng.choice([0.5, 1, 2], count)
    known = np.where(np.isfinite(frames), frames, np.nan).astype(np.float64)
    values = (known - dark) * scale[:, None, None]
    known = ~np.isnan(values).all(axis=0)
    expected = np.full((9, 33), np.nan)
    middle = np.nanmedian if how == "median" and count > 2 else np.nanmean
    expected[known] = middle(values[:, known], axis=0)
    result = fetch(reduce_frames(xp.asarray(frames), how, dark=xp.asarray(dark), scale=scale))
    np.testing.assert_allclose(result, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_references_are_those_of_numpy(device, fetch, size):
    flats, darks, projections, _ = scan(size, "uint16")
    how = {"flat_index": FLAT_INDEX, "flat_current": np.linspace(0.1, 0.2, 7)}
    expected = FlatField.from_frames(flats, darks, **how)
    field = FlatField.from_frames(device.asarray(flats), device.asarray(darks), **how)
    np.testing.assert_array_equal(fetch(field.dark), expected.dark)
    np.testing.assert_array_equal(fetch(field.references), expected.references)
    assert field.dead_pixels == expected.dead_pixels
    result = flat_field(
        device.asarray(projections), device.asarray(flats), device.asarray(darks[:0])
    )
    np.testing.assert_allclose(fetch(result), flat_field(projections, flats), rtol=1e-6)


def test_without_flats_only_darks_are_taken_off(xp, fetch):
    darks = xp.asarray(np.full((3, 2, 4), 10, np.uint16))
    field = FlatField.without_flats(2, 4, darks, xp=xp)
    result = field.apply(xp.asarray(np.full((5, 2, 4), 12, np.uint16)))
    np.testing.assert_array_equal(fetch(result), 2)


def test_blocks_of_angles_rows_and_views_give_the_same_bits(device, fetch):
    flats, darks, projections, when = scan((40, 12, 77), "uint16")
    field = FlatField.from_frames(flats, darks, flat_index=FLAT_INDEX)
    index = when["projection_index"]
    whole = field.apply(projections, projection_index=index)
    raw = device.asarray(projections)
    out = device.empty((40, 12, 90), np.float32)
    there = moved(field, device)
    assert there.apply(raw, projection_index=index, out=out[..., :77]).shape == whole.shape
    np.testing.assert_array_equal(fetch(out)[..., :77], whole)
    part = there.apply(raw[7:20], projection_index=index[7:20])
    np.testing.assert_array_equal(fetch(part), whole[7:20])
    rows = FlatField(there.dark[3:9], there.references[:, 3:9], there.times, False)
    slab = rows.apply(raw[:, 3:9], projection_index=index)
    np.testing.assert_array_equal(fetch(slab), whole[:, 3:9])


def test_floats_may_be_replaced_in_place(device, fetch):
    _, _, values, _ = scan((5, 3, 100), "float32")
    field = FlatField.without_flats(3, 100)
    expected = field.apply(values)
    raw = device.asarray(values)
    moved(field, device).apply(raw, out=raw)
    np.testing.assert_array_equal(fetch(raw), expected)


def test_counted_rows_and_transfers(standin):
    values = np.full((2, 4, 3), np.nan)
    values[:, :, 0] = 1
    field, raw = FlatField.without_flats(4, 3, xp=standin), standin.asarray(values)
    counts, transfers = PixelCounts(), standin._transfers
    transfers.reset()
    field.apply(raw)
    assert (transfers.to_host, transfers.to_device) == (0, 2)
    field.apply(raw, counts=counts, counted_rows=slice(1, 3))
    assert transfers.to_host == 1
    assert (counts.values, counts.nan) == (12, 8)
    flats = standin.asarray(np.full((4, 4, 3), 1000, np.uint16))
    transfers.reset()
    FlatField.from_frames(flats, flats[:1], flat_index=[0, 1, 9, 10])
    assert transfers.to_host == 0


def test_rows_are_mended_on_any_namespace(xp, fetch):
    rng = np.random.default_rng()
    values = rng.random((3, 5, 67), np.float32)
    usable = rng.random(values.shape) < 0.3
    usable[0, 0] = False
    result = fetch(mend_rows(xp.asarray(values), xp.asarray(usable)))
    for row, good, mended in zip(*(a.reshape(-1, 67) for a in (values, usable, result))):
        known = np.flatnonzero(good)
        line = np.interp(np.arange(67), known, row[known]) if known.size else np.ones(67)
        np.testing.assert_allclose(mended, line, rtol=1e-5)


def test_host_and_device_are_not_mixed(device):
    field = FlatField.without_flats(2, 3)
    with pytest.raises(InputError, match="mixed"):
        field.apply(device.ones((1, 2, 3), np.float32))
