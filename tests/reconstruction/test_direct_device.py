"""The direct engine on a device against NumPy, windows of slices, and planes of any tilt."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.reconstruction.direct import DirectEngine
from hipct.reconstruction.geometry import Geometry
from hipct.reconstruction.reconstructor import Reconstructor


def random_rows(slices, geometry, seed=0):
    shape = (slices, geometry.angles.size, geometry.columns)
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def turn(count, degrees=180):
    return np.deg2rad(np.arange(count) * degrees / count)


def window_of(engine, rows, window=(slice(None), slice(None))):
    """Reconstruct a window with arrays of the engine's namespace."""
    size = range(engine.geometry.size)
    shape = (len(rows), *(len(size[part]) for part in window))
    out = engine.xp.full(shape, np.nan, np.float32)
    engine.reconstruct(engine.xp.asarray(rows), out, *window)
    return out


def close(a, b, share=1e-5):
    return np.abs(a - b).max() <= share * np.abs(b).max()


@pytest.mark.parametrize(
    ("slices", "angles", "scan"),
    [
        (1, 60, {"columns": 64, "axis": 31.5}),
        (5, 61, {"columns": 70, "axis": 33.3, "padding": "zero", "filter": "hann"}),
        (2, 33, {"columns": 65, "axis": 40.0, "size": 90}),
        (3, 20, {"columns": 65, "axis": 32.0, "size": 31, "pixel_size_um": 20.0}),
        (9, 77, {"columns": 61, "axis": 44.2, "acquisition": "half"}),
        (1, 40, {"columns": 33, "axis": -5.0, "acquisition": "half"}),
        (1, 300, {"columns": 40, "axis": 19.5}),
        (4, 5, {"columns": 2, "axis": 0.5, "size": 40}),
    ],
)
def test_equals_the_array_code(xp, fetch, slices, angles, scan):
    geometry = Geometry.create(turn(angles, 360 if "acquisition" in scan else 180), **scan)
    rows = random_rows(slices, geometry)
    expected = window_of(DirectEngine(geometry, accelerated=False), rows)
    result = fetch(window_of(DirectEngine(geometry, xp=xp), rows))
    assert close(result, expected)
    assert ((result == 0) == (expected == 0)).all()


def test_places_are_exact_far_from_the_axis(xp, fetch):
    """float32 would place pixels of this slice to 5e-4 columns, and miss by as much."""
    geometry = Geometry.create(turn(9) + 0.1, 20_000, 9_999.3)
    rows = random_rows(1, geometry)
    window = (slice(3_090, 3_131), slice(2_850, 2_890))
    expected = window_of(DirectEngine(geometry, accelerated=False), rows, window)
    assert (expected != 0).all()
    assert close(fetch(window_of(DirectEngine(geometry, xp=xp), rows, window)), expected)


def test_a_window_is_the_crop_of_the_whole(device, fetch):
    geometry = Geometry.create(turn(41), 101, 48.7)
    rows = random_rows(3, geometry)
    engine = DirectEngine(geometry, xp=device)
    whole = fetch(window_of(engine, rows))
    assert np.abs(whole).max() > 0.01
    for window in (
        (slice(0, 1), slice(50, 51)),
        (slice(31, 33), slice(63, 65)),
        (slice(32, 64), slice(32, 64)),
        (slice(20, 101), slice(5, 6)),
        (slice(7, 7), slice(0, 5)),
        (slice(-3, None), slice(None)),
    ):
        assert np.array_equal(fetch(window_of(engine, rows, window)), whole[:, *window])


def test_slices_change_no_bit_of_each_other(device, fetch):
    geometry = Geometry.create(turn(30), 45)
    rows = random_rows(9, geometry)
    engine = DirectEngine(geometry, xp=device)
    whole = fetch(window_of(engine, rows))
    for part in (slice(0, 1), slice(2, 4), slice(4, 7), slice(3, 7), slice(4, 9), slice(8, 9)):
        assert np.array_equal(fetch(window_of(engine, rows[part])), whole[part])
    assert np.array_equal(fetch(window_of(engine, rows[::-1]))[::-1], whole)
    assert np.array_equal(fetch(window_of(engine, rows)), whole)


def test_blocks_of_angles_change_no_bit(device, fetch):
    from hipct.reconstruction.direct_cuda import Block, back_project

    xp, count = device, 300
    geometry = Geometry.create(turn(count), 40)
    rows = random_rows(5, geometry)
    filtered = geometry.filtered_rows(rows, slice(None)).transpose(2, 0, 1)

    def summed(*ends):
        out = xp.full((5, 40, 40), np.nan, np.float32)
        for start, stop in zip((0, *ends), (*ends, count)):
            block = Block(
                xp.asarray(np.ascontiguousarray(filtered[:, start:stop])),
                xp.asarray(np.cos(geometry.angles[start:stop])),
                xp.asarray(np.sin(geometry.angles[start:stop])),
                begin=start == 0,
                end=stop == count,
            )
            back_project(out, block, geometry, (0, 0))
        return fetch(out)

    whole = summed()
    assert np.isfinite(whole).all()
    assert np.array_equal(summed(1), whole)
    assert np.array_equal(summed(8, 31, 287), whole)


def test_out_with_gaps_is_filled(device, fetch):
    geometry = Geometry.create(turn(20), 33)
    rows = random_rows(2, geometry)
    engine = DirectEngine(geometry, xp=device)
    wide = device.zeros((2, 33, 40), np.float32)
    engine.reconstruct(device.asarray(rows), wide[:, :, 3:36])
    assert np.array_equal(fetch(wide)[:, :, 3:36], fetch(window_of(engine, rows)))
    assert (fetch(wide)[:, :, :3] == 0).all()


def test_bad_input_of_a_window(xp):
    geometry = Geometry.create(turn(20), 33)
    engine = DirectEngine(geometry, xp=xp)
    rows = xp.asarray(random_rows(2, geometry))
    with pytest.raises(InputError, match="needs"):
        engine.reconstruct(rows, xp.zeros((2, 33, 32), np.float32))
    with pytest.raises(InputError, match="steps of 1"):
        engine.reconstruct(rows, xp.zeros((2, 17, 33), np.float32), slice(None, None, 2))
    rows[1, 7, 5] = np.nan
    with pytest.raises(InputError, match="not finite"):
        window_of(engine, rows)
    with pytest.raises(InputError, match="not finite"):
        engine.plane(rows, (1, 0, 0), (0, 1, 0), (0, 0, 1), (33, 33))
    # A plane that does not meet the bad slice does not touch it.
    assert engine.plane(rows, (0, 0, 0), (0, 1, 0), (0, 0, 1), (33, 33)).shape == (33, 33)


def test_memory_on_a_device_is_that_of_one_group(standin):
    """What is used at a time: the pool keeps more, in pieces that small arrays have cut off."""
    geometry = Geometry.create(turn(300), 400, size=40)
    engine = DirectEngine(geometry, xp=standin)
    assert engine.batch == 8
    said = engine.memory_bytes(1)
    assert engine.memory_bytes(500) == said
    rows = standin.asarray(random_rows(12, geometry))
    out = standin.empty((12, 40, 40), np.float32)
    pool = standin.get_default_memory_pool()
    before = pool._peak[0] = pool.used_bytes()
    engine.reconstruct(rows, out)
    assert 0.9 * said < pool._peak[0] - before <= said


def test_plans_are_made_once_for_slices_and_planes(monkeypatch, standin):
    """CuPy's own cache has a pair, and its work areas, for every thread."""
    import cupyx.scipy.fft

    made, make = [], cupyx.scipy.fft.get_fft_plan
    monkeypatch.setattr(
        cupyx.scipy.fft, "get_fft_plan", lambda *a, **k: made.append(k) or make(*a, **k)
    )
    engine = Reconstructor(turn(20), 30, engine="direct", xp=standin)
    rows = standin.asarray(random_rows(2, engine.geometry))
    cut = ((0, 0, 0), (0, 1, 0), (0, 0, 1), (30, 30))
    calls = [lambda: engine.reconstruct(rows), lambda: engine.plane(rows, *cut)]
    for call in calls * 2:
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
    assert len(made) == 2
    rows[0, 3, 4] = np.nan
    with pytest.raises(InputError):
        engine.reconstruct(rows)
    rows[0, 3, 4] = 1
    engine.reconstruct(rows)
    assert len(made) == 2


@pytest.mark.parametrize("accelerated", [True, False])
def test_an_upright_plane_is_the_slice(xp, fetch, accelerated):
    if accelerated:
        pytest.importorskip("numba", reason="numba is not installed: nothing to compare")
    geometry = Geometry.create(turn(60), 70, 33.3)
    rows = random_rows(4, geometry)
    engine = DirectEngine(geometry, accelerated, xp)
    slices = fetch(window_of(engine, rows))
    device_rows = xp.asarray(rows)
    for first_row in (0, 1000):
        view = fetch(
            engine.plane(
                device_rows, (first_row + 2, 5, 3), (0, 1, 0), (0, 0, 1), (61, 50),
                first_row=first_row,
            )
        )  # fmt: skip
        assert close(view, slices[2, 5:66, 3:53], 2e-6)
    # Beyond the slice there is a plane still, as far as the detector reaches.
    wide = fetch(engine.plane(device_rows, (2, -10, -10), (0, 1, 0), (0, 0, 1), (90, 90)))
    assert close(wide[10:80, 10:80], slices[2], 2e-6)
    y, x = np.mgrid[:90, :90] - 10 - 34.5
    assert ((wide != 0) == (np.hypot(x, y) <= geometry.reach)).all()
    for z in (-0.01, 3.01, 50):
        none = fetch(engine.plane(device_rows, (z, 0, 0), (0, 1, 0), (0, 0, 1), (70, 70)))
        assert (none == 0).all()


def test_between_slices_it_is_linear(xp, fetch):
    """Pixels at whole y and x and at any z, over several groups of slices."""
    geometry = Geometry.create(turn(25), 40)
    rows = random_rows(20, geometry)
    engine = DirectEngine(geometry, xp=xp)
    slices = fetch(window_of(engine, rows)).astype(float)
    i, j = np.mgrid[:50, :38]
    z = -2.5 + 0.49 * i + 0.03 * j
    lower = np.clip(np.floor(z).astype(int), 0, 18)
    up = z - lower
    column = j + 1
    row = np.clip(i - 5, 0, 39)
    expected = slices[lower, row, column] * (1 - up) + slices[lower + 1, row, column] * up
    expected[(z < 0) | (z > 19) | (i < 5) | (i >= 45)] = 0
    view = fetch(
        engine.plane(xp.asarray(rows), (-2.5, -5, 1), (0.49, 1, 0), (0.03, 0, 1), (50, 38))
    )
    assert (expected == 0).mean() > 0.1
    assert close(view, expected)
    # The same plane of the rows in the middle alone: what is between them stays the same.
    part = fetch(
        engine.plane(
            xp.asarray(rows[4:13]), (-2.5, -5, 1), (0.49, 1, 0), (0.03, 0, 1), (50, 38),
            first_row=4,
        )
    )  # fmt: skip
    inside = (z >= 4) & (z <= 12)
    assert close(part, np.where(inside, view, 0), 2e-6)
    assert (part[~inside] == 0).all()


@pytest.mark.parametrize("zoom", [1.0, 0.25, 3.0])
def test_within_a_slice_it_turns_exactly(xp, fetch, zoom):
    """A plane turned by t is the slice of a scan whose angles are smaller by t."""
    angle = 0.3
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    size = 61
    geometry = Geometry.create(turn(50), 80, 39.1, size=size)
    turned = Geometry.create(turn(50) - angle, 80, 39.1, size=size)
    rows = random_rows(1, geometry)
    expected = window_of(DirectEngine(turned, accelerated=False), rows)[0]
    half = 10 if zoom > 1 else 30
    corner = (0, 30 - half * (sin + cos), 30 + half * (sin - cos))
    view = fetch(
        DirectEngine(geometry, xp=xp).plane(
            xp.asarray(rows), corner, (0, cos, -sin), (0, sin, cos), (2 * half + 1, 2 * half + 1)
        )
    )
    if zoom == 1:
        assert close(view, expected)
    elif zoom > 1:
        assert close(view, expected[::3, ::3])
    else:
        assert close(view[2::4, 2::4], expected[23:38, 23:38])


def ball(phantoms, geometry, slices, centre, radius):
    """Sinograms of a ball of mu 1; centre (z, y, x), y and x from the axis."""
    z, y, x = centre
    scan = geometry.angles, geometry.columns, geometry.axis
    rows = np.zeros((slices, geometry.angles.size, geometry.columns))
    for k in range(slices):
        # Averaged over the thickness of a slice, as over a column.
        for part in (np.arange(5) - 2) / 5:
            if (rest := radius**2 - (k + part - z) ** 2) > 0:
                disc = phantoms.Ellipse(0.2, x, y, np.sqrt(rest), np.sqrt(rest))
                rows[k] += phantoms.project([disc], *scan)
    return rows.astype(np.float32)


def test_a_tilted_cut_through_a_ball(xp, fetch, phantoms):
    """It is a disc, of the size and at the place that geometry says, at the level of the ball."""
    radius = 17.0
    geometry = Geometry.create(turn(150), 64, 30.8)
    centre = np.array([19.3, 34.2, 28.6])
    rows = ball(phantoms, geometry, 40, centre - [0, 31.5, 31.5], radius)
    down = np.array([0.5, 0.8, np.sqrt(0.11)])
    right = np.cross(down, [0.2, -0.5, 0.9])
    right /= np.linalg.norm(right)
    normal = np.cross(down, right)
    # The plane's middle pixel lies 6 voxels off the ball's centre, and some along the plane.
    origin = centre + 6 * normal + (1.4 - 22) * down + (-2.3 - 22) * right
    engine = DirectEngine(geometry, xp=xp)
    view = fetch(engine.plane(xp.asarray(rows), origin, down, right, (45, 45))).astype(float)
    i, j = np.mgrid[:45, :45] - 22.0
    distance = np.hypot(i + 1.4, j - 2.3)
    cut = np.sqrt(radius**2 - 6**2)
    assert view[distance < cut - 3].mean() == pytest.approx(1, abs=2e-3)
    near = distance < cut + 3
    assert (view * near).sum() == pytest.approx(np.pi * cut**2, rel=5e-3)
    assert (view * near * i).sum() / (view * near).sum() == pytest.approx(-1.4, abs=0.03)
    assert (view * near * j).sum() / (view * near).sum() == pytest.approx(2.3, abs=0.03)


def test_a_tilted_plane_is_the_volume_interpolated(xp, fetch, phantoms):
    ndimage = pytest.importorskip("scipy.ndimage")
    geometry = Geometry.create(turn(150), 64, 30.8)
    rows = ball(phantoms, geometry, 30, (14.5, 3.0, -4.0), 14.0)
    engine = DirectEngine(geometry, xp=xp)
    volume = fetch(window_of(engine, rows))
    origin, down, right = (1.5, 8.0, 12.0), (0.45, 0.85, 0.1), (0.1, -0.2, 0.97)
    view = fetch(engine.plane(xp.asarray(rows), origin, down, right, (50, 45)))
    i, j = np.mgrid[:50, :45]
    places = [a + i * b + j * c for a, b, c in zip(origin, down, right)]
    expected = ndimage.map_coordinates(volume, places, order=1)
    assert np.sqrt(np.mean((view - expected) ** 2)) < 0.03
    # Its own interpolation blurs less than that of finished voxels does.
    assert np.abs(expected).max() > 0.9


def test_a_plan_gives_planes_whatever_its_engine(xp, fetch):
    theta = turn(40)
    rows = random_rows(3, Geometry.create(theta, 33))
    plane = (1.4, 3, 2), (0.02, 1, 0), (0, 0.1, 1), (20, 24)
    expected = DirectEngine(Geometry.create(theta, 33)).plane(rows, *plane)
    for engine in ("fourier", "direct"):
        plan = Reconstructor(theta, 33, engine=engine, xp=xp)
        # Other types of number are converted.
        view = fetch(plan.plane(xp.asarray(rows.astype(float)), *plane))
        assert close(view, expected)
        with pytest.raises(InputError, match="33 columns"):
            plan.plane(xp.zeros((3, 40, 32), np.float32), *plane)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"origin": (0, 0)}, "three numbers"),
        ({"origin": (0, np.nan, 0)}, "finite"),
        ({"row_step": "down"}, "three numbers"),
        ({"column_step": (0, 0, -65)}, "at most 64"),
        ({"shape": (4, 0)}, "pixels"),
        ({"shape": (4,)}, "rows and columns"),
    ],
)
def test_a_plane_that_is_none(change, message):
    geometry = Geometry.create(turn(20), 33)
    plane = {"origin": (0, 0, 0), "row_step": (0, 1, 0), "column_step": (0, 0, 1), "shape": (4, 4)}
    with pytest.raises(InputError, match=message):
        DirectEngine(geometry).plane(random_rows(1, geometry), **plane | change)
