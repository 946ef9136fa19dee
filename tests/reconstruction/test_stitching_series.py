"""A series of sub-scans, wrong in position, axis and level, against the scan in one piece.

The sample is a column of Gaussian blobs. Gaussians are band-limited and their line integrals are
Gaussians, so that whatever two scans of them differ by is due to what was done to them, and to no
sampling.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from hipct.preparation.registration import measure_shifts
from hipct.reconstruction import fbp
from hipct.reconstruction.axis import find_axis
from hipct.reconstruction.stitching import refine_positions
from hipct.reconstruction.stitching_levels import match_levels, measure_level
from hipct.reconstruction.stitching_weights import (
    HALO_ROWS,
    organ_rows,
    overlap_weights,
    resample_rows,
    series_gaps,
)
from hipct.volume.seam import row_differences, seam_score

ROWS, COLUMNS, STEP, COUNT = 96, 96, 70, 4
AXIS = 46.8
RADIUS = 34
MARGIN = max(HALO_ROWS)
ANGLES = np.deg2rad(np.arange(120) * 1.5)
COMPARED = slice(0, None, 12)
"""Views of which neighbours are compared."""


@dataclass(frozen=True)
class Column:
    """Blobs (height, x, y, z, standard deviation) in pixels, x and y from the axis."""

    blobs: np.ndarray

    @classmethod
    def create(cls, length, radius, seed=0):
        """A body of mu about 1 along z, with smaller blobs in it."""
        rng = np.random.default_rng(seed)
        body = [
            (0.02, 2 * np.sin(z / 9), 2 * np.cos(z / 7), z, 0.42 * radius)
            for z in np.arange(-0.2 * length, 1.2 * length, 0.4 * radius)
        ]
        count = int(length * radius / 20)
        place = rng.uniform(-0.6, 0.6, (count, 2)) * radius
        small = np.column_stack([
            rng.choice([-0.01, 0.01], count), place, rng.uniform(-0.1, 1.1, count) * length,
            rng.uniform(1.6, 3.0, count),
        ])  # fmt: skip
        return cls(np.concatenate([np.array(body), small]))

    def views(self, angles, z, columns, axis, *, moved=(0.0, 0.0)):
        """Line integrals at the heights z: (angles, rows, columns); moved by (y, x)."""
        height, x, y, centre, s = self.blobs.T
        down = np.exp(-((np.asarray(z)[:, None] - centre) ** 2) / (2 * s * s))
        down *= height * s * np.sqrt(2 * np.pi)
        u = np.arange(columns) - axis
        images = []
        for a in angles:
            t = (x + moved[1]) * np.cos(a) + (y + moved[0]) * np.sin(a)
            images.append(down @ np.exp(-((u - t[:, None]) ** 2) / (2 * s * s)[:, None]))
        return np.array(images, np.float32)


@dataclass(frozen=True)
class Series:
    """Sub-scans, and what is wrong with them."""

    organ: Column
    motors: np.ndarray
    offset: np.ndarray
    lateral: np.ndarray
    axis: np.ndarray
    factor: np.ndarray
    """Of the transmission: an error of the flats."""
    slope: np.ndarray
    line_integrals: list[np.ndarray]

    @classmethod
    def create(cls, seed=0, noise=0.0):
        """Position errors of +-3 px, drift of the axis of 2 px, levels off by +-5 %."""
        rng = np.random.default_rng(seed)
        organ = Column.create(COUNT * STEP, RADIUS)
        motors = np.arange(COUNT) * float(STEP)
        # Of no consequence, and not to be found: a common shift of all, ramps of the level.
        offset = motors + centred(rng.uniform(-3, 3, COUNT))
        lateral = centred(rng.uniform(-3, 3, (COUNT, 2)))
        axis = AXIS + np.linspace(-1, 1, COUNT)
        factor = np.exp(centred(rng.uniform(-0.05, 0.05, COUNT)))
        slope = centred(rng.uniform(-0.02, 0.02, COUNT)) / ROWS
        scans = []
        for k in range(COUNT):
            views = organ.views(
                ANGLES, offset[k] + np.arange(ROWS), COLUMNS, axis[k], moved=lateral[k]
            )
            views -= np.log(factor[k])
            views += (slope[k] * (np.arange(ROWS) - (ROWS - 1) / 2))[:, None].astype(np.float32)
            scans.append(views + noise * rng.standard_normal(views.shape, np.float32))
        return cls(organ, motors, offset, lateral, axis, factor, slope, scans)


def centred(values):
    return values - values.mean(axis=0)


def positions_of(series, xp=np):
    axes = [find_axis(scan, ANGLES).value for scan in series.line_integrals]
    shifts = [
        measure_shifts(
            xp.asarray(lower[COMPARED]), xp.asarray(upper[COMPARED]),
            reach_px=(8, 10), expected_px=(-STEP, 0),
        )
        for lower, upper in zip(series.line_integrals[:-1], series.line_integrals[1:])
    ]  # fmt: skip
    return refine_positions(series.motors, axes, ANGLES[COMPARED], shifts, axis_error_px=0.2)


def levels_of(series, positions):
    steps = []
    for k in range(COUNT - 1):
        shift = (
            positions.offset_px[k] - positions.offset_px[k + 1],
            positions.axis_px[k + 1] - positions.axis_px[k],
        )
        means = [scan.mean(axis=0) for scan in series.line_integrals[k : k + 2]]
        steps.append(measure_level(*means, shift_px=shift))
    return match_levels(steps, ROWS)


def stitched(series, positions, levels, *, blend=True):
    """The organ's slices, and the seams: each sub-scan reconstructed by itself."""
    organ = organ_rows(positions.offset_px, ROWS, margin_px=MARGIN)
    assert not series_gaps(positions.offset_px, ROWS, margin_px=MARGIN)
    weights = overlap_weights(positions.offset_px, ROWS, organ, margin_px=MARGIN)
    if not blend:
        weights = (weights > 0.5).astype(float)
    volume = np.zeros((len(organ), COLUMNS, COLUMNS), np.float32)
    seams = []
    for k, weight in enumerate(weights):
        scan = series.line_integrals[k].copy()
        if levels is not None:
            levels.correct(scan, k, 0, axis=1)
        slices = fbp(
            np.moveaxis(scan, 1, 0), ANGLES, positions.axis_px[k],
            centre_px=tuple(positions.lateral_px[k]), padding="zero",
        )  # fmt: skip
        mine = np.flatnonzero(weight)
        place = organ[mine[0]] - positions.offset_px[k]
        first = int(np.floor(place))
        part = slices[first - HALO_ROWS[0] : first + mine.size + HALO_ROWS[1]]
        volume[mine] += weight[mine, None, None] * resample_rows(part, place - first)
        seams.append(mine[0])
    return organ, volume, seams[1:]


def disc():
    y, x = np.mgrid[:COLUMNS, :COLUMNS] - (COLUMNS - 1) / 2
    return np.hypot(x, y) < 0.95 * RADIUS


@pytest.fixture(scope="module")
def series():
    return Series.create()


@pytest.fixture(scope="module")
def positions(series):
    return positions_of(series)


def test_positions(series, positions):
    assert np.abs(series.offset - series.motors).max() > 1.5
    assert np.abs(centred(positions.offset_px - series.offset)).max() < 0.01
    assert np.abs(centred(positions.lateral_px - series.lateral)).max() < 0.01
    assert np.abs(positions.axis_px - series.axis).max() < 0.01
    assert positions.error_px[:, :3].max() < 0.01
    assert positions.notes == ()
    # Where the whole series lies, the motors say.
    assert abs((positions.offset_px - series.motors).mean()) < 1
    assert np.abs(positions.lateral_px.mean(axis=0)).max() < 1


@pytest.mark.parametrize("seed", [1, 2])
def test_positions_from_noisy_views(seed):
    """Noise of 1 % in a sample that absorbs 2."""
    series = Series.create(seed=seed, noise=0.01)
    positions = positions_of(series)
    errors = np.column_stack([
        centred(positions.offset_px - series.offset),
        centred(positions.lateral_px - series.lateral),
    ])  # fmt: skip
    assert np.abs(errors).max() < 0.1
    assert np.abs(positions.axis_px - series.axis).max() < 0.1
    assert 0.3 < np.sqrt(np.mean((errors / positions.error_px[:, :3]) ** 2)) < 3


def test_positions_on_a_device(device, series, positions):
    found = positions_of(series, device)
    assert np.abs(found.offset_px - positions.offset_px).max() < 1e-3
    assert np.abs(found.lateral_px - positions.lateral_px).max() < 1e-3


def test_levels(series, positions):
    levels = levels_of(series, positions)
    found = np.exp(-levels.offset)
    assert np.abs(series.factor - 1).max() > 0.02
    assert np.abs(found / series.factor - 1).max() < 1e-3
    assert np.abs(levels.slope - series.slope).max() * ROWS < 2e-3
    assert (levels.gain == 1).all()


def test_the_stitched_organ_is_the_one_scanned_in_one_piece(series, positions):
    levels = levels_of(series, positions)
    organ, volume, seams = stitched(series, positions, levels)
    # Where the series lies as a whole is not a matter of stitching.
    down = (positions.offset_px - series.offset).mean()
    moved = (series.lateral - positions.lateral_px).mean(axis=0)
    tall = series.organ.views(ANGLES, np.asarray(organ) - down, COLUMNS, AXIS, moved=moved)
    truth = fbp(np.moveaxis(tall, 1, 0), ANGLES, AXIS, padding="zero")
    inside = disc()
    mu = truth[:, inside].max()
    assert 0.06 < mu < 0.08

    def rms(image):
        return float(np.sqrt(np.mean((image - truth)[:, inside] ** 2)) / mu)

    def worst(image, seams, length=1):
        differences = row_differences(image, inside=inside)
        # The column itself changes from slice to slice, by as much everywhere.
        own = row_differences(truth, inside=inside)
        return max(seam_score(differences / own, s, s + length - 1) for s in seams)

    assert rms(volume) < 5e-4
    assert worst(volume, seams, 20) < 1.01
    _, unmatched, _ = stitched(series, positions, None)
    assert rms(unmatched) > 3e-3
    _, cut, edges = stitched(series, positions, None, blend=False)
    assert worst(cut, edges) > 1.2
    still = replace(positions, lateral_px=np.zeros((COUNT, 2)))
    assert rms(stitched(series, still, levels)[1]) > 0.02
