"""Levels, borders and rings as a run applies them: the fault is planted, the run takes it out."""

from __future__ import annotations

import numpy as np
import pytest
import zarr

from hipct.pipeline.config import Config
from hipct.pipeline.engine import make_reconstructor
from hipct.pipeline.estimates import prepared_rows
from hipct.pipeline.job import resolve
from hipct.pipeline.organ import Part
from hipct.pipeline.plan import make_plan
from hipct.pipeline.report import StageClock
from hipct.pipeline.run import reconstruct
from hipct.pipeline.slabs import SlabChain
from hipct.preparation.rings import remove_rings

COLUMNS, ANGLES, ROWS = 96, 240, 12
AXIS = 70.3


def settings(backend="numpy", *, axis=None, **sections):
    return Config(
        phase={"method": "none"},
        axis={"value": axis},
        volume={"chunk": 32, "window": [-0.05, 0.1]},
        compute={"backend": backend},
        **sections,
    )


def volume(scan, path, config):
    result = reconstruct(scan, path, config)
    grey = zarr.open_group(result.path, mode="r")["0"][:]
    return grey * result.window.scale + result.window.offset


def rms(found, clean):
    side = clean.shape[-1]
    position = np.arange(side) - (side - 1) / 2
    inside = np.hypot(position[:, None], position) < 0.45 * side
    return float(np.sqrt(np.mean((found - clean)[:, inside] ** 2)))


def dim(scan, where, factor):
    """Counts above the dark level multiplied at some places of the projections."""
    frames = scan.frames["projections"].astype(float)
    frames[where] = 100 + (frames[where] - 100) * factor
    scan.frames["projections"] = np.rint(frames).astype(np.uint16)
    return scan


def discs_with_rings(discs, *gains):
    """Columns of the detector with a gain that the flats do not know of."""
    scan = discs(rows=ROWS, columns=COLUMNS, angles=ANGLES, noise=30.0)
    for column, gain in gains:
        dim(scan, np.s_[:, :, column], gain)
    return scan


RINGS = (20, 0.95), (61, 1.04), (77, 0.96)


@pytest.mark.parametrize("method", ["sorting", "wavelet", "dead", "large", "all", "regularised"])
def share_left(tmp_path, discs, **sections):
    """What is left of the rings: the difference that they make, with the filter and without."""
    axis = (COLUMNS - 1) / 2 + 0.4
    differences = []
    for number, config in enumerate((settings(axis=axis), settings(axis=axis, **sections))):
        clean, ringed = (
            volume(discs_with_rings(discs, *gains), tmp_path / f"{number}-{len(gains)}", config)
            for gains in ((), RINGS)
        )
        differences.append(rms(ringed, clean))
    return differences[1] / differences[0]


@pytest.mark.parametrize(
    ("sections", "most"),
    [
        ({"rings": {"method": "sorting", "size_px": 11}}, 0.6),
        ({"rings": {"method": "large", "size_px": 11, "large_px": 25}}, 0.6),
        ({"rings": {"method": "wavelet", "levels": 3}}, 0.4),
        ({"rings": {"method": "regularised"}}, 0.2),
        ({"polar": {"enabled": True, "width_px": 11, "centre_px": 4, "arc_px": 10}}, 0.6),
    ],
)
def test_rings_go_from_the_volume(tmp_path, discs, sections, most):
    assert share_left(tmp_path, discs, **sections) < most


@pytest.mark.parametrize(
    ("method", "given"),
    [
        ("sorting", {"size_px": 9}),
        ("wavelet", {"levels": 2, "sigma": 2.0}),
        ("dead", {"snr": 1.1, "size_px": 9}),
        ("large", {"large_px": 25, "snr": 2.0}),
        ("all", {"large_px": 25, "snr": 2.0, "size_px": 9}),
        ("regularised", {"alpha": 1.0}),
    ],
)
def test_the_settings_reach_the_filter(discs, method, given):
    scan = discs_with_rings(discs, *RINGS)
    job = resolve(scan, settings(axis=47.9, rings={"method": method, **given}))
    part = Part(job, 47.9)
    engine = make_reconstructor(part)
    lines = prepared_rows(scan, job, range(2, 4), StageClock())
    kept = lines.copy()
    slices = SlabChain(part, engine, StageClock()).slices(lines)
    expected = engine.reconstruct(remove_rings(kept, method, **given))
    np.testing.assert_array_equal(slices, expected)
    np.testing.assert_array_equal(lines, kept)  # they belong to the buffer of the tile
    assert np.abs(expected - engine.reconstruct(remove_rings(kept, method))).max() > 0


def test_opposite_projections_come_to_one_level(tmp_path, discs):
    def half():
        return discs(rows=ROWS, columns=COLUMNS, angles=ANGLES, acquisition="half", axis=AXIS)

    clean = volume(half(), tmp_path / "clean", settings(axis=AXIS))
    faulty = dim(half(), np.s_[: ANGLES // 2], 0.95)
    left = {
        match: rms(
            volume(
                faulty, tmp_path / str(match), settings(axis=AXIS, half={"match_levels": match})
            ),
            clean,
        )
        for match in (False, True)
    }
    assert left[True] < 0.35 * left[False]


def test_borders_that_are_not_to_be_trusted_are_mended(tmp_path, discs):
    def wide():
        return discs(rows=ROWS, columns=COLUMNS, angles=ANGLES)

    axis = (COLUMNS - 1) / 2 + 0.4
    clean = volume(wide(), tmp_path / "clean", settings(axis=axis))
    faulty = dim(wide(), np.s_[:, :, :3], 0.7)
    left = {
        border: rms(
            volume(faulty, tmp_path / str(border), settings(axis=axis, half={"border_px": border})),
            clean,
        )
        for border in (0, 3)
    }
    assert left[3] < 0.1 * left[0]


@pytest.mark.usefixtures("device")
def test_a_device_does_the_same(tmp_path, discs):
    sections = {
        "half": {"match_levels": True, "border_px": 2},
        "rings": {"method": "regularised"},
        "polar": {"enabled": True, "width_px": 7, "centre_px": 4},
    }
    made = []
    for backend in ("numpy", "cupy"):
        scan = discs(rows=4, columns=64, angles=80, acquisition="half", axis=45.3, noise=30.0)
        config = settings(backend, axis=45.3, **sections)
        made.append(volume(scan, tmp_path / backend, config))
    step = 0.15 / 65535
    assert np.abs(made[0] - made[1]).max() < 2.1 * step


@pytest.mark.parametrize("method", ["sorting", "all"])
def test_the_plan_counts_what_filters_take(discs, method):
    scan = discs(rows=ROWS, columns=COLUMNS, angles=ANGLES)
    stage = "reconstruction of a slab"
    plain = make_plan(scan, settings(axis=47.0)).memory[stage]
    more = make_plan(scan, settings(axis=47.0, rings={"method": method})).memory[stage]
    polar = make_plan(scan, settings(axis=47.0, polar={"enabled": True})).memory[stage]
    assert more >= plain + ROWS * ANGLES * COLUMNS * 4
    assert polar > plain
