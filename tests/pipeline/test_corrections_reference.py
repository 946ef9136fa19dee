"""Flats of a reference scan and of the series: the shadow of a jar that turns, divided out."""

from __future__ import annotations

import pickle
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import zarr

from hipct.acquisition.store import ScanStoreWriter
from hipct.core.device import HOST
from hipct.core.errors import ConfigError, InputError, MissingMetadata
from hipct.core.progress import Silent
from hipct.pipeline.backend import run_device
from hipct.pipeline.config import Config
from hipct.pipeline.corrections import Corrections
from hipct.pipeline.corrections_measure import measure_corrections
from hipct.pipeline.corrections_reference import windows_of
from hipct.pipeline.job import resolve
from hipct.pipeline.report import StageClock
from hipct.pipeline.run import reconstruct
from hipct.pipeline.transmission import Transmission
from hipct.preparation.counts import PixelCounts
from hipct.preparation.lowpass import low_pass
from hipct.preparation.reference_windows import match_angles
from hipct.reconstruction.reconstructor import Reconstructor
from hipct.simulation.detector import Detector

ROWS, COLUMNS, ANGLES, MU = 40, 64, 180, 0.02
TURN = 2 * np.pi
THETA = np.arange(ANGLES) * TURN / ANGLES
WINDOWS = {"wide": 120, "narrow": 10, "sigma_px": 6}


def shadow(angle):
    """A jar wider than the field, off the axis."""
    column = np.arange(COLUMNS) - (COLUMNS - 1) / 2
    path = np.sqrt(1 - ((column - 5 * np.cos(angle - 0.3)) / 50) ** 2)
    return np.exp(-0.9 * path) * np.ones((ROWS, 1))


def balls(number):
    random = np.random.default_rng(number)
    return [
        (random.uniform(-18, 18), *random.uniform(-15, 15, 2), random.uniform(3, 7), MU)
        for _ in range(4)
    ]


@pytest.fixture(scope="module")
def jar(jar_scans, tmp_path_factory):
    """Nine sub-scans, the first alone with flats (of the open beam), and the jar without sample."""

    def detector(run):
        return Detector(rows=ROWS, columns=COLUMNS, photons=2e5, drift=0, rings=0, run=run, seed=5)

    scans = [
        jar_scans(detector(run), THETA, balls(run), shadow=shadow, flats=0 if run else 4)
        for run in range(9)
    ]
    reference = jar_scans(detector(20), THETA + 0.02, [], shadow=shadow)
    return SimpleNamespace(
        scans=scans, path=stored(reference, tmp_path_factory.mktemp("jar") / "jar.zarr")
    )


def stored(scan, path):
    with ScanStoreWriter(path, scan.info) as writer:
        for kind in ("flats", "darks", "projections"):
            writer.write_frames(kind, 0, scan.frames[kind])
    return path


def settings(**sections):
    return Config(phase={"method": "none"}, **sections)


def of_path(jar, **more):
    return settings(reference={"path": str(jar.path), **(WINDOWS | more)})


def measured(scans, config, folder, *, device=HOST):
    jobs = [resolve(scan, config) for scan in scans]
    return jobs, measure_corrections(scans, jobs, folder, StageClock(), Silent(), device=device)


def transmission(scan, job, corrections, *, rows=range(ROWS), block=64, device=HOST):
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
    """Rms of the smooth error of projections, of their rings, and of the slices over mu."""
    error = (np.log(found) - np.log(truth)).astype(np.float32)
    smooth = low_pass(error, 4)
    side = np.arange(COLUMNS) - (COLUMNS - 1) / 2
    inside = np.hypot(side[:, None], side) < 0.45 * COLUMNS
    wrong = (slices(found) - slices(truth))[:, inside]
    return SimpleNamespace(
        smooth=float(np.sqrt((smooth**2).mean())),
        rings=float((error - smooth).mean(axis=0).std()),
        slices=float(np.sqrt((wrong**2).mean())) / MU,
    )


def test_the_shadow_of_the_jar_goes_angle_by_angle(jar, tmp_path):
    """Against the scan's own flats, and against one flat for all angles."""
    scan = jar.scans[0]
    found = {}
    for name, config in (
        ("own", settings()),
        ("one", of_path(jar, wide=ANGLES, narrow=ANGLES)),
        ("matched", of_path(jar)),
    ):
        (job,), (corrections,) = measured([scan], config, tmp_path / name)
        found[name] = figures(transmission(scan, job, corrections), scan.truth)
    assert found["own"].smooth > 0.8
    assert found["one"].smooth > 0.02
    assert found["matched"].smooth < 0.07 * found["one"].smooth
    # Rings: no more than one flat of all frames leaves.
    assert found["matched"].rings < 1.1 * found["one"].rings
    assert found["own"].slices > 0.3
    assert found["matched"].slices < 0.02


def test_sub_scans_without_flats_take_the_reference(jar, tmp_path):
    scans = jar.scans[1:3]
    jobs, corrections = measured(scans, of_path(jar), tmp_path)
    for scan, job, mine in zip(scans, jobs, corrections):
        assert scan.info.flats == 0
        assert figures(transmission(scan, job, mine), scan.truth).smooth < 2e-3
    assert corrections[0].flats.path == corrections[1].flats.path
    with pytest.raises(InputError, match=r"reference\.path"):
        transmission(scans[0], jobs[0], None)


def test_a_run_reconstructs_a_scan_without_flats(jar, tmp_path):
    """From counts to the voxels of some rows; the run says where the flats come from."""

    class Heard(Silent):
        def say(self, message):
            said.append(message)

    said, scan = [], jar.scans[2]
    config = settings(
        reference={"path": str(jar.path), **WINDOWS},
        scan={"first_row": 11, "last_row": 23},
        axis={"value": (COLUMNS - 1) / 2},
        volume={"chunk": 32, "window": [-0.02, 0.06]},
        compute={"backend": "numpy"},
    )
    result = reconstruct(scan, tmp_path / "jar.ome.zarr", config, observer=Heard())
    grey = zarr.open_group(result.path, mode="r")["0"][:]
    side = np.arange(COLUMNS) - (COLUMNS - 1) / 2
    inside = np.hypot(side[:, None], side) < 0.45 * COLUMNS
    found = grey * result.window.scale + result.window.offset
    wrong = (found - slices(scan.truth)[11:23])[:, inside] / MU
    assert np.sqrt((wrong**2).mean()) < 0.02
    assert abs(wrong.mean()) < 1e-3
    assert any("jar.zarr" in sentence for sentence in said)


def test_flats_of_the_series_itself(jar, tmp_path):
    """Nine sub-scans whose samples lie at other places each: their median is the jar."""
    config = settings(reference={"from_series": True, **WINDOWS})
    jobs, corrections = measured(jar.scans, config, tmp_path)
    for k in (0, 4):
        error = figures(transmission(jar.scans[k], jobs[k], corrections[k]), jar.scans[k].truth)
        # The shadow of 0.8 is gone; what is left is what the samples have in common.
        assert error.smooth < 0.01
        assert error.slices < 0.04
    assert "median of 9 sub-scans" in corrections[0].notes[0]


def test_a_level_of_their_own_spoils_no_median(jar, tmp_path):
    """Darker by up to 20 %: brought to one level by the outer columns, no sub-scan leads."""
    scans = []
    for k, scan in enumerate(jar.scans):
        frames = dict(scan.frames)
        counts = (frames["projections"] - 100.0) * (1 - 0.025 * k) + 100
        frames["projections"] = np.rint(counts).astype(np.uint16)
        scans.append(type(scan)(scan.info, frames))
    config = settings(
        reference={"from_series": True, **WINDOWS},
        darkening={"enabled": True, "left_columns": 6, "right_columns": 6, "target": "one"},
    )
    jobs, corrections = measured(scans, config, tmp_path)
    for k in (0, 8):
        error = figures(transmission(scans[k], jobs[k], corrections[k]), jar.scans[k].truth)
        assert error.slices < 0.05


def test_annuli_take_the_flats_of_their_own_place(jar_scans, jar, tmp_path):
    """Two jars side by side in one folder; the outer annulus sees another part of its shadow."""
    column = np.arange(COLUMNS) - (COLUMNS - 1) / 2

    def outer_shadow(angle):
        return shadow(angle) * np.exp(-0.004 * column)

    def detector(run):
        return Detector(rows=ROWS, columns=COLUMNS, photons=2e5, drift=0, run=run, seed=5)

    folder = tmp_path / "jars"
    folder.mkdir()
    places, scans = {}, []
    for name, lateral_um, seen in (("inner", 0.0, shadow), ("outer", 340.0, outer_shadow)):
        meta = {"pixel_size_um": 10.0, "lateral_um": lateral_um, "z_um": 0.0}
        empty = jar_scans(detector(30 + len(places)), THETA, [], shadow=seen, **meta)
        places[name] = stored(empty, folder / f"{name}.zarr")
        scans.append(jar_scans(detector(40 + len(scans)), THETA, balls(1), shadow=seen, **meta))
    config = settings(reference={"path": str(folder), **WINDOWS})
    jobs, corrections = measured(scans, config, tmp_path / "of each")
    for scan, job, mine in zip(scans, jobs, corrections):
        assert figures(transmission(scan, job, mine), scan.truth).smooth < 2e-3
    one = settings(reference={"path": str(places["inner"]), **WINDOWS})
    jobs, corrections = measured(scans, one, tmp_path / "of one")
    error = figures(transmission(scans[1], jobs[1], corrections[1]), scans[1].truth)
    assert error.smooth > 0.05
    # Flats of the series: of five heights of each annulus.
    heights = [scan for scan in scans for _ in range(5)]
    jobs, corrections = measured(
        heights, settings(reference={"from_series": True, **WINDOWS}), tmp_path / "series"
    )
    assert corrections[0].flats.path != corrections[5].flats.path == corrections[9].flats.path


def test_blocks_slabs_and_the_order_of_angles_change_no_bit(jar, tmp_path):
    scan = jar.scans[1]
    (job,), (corrections,) = measured([scan], of_path(jar), tmp_path)
    whole = transmission(scan, job, corrections, block=ANGLES)
    np.testing.assert_array_equal(transmission(scan, job, corrections, block=7), whole)
    part = transmission(scan, job, corrections, rows=range(13, 30))
    np.testing.assert_array_equal(part, whole[:, 13:30])
    order = np.random.default_rng(1).permutation(ANGLES)
    frames = scan.frames | {"projections": scan.frames["projections"][order]}
    info = replace(scan.info, angles_rad=THETA[order], current=scan.info.current[order])
    mixed = type(scan)(info, frames)
    (job,), (corrections,) = measured([mixed], of_path(jar), tmp_path / "mixed")
    np.testing.assert_array_equal(transmission(mixed, job, corrections), whole[order])


def test_what_is_there_is_not_measured_again(jar, tmp_path):
    scans = jar.scans[:2]
    jobs, first = measured(scans, of_path(jar), tmp_path / "kept")
    files = {path.name: path.read_bytes() for path in (tmp_path / "kept").iterdir()}
    times = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "kept").glob("*.npy")}
    before = transmission(scans[0], jobs[0], first[0])
    clock = StageClock()
    again = measure_corrections(scans, jobs, tmp_path / "kept", clock, Silent())
    assert "flat" not in clock.busy().seconds
    assert {path.name: path.read_bytes() for path in (tmp_path / "kept").iterdir()} == files
    assert times == {p.name: p.stat().st_mtime_ns for p in (tmp_path / "kept").glob("*.npy")}
    np.testing.assert_array_equal(transmission(scans[0], jobs[0], again[0]), before)
    # Another window, in the same folder.
    jobs, other = measured(scans, of_path(jar, narrow=40), tmp_path / "kept")
    assert len(other[0].flats.knots) < len(first[0].flats.knots)
    assert np.load(other[0].flats.path).shape[0] == len(other[0].flats.knots)


def test_a_file_that_was_not_finished_is_made_again(jar, tmp_path):
    jobs, (made,) = measured(jar.scans[:1], of_path(jar), tmp_path)
    whole = made.flats.path.read_bytes()
    made.flats.path.unlink()
    made.flats.path.with_suffix(".tmp").write_bytes(whole[: len(whole) // 2])
    measure_corrections(jar.scans[:1], jobs, tmp_path, StageClock(), Silent())
    assert made.flats.path.read_bytes() == whole
    assert not made.flats.path.with_suffix(".tmp").exists()


def test_corrections_go_to_other_processes(jar, tmp_path):
    scan = jar.scans[1]
    (job,), (corrections,) = measured([scan], of_path(jar), tmp_path)
    sent = pickle.dumps(corrections)
    assert len(sent) < 20_000
    np.testing.assert_array_equal(
        transmission(scan, job, pickle.loads(sent)), transmission(scan, job, corrections)
    )


def test_a_scan_without_darks_takes_those_of_the_reference(jar, tmp_path):
    scan = jar.scans[1]
    info = replace(scan.info, dark_index=np.empty(0))
    bare = type(scan)(info, scan.frames | {"darks": scan.frames["darks"][:0]})
    (job,), (corrections,) = measured([bare], of_path(jar), tmp_path)
    assert figures(transmission(bare, job, corrections), scan.truth).smooth < 2e-3


@pytest.mark.usefixtures("device")
def test_a_device_gives_the_numbers_of_the_cpu(jar, tmp_path):
    scan = jar.scans[1]
    (job,), (on_cpu,) = measured([scan], of_path(jar), tmp_path / "cpu")
    with run_device(settings(compute={"backend": "cupy"}), Silent()) as device:
        (_,), (on_device,) = measured([scan], of_path(jar), tmp_path / "device", device=device)
        rows = range(10, 18)
        found = transmission(scan, job, on_device, rows=rows, device=device)
    np.testing.assert_allclose(found, transmission(scan, job, on_cpu, rows=rows), rtol=2e-6)


def test_windows_by_the_pixel_size_are_angles(jar):
    reference = Config().reference
    info = jar.scans[0].info.with_overrides(pixel_size_um=20.0)
    found = windows_of(reference, info, 6000)
    assert (found.wide, found.narrow, found.sigma_px) == (1000, 200, 50)
    found = windows_of(reference, info, 3000)
    assert (found.wide, found.narrow, found.sigma_px) == (500, 100, 50)
    with pytest.raises(MissingMetadata, match=r"reference\.wide"):
        windows_of(reference, jar.scans[0].info, 6000)


def test_what_does_not_fit_is_refused(jar, jar_scans, tmp_path):
    scans = jar.scans[:2]
    small = Detector(rows=ROWS, columns=COLUMNS // 2, photons=None, seed=5)
    other = stored(jar_scans(small, THETA, []), tmp_path / "other.zarr")
    for sections, error, words in (
        ({"reference": {"path": str(other)}}, InputError, "same detector"),
        ({"reference": {"from_series": True}}, ConfigError, "2 sub-scans"),
        (
            {"reference": {"path": str(jar.path)}, "dynamic_flat": {"enabled": True}},
            ConfigError,
            "own flats",
        ),
    ):
        with pytest.raises(error, match=words):
            measured(scans, settings(**sections), tmp_path / "refused")
    turned = [replace(scan.info, angles_rad=THETA * 0.9) for scan in jar.scans[:1]]
    scans = [type(jar.scans[0])(turned[0], jar.scans[0].frames), *jar.scans[1:5]]
    with pytest.raises(InputError, match="same angles"):
        measured(scans, settings(reference={"from_series": True, **WINDOWS}), tmp_path / "turned")


def test_nothing_is_measured_where_nothing_is_wanted(jar, tmp_path):
    (job,), (corrections,) = measured(jar.scans[:1], settings(), tmp_path / "none")
    assert not (tmp_path / "none").exists()
    assert corrections.work_bytes(100, 100, 10) == 0
    np.testing.assert_array_equal(
        transmission(jar.scans[0], job, corrections), transmission(jar.scans[0], job, None)
    )
    assert Corrections().undistortion(range(3)) is None


def test_matched_runs_cover_every_projection_once(jar, tmp_path):
    (_,), (corrections,) = measured(jar.scans[:1], of_path(jar), tmp_path)
    flats = corrections.flats
    places = match_angles(THETA, THETA + 0.02).positions
    np.testing.assert_array_equal(flats.positions, places)
    seen = []
    for run, knot in flats.runs(slice(20, 95)):
        assert (flats.knots[knot] <= places[20:95][run]).all()
        assert (places[20:95][run] <= flats.knots[knot + 1]).all()
        seen += range(run.start, run.stop)
    assert seen == list(range(75))
