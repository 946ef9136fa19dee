"""Transmission of some rows: distortion, the order of what is corrected, what is counted."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from hipct.acquisition.scan import Scan, ScanInfo
from hipct.core.device import HOST
from hipct.core.errors import ConfigError, InputError
from hipct.core.progress import Silent
from hipct.phase import PaganinFilter
from hipct.pipeline.backend import run_device
from hipct.pipeline.config import Config
from hipct.pipeline.corrections_measure import measure_corrections
from hipct.pipeline.job import resolve
from hipct.pipeline.organ import Part
from hipct.pipeline.preparation import TilePreparation
from hipct.pipeline.report import StageClock
from hipct.pipeline.transmission import Transmission
from hipct.preparation.counts import PixelCounts
from hipct.preparation.distortion import radial_displacement
from hipct.preparation.linearise import line_integral
from hipct.reconstruction.reconstructor import Reconstructor

ROWS, COLUMNS, ANGLES = 60, 72, 90
CENTRE, COEFFICIENTS = (33.0, 30.0), (1.0, 2e-4, 3e-5)
THETA = np.arange(ANGLES) * np.pi / ANGLES
RADIUS, MU = 5.0, 0.02


class Frames(Scan):
    """Frames held as arrays, which notes the rows that are read."""

    row_chunk, angle_chunk = 1, 8

    def __init__(self, info, frames):
        self.info, self.frames, self.rows = info, frames, []

    def _read_into(self, kind, frames, rows, out):
        if kind == "projections":
            self.rows.append((rows.start, rows.stop))
        out[...] = self.frames[kind][frames, rows]


def lines(angle, row, column):
    """Line integrals of graded balls at places (row, column) of the detector."""
    total = np.zeros(np.broadcast_shapes(row.shape, column.shape))
    for z, y, x in ((20.0, 3.0, -22.0), (38.0, -16.0, 9.0), (30.0, 14.0, 17.0)):
        u = column - (COLUMNS - 1) / 2 - x * np.cos(angle) - y * np.sin(angle)
        total += 2 * MU * RADIUS * np.exp(-((row - z) ** 2 + u**2) / (2 * RADIUS**2))
    return total


@pytest.fixture(scope="module")
def distorted():
    """A scan behind distorting optics: what is found at a raw pixel belongs elsewhere."""
    field = radial_displacement(ROWS, COLUMNS, CENTRE, COEFFICIENTS)
    row, column = np.mgrid[:ROWS, :COLUMNS].astype(float)
    # The corrected place p of a raw pixel q solves p + d(p) = q; d is a polynomial everywhere.
    place = np.stack([row, column], axis=2)
    raw = place.copy()
    for _ in range(60):
        radius = np.hypot(place[..., 0] - CENTRE[0], place[..., 1] - CENTRE[1])
        stretch = COEFFICIENTS[1] * radius + COEFFICIENTS[2] * radius**2
        offset = (place - np.array(CENTRE)) * stretch[..., None]
        place = raw - offset
    gain = np.random.default_rng(0).uniform(0.6, 1.4, (ROWS, COLUMNS))
    truth = np.exp(-np.stack([lines(a, row, column) for a in THETA]))
    seen = np.exp(-np.stack([lines(a, place[..., 0], place[..., 1]) for a in THETA]))
    frames = {
        "projections": (30000 * gain * seen).astype(np.float32),
        "flats": np.repeat((30000 * gain)[None], 2, axis=0).astype(np.float32),
        "darks": np.zeros((1, ROWS, COLUMNS), np.float32),
    }
    info = ScanInfo(
        projections=ANGLES,
        rows=ROWS,
        columns=COLUMNS,
        dtype=np.dtype(np.float32),
        angles_rad=THETA,
        flat_index=np.array([-2.0, -1.0]),
        dark_index=np.array([-3.0]),
    )
    return SimpleNamespace(scan=Frames(info, frames), truth=truth, field=field)


def settings(**sections):
    return Config(phase={"method": "none"}, **sections)


RADIAL = {"centre_px": list(CENTRE), "coefficients": list(COEFFICIENTS)}


def measured(scan, config, folder):
    job = resolve(scan, config)
    (corrections,) = measure_corrections([scan], [job], folder, StageClock(), Silent())
    return job, corrections


def transmission(scan, job, corrections=None, *, rows=range(ROWS), counts=None, device=HOST, **own):
    source = Transmission(
        scan, job, rows, StageClock(), device=device, corrections=corrections, **own
    )
    every = slice(0, ANGLES)
    return device.download(
        source.frames(source.read(every), every, PixelCounts() if counts is None else counts)
    )


def test_distorted_optics_are_straightened(distorted, tmp_path):
    """Projections, and the slices made of them."""
    scan = distorted.scan
    job, corrections = measured(scan, settings(distortion=RADIAL), tmp_path)
    errors, blurred = [], []
    truth = slices(distorted.truth)
    # A pixel at the border may lie outside of the raw frame.
    inside = np.s_[6:-6, 6:-6]
    for mine in (None, corrections):
        found = transmission(scan, job, mine)
        errors.append(np.sqrt(np.mean((np.log(found / distorted.truth)[:, *inside]) ** 2)))
        side = np.arange(COLUMNS) - (COLUMNS - 1) / 2
        disc = np.hypot(side[:, None], side) < 0.4 * COLUMNS
        blurred.append(np.sqrt(np.mean((slices(found) - truth)[8:-8, disc] ** 2)) / MU)
    assert errors[0] > 4e-3
    assert errors[1] < 2e-5
    assert blurred[0] > 7e-3
    assert blurred[1] < 6e-4


def slices(found):
    sinograms = np.ascontiguousarray(-np.log(found).transpose(1, 0, 2), np.float32)
    return Reconstructor(THETA, COLUMNS, (COLUMNS - 1) / 2).reconstruct(sinograms)


@pytest.mark.parametrize("interpolation", ["cubic", "linear"])
@pytest.mark.parametrize("zingers", [0.0, 0.3])
def test_tiles_are_the_whole_frame_bit_for_bit(distorted, tmp_path, interpolation, zingers):
    """Rows of a tile need some above and below, which it reads where the detector has them."""
    scan = spoiled(distorted.scan) if zingers else distorted.scan
    config = settings(
        distortion={**RADIAL, "interpolation": interpolation},
        repair={"zinger_threshold": zingers},
    )
    job, corrections = measured(scan, config, tmp_path)
    whole = transmission(scan, job, corrections)
    for rows in (range(0, 7), range(7, 31), range(31, 60), range(58, 60)):
        scan.rows.clear()
        part = transmission(scan, job, corrections, rows=rows)
        assert part.shape == (ANGLES, len(rows), COLUMNS)
        np.testing.assert_array_equal(part, whole[:, rows.start : rows.stop])
        ((first, last),) = scan.rows
        more = corrections.halo_rows + (zingers > 0)
        assert max(0, rows.start - more) <= first <= rows.start
        assert rows.stop <= last <= min(ROWS, rows.stop + more)


def spoiled(scan):
    """Single bright pixels, and a dead column."""
    random = np.random.default_rng(3)
    projections = scan.frames["projections"].copy()
    for _ in range(40):
        k, row, column = random.integers(ANGLES), random.integers(ROWS), random.integers(COLUMNS)
        projections[k, row, column] *= 3
    return Frames(scan.info, scan.frames | {"projections": projections})


def test_zingers_go_before_they_are_spread(distorted, tmp_path):
    scan = spoiled(distorted.scan)
    config = settings(distortion=RADIAL, repair={"zinger_threshold": 0.3})
    job, corrections = measured(scan, config, tmp_path)
    error = np.log(transmission(scan, job, corrections) / distorted.truth)[:, 6:-6, 6:-6]
    # A zinger of three times the light, spread over sixteen pixels, would leave 0.1 and more.
    assert np.abs(error).max() < 5e-3


def test_repaired_pixels_are_counted_in_the_rows_of_the_tile_alone(distorted, tmp_path):
    scan = spoiled(distorted.scan)
    config = settings(distortion=RADIAL, repair={"zinger_threshold": 0.3})
    job, corrections = measured(scan, config, tmp_path)
    whole, parts = PixelCounts(), PixelCounts()
    transmission(scan, job, corrections, counts=whole)
    for rows in (range(0, 20), range(20, 44), range(44, 60)):
        counts = PixelCounts()
        around = range(max(0, rows.start - 5), min(ROWS, rows.stop + 5))
        transmission(scan, job, corrections, rows=around, counts=counts, counted=rows)
        parts.merge(counts)
    assert whole.as_dict()["zinger"] >= 38
    assert parts.as_dict() == whole.as_dict()


def test_a_map_gives_what_its_polynomial_gives(distorted, tmp_path):
    row, column = np.indices((ROWS, COLUMNS))
    np.savez(
        tmp_path / "map.npz",
        map_rows=row + distorted.field[..., 0],
        map_columns=column + distorted.field[..., 1],
    )
    config = settings(distortion={"map_file": str(tmp_path / "map.npz")})
    job, of_map = measured(distorted.scan, config, tmp_path / "map")
    _, radial = measured(distorted.scan, settings(distortion=RADIAL), tmp_path / "radial")
    np.testing.assert_allclose(
        transmission(distorted.scan, job, of_map),
        transmission(distorted.scan, job, radial),
        rtol=1e-6,
    )
    assert of_map.halo_rows == radial.halo_rows
    assert radial.work_bytes(100, COLUMNS, 8) > 100 * COLUMNS * 8 * 4


@pytest.mark.parametrize(
    ("sections", "fused"),
    [({}, True), ({"repair": {"zinger_threshold": 0.5}}, False), ({"distortion": RADIAL}, False)],
)
def test_flat_field_and_logarithm_are_one_pass_where_nothing_stands_between(
    distorted, tmp_path, sections, fused
):
    scan = distorted.scan
    job, corrections = measured(scan, settings(**sections), tmp_path)
    own, clock, counts = range(7, 31), StageClock(), PixelCounts()
    lines = np.zeros((len(own), ANGLES, COLUMNS), np.float32)
    tile = TilePreparation(
        scan, Part(job, corrections=corrections), own, clock, counts, prepared=range(3, 40)
    )
    for block in (slice(0, 50), slice(50, ANGLES)):
        tile.line_integrals(tile.read(block), block, lines, block.start)
    expected_counts = PixelCounts()
    frames = transmission(
        scan, job, corrections, rows=range(3, 40), counted=own, counts=expected_counts
    )
    expected = line_integral(frames[:, 4:28]).swapaxes(0, 1)
    np.testing.assert_array_equal(lines, expected)
    assert counts.as_dict() == expected_counts.as_dict()
    stages = clock.busy().seconds
    assert ("flat and log" in stages, "log" in stages) == (fused, not fused)


def test_phase_retrieval_and_logarithm_are_one_pass(distorted, tmp_path):
    pytest.importorskip("numba")
    scan = distorted.scan
    geometry = {"pixel_size_um": 20.0, "distance_m": 3.5, "energy_kev": 90.0}
    config = Config(scan=geometry, phase={"method": "paganin", "delta_beta": 1470.0})
    job, corrections = measured(scan, config, tmp_path)
    own, clock, counts = range(20, 31), StageClock(), PixelCounts()
    lines = np.zeros((len(own), ANGLES, COLUMNS), np.float32)
    tile = TilePreparation(scan, Part(job, corrections=corrections), own, clock, counts)
    for block in (slice(0, 50), slice(50, ANGLES)):
        tile.line_integrals(tile.read(block), block, lines, block.start)
    # All rows of so small a detector are a halo.
    plan = PaganinFilter(ROWS, COLUMNS, delta_beta=1470.0, **geometry)
    frames = plan.apply(transmission(scan, job, corrections))
    expected = line_integral(frames[:, 20:31]).swapaxes(0, 1)
    np.testing.assert_array_equal(lines, expected)
    assert counts.values == lines.size
    assert clock.busy().seconds.keys() == {"read", "flat", "phase and log"}


def test_maps_that_cannot_be_used_are_refused(distorted, tmp_path):
    np.savez(tmp_path / "small.npz", map_rows=np.zeros((3, 4)), map_columns=np.zeros((3, 4)))
    np.savez(tmp_path / "other.npz", map_z=np.zeros((3, 4)))
    np.save(tmp_path / "plain.npy", np.zeros((3, 4)))
    (tmp_path / "text.npz").write_text("1 2 3")
    for name, words in (
        ("none.npz", "cannot be read"),
        ("small.npz", r"shape \(3, 4\)"),
        ("other.npz", "map_columns"),
        ("plain.npy", "map_columns"),
        ("text.npz", "map_columns"),
    ):
        config = settings(distortion={"map_file": str(tmp_path / name)})
        with pytest.raises((ConfigError, InputError), match=words) as caught:
            measured(distorted.scan, config, tmp_path / "folder")
        assert str(tmp_path / name) in str(caught.value)


@pytest.mark.usefixtures("device")
def test_a_device_gives_the_numbers_of_the_cpu(distorted, tmp_path):
    job, corrections = measured(distorted.scan, settings(distortion=RADIAL), tmp_path)
    expected = transmission(distorted.scan, job, corrections, rows=range(20, 30))
    with run_device(settings(compute={"backend": "cupy"}), Silent()) as device:
        found = transmission(distorted.scan, job, corrections, rows=range(20, 30), device=device)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
