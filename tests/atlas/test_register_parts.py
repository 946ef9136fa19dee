"""What registration is made of: matching, splines, the fit, levels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from benchmarks.register_data import volume
from hipct.atlas.matching import Matcher, highest
from hipct.atlas.register_levels import Levels
from hipct.atlas.register_search import Start, search
from hipct.atlas.similarity import Crop, Similarity, fit_similarity, make_part, rotation
from hipct.atlas.spline import bends, interpolate, slopes, spline_coefficients, spline_values
from hipct.core.progress import Silent


def by_definition(image, template, mask, overlap):
    """Correlation coefficient of the voxels that both have, place by place."""
    shape = tuple(n - m + 1 for n, m in zip(image.shape, template.shape))
    result = np.zeros(shape)
    for place in np.ndindex(shape):
        part = image[tuple(slice(p, p + m) for p, m in zip(place, template.shape))]
        both = mask & np.isfinite(part)
        if both.sum() >= overlap * mask.sum():
            result[place] = np.corrcoef(part[both], template[both])[0, 1]
    return result


def test_masked_correlation_is_that_of_the_voxels_that_both_have(xp, fetch):
    rng = np.random.default_rng(1)
    image = rng.standard_normal((9, 11, 10)).astype(np.float32) + 300
    image[:3, 6:] = np.nan
    template = rng.standard_normal((3, 5, 5)).astype(np.float32) - 40
    mask = np.hypot(*np.ogrid[-2:3, -2:3]) <= 2.3
    mask = np.broadcast_to(mask, template.shape).copy()
    found = Matcher(xp.asarray(image), xp.asarray(mask), 0.6).ncc(xp.asarray(template))
    expected = by_definition(image.astype(float), template.astype(float), mask, 0.6)
    np.testing.assert_allclose(fetch(found), expected, atol=2e-4)
    assert (expected == 0).any()


def test_the_highest_places_keep_apart(xp):
    values = np.zeros((6, 12, 12), np.float32)
    values[2, 3, 3], values[2, 4, 4], values[4, 9, 8] = 0.9, 0.8, 0.7
    numbers = np.arange(values.size, dtype=np.int32).reshape(values.shape)
    peaks = highest(xp.asarray(values), xp.asarray(numbers), 5, 2)
    assert [peak.position for peak in peaks] == [(2, 3, 3), (4, 9, 8)]
    assert [peak.number for peak in peaks] == [numbers[2, 3, 3], numbers[4, 9, 8]]


def test_splines_are_those_of_scipy(xp, fetch):
    rng = np.random.default_rng(2)
    values = rng.standard_normal((28, 30, 29))
    points = rng.uniform(-1, 30, (3, 400))
    smooth = spline_coefficients(xp.asarray(values))
    found, inside = interpolate(smooth, xp.asarray(points))
    expected = ndimage.map_coordinates(values, points, order=3, mode="reflect")
    kept = fetch(inside)
    limits = np.array(values.shape)[:, None] - 2
    assert (kept == ((points >= 1) & (points < limits)).all(axis=0)).all()
    np.testing.assert_allclose(fetch(found)[kept], expected[kept], atol=1e-5)
    assert (fetch(found)[~kept] == 0).all()
    np.testing.assert_allclose(fetch(spline_values(smooth)), values, atol=1e-5)


def test_slopes_and_bends_are_derivatives():
    z, y, x = np.meshgrid(*(np.arange(40.0),) * 3, indexing="ij")
    wave = np.sin(0.2 * z + 0.1 * y) + np.cos(0.15 * x)
    smooth, cut = spline_coefficients(wave), (slice(8, -8),) * 3
    expected = [0.2 * np.cos(0.2 * z + 0.1 * y), 0.1 * np.cos(0.2 * z + 0.1 * y)]
    expected.append(-0.15 * np.sin(0.15 * x))
    for found, true in zip(slopes(smooth), expected, strict=True):
        np.testing.assert_allclose(found[cut], true[cut], atol=1e-4)
    twice = -0.05 * np.sin(0.2 * z + 0.1 * y) - 0.0225 * np.cos(0.15 * x)
    np.testing.assert_allclose(bends(smooth).sum(axis=0)[cut], twice[cut], atol=3e-4)


def test_a_rotation_about_z_takes_y_to_x():
    np.testing.assert_allclose(rotation([np.pi / 2, 0, 0]) @ [0, 1, 0], [0, 0, 1], atol=1e-15)
    matrix = rotation([0.3, -0.2, 0.1])
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-14)
    assert np.linalg.det(matrix) == pytest.approx(1)
    place = Similarity(1.0, rotation([np.radians(-130), 0, 0]), np.zeros(3), np.zeros(3))
    assert place.angle_deg == pytest.approx(-130)


def blobs(points, centres, widths):
    """A sum of Gaussians at points (3, n): the same tissue for both volumes, exactly."""
    total = np.zeros(points.shape[1])
    for centre, width in zip(centres, widths, strict=True):
        total += np.exp(-((points - centre[:, None]) ** 2).sum(axis=0) / (2 * width**2))
    return total


def test_a_similarity_is_recovered_from_grey_values(xp):
    """Without noise, to a thousandth of a voxel, whatever gain, offset and ramp there are."""
    rng = np.random.default_rng(5)
    shape = (26, 28, 30)
    centres, widths = rng.uniform(3, 26, (60, 3)) * 10, rng.uniform(22, 40, 60)
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")).reshape(3, -1)
    overview = 5 + 3 * blobs(grid * 10.0, centres, widths).reshape(shape)
    crop = Crop(spline_coefficients(xp.asarray(overview)), np.zeros(3), np.full(3, 10.0))
    truth = Similarity(
        1.008, rotation([-0.4, 0.02, -0.03]), np.zeros(3), np.array([131, 142, 149.0])
    )
    parts = []
    for z, y, x in np.ndindex(2, 2, 2):
        block = [7 * np.arange(13) - 84 * (1 - k) + 0.5 * k for k in (z, y, x)]
        away = np.stack(np.meshgrid(*block, indexing="ij")).reshape(3, -1)
        step = 0.5
        value = [blobs(truth.apply(away.T).T, centres, widths)]
        slope, bend = [], 0.0
        for axis in np.eye(3):
            ends = [
                blobs(truth.apply((away + s * step * axis[:, None]).T).T, centres, widths)
                for s in (-1, 1)
            ]
            slope.append((ends[1] - ends[0]) / (2 * step))
            bend = bend + (ends[1] + ends[0] - 2 * value[0]) / step**2
        ramp = 0.002 * away[2] + 0.1 * z
        arrays = (away, value[0] + ramp, np.stack(slope), bend)
        parts.append(make_part(*(xp.asarray(a) for a in arrays)))
    start = Similarity(
        1.0, rotation([-0.42, 0, 0]), np.zeros(3), truth.position + np.array([6, -5, 4.0])
    )
    fit = fit_similarity(parts, [crop] * 8, start, radius_um=100)
    assert fit.place.scale == pytest.approx(truth.scale, abs=2e-5)
    np.testing.assert_allclose(fit.place.position, truth.position, atol=0.01)
    np.testing.assert_allclose(fit.place.rotation, truth.rotation, atol=1e-4)
    assert fit.ncc > 0.999


def test_levels_go_on_beyond_those_that_are_stored_and_axes_are_sorted():
    rng = np.random.default_rng(6)
    values = rng.integers(0, 60000, (50, 101, 120)).astype(np.float64)
    made = volume("whole", values, 2.0)
    levels = Levels(made, "zoom")
    stored = len(made.levels)
    alone = Levels(type(made)(**{**vars(made), "levels": made.levels[:1]}), "zoom")
    assert len(alone.places) >= 2 < stored + 1
    for k in (1, 2):
        np.testing.assert_allclose(alone.places[k].origin_um, levels.places[k].origin_um)
        assert alone.places[k].shape == levels.places[k].shape
        box = ((2, 3, 4), (9, 12, 15))
        np.testing.assert_allclose(alone.read(k, *box), levels.read(k, *box), atol=1.1)
    outside = levels.read(0, (-2, 0, 0), (2, 3, 3))
    assert np.isnan(outside[:2]).all()
    assert (outside[2:] == values[:2, :3, :3]).all()
    turned = type(made)(**{
        **vars(made),
        "axes": ("x", "y", "z"),
        "levels": tuple(
            type(level)(level.path, level.array.transpose(2, 1, 0), level.scale, level.translation)
            for level in made.levels
        ),
    })  # fmt: skip
    np.testing.assert_array_equal(
        Levels(turned, "zoom").read(1, (0, 1, 2), (5, 9, 9)), levels.read(1, (0, 1, 2), (5, 9, 9))
    )


def test_a_search_in_blocks_finds_what_a_search_at_once_finds():
    rng = np.random.default_rng(7)
    tissue = ndimage.gaussian_filter(rng.standard_normal((30, 40, 44)), 1.2)
    tissue = 3000 * (tissue / tissue.std() + 5)
    zoom = Levels(volume("zoom", tissue[8:19, 9:26, 14:31], 10.0), "zoom")
    overview = Levels(volume("overview", tissue, 10.0), "overview")
    found = [
        search(
            zoom,
            overview,
            0,
            Start(None, 0.0, 1.0),
            count=3,
            memory_bytes=memory,
            xp=np,
            observer=Silent(),
        )
        for memory in (2**30, 2**21)
    ]
    for whole, blocks in zip(*found):
        assert whole.ncc == pytest.approx(blocks.ncc, abs=1e-3)
        np.testing.assert_array_equal(whole.place.position, blocks.place.position)
    np.testing.assert_allclose(found[0][0].place.position, [130, 170, 220])
    assert found[0][0].ncc > 0.98
