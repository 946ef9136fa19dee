"""Quarter-acquisitions as one wide scan: against the truth, and against a wide detector."""

from __future__ import annotations

import json
import pickle
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import zarr
from scipy.ndimage import binary_dilation

from hipct.acquisition.open import open_scan
from hipct.acquisition.scan import Scan, ScanInfo
from hipct.acquisition.series import Member, open_series
from hipct.core.errors import InputError
from hipct.core.progress import Silent
from hipct.pipeline.annuli import JoinedScan, join_station, joined_config
from hipct.pipeline.annuli_offset import AngleMatch
from hipct.pipeline.config import Config
from hipct.pipeline.estimates import estimate_axis, prepared_rows
from hipct.pipeline.job import resolve
from hipct.pipeline.organ import Part
from hipct.pipeline.report import StageClock
from hipct.pipeline.run import reconstruct
from hipct.pipeline.virtual import blocks_of
from hipct.reconstruction.reconstructor import Reconstructor
from hipct.simulation import Organ, load_series_truth, simulate_series, simulate_whole
from hipct.simulation.primitives import ellipsoid

PLAIN = Config(phase={"method": "none"})
ANGLES, ROWS, COLUMNS, PIXEL_UM = 480, 12, 72, 200.0
SLICES = range(5, 8)
ALL = slice(None)


def sample(radius_um, height_um):
    """A body that leaves room between its edges."""
    r, h = radius_um, height_um
    return Organ.of(
        ellipsoid((0, 0, 0), (0.93 * r, 0.88 * r, 1.2 * h), mu=0.05),
        ellipsoid((0.4 * r, 0.25 * r, 0.1 * h), (0.3 * r, 0.35 * r, 0.4 * h), mu=0.02),
        ellipsoid((-0.45 * r, -0.2 * r, 0), (0.25 * r, 0.3 * r, 0.3 * h), mu=-0.015),
        ellipsoid((0.1 * r, -0.55 * r, 0), (0.08 * r, 0.1 * r, 0.2 * h), mu=0.02),
        ellipsoid((-0.1 * r, 0.05 * r, 0), (0.06 * r, 0.08 * r, 0.2 * h), mu=0.02),
    )


class Quarter:
    """A simulated height, the same from a detector that is wide enough, and the truth."""

    def __init__(self, folder):
        options = {"angles": ANGLES, "overwrite": True}
        self.path = simulate_series(
            folder / "a.series.zarr", acquisition="quarter", sub_scans=1, rows=ROWS,
            columns=COLUMNS, axis=50.4, join_error_px=3.0, noise=None, drift=0.0, rings=0.0,
            organ=sample(89.0 * PIXEL_UM, ROWS * PIXEL_UM), propagation=False,
            pixel_size_um=PIXEL_UM, flats=3, darks=2, seed=0, **options,
        )  # fmt: skip
        self.wide = open_scan(simulate_whole(self.path, folder / "w.zarr", **options))
        self.truth = load_series_truth(self.path)
        self.station = open_series(self.path).stations[0]
        inner, outer = self.truth.placements
        self.offset = inner.axis_px - outer.axis_px
        self.axis = inner.axis_px
        self.body = self._off_edges()

    def slices(self, scan, axis, size):
        job = resolve(scan, joined_config(PLAIN) if isinstance(scan, JoinedScan) else PLAIN)
        lines = prepared_rows(scan, job, SLICES, StageClock())
        engine = Reconstructor(
            job.info.angles_rad, job.info.columns, axis, pixel_size_um=PIXEL_UM,
            acquisition="half", size=size,
        )  # fmt: skip
        return engine.reconstruct(lines)

    def _off_edges(self):
        """Voxels of the disc of 0.95 of the radius, 4 px away from every edge of the truth."""
        radius = self.truth.whole.setup.axis_px
        self.size = 2 * int(radius) + 1
        place = np.arange(self.size) - (self.size - 1) / 2
        disc = np.hypot(place, place[:, None]) < 0.95 * radius
        disc = np.broadcast_to(disc, (len(SLICES), *disc.shape))
        around = self.truth.volume(slice(SLICES.start - 1, SLICES.stop + 1), size=self.size)
        self.volume = around[1:-1]
        self.mu = float(np.median(self.volume[disc]))
        edges = np.zeros(around.shape, bool)
        for axis in range(3):
            steps = np.abs(np.diff(around, axis=axis)) > 1e-4
            for part in (slice(1, None), slice(None, -1)):
                edges[(slice(None),) * axis + (part,)] |= steps
        near = [binary_dilation(layer, iterations=4) for layer in edges[1:-1]]
        return disc & ~np.array(near)

    def rms(self, found, wanted):
        difference = (found - wanted)[self.body]
        return float(np.sqrt(np.mean(difference**2)) / self.mu)


@pytest.fixture(scope="module")
def quarter(tmp_path_factory):
    return Quarter(tmp_path_factory.mktemp("quarter"))


@pytest.fixture(scope="module")
def joined(quarter):
    return join_station(quarter.station, PLAIN, StageClock(), Silent())


def test_the_offset_is_found_where_the_motors_are_off(quarter, joined):
    found = joined.found
    assert abs(found["motors_px"][1] - quarter.offset) > 1.0
    assert found["offset_px"] == [0.0, pytest.approx(quarter.offset, abs=0.06)]
    assert (found["method"], found["inner"], found["outer"]) == (
        "correlation", "scan-000", "scan-001",
    )  # fmt: skip
    assert found["confidence"] > 0.99
    info = joined.info
    assert (info.acquisition, info.kind, info.flats) == ("half", "transmission", 0)
    assert info.rotation_axis_px == pytest.approx(joined.join.axis(quarter.axis), abs=0.1)
    assert info.z_um == quarter.station[0].info.z_um
    assert "by correlation" in info.notes[-1]


def test_joined_annuli_are_the_scan_of_a_wide_detector(quarter, joined):
    """rms over mu against the wide scan and against the truth: 3e-3 at most."""
    axis = joined.join.axis(quarter.axis)
    slices = quarter.slices(joined, axis, quarter.size)
    wide = quarter.slices(quarter.wide, quarter.truth.whole.setup.axis_px, quarter.size)
    assert np.mean(quarter.volume[quarter.body] > 0.5 * quarter.mu) > 0.1
    assert quarter.rms(slices, wide) < 2e-3
    assert quarter.rms(slices, quarter.volume) < 3e-3
    # What the correlation has mended: the motors alone are seen in the same figure.
    config = PLAIN.model_copy(
        update={"quarter": PLAIN.quarter.model_copy(update={"refine": False})}
    )
    wrong = join_station(quarter.station, config, StageClock(), Silent())
    assert wrong.found["method"] == "motors"
    off = quarter.slices(wrong, wrong.join.axis(quarter.axis), quarter.size)
    assert quarter.rms(off, quarter.volume) > 5e-3


def test_the_axis_of_the_joined_scan_is_found(quarter, joined):
    job = resolve(joined, joined_config(PLAIN))
    estimate = estimate_axis(joined, Part(job), StageClock(), Silent())
    assert estimate.value == pytest.approx(joined.join.axis(quarter.axis), abs=0.02)


def test_a_joined_scan_runs_through_to_the_volume(tmp_path, quarter, joined):
    settings = {"scan": {"first_row": SLICES.start, "last_row": SLICES.stop}}
    volume = {"chunk": 32, "window": [-0.02, 0.12]}
    config = Config(phase={"method": "none"}, volume=volume, **settings)
    result = reconstruct(joined, tmp_path / "v.ome.zarr", joined_config(config))
    grey = zarr.open_group(result.path, mode="r")["0"][:]
    found = grey * result.window.scale + result.window.offset
    assert result.axis == pytest.approx(joined.join.axis(quarter.axis), abs=0.02)
    off = (found.shape[1] - quarter.size) // 2
    inside = found[:, off : off + quarter.size, off : off + quarter.size]
    assert quarter.rms(inside, quarter.volume) < 3e-3


def test_what_was_found_is_not_sought_again(quarter, joined, monkeypatch):
    known = json.loads(json.dumps(joined.found))
    monkeypatch.setattr("hipct.pipeline.annuli.find_annuli", None)
    again = join_station(quarter.station, PLAIN, StageClock(), Silent(), known=known)
    part = slice(3, 9), slice(2, 5)
    np.testing.assert_array_equal(again.read_projections(*part), joined.read_projections(*part))
    assert again.info.rotation_axis_px == joined.info.rotation_axis_px


def test_a_joined_scan_goes_to_other_processes(joined):
    again = pickle.loads(pickle.dumps(joined))
    part = slice(100, 105), slice(4, 9)
    np.testing.assert_array_equal(again.read_projections(*part), joined.read_projections(*part))
    assert again.info.columns == joined.info.columns


class Frames(Scan):
    """A scan in memory."""

    def __init__(self, frames, angles, name, *, flats=None, **metadata):
        self.frames = {"projections": frames, "flats": flats, "darks": None}
        self.info = ScanInfo(
            projections=len(frames), rows=frames.shape[1], columns=frames.shape[2],
            dtype=frames.dtype, angles_rad=angles, acquisition="half", pixel_size_um=1.0,
            flat_index=np.empty(0) if flats is None else -np.arange(1.0, len(flats) + 1),
            kind="transmission" if flats is None else "counts", source=name, name=name, **metadata,
        )  # fmt: skip
        self.angle_chunk = 4

    def _read_into(self, kind, frames, rows, out):
        out[...] = self.frames[kind][frames, rows]


def views(angles, rows, columns, *, row=0.0, column=0.0):
    """Transmission of smooth waves that turn, seen by a detector that lies at (row, column)."""
    z = np.arange(rows)[:, None] + row
    x = np.arange(columns) + column
    waves = [
        np.sin(u * x + v * z + (phase + 5 * np.sin(angles + phase))[:, None, None])
        for u, v, phase in ((0.31, 0.2, 0.0), (0.45, -0.33, 1.3), (0.21, 0.41, 2.9))
    ]
    return (0.6 + 0.1 * sum(waves)).astype(np.float32)


def member(scan, lateral_um, offset_px=0.0, number=0):
    return Member(f"scan-{number:03d}", scan, scan.info.source, offset_px, 0.0, lateral_um)


def pair(offset=(0.0, -40.6), *, columns=96, rows=24, angles=48, outer_angles=None, **given):
    """Two annuli in memory, the first one with the axis; its hint says so."""
    theta = np.arange(angles) * 2 * np.pi / angles
    other = theta if outer_angles is None else outer_angles
    inner = Frames(views(theta, rows, columns), theta, "one", rotation_axis_px=85.0, **given)
    outer = Frames(
        views(other, rows, columns, row=offset[0], column=offset[1]), other, "two", **given
    )
    return [member(inner, 0.0, number=0), member(outer, 40.0, number=1)]


def quarter_config(**settings):
    return Config(phase={"method": "none"}, quarter=settings)


def joined_frames(station, config, **changes):
    scan = join_station(station, config, StageClock(), Silent(), **changes)
    return scan, scan.read_projections(ALL, ALL)


def seamless(scan, frames, theta, *, row=0.0):
    """Root mean square difference to what a wide detector sees."""
    rows, columns = frames.shape[1:]
    wanted = views(theta, rows, columns, row=row, column=-scan.join.axis(0.0))
    return float(np.sqrt(np.mean((frames - wanted)[:, 4:-4, 4:-4] ** 2)))


@pytest.mark.parametrize("offset", [(0.0, -40.6), (1.7, -38.25), (-2.3, -41.0)])
def test_blocks_are_cut_from_one_whole_whatever_their_size(offset):
    station = pair(offset)
    station[1] = replace(station[1], offset_px=offset[0])
    config = Config(
        phase={"method": "none"}, quarter={"offset_px": offset}, repair={"zinger_threshold": 0.3}
    )
    scan, whole = joined_frames(station, config)
    first, last = max(0, round(offset[0])), 24 + min(0, round(offset[0]))
    assert (scan.info.rows, scan.first_row) == (last - first, first)
    assert scan.info.z_um is None
    for angles, rows in ((slice(0, 48), slice(5, 6)), (slice(7, 31), slice(0, 9))):
        np.testing.assert_array_equal(scan.read_projections(angles, rows), whole[angles, rows])
    theta = np.arange(48) * 2 * np.pi / 48
    assert seamless(scan, whole, theta, row=first) < 4e-3


def test_the_inner_annulus_may_lie_at_the_larger_lateral_position():
    """The axis at the left edge: the outer annulus goes on to the right."""
    theta = np.arange(48) * 2 * np.pi / 48
    inner = Frames(views(theta, 24, 96), theta, "one", rotation_axis_px=8.0)
    outer = Frames(views(theta, 24, 96, column=40.6), theta, "two")
    station = [member(outer, 0.0, number=0), member(inner, 40.0, number=1)]
    scan, frames = joined_frames(station, quarter_config())
    assert scan.found["inner"] == "scan-001"
    assert scan.found["offset_px"][1] == pytest.approx(40.6, abs=0.05)
    assert scan.info.rotation_axis_px == 8.0
    assert seamless(scan, frames, theta) < 4e-3


STEP = 2 * np.pi / 480
THETA = np.arange(480) * STEP


@pytest.mark.parametrize(("angles", "interpolates"), [
    (THETA, False),
    (THETA[::-1], False),
    (THETA[100:] - 3.0 * np.pi, False),
    (np.roll(THETA, 37), False),
    (np.arange(483) * 2 * np.pi / 483, True),
    (THETA + 0.37 * STEP, True),
    (np.delete(THETA, 200), True),
    (np.append(THETA, 2 * np.pi), False),
], ids=["same", "backwards", "whole turns on", "rolled", "three more",
        "later", "one missing", "end"])  # fmt: skip
def test_angles_of_the_annuli_are_matched(angles, interpolates):
    """Also where numbers and starts differ: by interpolation between neighbours."""
    if len(angles) == 380:
        angles = np.concatenate([THETA[:100] + np.pi, angles])
    theta = np.arange(480) * STEP
    station = pair(angles=480, outer_angles=angles, rows=16)
    match = AngleMatch.of(station[0].info, station[1].info)
    assert match.interpolates == interpolates
    scan, frames = joined_frames(station, quarter_config(offset_px=(0.0, -40.6)))
    part = scan.read_projections(slice(97, 203), slice(3, 9))
    np.testing.assert_array_equal(part, frames[97:203, 3:9])
    assert seamless(scan, frames, theta) < 4e-3


def test_missing_angles_are_named():
    angles = np.delete(THETA, slice(200, 210))
    with pytest.raises(InputError, match="8 of the 480 angles of one are missing in two: "):
        joined_frames(pair(angles=480, outer_angles=angles), quarter_config())


def test_what_shows_nothing_is_joined_by_the_motors_and_says_so():
    theta = np.arange(48) * 2 * np.pi / 48
    rng = np.random.default_rng(1)
    empty = [
        Frames(rng.normal(0.8, 0.01, (48, 24, 96)).astype(np.float32), theta, name)
        for name in ("one", "two")
    ]
    station = [member(scan, 40.0 * k, number=k) for k, scan in enumerate(empty)]
    station[0].scan.override(rotation_axis_px=85.0)
    scan = join_station(station, quarter_config(), StageClock(), Silent())
    assert scan.found["method"] == "motors"
    assert scan.found["offset_px"] == scan.found["motors_px"] == [0.0, -40.0]
    assert any("taken from the motors" in note for note in scan.info.notes)


def test_without_an_axis_the_inner_annulus_is_where_the_sample_is_thicker():
    theta = np.arange(48) * 2 * np.pi / 48
    station = pair()
    for k, (one, level) in enumerate(zip(station, (0.9, 0.5))):
        scan = one.scan
        frames = scan.frames["projections"] * np.float32(level)
        station[k] = replace(one, scan=Frames(frames, theta, scan.info.source))
    scan = join_station(station, quarter_config(), StageClock(), Silent())
    assert scan.found["inner"] == "scan-001"
    assert any("thicker" in note for note in scan.info.notes)
    assert scan.info.rotation_axis_px is None


def test_repairs_are_made_once_before_the_annuli_are_resampled():
    """A zinger and a dead pixel of either annulus leave no trace; flats are divided out."""
    station = pair((0.0, -40.6))
    spoilt = []
    rng = np.random.default_rng(2)
    for k, one in enumerate(station):
        gain = rng.uniform(0.8, 1.2, (24, 96))
        gain[7, 20] = 1e-3
        flats = np.repeat(np.rint(40_000 * gain)[None], 3, axis=0).astype(np.uint16)
        frames = np.rint(one.scan.frames["projections"] * 40_000 * gain)
        frames[5 + k, 11, 33] = 60_000
        scan = Frames(frames.astype(np.uint16), one.info.angles_rad, "counts", flats=flats,
                      rotation_axis_px=85.0 if k == 0 else None)  # fmt: skip
        spoilt.append(replace(one, scan=scan))
    config = Config(phase={"method": "none"}, repair={"zinger_threshold": 0.2},
                    quarter={"offset_px": (0.0, -40.6)}, flat={"air_columns": 3})  # fmt: skip
    _, clean = joined_frames(station, quarter_config(offset_px=(0.0, -40.6)))
    _, found = joined_frames(spoilt, config)
    assert np.abs(found - clean).max() < 0.05
    assert np.sqrt(np.mean((found - clean) ** 2)) < 1e-3
    rest = joined_config(config)
    assert rest.repair.zinger_threshold == 0
    assert rest.flat.air_columns == 3
    assert rest.phase == config.phase


@pytest.mark.parametrize("settings", [{}, {"offset_px": (1.4, -200.0)}], ids=["columns", "rows"])
def test_memory_is_what_was_declared(settings):
    station = pair(angles=240, rows=64, columns=256, outer_angles=np.arange(242) * np.pi / 121)
    station[1] = replace(station[1], lateral_um=200.0)
    scan = join_station(station, quarter_config(refine=False, **settings), StageClock(), Silent())
    scan.read_projections(slice(0, 3), slice(0, 3))
    out = np.empty((128, 40, scan.info.columns), np.float32)
    tracemalloc.start()
    scan.read_projections(slice(3, 131), slice(10, 50), out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    declared = scan.work_bytes(128, 40)
    assert 0.4 * declared < peak < declared
    assert declared < out.nbytes


def test_blocks_end_where_chunks_do():
    assert blocks_of(slice(0, 9), 4) == [slice(0, 4), slice(4, 8), slice(8, 9)]
    assert blocks_of(slice(5, 6), 4) == [slice(5, 6)]


def broken(change):
    station = pair()
    if change == "three":
        return [*station, station[0]], {}
    if change == "helical":
        info = replace(station[0].info, projection_z_um=np.arange(48.0))
        station[0].scan.info = info
    if change == "far":
        station[1] = replace(station[1], lateral_um=90.0)
    if change == "same place":
        station[1] = replace(station[1], lateral_um=0.0)
    if change == "rows":
        station[1] = replace(station[1], scan=pair(rows=20)[1].scan)
    if change == "higher":
        return station, {"offset_px": (30.0, -40.6)}
    if change == "no flats":
        info = station[0].info
        station[0].scan.info = replace(info, kind="counts")
    return station, {}


@pytest.mark.parametrize(("change", "words"), [
    ("three", "two annuli at each height, and here are 3"),
    ("helical", "helical scans at one height"),
    ("far", "scan-000 and scan-001 cannot be joined. .* have 0 columns in common"),
    ("same place", "has to go beyond"),
    ("rows", "has 24 rows and two 20"),
    ("higher", "have none in common"),
    ("no flats", "holds counts and no flats"),
])  # fmt: skip
def test_annuli_that_cannot_be_joined(change, words):
    station, settings = broken(change)
    with pytest.raises(InputError, match=words):
        joined_frames(station, quarter_config(**settings))


def test_scans_in_memory_cannot_be_sent():
    scan = join_station(pair(), quarter_config(), StageClock(), Silent())
    with pytest.raises(InputError, match="lives in this process alone"):
        pickle.dumps(scan)
