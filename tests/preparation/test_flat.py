"""Flat field against the formula, against known truth, and against itself in other blocks."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hipct.core.errors import InputError
from hipct.core.threads import set_thread_count
from hipct.preparation import flat as flat_module
from hipct.preparation import linearise
from hipct.preparation.counts import PixelCounts
from hipct.preparation.flat import FlatField, flat_field
from hipct.preparation.linearise import sinograms


def beam(rows, columns):
    row = np.linspace(-1, 1, rows)[:, None]
    column = np.linspace(-1, 1, columns)
    return 40000 * np.exp(-0.7 * row**2 - 0.4 * column**2) + 500 * np.cos(40 * column)


@pytest.fixture(params=["fused", "plain"])
def either(request, monkeypatch):
    if request.param == "plain":
        monkeypatch.setattr(flat_module, "has_numba", lambda: False)


@pytest.mark.usefixtures("either")
def test_known_transmission_is_recovered_through_drifting_beam_and_decaying_current():
    rng = np.random.default_rng(1)
    angles, rows, columns = 30, 5, 37
    dark = rng.uniform(90, 110, (rows, columns))
    truth = rng.uniform(0.05, 1.2, (angles, rows, columns))
    index = np.r_[np.arange(4, 14), np.arange(18, 38)].astype(float)
    flat_index = np.array([0, 1, 2, 3, 14, 15, 16, 17, 38, 39, 40, 41], float)

    def current(when):
        return 0.2 * np.exp(-when / 60)  # ampere, decaying

    def flat_per_ampere(when):
        # Each group is constant in itself and the beam moves linearly between group means.
        means = np.array([1.5, 15.5, 39.5])
        shapes = np.stack(
            [beam(rows, columns) * (1 + 0.1 * k * np.linspace(0, 1, columns)) for k in range(3)]
        )
        return np.array(
            [[np.interp(when, means, shapes[:, r, c]) for c in range(columns)] for r in range(rows)]
        )

    group_time = np.repeat([1.5, 15.5, 39.5], 4)
    flats = np.stack([flat_per_ampere(g) * current(i) for g, i in zip(group_time, flat_index)])
    projections = np.stack([t * flat_per_ampere(i) * current(i) for t, i in zip(truth, index)])
    counts = PixelCounts()
    result = flat_field(
        projections + dark,
        flats + dark,
        np.repeat(dark[None], 3, axis=0),
        projection_index=index,
        flat_index=flat_index,
        current=current(index),
        flat_current=current(flat_index),
        counts=counts,
    )
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, truth, rtol=3e-6)
    assert counts.as_dict() == {**PixelCounts().as_dict(), "values": truth.size}


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, ">u2", np.float32, np.float64])
def test_counts_of_any_type_give_the_exact_ratio(dtype):
    projections = np.array([[[110, 60, 35, 12]]]).astype(dtype)
    flats = np.full((3, 1, 4), 110).astype(dtype)
    darks = np.full((3, 1, 4), 10).astype(dtype)
    result = flat_field(projections, flats, darks)
    expected = np.array([1, 0.5, 0.25, 0.02], np.float32)
    np.testing.assert_array_equal(result[0, 0], expected)


def test_flats_outside_of_their_groups_are_constant_and_between_linear():
    flats = np.repeat(np.array([1000.0, 2000.0])[:, None, None], 2, axis=1).reshape(2, 1, 2)
    field = FlatField.from_frames(flats, None, flat_index=[10, 20])
    projections = np.full((5, 1, 2), 1500.0)
    result = field.apply(projections, projection_index=[0, 10, 15, 20, 99])
    np.testing.assert_allclose(result[:, 0, 0], [1.5, 1.5, 1.0, 0.75, 0.75], rtol=1e-7)


def test_a_zinger_in_a_flat_leaves_no_trace():
    flats = np.full((5, 2, 8), 1000.0)
    flats[2, 1, 3] = 60000
    result = flat_field(np.full((1, 2, 8), 500.0), flats)
    np.testing.assert_array_equal(result, np.float32(0.5))


def test_mean_is_used_on_demand_and_for_two_flats():
    flats = np.array([[[1000.0]], [[3000.0]], [[8000.0]]])
    one = np.array([[[1000.0]]])
    assert flat_field(one, flats, reduction="mean") == pytest.approx(0.25)
    assert flat_field(one, flats[:2]) == pytest.approx(0.5)
    assert flat_field(one, flats) == pytest.approx(1 / 3)


@pytest.mark.usefixtures("either")
def test_tomopy_normalize(shared_data):
    folder = shared_data / "tomopy_refs"
    tomo, flat, dark, expected = (
        np.load(folder / f"{name}.npy") for name in ("tomo", "flat", "dark", "normalize")
    )
    field = FlatField.from_frames(flat, dark)
    result = field.apply(tomo, nonpositive="keep")
    np.testing.assert_allclose(result, expected, rtol=1e-7)
    mended = field.apply(tomo)
    assert (mended > 0).all()
    np.testing.assert_allclose(mended[expected > 0], expected[expected > 0], rtol=1e-7)


def test_tooth_equals_the_formula_in_double_precision(shared_data):
    with h5py.File(shared_data / "tooth" / "tooth.h5") as file:
        projections, flats, darks = (
            file[f"exchange/{name}"][...] for name in ("data", "data_white", "data_dark")
        )
    counts = PixelCounts()
    result = flat_field(projections, flats, darks, counts=counts)
    dark = np.median(darks.astype(np.float64), axis=0)
    flat = np.median(flats.astype(np.float64), axis=0)
    np.testing.assert_allclose(result, (projections - dark) / (flat - dark), rtol=1e-6)
    assert counts.replaced == 0


@pytest.mark.usefixtures("either")
def test_unusable_pixels_are_mended_along_the_row_and_counted_by_kind():
    flats = np.full((3, 3, 6), 1000.0, np.float32)
    flats[:, 0, 2] = 5  # dead
    flats[:, 2] = 0  # a dead row
    projections = np.full((1, 3, 6), 500.0, np.float32)
    projections[0, 0] = [100, 200, 7, 400, 500, 600]
    projections[0, 1] = [np.nan, 300, np.inf, -5, 600, 0]
    counts = PixelCounts()
    result = FlatField.from_frames(flats, None).apply(projections, counts=counts)
    np.testing.assert_allclose(result[0, 0], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], rtol=1e-6)
    np.testing.assert_allclose(result[0, 1], [0.3, 0.3, 0.4, 0.5, 0.6, 0.6], rtol=1e-6)
    np.testing.assert_array_equal(result[0, 2], 1)
    found = counts.as_dict()
    assert {k: v for k, v in found.items() if v} == {
        "values": 18,
        "dead": 1,
        "nan": 2,
        "nonpositive": 2,
        "empty_row": 6,
    }


def test_keep_leaves_negative_values_and_mends_the_rest():
    field = FlatField.without_flats(1, 4)
    values = np.array([[[-1.0, 0.0, np.nan, 2.0]]])
    counts = PixelCounts()
    result = field.apply(values, nonpositive="keep", counts=counts)
    assert result.tolist() == [[[-1.0, 0.0, 1.0, 2.0]]]
    assert (counts.nan, counts.nonpositive) == (1, 0)


def test_only_the_rows_asked_for_are_counted():
    counts = PixelCounts()
    values = np.full((2, 4, 3), np.nan)
    values[:, :, 0] = 1
    FlatField.without_flats(4, 3).apply(values, counts=counts, counted_rows=slice(1, 3))
    assert (counts.values, counts.nan) == (12, 8)


def test_dead_in_one_group_is_dead_in_all():
    flats = np.full((2, 1, 3), 1000.0)
    flats[1, 0, 1] = 0
    field = FlatField.from_frames(flats, None, flat_index=[0, 10])
    assert field.dead_pixels == 1
    result = field.apply(np.array([[[100, 900, 300]]]), projection_index=[0])
    np.testing.assert_allclose(result[0, 0], [0.1, 0.2, 0.3], rtol=1e-6)


counts_with_faults = st.tuples(
    st.integers(1, 5), st.integers(1, 40), st.integers(1, 150), st.integers(0, 2**32 - 1)
)


@settings(max_examples=25, deadline=None)
@given(counts_with_faults, st.booleans(), st.sampled_from(["mend", "keep"]))
def test_accelerator_equals_plain_code_bit_for_bit_and_nothing_is_nan(size, floats, nonpositive):
    angles, rows, columns, seed = size
    rng = np.random.default_rng(seed)
    flats = rng.integers(0, 4000, (7, rows, columns)) * (rng.random((rows, columns)) > 0.1)
    darks = rng.integers(0, 100, (3, rows, columns))
    projections = rng.integers(0, 3000, (angles, rows, columns)).astype(np.uint16)
    projections[rng.random(projections.shape) < 0.1] = 0
    projections[rng.random((angles, rows)) < 0.1] = 0
    if floats:
        projections = projections.astype(np.float32)
        projections[rng.random(projections.shape) < 0.1] = np.nan
        projections[rng.random(projections.shape) < 0.1] = np.inf
    field = FlatField.from_frames(
        flats, darks, flat_index=[0, 1, 2, 9, 10, 11, 12], flat_current=rng.uniform(100, 200, 7)
    )
    given_ = dict(
        projection_index=rng.uniform(-2, 14, angles),
        nonpositive=nonpositive,
        current=rng.uniform(100, 200, angles),
    )
    counts, plain_counts = PixelCounts(), PixelCounts()
    fused = field.apply(projections, **given_, counts=counts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flat_module, "has_numba", lambda: False)
        expected = field.apply(projections, **given_, counts=plain_counts)
    np.testing.assert_array_equal(fused, expected)
    assert np.isfinite(fused).all()
    assert counts.as_dict() == plain_counts.as_dict()
    if nonpositive == "mend":
        assert (fused > 0).all()


@settings(max_examples=25, deadline=None)
@given(counts_with_faults, st.data())
def test_line_integrals_in_one_pass_equal_flat_field_and_logarithm(size, data):
    angles, rows, columns, seed = size
    rng = np.random.default_rng(seed)
    flats = rng.integers(0, 4000, (3, rows, columns)) * (rng.random((rows, columns)) > 0.1)
    projections = rng.integers(0, 3000, (angles, rows, columns)).astype(np.uint16)
    projections[rng.random(projections.shape) < 0.1] = 0
    projections[rng.random((angles, rows)) < 0.1] = 0
    field = FlatField.from_frames(flats, None, flat_index=[0, 8, 9], flat_current=[90, 100, 110])
    given_ = dict(
        projection_index=rng.uniform(-2, 12, angles), current=rng.uniform(90, 110, angles)
    )
    wanted = slice(data.draw(st.integers(0, rows - 1)), rows)
    minimum = data.draw(st.sampled_from([1e-6, 0.3]))
    shape = (rows - wanted.start, angles + 3, columns)
    counts, expected_counts = PixelCounts(), PixelCounts()
    expected = np.zeros(shape, np.float32)
    transmission = field.apply(projections, **given_, counts=expected_counts, counted_rows=wanted)
    sinograms(transmission, expected, 2, rows=wanted, minimum=minimum, counts=expected_counts)
    for threads in (1, 3):
        set_thread_count(threads)
        found = np.zeros(shape, np.float32)
        field.sinograms(
            projections, found, 2, **given_, rows=wanted, minimum=minimum, counts=counts
        )
        np.testing.assert_array_equal(found, expected)
    set_thread_count(None)
    expected_counts.merge(expected_counts)
    assert counts.as_dict() == expected_counts.as_dict()
    # The formula in NumPy, whose logarithm is wrong by up to 4 units in the last place.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flat_module, "has_numba", lambda: False)
        patch.setattr(linearise, "has_numba", lambda: False)
        plain = np.zeros(shape, np.float32)
        field.sinograms(projections, plain, 2, **given_, rows=wanted, minimum=minimum)
    np.testing.assert_allclose(found, plain, rtol=6e-7, atol=0)
    frames = found[:, 2:-1].swapaxes(0, 1)
    clamped = np.maximum(transmission[:, wanted].astype(np.float64), np.float32(minimum))
    np.testing.assert_allclose(frames, -np.log(clamped), rtol=1.2e-7, atol=1e-12)


def test_sinograms_that_do_not_fit_are_answered_in_sentences():
    field = FlatField.without_flats(2, 3)
    values = np.ones((4, 2, 3), np.uint16)
    with pytest.raises(InputError, match="out has shape"):
        field.sinograms(values, np.empty((2, 4, 4), np.float32))
    with pytest.raises(InputError, match="first is 1"):
        field.sinograms(values, np.empty((2, 4, 3), np.float32), 1)
    with pytest.raises(InputError, match="minimum is 2"):
        field.sinograms(values, np.empty((2, 4, 3), np.float32), minimum=2)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.data())
def test_slabs_and_orders_do_not_matter(seed, data):
    rng = np.random.default_rng(seed)
    angles, rows, columns = 6, 11, 33
    flats = rng.integers(0, 4000, (8, rows, columns)).astype(np.uint16)
    darks = rng.integers(0, 100, (4, rows, columns)).astype(np.uint16)
    projections = rng.integers(0, 4000, (angles, rows, columns)).astype(np.uint16)
    index, flat_index = np.arange(4, 10), np.r_[0:4, 10:14]
    whole = flat_field(projections, flats, darks, projection_index=index, flat_index=flat_index)
    cut = data.draw(st.integers(1, rows - 1))
    for part in (slice(0, cut), slice(cut, rows)):
        slab = flat_field(
            projections[:, part],
            flats[:, part],
            darks[:, part],
            projection_index=index,
            flat_index=flat_index,
        )
        np.testing.assert_array_equal(slab, whole[:, part])
    turn, flat_turn = rng.permutation(angles), rng.permutation(8)
    turned = flat_field(
        projections[turn],
        flats[flat_turn],
        darks[::-1],
        projection_index=index[turn],
        flat_index=flat_index[flat_turn],
    )
    np.testing.assert_array_equal(turned, whole[turn])


def test_output_array_is_filled_and_checked():
    field = FlatField.without_flats(2, 3)
    values = np.ones((4, 2, 3), np.uint16)
    out = np.empty((4, 2, 3), np.float32)
    assert field.apply(values, out=out) is out
    np.testing.assert_array_equal(out, 1)
    with pytest.raises(InputError, match="out has shape"):
        field.apply(values, out=np.empty((4, 2, 3)))


def test_wrong_input_is_answered_in_sentences():
    flats = np.full((4, 2, 3), 100.0)
    ones = np.ones((5, 2, 3))
    with pytest.raises(InputError, match="has no flats"):
        flat_field(ones, np.empty((0, 2, 3)))
    with pytest.raises(InputError, match="same rows"):
        flat_field(np.ones((5, 2, 4)), flats)
    with pytest.raises(InputError, match="darks have"):
        flat_field(ones, flats, np.ones((1, 1, 3)))
    with pytest.raises(InputError, match="give projection_index"):
        flat_field(ones, flats, flat_index=[0, 1, 9, 10])
    with pytest.raises(InputError, match="projection_index has shape"):
        flat_field(ones, flats, flat_index=[0, 1, 9, 10], projection_index=[1])
    with pytest.raises(InputError, match=r"flat_index\[1\] is nan"):
        flat_field(ones, flats, flat_index=[0, np.nan, 9, 10])
    with pytest.raises(InputError, match="three axes"):
        flat_field(ones[0], flats)
    with pytest.raises(InputError, match="real numbers"):
        flat_field(ones.astype(complex), flats)
    with pytest.raises(InputError, match="both or neither"):
        FlatField.from_frames(flats, None).apply(ones, current=np.ones(5))
    field = FlatField.from_frames(flats, None, flat_current=np.ones(4))
    with pytest.raises(InputError, match="holds -1"):
        field.apply(ones, current=[1, 1, -1, 1, 1])
    with pytest.raises(InputError, match="without current"):
        flat_field(ones, flats, flat_current=np.ones(4))
    with pytest.raises(InputError, match="reduction is 'max'"):
        flat_field(ones, flats, reduction="max")
    with pytest.raises(InputError, match="nonpositive is 'no'"):
        field.apply(ones, current=np.ones(5), nonpositive="no")
