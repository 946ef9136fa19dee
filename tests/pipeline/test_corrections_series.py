"""Beams that drift, optics that darken, double flat fields: simulated, measured, taken out."""

from __future__ import annotations

import errno
import os
import pickle
import re
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest

from hipct.core.device import HOST
from hipct.core.errors import ConfigError, InputError, OutputError
from hipct.core.progress import Silent
from hipct.pipeline.backend import run_device
from hipct.pipeline.config import Config
from hipct.pipeline.corrections_blocks import bands, block_angles, blocks, spread_blocks
from hipct.pipeline.corrections_files import CorrectionFiles
from hipct.pipeline.corrections_measure import measure_corrections, planned_corrections
from hipct.pipeline.job import resolve
from hipct.pipeline.report import StageClock
from hipct.pipeline.transmission import Transmission
from hipct.preparation.counts import PixelCounts
from hipct.preparation.double_flat import MeanProjection, double_flat, general_reference
from hipct.preparation.lowpass import low_pass
from hipct.reconstruction.reconstructor import Reconstructor
from hipct.simulation.detector import Detector

ROWS, COLUMNS, ANGLES, MU = 48, 64, 120, 0.02
THETA = np.arange(ANGLES) * 2 * np.pi / ANGLES
SIDES = {"left_columns": 5, "right_columns": 5}


def detector(run, **options):
    given = {"photons": 5e4, "drift": 0.0, "rings": 0.0} | options
    return Detector(rows=ROWS, columns=COLUMNS, run=run, seed=5, **given)


def small_balls(number, mu=MU, count=4):
    """Balls with air on both sides of the field."""
    random = np.random.default_rng(number)
    return [
        (random.uniform(-18, 18), *random.uniform(-12, 12, 2), random.uniform(3, 7), mu)
        for _ in range(count)
    ]


@pytest.fixture(scope="module")
def drifting(jar_scans):
    """A beam that moves by a tenth of the detector, with flats at three times."""
    return jar_scans(detector(0, drift=0.1), THETA, small_balls(0), flats=10)


@pytest.fixture(scope="module")
def darkening(jar_scans):
    """Five sub-scans that lose 3 % each, the flats of the beginning."""
    return [
        jar_scans(
            detector(k, darkening=(0.03 * k, 0.03 * k + 0.03)),
            THETA,
            small_balls(k),
            flats=10,
            groups=1,
        )
        for k in range(5)
    ]


@pytest.fixture(scope="module")
def single_flat(jar_scans):
    """Seven sub-scans with one flat for all, whose noise is a ring at every pixel."""

    def bodies(k):
        random = np.random.default_rng(k)
        large = (random.uniform(-30, 30), *random.uniform(-5, 5, 2), random.uniform(12, 20), 0.01)
        return [large, *small_balls(k, mu=0.005, count=3)]

    scans = [
        jar_scans(detector(k, photons=4e3), THETA, bodies(k), flats=1, groups=1) for k in range(7)
    ]
    for scan in scans:
        scan.frames["flats"] = scans[0].frames["flats"]
    return scans


def settings(**sections):
    return Config(phase={"method": "none"}, **sections)


def measured(scans, config, folder, *, device=HOST):
    jobs = [resolve(scan, config) for scan in scans]
    return jobs, measure_corrections(scans, jobs, folder, StageClock(), Silent(), device=device)


def transmission(scan, job, corrections=None, *, rows=range(ROWS), block=64, device=HOST):
    """All projections of some rows, block by block."""
    source = Transmission(scan, job, rows, StageClock(), device=device, corrections=corrections)
    counts, parts = PixelCounts(), []
    for first in range(0, job.info.projections, block):
        part = slice(first, min(first + block, job.info.projections))
        parts.append(device.download(source.frames(source.read(part), part, counts)))
    return np.concatenate(parts)


def slices(lines):
    sinograms = np.ascontiguousarray(-np.log(lines).transpose(1, 0, 2), np.float32)
    return Reconstructor(THETA, COLUMNS, (COLUMNS - 1) / 2).reconstruct(sinograms)


def figures(found, truth):
    """Of the line integrals: mean error, rms of what is smooth, rings; of the slices: rms, bias."""
    error = (np.log(found) - np.log(truth)).astype(np.float32)
    smooth = low_pass(error, 4)
    side = np.arange(COLUMNS) - (COLUMNS - 1) / 2
    inside = np.hypot(side[:, None], side) < 0.45 * COLUMNS
    wrong = (slices(found) - slices(truth))[:, inside] / MU
    return SimpleNamespace(
        mean=float(error.mean()),
        smooth=float(np.sqrt((smooth**2).mean())),
        rings=float((error - smooth).mean(axis=0).std()),
        slices=float(np.sqrt((wrong**2).mean())),
        bias=float(wrong.mean()),
    )


@pytest.mark.parametrize("sides", [SIDES, {}], ids=["background", "variation"])
def test_a_drifting_beam_is_followed(drifting, tmp_path, sides):
    """Flats at three times miss the way between them; their components know it."""
    config = settings(dynamic_flat={"enabled": True, **sides})
    (job,), (corrections,) = measured([drifting], config, tmp_path)
    before = figures(transmission(drifting, job), drifting.truth)
    after = figures(transmission(drifting, job, corrections), drifting.truth)
    assert len(corrections.drift.mixing) == 2
    assert before.smooth > 0.008
    assert after.smooth < (0.1 if sides else 0.25) * before.smooth
    assert after.rings < 0.9 * before.rings
    # Rows of a slab get the numbers of the whole.
    part = transmission(drifting, job, corrections, rows=range(9, 20), block=17)
    whole = transmission(drifting, job, corrections)
    np.testing.assert_allclose(part, whole[:, 9:20], rtol=2e-6)


@pytest.mark.parametrize("sides", [SIDES, {}], ids=["background", "variation"])
def test_a_beam_that_stands_still_has_no_components(darkening, tmp_path, sides):
    """With air columns the level of each frame is still measured, and divided out."""
    scan = darkening[2]
    config = settings(dynamic_flat={"enabled": True, **sides})
    (job,), (corrections,) = measured([scan], config, tmp_path)
    assert len(corrections.drift.mixing) == 0
    after = figures(transmission(scan, job, corrections), scan.truth)
    lost = np.log(1 - 0.06 - 0.015)
    assert after.mean == pytest.approx(0 if sides else lost, abs=1e-3)


@pytest.mark.parametrize("number", [0, 4])
def test_darkening_optics_between_and_within_sub_scans(darkening, tmp_path, number):
    scan = darkening[number]
    jobs, corrections = measured(
        darkening, settings(darkening={"enabled": True, **SIDES}), tmp_path
    )
    before = figures(transmission(scan, jobs[number]), scan.truth)
    found = transmission(scan, jobs[number], corrections[number])
    after = figures(found, scan.truth)
    lost = -np.log(1 - 0.03 * number - 0.015)
    assert before.mean == pytest.approx(-lost, abs=1e-3)
    assert abs(after.mean) < 3e-4
    assert after.smooth < 6e-4
    assert abs(after.bias) < 3e-4 < abs(before.bias)
    # Within the sub-scan: the two ends alike.
    ends = np.log(found / scan.truth).mean(axis=(1, 2))
    assert abs(ends[:20].mean() - ends[-20:].mean()) < 3e-4
    slope = np.log((0.97 - 0.03 * number) / (1 - 0.03 * number))
    levels = corrections[number].levels
    assert np.log(levels[-1] / levels[0]) == pytest.approx(slope, abs=3e-4)


def test_levels_may_be_relative_or_tolerated(darkening, tmp_path):
    """To the median of the series the middle one alone keeps its level; a tolerance keeps all."""
    columns = {"enabled": True, **SIDES}
    jobs, relative = measured(
        darkening, settings(darkening={**columns, "target": "median"}), tmp_path / "median"
    )
    means = [
        figures(transmission(scan, job, mine), scan.truth).mean
        for scan, job, mine in zip(darkening, jobs, relative)
    ]
    np.testing.assert_allclose(means, np.log(1 - 0.06 - 0.015), atol=5e-4)
    _, kept = measured(
        darkening, settings(darkening={**columns, "tolerance": 0.5}), tmp_path / "kept"
    )
    assert all(mine.levels is None for mine in kept)
    assert len({mine.notes for mine in kept}) == 1
    told = re.findall(r"[-+]?\d\.\d+", kept[0].notes[0])
    # Levels in the middle of the sub-scans, and percent from start to end.
    expected = [1 - 0.12 - 0.015, 1 - 0.015, 100 * np.log(0.85 / 0.88), 100 * np.log(0.97)]
    np.testing.assert_allclose([float(number) for number in told], expected, atol=0.03)
    assert "within the tolerance" in kept[0].notes[0]


def test_a_single_scan_that_is_darker_than_its_flats(darkening, tmp_path):
    config = settings(darkening={"enabled": True, **SIDES})
    (job,), (corrections,) = measured(darkening[4:], config, tmp_path)
    after = figures(transmission(darkening[4], job, corrections), darkening[4].truth)
    assert abs(after.mean) < 3e-4


def test_columns_without_light_are_told(darkening, tmp_path):
    """Air columns that are normalised have no level to measure: 1 everywhere, and it is said."""
    config = settings(darkening={"enabled": True, **SIDES}, flat={"air_columns": 5})
    _, corrections = measured(darkening[:1], config, tmp_path)
    assert "1.0000" in corrections[0].notes[0]
    assert corrections[0].levels is None


@pytest.mark.parametrize(("scope", "share"), [("series", 0.2), ("scan", 0.4)])
def test_rings_of_the_detector_go(single_flat, tmp_path, scope, share):
    config = settings(double_flat={"enabled": True, "sigma_px": 3, "scope": scope})
    jobs, corrections = measured(single_flat, config, tmp_path)
    scan = single_flat[0]
    before = figures(transmission(scan, jobs[0]), scan.truth)
    after = figures(transmission(scan, jobs[0], corrections[0]), scan.truth)
    assert before.rings > 0.015
    assert after.rings < share * before.rings
    # Of 0.11 the noise of the projections leaves 0.07.
    assert before.slices > 0.11
    assert after.slices < 0.08
    assert len({mine.double_flat for mine in corrections}) == (1 if scope == "series" else 7)


def test_double_flats_are_those_of_whole_arrays(single_flat, tmp_path):
    """Against the array functions, with all frames at hand."""
    scans = single_flat[:3]
    jobs = [resolve(scan, settings()) for scan in scans]
    all_of = [transmission(scan, job) for scan, job in zip(scans, jobs)]
    means = []
    for frames in all_of:
        mean = MeanProjection()
        mean.add(frames)
        means.append(mean)
    for scope, expected in (
        ("series", general_reference(np.stack([mean.transmission() for mean in means]), 4.0)),
        ("scan", double_flat(means[0].line_integral(), 4.0)),
    ):
        config = settings(double_flat={"enabled": True, "sigma_px": 4, "scope": scope})
        _, corrections = measured(scans, config, tmp_path / scope)
        found = np.load(corrections[0].double_flat)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_some_projections_are_enough(single_flat, tmp_path):
    config = settings(double_flat={"enabled": True, "sigma_px": 3, "projections": 40})
    single_flat[0].reads.clear()
    jobs, corrections = measured(single_flat, config, tmp_path)
    # Besides the three frames that tell one scan from another.
    read = sum(frames.stop - frames.start for frames, rows in single_flat[0].reads)
    assert read == 40 + 3
    scan = single_flat[0]
    after = figures(transmission(scan, jobs[0], corrections[0]), scan.truth)
    assert after.rings < 0.25 * figures(transmission(scan, jobs[0]), scan.truth).rings


def everything(**more):
    return settings(
        dynamic_flat={"enabled": True, "components": 1, **SIDES},
        darkening={"enabled": True, "tolerance": 0, **SIDES},
        double_flat={"enabled": True, "sigma_px": 3},
        distortion={"centre_px": [20, 30], "coefficients": [1, 2e-4]},
        repair={"zinger_threshold": 0.5},
        **more,
    )


def test_a_run_that_goes_on_reads_what_it_has_measured(darkening, tmp_path):
    scans = darkening[:2]
    jobs, first = measured(scans, everything(), tmp_path)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for scan in scans:
        scan.reads.clear()
    again = measure_corrections(scans, jobs, tmp_path, StageClock(), Silent())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files
    assert all(len(scan.reads) == 3 for scan in scans)
    sent = pickle.loads(pickle.dumps(again[1]))
    np.testing.assert_array_equal(
        transmission(scans[1], jobs[1], sent), transmission(scans[1], jobs[1], first[1])
    )
    # One file lost: it is made again and has the same bytes; the others stay.
    (tmp_path / "fine-0001.npy").unlink()
    measure_corrections(scans, jobs, tmp_path, StageClock(), Silent())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files


def test_a_full_disk_is_told_before_it_is_written_to(tmp_path, monkeypatch):
    """A process that writes to a mapped file of a full disk is killed, and says nothing."""
    files = CorrectionFiles(tmp_path, {})

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(OutputError, match=r"40\.0 kB.*free space"):
        files.file("large", (100, 100), np.float32, pytest.fail)
    assert not list(tmp_path.glob("large*"))


def test_other_scans_under_the_same_name_are_measured_anew(darkening, tmp_path):
    config = settings(darkening={"enabled": True, "tolerance": 0, **SIDES})
    _, first = measured(darkening[:1], config, tmp_path)
    _, other = measured(darkening[3:4], config, tmp_path)
    assert first[0].levels.mean() - other[0].levels.mean() == pytest.approx(0.09, abs=2e-3)


@pytest.mark.usefixtures("device")
def test_a_device_gives_the_numbers_of_the_cpu(darkening, tmp_path):
    scans = darkening[:2]
    jobs, on_cpu = measured(scans, everything(), tmp_path / "cpu")
    expected = transmission(scans[1], jobs[1], on_cpu[1], rows=range(10, 18))
    with run_device(settings(compute={"backend": "cupy"}), Silent()) as device:
        _, on_device = measured(scans, everything(), tmp_path / "device", device=device)
        found = transmission(scans[1], jobs[1], on_device[1], rows=range(10, 18), device=device)
    np.testing.assert_allclose(found, expected, rtol=3e-5)


def test_what_does_not_fit_is_refused(darkening, discs, tmp_path):
    with pytest.raises(ConfigError, match="11 or more"):
        measured(
            darkening[:1],
            settings(dynamic_flat={"enabled": True, "components": 10}),
            tmp_path / "flats",
        )
    with pytest.raises(InputError, match="one detector"):
        measured(
            [darkening[0], discs(rows=9, columns=COLUMNS)],
            settings(double_flat={"enabled": True}),
            tmp_path / "detectors",
        )
    with pytest.raises(ConfigError, match=r"darkening\.right_columns 60"):
        measured(
            darkening[:1],
            settings(darkening={"enabled": True, "left_columns": 5, "right_columns": 60}),
            tmp_path / "columns",
        )
    with pytest.raises(ConfigError, match="divided by flats"):
        measured(
            [discs(kind="transmission")],
            settings(dynamic_flat={"enabled": True}),
            tmp_path / "kind",
        )


def test_plans_know_the_size_of_what_is_not_yet_measured(darkening, tmp_path):
    config = everything()
    _, (corrections, _) = measured(darkening[:2], config, tmp_path)
    planned = planned_corrections(config, darkening[0].info)
    assert corrections.halo_rows <= planned.halo_rows <= corrections.halo_rows + 1
    size = corrections.work_bytes(40, COLUMNS, 16)
    assert size <= planned.work_bytes(40, COLUMNS, 16) < 1.2 * size
    assert planned_corrections(settings(), darkening[0].info) is None


@pytest.mark.parametrize(
    "sections",
    [
        {"double_flat": {"enabled": True}},
        {"dynamic_flat": {"enabled": True, **SIDES}},
        {"distortion": {"centre_px": [20, 30], "coefficients": [1, 2e-4]}},
    ],
    ids=["double flat", "dynamic flat", "distortion"],
)
def test_memory_is_what_plans_are_told(drifting, tmp_path, sections):
    """What arrays take beside those of a run without corrections."""
    (job,), (corrections,) = measured([drifting], settings(**sections), tmp_path)
    rows, block = range(4, 40), slice(0, 32)

    def peak(mine):
        tracemalloc.start()
        try:
            source = Transmission(drifting, job, rows, StageClock(), corrections=mine)
            source.frames(source.read(block), block, PixelCounts())
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(corrections)
    more = peak(corrections) - peak(None)
    told = corrections.work_bytes(len(rows), COLUMNS, 32)
    assert more < told
    assert told < 400_000 + 6 * max(more, 0)


def test_parts_cover_a_scan_once(darkening):
    scan = darkening[0]
    assert block_angles(scan) == 64
    assert list(blocks(scan)) == [slice(0, 64), slice(64, 120)]
    assert list(blocks(scan, range(60, 70))) == [slice(60, 64), slice(64, 70)]
    assert bands(scan) == [range(48)]
    assert [len(band) for band in bands(scan, range(5, 48), copies=3000)] == [11, 16, 16]
    spread = spread_blocks(scan, 20)
    assert [part.stop - part.start for part in spread] == [8, 8, 8]
    assert spread[0].start < 40 < spread[1].start < 80 < spread[2].start
    assert spread_blocks(scan, 500) == list(blocks(scan))
