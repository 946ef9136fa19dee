"""The Fourier engine on a device against the same engine on NumPy, FINUFFT and the truth."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.reconstruction import Reconstructor, fbp
from hipct.reconstruction.fourier import FourierEngine
from hipct.reconstruction.fourier_cuda import Tables, pad_rows
from hipct.reconstruction.geometry import Geometry
from hipct.reconstruction.gridding import BEFORE, GridPlan, fold_margins, spread
from hipct.reconstruction.gridding_cuda import (
    LANES,
    TILE,
    HalfPlane,
    block_lines,
    line_blocks,
    spread_tiles,
)
from hipct.reconstruction.gridding_cuda import fold_margins as fold_rim
from hipct.reconstruction.kernel import WIDTH

HALF_TURN = np.arange(90) * np.pi / 90


def rng():
    return np.random.default_rng()


def error(result, expected):
    return np.abs(result - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize(("angles", "columns", "options"), [
    (HALF_TURN, 64, {}),
    (HALF_TURN, 40, {"size": 41}),  # pixels right on the circle
    (HALF_TURN, 61, {"axis": 24.37, "pixel_size_um": 20.0}),
    (HALF_TURN, 40, {"axis": 39.0, "filter": "hann", "padding": "zero"}),
    (HALF_TURN[::-1] - 3.0, 40, {"axis": 21.2, "size": 77}),
    (np.random.default_rng(1).permutation(np.linspace(0, 2 * np.pi, 101)), 48, {"size": 21}),
    (np.linspace(-1, 6.5, 77), 61, {"axis": 44.2, "acquisition": "half"}),
    (np.linspace(0, 2 * np.pi, 60, endpoint=False), 33, {"axis": -3.4, "acquisition": "half"}),
    # The sine of one of these is -3e-16: its samples lie on a border of cells, or a hair below.
    (2 * np.pi * np.arange(60) / 60, 64, {}),
    (np.array([0.3]), 2, {}), (np.array([np.pi / 2]), 3, {"size": 1}),
    (np.array([0.0, np.pi / 2, np.pi, 4.0]), 5, {"axis": 0.0}),
])  # fmt: skip
def test_equals_numpy(device, fetch, angles, columns, options):
    for slices in (1, LANES + 1):
        rows = rng().random((slices, angles.size, columns), dtype=np.float32)
        expected = fbp(rows, angles, **options)
        result = fetch(fbp(device.asarray(rows), angles, **options))
        assert result.dtype == np.float32
        assert result.shape == expected.shape
        assert error(result, expected) < 2e-6
        assert ((result == 0) == (expected == 0)).mean() > 0.999


def test_more_lines_than_a_block_and_than_a_warp_takes(device, fetch):
    """Blocks of unequal fill, tiles that many warps share, and a tile of one angle's lines."""
    angles = np.concatenate([np.linspace(0, np.pi, 1500), np.full(200, 0.7)])
    rows = rng().random((2, angles.size, 32), dtype=np.float32)
    plan = GridPlan.create(Geometry.create(angles, 32))
    assert len(line_blocks(plan)) == 2
    assert max(block.parts for block in line_blocks(plan)) > 8
    assert error(fetch(fbp(device.asarray(rows), angles)), fbp(rows, angles)) < 3e-6


@pytest.mark.parametrize("acquisition", ["full", "half"])
def test_slices_calls_and_threads_change_no_bit(device, fetch, acquisition):
    """On the host, every launch runs its threads in an order of its own."""
    angles = np.sort(rng().uniform(0, 2 * np.pi, 120))
    rows = device.asarray(rng().random((2 * LANES + 3, 120, 40), dtype=np.float32))
    plan = Reconstructor(angles, 40, 30.2, acquisition=acquisition, xp=device)
    whole = fetch(plan.reconstruct(rows))
    for part in (slice(0, 1), slice(3, 5), slice(4, 4 + LANES), slice(18, 19)):
        assert np.array_equal(fetch(plan.reconstruct(rows[part])), whole[part])
    assert np.array_equal(fetch(plan.reconstruct(rows[::-1])), whole[::-1])
    again = Reconstructor(angles, 40, 30.2, acquisition=acquisition, xp=device)
    assert np.array_equal(fetch(again.reconstruct(rows)), whole)
    shuffle = rng().permutation(120)
    mixed = device.asarray(fetch(rows)[:, shuffle])
    assert np.array_equal(fetch(fbp(mixed, angles[shuffle], 30.2, acquisition=acquisition)), whole)


def test_calls_at_the_same_time_do_not_disturb_one_another(device, fetch):
    plan = Reconstructor(HALF_TURN, 40, xp=device)
    stacks = [device.asarray(rng().random((2, 90, 40), dtype=np.float32)) for _ in range(6)]
    expected = [fetch(plan.reconstruct(stack)) for stack in stacks]
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(plan.reconstruct, stacks))
    assert all(np.array_equal(fetch(a), b) for a, b in zip(results, expected))


def test_views_with_gaps_are_taken_and_filled(device, fetch):
    rows = rng().random((3, 180, 40), dtype=np.float32)
    plan = Reconstructor(HALF_TURN, 40, xp=device)
    expected = fetch(plan.reconstruct(device.asarray(np.ascontiguousarray(rows[:, ::2]))))
    out = device.zeros((3, 40, 80), np.float32)
    assert plan.reconstruct(device.asarray(rows)[:, ::2], out[:, :, ::2]).shape == (3, 40, 40)
    assert np.array_equal(fetch(out)[:, :, ::2], expected)
    assert not fetch(out)[:, :, 1::2].any()
    doubles = plan.reconstruct(device.asarray(rows[:, ::2].astype(np.float64)))
    assert np.array_equal(fetch(doubles), expected)


@pytest.mark.parametrize("options", [
    {}, {"axis": 14.8, "padding": "zero"}, {"axis": 24.4, "acquisition": "half"},
    {"axis": 30.1, "acquisition": "half", "padding": "zero"},
])  # fmt: skip
def test_rows_are_padded_bit_for_bit(device, fetch, options):
    angles = np.linspace(0, 2 * np.pi, 50)
    geometry = Geometry.create(angles, 31, **options)
    plan = GridPlan.create(geometry)
    rows = rng().random((5, 50, 31), dtype=np.float32)
    tables = Tables.upload(device, plan)
    out = device.empty((LANES, block_lines(plan), geometry.length), np.float32)
    pad_rows(
        device.asarray(rows), tables.blocks[0].order, tables.source, tables.lateral, out
    )  # fmt: skip
    padded = fetch(out)
    expected = np.moveaxis(geometry.pad(rows[:, plan.order]), 2, 0)
    assert np.array_equal(padded[:5], expected)
    assert not padded[5:].any()


def samples(plan, rows):
    """Spectra of the padded rows in the order of lines: (lines, samples, slices)."""
    return np.fft.rfft(plan.geometry.pad(rows[:, plan.order]), axis=1).astype(np.complex64)


def half_plane(xp, fetch, plan, rows):
    """The grid of some slices after folding, as the inverse transform takes it: slices first."""
    raw = samples(plan, rows)
    slices, half = len(rows), plan.grid // 2
    if xp is np:
        lines = slice(0, len(plan.order))
        spectra = (raw * plan.factors(lines)[:, :, None]).astype(np.complex64)
        spectra[plan.turned] = spectra[plan.turned].conj()
        grid = np.zeros((*plan.shape, slices), np.complex64)
        spread(grid, spectra, plan, lines)
        fold_margins(grid, plan)
        inner = grid[BEFORE : BEFORE + plan.grid, BEFORE : BEFORE + half + 1]
        grid = np.moveaxis(np.roll(inner, half, axis=0), 2, 0).copy()
        mirror = -np.arange(plan.grid) % plan.grid
        for column in (0, half):
            grid[:, :, column] += grid[:, mirror, column].conj()
        return grid
    tables = Tables.upload(xp, plan)
    (block,) = tables.blocks
    lanes = np.zeros((LANES, *raw.shape[:2]), np.complex64)
    lanes[:slices] = np.moveaxis(raw, 2, 0)
    plane = HalfPlane.zeros(xp, plan.grid)
    spread_tiles(plane, xp.asarray(lanes), block, tables.response, tables.taps)
    fold_rim(plane)
    return fetch(plane.grid)[:slices]


@pytest.mark.parametrize("size", [10, 37, 90])
def test_cells_equal_numpys(device, fetch, size):
    """Cell by cell: edges, rim and origin as well as what a slice shows of them."""
    angles = np.concatenate([HALF_TURN, [np.pi / 2, -np.pi / 2, np.pi, 1e-12, np.pi / 2 - 1e-12]])
    plan = GridPlan.create(Geometry.create(angles, 37, 17.1, size=size))
    rows = rng().random((2, angles.size, 37), dtype=np.float32)
    result, expected = (half_plane(xp, fetch, plan, rows) for xp in (device, np))
    assert error(result, expected) < 2e-6


def test_gridding_equals_finufft(xp, fetch, phantoms):
    finufft = pytest.importorskip("finufft", reason="finufft, a peer, is not installed")
    angles = (np.arange(200) + rng().uniform(-0.2, 0.2, 200)) * 2 * np.pi / 200
    rows = phantoms.project(phantoms.organ(29), angles, 64, 30.7)[None].astype(np.float32)
    plan = GridPlan.create(Geometry.create(angles, 64, 30.7))
    cells, length = plan.grid, plan.geometry.length
    plane = np.fft.irfft2(half_plane(xp, fetch, plan, rows), (cells, cells), norm="forward")[0]
    image = np.roll(plane, (32, 32), (0, 1))[:64, :64]
    image *= plan.deapodisation[:, None] * plan.deapodisation
    # Lines as they were measured, both halves of each, without turning any.
    direction = angles[plan.order]
    points = samples(plan, rows)[:, :, 0] * plan.factors(slice(0, 200))
    f = np.arange(plan.samples) / length
    exact = 2 * finufft.nufft2d1(
        (2 * np.pi * f * np.sin(direction)[:, None]).ravel(),
        (2 * np.pi * f * np.cos(direction)[:, None]).ravel(),
        points.astype(complex).ravel(), (64, 64), eps=1e-9, isign=1,
    ).real  # fmt: skip
    x, y = phantoms.coordinates(64)
    difference = (image - exact)[np.hypot(x, y) < 0.95 * 32]
    assert np.sqrt(np.mean(difference**2)) < 2.5e-4


@pytest.mark.parametrize("acquisition", ["full", "half"])
def test_level_and_position(xp, fetch, phantoms, acquisition):
    angles = np.arange(160) * (np.pi if acquisition == "full" else 2 * np.pi) / 160
    axis = 47.3 if acquisition == "full" else 61.6
    disc = phantoms.Ellipse(0.02, 10.0, -8.0, 26.0, 22.0, 0.4)
    rows = phantoms.project([disc], angles, 96, axis)[None].astype(np.float32)
    image = fbp(xp.asarray(rows), angles, axis, acquisition=acquisition, pixel_size_um=20.0)
    image = fetch(image)[0].astype(float)
    x, y = phantoms.coordinates(image.shape[0])
    assert image[disc.inside(x, y, 5)].mean() == pytest.approx(0.02 / 20e-4, rel=1e-4)
    near = image * disc.inside(x, y, -10)
    assert (near * x).sum() / near.sum() == pytest.approx(10, abs=0.02)
    assert (near * y).sum() / near.sum() == pytest.approx(-8, abs=0.02)


@pytest.mark.parametrize(("angles", "columns"), [(300, 64), (7, 200), (1300, 30)])
def test_every_sample_meets_the_tiles_that_it_touches(angles, columns):
    plan = GridPlan.create(Geometry.create(rng().uniform(-4, 4, angles), columns))
    step = block_lines(plan)
    tile_columns = -(-plan.shape[1] // TILE)
    for number, block in enumerate(line_blocks(plan)):
        row, column, first, last, part = block.work.T
        taken = np.zeros((-(-plan.shape[0] // TILE) * tile_columns, step), int)
        for tile, start, stop in zip(row * tile_columns + column, first, last):
            taken[tile, start:stop] += 1
        assert taken.max() == 1
        lines = slice(number * step, min((number + 1) * step, angles))
        m = np.arange(plan.samples)
        u, v = (s[lines, None] * m for s in (plan.step_u, plan.step_v))
        line = np.broadcast_to(np.arange(u.shape[0])[:, None], u.shape)
        for down in (0, WIDTH - 1):
            for across in (0, WIDTH - 1):
                rows = (np.floor(v).astype(int) + plan.grid // 2 + down) // TILE
                tile = rows * tile_columns + (np.floor(u).astype(int) + across) // TILE
                assert taken[tile, line].all()
        # Parts of shared tiles are numbered through, each written by one warp.
        assert sorted(part[part >= 0]) == list(range(block.parts))
        assert (block.shared[:, 3] - block.shared[:, 2]).sum() == block.parts


def test_one_bad_value_anywhere_is_found_and_the_plan_works_on(device, fetch):
    rows = rng().random((LANES + 2, 90, 40), dtype=np.float32)
    plan = Reconstructor(HALF_TURN, 40, xp=device)
    for place, value in (((0, 0, 0), np.nan), ((LANES + 1, 89, 39), np.inf)):
        bad = rows.copy()
        bad[place] = value
        with pytest.raises(InputError, match="not finite"):
            plan.reconstruct(device.asarray(bad))
    assert np.isfinite(fetch(plan.reconstruct(device.asarray(rows)))).all()


@pytest.mark.parametrize("engine", ["fourier", "direct"])
def test_arrays_of_the_other_side_are_refused(device, engine):
    rows = np.zeros((1, 90, 40), np.float32)
    for xp, other in ((np, device), (device, np)):
        plan = Reconstructor(HALF_TURN, 40, engine=engine, xp=xp)
        with pytest.raises(InputError, match=rf"an array of {other.__name__}.*{xp.__name__}"):
            plan.reconstruct(other.asarray(rows))
    with pytest.raises(InputError, match="mixed"):
        plan.reconstruct(device.asarray(rows), np.zeros((1, 40, 40), np.float32))


def test_one_value_is_fetched_and_nothing_sent_once_it_runs(standin):
    plan = Reconstructor(HALF_TURN, 40, xp=standin)
    rows = standin.asarray(np.zeros((2 * LANES, 90, 40), np.float32))
    plan.reconstruct(rows)
    standin._transfers.reset()
    plan.reconstruct(rows)
    moved = standin._transfers
    assert (moved.to_host, moved.to_device) == (1, 0)


def test_memory_is_the_same_for_any_number_of_slices(device):
    plan = Reconstructor(HALF_TURN, 40, xp=device)
    assert plan.batch == LANES
    assert plan.memory_bytes(1) == plan.memory_bytes(100) > 0
    geometry = Geometry.create(np.arange(12000) * np.pi / 12000, 10240)
    assert 8e9 < FourierEngine(geometry, xp=device).memory_bytes(LANES) < 12e9


def test_a_plan_is_made_without_scipy_and_numba():
    code = """
import sys
sys.modules["scipy"] = sys.modules["numba"] = None
import numpy as np
from hipct.reconstruction.fourier_cuda import memory_bytes
from hipct.reconstruction.geometry import Geometry
from hipct.reconstruction.gridding import GridPlan
from hipct.reconstruction.gridding_cuda import line_blocks
plan = GridPlan.create(Geometry.create(np.arange(50) / 16, 40))
assert len(line_blocks(plan)[0].work) > 0 and memory_bytes(plan) > 0
"""
    subprocess.run([sys.executable, "-c", code], check=True)
