"""Helical scans as tall scans of one turn: against the truth and against scans that only turn."""

from __future__ import annotations

import pickle
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import zarr
from scipy.ndimage import binary_dilation

from hipct.acquisition.open import open_scan
from hipct.acquisition.scan import Scan, ScanInfo
from hipct.core.errors import InputError, MissingMetadata
from hipct.core.progress import Silent
from hipct.pipeline.config import Config
from hipct.pipeline.estimates import estimate_axis, prepared_rows
from hipct.pipeline.helix import HelicalScan, helical_config
from hipct.pipeline.job import resolve
from hipct.pipeline.organ import Part
from hipct.pipeline.report import StageClock
from hipct.pipeline.run import reconstruct
from hipct.pipeline.virtual import Source, source_config
from hipct.reconstruction.reconstructor import Reconstructor
from hipct.simulation import Organ, load_truth, simulate_helix, simulate_scan
from hipct.simulation.primitives import ellipsoid
from hipct.simulation.scan import delta_per_mu_cm

PLAIN = Config(phase={"method": "none"})
ALL = slice(None)


def sample(radius_um, height_um):
    """A body that leaves room between its edges."""
    r, h = radius_um, height_um
    return Organ.of(
        ellipsoid((0, 0, 0), (0.93 * r, 0.88 * r, 1.2 * h), mu=0.05),
        ellipsoid((0.35 * r, 0.2 * r, 0.1 * h), (0.3 * r, 0.35 * r, 0.35 * h), mu=0.02),
        ellipsoid((-0.4 * r, -0.2 * r, -0.1 * h), (0.25 * r, 0.3 * r, 0.3 * h), mu=-0.015),
    ).with_delta(delta_per_mu_cm(300.0, 90.0))


class Spiral:
    """A simulated helix, its organ in a scan that only turns, and the truth."""

    def __init__(self, folder, config, angles, **options):
        settings = {
            "columns": 64, "noise": None, "drift": 0.0, "rings": 0.0, "flats": 2, "darks": 2,
            "axis": 46.3, **options,
        }  # fmt: skip
        self.config, pixel_um = config, options.get("pixel_size_um", 20.0)
        settings["organ"] = sample(46.3 * pixel_um, 24.0 * pixel_um)
        path = simulate_helix(
            folder / "h.zarr", rows=24, pitch_px=8.7, turns=3.2, angles_per_turn=angles, **settings
        )
        self.truth = load_truth(path)
        tall = simulate_scan(
            folder / "c.zarr", rows=self.truth.setup.rows, angles=angles, **settings,
        )  # fmt: skip
        self.raw, self.circular = open_scan(path), open_scan(tall)
        self.scan = HelicalScan(self.raw, config)
        middle = self.scan.info.rows // 2
        self.rows = range(middle - 1, middle + 2)
        self._off_edges()

    @property
    def transmission(self):
        """Of the circular scan, in the rows of the helical one."""
        rows = range(self.scan.first_row, self.scan.first_row + self.scan.info.rows)
        source = Source(self.circular, source_config(self.config))
        return source.frames(slice(0, self.circular.info.projections), rows)

    def slices(self, scan, config, rows, size=None):
        job = resolve(scan, config)
        lines = prepared_rows(scan, job, rows, StageClock())
        pixel = self.truth.setup.pixel_size_um
        engine = Reconstructor(
            job.info.angles_rad, 64, self.truth.setup.axis_px, pixel_size_um=pixel,
            acquisition="half", size=size or self.size,
        )  # fmt: skip
        return engine.reconstruct(lines)

    def both(self):
        above = [row + self.scan.first_row for row in self.rows]
        return (
            self.slices(self.scan, helical_config(self.config), self.rows),
            self.slices(self.circular, self.config, range(above[0], above[-1] + 1)),
        )

    def _off_edges(self):
        """Voxels of the disc of 0.95 of the radius, 4 px away from every edge of the truth."""
        radius = self.truth.setup.axis_px
        self.size = 2 * int(radius) + 1
        place = np.arange(self.size) - (self.size - 1) / 2
        disc = np.hypot(place, place[:, None]) < 0.95 * radius
        first = self.rows[0] + self.scan.first_row
        # Resampled rows see edges that lie a few rows away.
        around = self.truth.volume(slice(first - 3, first + len(self.rows) + 3), size=self.size)
        self.volume = around[3:-3]
        edges = np.zeros(around.shape, bool)
        for axis in range(3):
            steps = np.abs(np.diff(around, axis=axis)) > 1e-4
            for part in (slice(1, None), slice(None, -1)):
                edges[(slice(None),) * axis + (part,)] |= steps
        edges = binary_dilation(edges, np.ones((7, 1, 1)))[3:-3]
        self.body = disc & ~np.array([binary_dilation(layer, iterations=4) for layer in edges])
        self.mu = float(np.median(self.volume[:, disc]))

    def rms(self, found, wanted):
        difference = (found - wanted)[self.body]
        return float(np.sqrt(np.mean(difference**2)) / self.mu)


@pytest.fixture(scope="module")
def spiral(tmp_path_factory):
    """Much absorption and no propagation: what counts is the geometry."""
    folder = tmp_path_factory.mktemp("spiral")
    return Spiral(folder, PLAIN, 240, pixel_size_um=200.0, propagation=False, seed=1)


@pytest.fixture(scope="module")
def fresnel(tmp_path_factory):
    """The same with the fringes of free space."""
    config = Config(phase={"delta_beta": 300.0})
    folder = tmp_path_factory.mktemp("fresnel")
    return Spiral(folder, config, 120, delta_beta=300.0, distance_m=8.0, seed=1)


def test_slices_are_those_of_a_circular_scan(spiral):
    """rms over mu: 2e-3 to the circular scan, and no further from the truth than that one."""
    helical, circular = spiral.both()
    assert np.mean(spiral.volume[spiral.body] > 0.5 * spiral.mu) > 0.05
    assert spiral.rms(helical, circular) < 2e-3
    to_truth = spiral.rms(circular, spiral.volume)
    assert to_truth < 3e-3
    assert spiral.rms(helical, spiral.volume) < to_truth + 2e-4


def test_fringes_of_all_turns_agree(fresnel):
    """Transmission, propagated, and what phase retrieval makes of it on the tall scan."""
    found = fresnel.scan.read_projections(ALL, ALL)
    error = np.log(found / fresnel.transmission)
    largest = -np.log(fresnel.transmission).min()
    assert np.sqrt(np.mean(error**2)) < 1.2e-2 * largest
    helical, circular = fresnel.both()
    assert fresnel.rms(helical, circular) < 1.5e-3


def test_transmission_may_be_combined_as_line_integrals_may(fresnel):
    """Without noise the two differ by the square of what turns differ by, which is little."""
    scan, raw = fresnel.scan, Source(fresnel.raw, source_config(PLAIN))
    lines = -np.log(raw.frames(slice(0, fresnel.raw.info.projections), range(24)))
    rows = range(scan.first_row, scan.first_row + scan.info.rows)
    slab = scan.helix.slab(rows)
    sums = np.zeros((len(rows), slab.angles, 64), np.float32)
    for block in slab.blocks(200):
        slab.add(lines[block.start : block.stop], block, sums)
    combined = -np.log(scan.read_projections(ALL, ALL)).transpose(1, 0, 2)
    error = combined - sums
    assert np.sqrt(np.mean(error**2)) < 1e-4 * sums.max()
    assert np.abs(error).max() < 2e-3 * sums.max()


def test_the_axis_is_found(spiral):
    job = resolve(spiral.scan, helical_config(PLAIN))
    estimate = estimate_axis(spiral.scan, Part(job), StageClock(), Silent())
    assert estimate.value == pytest.approx(spiral.truth.setup.axis_px, abs=0.02)


def test_a_helix_runs_through_to_the_volume(tmp_path, spiral):
    settings = {"scan": {"first_row": spiral.rows.start, "last_row": spiral.rows.stop}}
    volume = {"chunk": 32, "window": [-0.02, 0.12]}
    config = Config(phase={"method": "none"}, volume=volume, **settings)
    result = reconstruct(spiral.scan, tmp_path / "v.ome.zarr", helical_config(config))
    grey = zarr.open_group(result.path, mode="r")["0"][:]
    found = grey * result.window.scale + result.window.offset
    side = found.shape[1]
    wanted = spiral.slices(spiral.scan, helical_config(PLAIN), spiral.rows, size=side)
    place = np.arange(side) - (side - 1) / 2
    inside = np.hypot(place, place[:, None]) < 0.95 * spiral.truth.setup.axis_px
    difference = (found - wanted)[:, inside]
    assert np.sqrt(np.mean(difference**2)) < 1e-3 * spiral.mu


def test_the_tall_scan_says_where_it_stands(spiral):
    info, raw, truth = spiral.scan.info, spiral.raw.info, spiral.truth
    pixel = truth.setup.pixel_size_um
    assert (info.kind, info.acquisition, info.flats) == ("transmission", "half", 0)
    assert info.projection_z_um is None
    np.testing.assert_allclose(info.angles_rad, raw.angles_rad[: info.projections], atol=1e-9)
    first_um = raw.projection_z_um.min() - (raw.rows - 1) / 2 * pixel
    row_um = info.z_um - (info.rows - 1) / 2 * pixel
    assert row_um == pytest.approx(first_um + spiral.scan.first_row * pixel)


def test_a_tall_scan_goes_to_other_processes(spiral):
    again = pickle.loads(pickle.dumps(spiral.scan))
    part = slice(100, 105), slice(4, 9)
    np.testing.assert_array_equal(
        again.read_projections(*part), spiral.scan.read_projections(*part)
    )


class Frames(Scan):
    """A helical scan in memory, which counts the frames that are read."""

    def __init__(self, frames, theta, z_um, *, flats=None, pixel_size_um=2.0, **metadata):
        self.frames = {"projections": frames, "flats": flats, "darks": None}
        self.read = set()
        self.info = ScanInfo(
            projections=len(frames), rows=frames.shape[1], columns=frames.shape[2],
            dtype=frames.dtype, angles_rad=theta, pixel_size_um=pixel_size_um,
            acquisition="half", projection_z_um=z_um, source="helix",
            flat_index=np.empty(0) if flats is None else -np.arange(1.0, len(flats) + 1),
            kind="transmission" if flats is None else "counts", **metadata,
        )  # fmt: skip

    def _read_into(self, kind, frames, rows, out):
        if kind == "projections":
            self.read |= set(range(frames.start, frames.stop))
        out[...] = self.frames[kind][frames, rows]


def waves(theta, row, rows, columns):
    """Transmission of smooth waves that turn, in organ rows from ``row`` on."""
    z = row[:, None, None] + np.arange(rows)[:, None]
    x = np.arange(columns)
    turning = np.sin(0.3 * x + 0.2 * z + 3 * np.sin(theta)[:, None, None])
    return (0.6 + 0.15 * turning + 0.1 * np.cos(0.25 * z)).astype(np.float32)


def helix(per_turn=60.0, turns=6.0, pitch=9.3, rows=140, columns=40, **metadata):
    """A helix, 60 or so angles and 9.3 rows a turn."""
    number = np.arange(int(turns * per_turn))
    theta = 0.3 + number * 2 * np.pi / per_turn
    row = number * pitch / per_turn
    row -= row.min()
    return Frames(waves(theta, row, rows, columns), theta, 1000 + 2.0 * row, **metadata)


@pytest.mark.parametrize("turning", [
    {}, {"pitch": -9.3}, {"per_turn": 60.37}, {"pitch": 40.0},
], ids=["up", "down", "between angles", "steep"])  # fmt: skip
def test_blocks_are_cut_from_one_whole_and_read_no_more_than_they_need(turning):
    raw = helix(**turning)
    config = Config(phase={"method": "none"}, repair={"zinger_threshold": 0.4})
    scan = HelicalScan(raw, config)
    whole = scan.read_projections(ALL, ALL)
    rows = scan.first_row + np.arange(scan.info.rows)
    wanted = waves(scan.info.angles_rad, np.zeros(60), rows[-1] + 1, 40)[:, rows]
    assert np.sqrt(np.mean((whole - wanted)[:, 4:-4] ** 2)) < 4e-3
    height = scan.info.rows
    for angles, part in ((slice(0, 60), slice(7, 8)), (slice(13, 19), slice(2, height - 5))):
        raw.read.clear()
        np.testing.assert_array_equal(scan.read_projections(angles, part), whole[angles, part])
        share = (angles.stop - angles.start + 2) / 60
        assert len(raw.read) <= share * raw.info.projections + 12


def test_turns_are_averaged_before_the_logarithm():
    """Noise of 30 % biases the logarithm of one frame by 4.5 %, that of the mean less."""
    rng = np.random.default_rng(4)
    raw = helix(pitch=2.0, rows=24, turns=10, columns=64)
    raw.frames["projections"] = 0.4 * (
        1 + 0.3 * rng.uniform(-np.sqrt(3), np.sqrt(3), raw.frames["projections"].shape)
    ).astype(np.float32)
    scan = HelicalScan(raw, PLAIN)
    single = -np.log(raw.frames["projections"]).mean() + np.log(0.4)
    combined = -np.log(scan.read_projections(ALL, slice(4, -4 + scan.info.rows))).mean()
    assert single > 0.045
    assert abs(combined + np.log(0.4)) < 0.3 * single


def test_flats_zingers_and_borders_are_settled_frame_by_frame():
    clean = HelicalScan(helix(rows=30), PLAIN).read_projections(ALL, ALL)
    raw = helix(rows=30)
    gain = np.random.default_rng(2).uniform(0.8, 1.2, (30, 40))
    frames = raw.frames["projections"] * 40_000 * gain
    frames[150, 20, 11] = 65_000
    frames[:, 0] = 3
    flats = np.repeat(np.rint(40_000 * gain)[None], 3, axis=0).astype(np.uint16)
    spoilt = Frames(
        np.rint(frames).astype(np.uint16), raw.info.angles_rad, raw.info.projection_z_um,
        flats=flats,
    )  # fmt: skip
    config = Config(
        phase={"method": "none"}, repair={"zinger_threshold": 0.3}, helical={"border_rows": 5}
    )
    scan = HelicalScan(spoilt, config)
    first = scan.first_row - HelicalScan(helix(rows=30), PLAIN).first_row
    assert first == 5
    found = scan.read_projections(ALL, ALL)
    assert np.sqrt(np.mean((found - clean[:, first : first + scan.info.rows]) ** 2)) < 4e-3
    assert helical_config(config).repair.zinger_threshold == 0


@pytest.mark.parametrize("flats", [0, 12])
def test_memory_is_what_was_declared(flats):
    """Flats are reduced band by band, and what is kept of them is that of the detector."""
    raw = helix(per_turn=100.0, columns=128, rows=192, pitch=60.0, turns=5)
    if flats:
        counts = (raw.frames["projections"] * 1000).astype(np.uint16)
        open_beam = np.full((flats, *counts.shape[1:]), 1000, np.uint16)
        raw = Frames(counts, raw.info.angles_rad, raw.info.projection_z_um, flats=open_beam)
    scan = HelicalScan(raw, PLAIN)
    HelicalScan(raw, PLAIN).read_projections(slice(0, 3), slice(0, 3))
    out = np.empty((60, 64, 128), np.float32)
    tracemalloc.start()
    scan.read_projections(slice(3, 63), slice(40, 104), out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    declared = scan.work_bytes(60, 64)
    assert 0.4 * declared < peak < declared


@pytest.mark.parametrize(("change", "error", "words"), [
    ({"projection_z_um": None}, InputError, "is no helical scan"),
    ({"pixel_size_um": None}, MissingMetadata, "A helical scan needs the effective pixel size"),
    ({"angles_rad": np.sin(np.arange(360.0))}, InputError, "as a helical scan. The angles .* back"),
    ({"projection_z_um": np.arange(360.0) * 20}, InputError, "No organ row .* is seen from all"),
])  # fmt: skip
def test_helices_that_cannot_be(change, error, words):
    raw = helix(rows=24)
    raw.info = replace(raw.info, **change)
    with pytest.raises(error, match=words):
        HelicalScan(raw, PLAIN)


def test_counts_without_flats_are_refused():
    raw = helix(rows=24)
    raw.info = replace(raw.info, kind="counts")
    with pytest.raises(InputError, match="holds counts and no flats"):
        HelicalScan(raw, PLAIN).read_projections(slice(0, 1), slice(0, 1))
