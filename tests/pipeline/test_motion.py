"""Motion of simulated sub-scans: measured, taken out of the slices, flagged."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest

from hipct.acquisition.open import open_scan
from hipct.acquisition.scan import Scan
from hipct.core.device import HOST, Device
from hipct.core.progress import Silent
from hipct.phase.paganin import PaganinFilter
from hipct.pipeline.config import Config
from hipct.pipeline.job import resolve
from hipct.pipeline.motion import Motion, measure_motion
from hipct.pipeline.motion_frames import Views, ViewsBehind
from hipct.pipeline.report import StageClock
from hipct.preparation.moving import move_frames
from hipct.reconstruction.reconstructor import Reconstructor
from hipct.simulation.anatomy import build_tall_organ
from hipct.simulation.camera import Timetable
from hipct.simulation.detector import Detector
from hipct.simulation.record import record_scan, scan_info
from hipct.simulation.scan import delta_per_mu_cm
from hipct.simulation.truth import Setup, Truth

ROWS, COLUMNS, ANGLES, AXIS, PIXEL_UM = 44, 96, 240, 71.3, 20.0
MOVED = np.array([1.6, -1.2, 2.0])
NOISE = 0.002
DARK = 100.0


def settling(times):
    return np.sqrt(times)[:, None] * MOVED


def still(times):
    return 0 * settling(times)


def sudden(times):
    return np.where(times[:, None] > 0.6, settling(times), 0)


class Altered(Scan):
    """The frames of a scan with noise, those after 0.6 of another scan, or with a bubble."""

    def __init__(self, scan, *, noise=NOISE, late=None, bubble=False):
        self._scan, self._noise, self._late, self._bubble = scan, noise, late, bubble
        self.info, self.row_chunk, self.angle_chunk = scan.info, scan.row_chunk, scan.angle_chunk

    def _read_into(self, kind, frames, rows, out):
        self._scan._read_into(kind, frames, rows, out)
        if kind in ("flats", "darks"):
            return
        info = self.info
        index = info.projection_index if kind == "projections" else info.return_index
        angles = info.angles_rad if kind == "projections" else info.return_angles_rad
        for frame, k in zip(out, range(frames.start, frames.stop)):
            time = min(index[k] / info.projection_index[-1], 1.0)
            if self._late is not None and time > 0.6:
                self._late._read_into(kind, slice(k, k + 1), rows, frame[None])
            light = frame - DARK
            if self._bubble and time > 0.7:
                light *= np.exp(0.003 * bubble_path(angles[k], time)[rows])
            random = np.random.default_rng([k, kind == "returns"])
            light *= 1 + self._noise * random.standard_normal((ROWS, COLUMNS))[rows]
            frame[...] = np.clip(np.rint(light + DARK), 0, 65535)


def bubble_path(angle, time):
    """Path through a bubble that grows from 0.7 on, in pixels: matter that has gone."""
    row, column = np.mgrid[:ROWS, :COLUMNS]
    place = AXIS - 25 * np.cos(angle) + 10 * np.sin(angle)
    radius = 6 * ((time - 0.7) / 0.3) ** (1 / 3)
    return 2 * np.sqrt(np.maximum(radius**2 - (row - 22) ** 2 - (column - place) ** 2, 0))


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """Half-acquisitions of one organ without noise, at rest and settling."""
    folder = tmp_path_factory.mktemp("motion")
    setup = Setup(
        acquisition="half",
        rows=ROWS,
        columns=COLUMNS,
        axis_px=AXIS,
        pixel_size_um=PIXEL_UM,
        distance_m=3.5,
        energy_kev=90.0,
        blur_px=0.5,
        oversampling=4,
        seed=4,
    )
    organ = build_tall_organ(50 * PIXEL_UM, height_um=1.4 * ROWS * PIXEL_UM, seed=4)
    truth = Truth(organ.with_delta(delta_per_mu_cm(1500.0, 90.0)), setup)
    detector = Detector(
        rows=ROWS,
        columns=COLUMNS,
        photons=None,
        drift=0.01,
        rings=0.01,
        zingers=0.0,
        dead_pixels=0.0,
        seed=4,
    )
    timetable = Timetable.of(ANGLES, 20, 10, 4)
    info = scan_info(
        setup,
        np.arange(ANGLES) * 2 * np.pi / ANGLES,
        timetable,
        return_angles_rad=np.arange(4) * np.pi / 2,
        return_index=timetable.flat.max() + 1 + np.arange(4),
    )
    scans = {}
    for path in (still, settling):
        store = folder / f"{path.__name__}.scan"
        shift = path(timetable.time(timetable.projection)) * PIXEL_UM
        record_scan(store, truth, detector, timetable, info, shift_um=shift, observer=Silent())
        scans[path] = open_scan(store)
    return scans


@pytest.fixture(scope="module")
def scans(clean):
    """Three scans with noise: at rest, settling, and at rest until it jumps and settles."""
    return {
        still: Altered(clean[still]),
        settling: Altered(clean[settling]),
        sudden: Altered(clean[still], late=clean[settling]),
    }


def measured(scan, axis=AXIS, device=HOST, **settings):
    job = resolve(scan, Config(motion=settings, phase={"method": "none"}))
    return measure_motion(scan, job, axis, StageClock(), Silent(), device=device)


def errors(motion, path):
    """Largest errors of the rows and columns of any projection."""
    x, y, z = path(motion.times).T
    rows, columns = motion.shifts_px(slice(None))
    aside = x * np.cos(motion.angles_rad) + y * np.sin(motion.angles_rad)
    return np.abs(rows - z).max(), np.abs(columns - aside).max()


@pytest.mark.parametrize("method", ["auto", "returns", "pairs"])
def test_a_drift_is_found(scans, method):
    """From an axis that is off, as one that was found in moving views is."""
    motion = measured(scans[settling], AXIS + 0.6, method=method)
    assert motion.moves
    assert max(errors(motion, settling)) < 0.1
    assert abs(motion.drift.axis_shift_px + 0.6) < 0.1
    assert "drifts by" in motion.notes[0]
    before, after = motion.halo_rows
    assert (before, after) == (4, 7)


@pytest.mark.parametrize("method", ["auto", "pairs"])
def test_a_sample_at_rest_is_left_alone(scans, method):
    motion = measured(scans[still], method=method, flag=True)
    assert not motion.moves
    assert motion.halo_rows == (0, 0)
    assert motion.flags == ()
    rows, columns = motion.shifts_px(slice(5, 9))
    assert rows.tolist() == columns.tolist() == [0.0] * 4


def test_nothing_is_read_unless_it_is_asked_for(scans):
    class Untouched(ViewsBehind):
        def __init__(self, scan):
            self.info = scan.info

        def _read_into(self, kind, frames, rows, out):
            raise AssertionError

    motion = measured(Untouched(scans[still]))
    assert motion.as_dict() == {"drift": None, "flags": [], "notes": []}


def test_it_comes_back_from_the_ledger_and_from_another_process(scans):
    scan = scans[settling]
    motion = measured(scan, method="auto", flag=True)
    info = scan.info
    for again in (
        Motion.from_dict(json.loads(json.dumps(motion.as_dict())), info),
        pickle.loads(pickle.dumps(motion)),
    ):
        assert (again.drift, again.flags, again.notes) == (
            motion.drift, motion.flags, motion.notes,
        )  # fmt: skip
        np.testing.assert_array_equal(again.shifts_px(slice(7, 31)), motion.shifts_px(slice(7, 31)))


def lines_of(scan, shifts, rows):
    """Line integrals of some rows after phase retrieval, frames moved back by shifts."""
    job = resolve(scan, Config())
    views = Views(scan, job, range(ROWS), StageClock()).block(slice(0, ANGLES))
    physics = job.physics()._asdict()
    (distance_m,) = physics.pop("distances_m")
    plan = PaganinFilter(ROWS, COLUMNS, distance_m=distance_m, **physics)
    retrieved = plan.apply(np.exp(-views))
    moved = move_frames(retrieved, *shifts, rows, ends=(True, True))
    return np.ascontiguousarray(-np.log(moved).swapaxes(0, 1))


def test_slices_are_those_of_a_sample_at_rest(clean):
    """And as sharp, without noise to hide it: within a few per cent of their contrast."""
    rows = range(10, 34)
    rest_scan, moving = clean[still], clean[settling]
    plan = Reconstructor(moving.info.angles_rad, COLUMNS, AXIS, acquisition="half")
    found = measured(moving, method="auto")
    assert max(errors(found, settling)) < 0.1
    x, y, z = settling(found.times).T
    angles = found.angles_rad
    true_shifts = z, x * np.cos(angles) + y * np.sin(angles)
    expected = plan.reconstruct(lines_of(rest_scan, (0.0, 0.0), rows))
    before, after, best = (
        plan.reconstruct(lines_of(moving, shifts, rows))
        for shifts in ((0.0, 0.0), found.shifts_px(slice(None)), true_shifts)
    )
    size = expected.shape[1]
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    disc = np.hypot(y, x) < 60
    contrast = expected[:, disc].std()
    off = [np.sqrt(np.mean((v - expected)[:, disc] ** 2)) / contrast for v in (before, after, best)]
    assert off[0] > 0.2
    assert off[1] < 0.15 * off[0]
    # As good as with the shifts of the simulation.
    assert off[1] < 1.2 * off[2]
    # Resolution: what both have in common of the fine structure (Fourier ring correlation).
    common = [fine_correlation(v * disc, expected * disc) for v in (before, after)]
    assert common[0] < 0.5
    assert common[1] > 0.98


def fine_correlation(slices, others):
    """Correlation of slices between 0.15 and 0.3 periods per pixel."""
    frequency = np.fft.fftfreq(slices.shape[1])
    radius = np.hypot(frequency[:, None], frequency)
    ring = (radius > 0.15) & (radius < 0.3)
    one, other = (np.fft.fft2(part)[:, ring] for part in (slices, others))
    power = np.sum(np.abs(one) ** 2) * np.sum(np.abs(other) ** 2)
    return float(np.sum(one * other.conj()).real / np.sqrt(power))


def test_sudden_motion_is_flagged_and_no_drift_is_made_of_it(scans):
    motion = measured(scans[sudden], method="auto", flag=True)
    (flag,) = motion.flags
    assert flag.kind == "sudden motion"
    first, last = flag.projections
    assert motion.times[first] <= 0.6 < motion.times[last]
    assert last - first == 1
    angle = motion.angles_rad[last]
    x, y, z = np.sqrt(0.6) * MOVED
    seen = np.hypot(z, x * np.cos(angle) + y * np.sin(angle))
    assert abs(flag.size_px - seen) < 0.15
    assert flag.confidence > 0.9
    assert not motion.moves
    assert "moved suddenly by" in motion.notes[0]
    assert motion.notes[-1] == "Such a path is not smooth: no drift is taken out."


@pytest.mark.parametrize("path", [still, settling])
def test_a_bubble_is_flagged(clean, path):
    motion = measured(Altered(clean[path], bubble=True), method="auto", flag=True)
    (flag,) = motion.flags
    assert flag.kind == "bubble"
    # Where it stands in the first view of its pair, before the sample has moved.
    assert abs(flag.row - 21) < 2.5
    assert abs(flag.size_px - 12) < 2.5
    assert flag.confidence > 0.9
    # The view at 270 degrees was first taken at 0.75, with a small bubble.
    assert flag.times[0] >= 0.5
    assert flag.times[1] == 1.0
    assert "A bubble of" in motion.notes[0]


def test_what_is_not_measured_is_said(scans):
    scan = scans[settling]
    job = resolve(scan, Config(motion={"method": "returns"}))
    nothing = {"return_angles_rad": np.empty(0), "return_index": np.empty(0)}
    for changes, why in (
        (nothing, "it has no views taken again at its end"),
        ({"projection_z_um": np.arange(float(ANGLES))}, "its sample moves up on purpose"),
    ):
        other = replace(job, info=replace(job.info, **changes))
        motion = measure_motion(scan, other, AXIS, StageClock(), Silent())
        assert not motion.moves
        assert why in motion.notes[0]


def test_views_behind_the_projections(scans):
    """Blocks across the border between projections and returns read what the parts read."""
    scan = scans[settling]
    behind = ViewsBehind(scan, resolve(scan, Config()))
    rows = slice(3, 9)
    whole = np.concatenate([
        scan.read_projections(slice(0, ANGLES), rows), scan.read_returns(rows)
    ])  # fmt: skip
    for views in (slice(0, 4), slice(ANGLES - 3, ANGLES + 2), slice(ANGLES + 1, ANGLES + 4)):
        np.testing.assert_array_equal(behind.read_projections(views, rows), whole[views])
    assert behind.like[-4:].tolist() == [0, 60, 120, 180]


def test_on_a_device(scans, device):
    """The same drift and flags, to rounding."""
    scan = scans[settling]
    expected = measured(scan, method="returns", flag=True)
    found = measured(scan, method="returns", flag=True, device=Device(device))
    for one, other in zip(found.shifts_px(slice(None)), expected.shifts_px(slice(None))):
        np.testing.assert_allclose(one, other, atol=1e-3)
    assert [flag.kind for flag in found.flags] == [flag.kind for flag in expected.flags]
