"""Both engines against exact back-projection, the truth, their own array code, and each other."""

import gc
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.reconstruction import Reconstructor, fbp
from hipct.reconstruction.direct import DirectEngine
from hipct.reconstruction.filters import FILTERS
from hipct.reconstruction.fourier import FourierEngine
from hipct.reconstruction.geometry import Geometry

ENGINES = ("fourier", "direct")


def half_turn(angles):
    return np.arange(angles) * np.pi / angles


def rms(values):
    return np.sqrt(np.mean(np.square(values)))


@pytest.mark.parametrize(("columns", "angles", "axis"), [(96, 150, 47.5), (97, 145, 45.37)])
def test_fourier_equals_exact_band_limited_back_projection(phantoms, columns, angles, axis):
    theta = half_turn(angles)
    organ = phantoms.organ(0.96 * columns / 2)
    sinograms = np.stack([
        phantoms.project(organ, theta, columns, axis),
        phantoms.project(organ[:1], theta, columns, axis),
    ]).astype(np.float32)  # fmt: skip
    plan = Reconstructor(theta, columns, axis, padding="zero")
    exact = phantoms.exact_fbp(
        sinograms,
        theta,
        np.full(angles, np.pi / angles),
        axis,
        size=columns,
        length=plan.geometry.length,
    )
    x, y = phantoms.coordinates(columns)
    disc = np.hypot(x, y) < 0.95 * columns / 2
    difference = (plan.reconstruct(sinograms) - exact)[:, disc]
    assert rms(difference[0]) < 2.0e-4
    assert rms(difference[1]) < 2.0e-4
    direct = fbp(sinograms, theta, axis, engine="direct", padding="zero")
    assert rms((direct - exact)[:, disc]) < 3e-2  # linear interpolation of the rows


def test_fourier_on_noise(phantoms):
    """White noise has all its power where the kernel is at its worst."""
    theta = half_turn(125)
    noise = np.random.default_rng(5).normal(size=(1, 125, 80)).astype(np.float32)
    plan = Reconstructor(theta, 80, padding="zero")
    exact = phantoms.exact_fbp(
        noise, theta, np.full(125, np.pi / 125), 39.5, size=80, length=plan.geometry.length
    )
    x, y = phantoms.coordinates(80)
    disc = np.hypot(x, y) < 0.95 * 40
    difference = (plan.reconstruct(noise) - exact)[:, disc]
    assert rms(difference) < 7e-3 * rms(exact[:, disc])


@pytest.mark.parametrize("acquisition", ["full", "half"])
def test_fourier_equals_finufft(phantoms, acquisition):
    finufft = pytest.importorskip("finufft", reason="finufft, a peer, is not installed")
    columns, axis = 300, 141.3
    angles = 500 if acquisition == "full" else 1000
    period = np.pi if acquisition == "full" else 2 * np.pi
    jitter = np.random.default_rng(3).uniform(-0.2, 0.2, angles)
    theta = (np.arange(angles) + jitter) * period / angles
    rows = phantoms.project(phantoms.organ(135), theta, columns, axis)[None].astype(np.float32)
    plan = Reconstructor(theta, columns, axis, acquisition=acquisition)
    geometry = plan.geometry
    spectra = np.fft.fft(rows[0][:, geometry.source] * geometry.lateral.astype(float), axis=1)
    f = np.fft.fftfreq(geometry.length)
    ramp = np.interp(np.abs(f), np.fft.rfftfreq(geometry.length), geometry.response)
    points = spectra * ramp * geometry.weight[:, None] / geometry.length
    offset = plan.size // 2 - (plan.size - 1) / 2
    cos, sin = np.cos(theta)[:, None], np.sin(theta)[:, None]
    points = points * np.exp(2j * np.pi * f * (axis + offset * (cos + sin)))
    exact = finufft.nufft2d1(
        (2 * np.pi * f * sin).ravel(), (2 * np.pi * f * cos).ravel(), points.ravel(),
        (plan.size, plan.size), eps=1e-9, isign=1,
    ).real  # fmt: skip
    x, y = phantoms.coordinates(plan.size)
    disc = np.hypot(x, y) < 0.95 * geometry.reach
    assert rms((plan.reconstruct(rows)[0] - exact)[disc]) < 2.5e-4


@pytest.mark.parametrize("padding", ["edge", "zero"])
@pytest.mark.parametrize("filter", FILTERS)
@pytest.mark.parametrize("engine", ENGINES)
def test_level_and_position(phantoms, engine, filter, padding):
    columns, angles, axis = 200, 320, 98.3
    theta = half_turn(angles)
    disc = phantoms.Ellipse(0.02, 20.0, -15.0, 56.0, 48.0, 0.4)
    image = fbp(
        phantoms.project([disc], theta, columns, axis)[None], theta, axis,
        engine=engine, filter=filter, padding=padding, pixel_size_um=20.0,
    )[0].astype(float)  # fmt: skip
    x, y = phantoms.coordinates(columns)
    assert image[disc.inside(x, y, 5)].mean() == pytest.approx(0.02 / 20e-4, rel=1e-4)
    near = image * disc.inside(x, y, -15)
    assert (near * x).sum() / near.sum() == pytest.approx(20, abs=0.01)
    assert (near * y).sum() / near.sum() == pytest.approx(-15, abs=0.01)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("degrees", [
    np.arange(0, 180.1, 0.75), np.arange(180, 0, -0.75), np.arange(0, 357, 0.75),
    np.arange(0, 400, 0.75) - 55,
    np.random.default_rng(1).permutation(np.arange(0, 180, 0.75)),
    np.concatenate([np.arange(0, 90, 0.5), np.arange(90, 180, 1.0)]),
    np.sort(np.random.default_rng(2).uniform(0, 180, 400)),
])  # fmt: skip
def test_any_set_of_angles_keeps_the_level(phantoms, degrees, engine):
    theta = np.deg2rad(degrees)
    disc = phantoms.Ellipse(1.0, 11.0, 8.0, 30.0, 30.0)
    image = fbp(phantoms.project([disc], theta, 128, 61.8)[None], theta, 61.8, engine=engine)[0]
    x, y = phantoms.coordinates(128)
    assert image[disc.inside(x, y, 4)].mean() == pytest.approx(1.0, abs=3e-4)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_missing_wedge_keeps_the_mean_level(phantoms, engine):
    theta = np.deg2rad(np.arange(0, 150, 0.5))
    disc = phantoms.Ellipse(1.0, 0.0, 0.0, 30.0, 30.0)
    image = fbp(phantoms.project([disc], theta, 128, 63.5)[None], theta, engine=engine)[0]
    x, y = phantoms.coordinates(128)
    assert image[disc.inside(x, y, 4)].mean() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("columns", "size"), [(64, None), (65, None), (64, 31), (65, 90), (64, 40)]
)
def test_orientation_and_odd_sizes(phantoms, engine, columns, size):
    """One small disc at (x, y) = (+12, -5): right of the axis, and above it (y points down)."""
    theta = half_turn(120)
    spot = phantoms.Ellipse(1.0, 12.0, -5.0, 2.0, 2.0)
    image = fbp(
        phantoms.project([spot], theta, columns, 30.9)[None], theta, 30.9, engine=engine, size=size
    )[0]
    n = size or columns
    assert image.shape == (n, n)
    x, y = phantoms.coordinates(n)
    near = image * (np.hypot(x - 12, y + 5) < 3.5)
    assert (near * x).sum() / near.sum() == pytest.approx(12, abs=0.05)
    assert (near * y).sum() / near.sum() == pytest.approx(-5, abs=0.05)
    reach = max(30.9, columns - 1 - 30.9) + 0.5
    assert (image[np.hypot(x, y) > reach] == 0).all()
    assert (image[np.hypot(x, y) < reach - 1] != 0).mean() > 0.99


@pytest.mark.parametrize("engine", ENGINES)
def test_rotation_by_90_degrees_turns_the_slice(engine):
    theta = half_turn(100)
    rows = np.random.default_rng(0).random((1, 100, 63), dtype=np.float32)
    image = fbp(rows, theta, engine=engine)
    # Angles larger by 90 degrees: the object turns from +x to +y, i.e. to the right on screen.
    turned = fbp(rows, theta + np.pi / 2, engine=engine)
    assert turned == pytest.approx(
        np.rot90(image, -1, axes=(1, 2)), abs=2e-6 * float(np.abs(image).max())
    )


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("acquisition", ["full", "half"])
def test_accelerated_equals_array_code(engine, acquisition):
    pytest.importorskip("numba", reason="numba is not installed: nothing to compare")
    rng = np.random.default_rng(7)
    angles = rng.permutation(np.linspace(-1, 6.5, 77))
    rows = rng.random((3, 77, 61), dtype=np.float32)
    geometry = Geometry.create(angles, 61, 44.2, acquisition=acquisition)
    kind = {"fourier": FourierEngine, "direct": DirectEngine}[engine]
    fast, plain = (np.empty((3, geometry.size, geometry.size), np.float32) for _ in range(2))
    kind(geometry, accelerated=True).reconstruct(rows, fast)
    kind(geometry, accelerated=False).reconstruct(rows, plain)
    assert np.abs(plain).max() > 0.01
    # The roundings of two different transforms, larger where the kernel is taken out at the rim.
    assert fast == pytest.approx(plain, abs=3e-6 * float(np.abs(plain).max()))


@pytest.mark.parametrize("engine", ENGINES)
def test_slices_threads_and_order_change_no_bit(engine, one_thread_then_all):
    rng = np.random.default_rng(11)
    theta = np.sort(rng.uniform(0, np.pi, 150))
    rows = rng.random((19, 150, 96), dtype=np.float32)
    plan = Reconstructor(theta, 96, 50.2, engine=engine)
    one_thread_then_all(1)
    whole = plan.reconstruct(rows)
    for threads in (2, 3):
        one_thread_then_all(threads)
        assert np.array_equal(plan.reconstruct(rows), whole)
    for part in (slice(0, 1), slice(3, 5), slice(4, 11), slice(2, 18), slice(18, 19)):
        assert np.array_equal(plan.reconstruct(rows[part]), whole[part])
    assert np.array_equal(plan.reconstruct(rows[::-1])[::-1], whole)


def test_order_of_projections_changes_no_bit_of_the_fourier_engine():
    rng = np.random.default_rng(12)
    theta = np.arange(150) * np.pi / 150
    rows = rng.random((2, 150, 64), dtype=np.float32)
    shuffle = rng.permutation(150)
    assert np.array_equal(fbp(rows[:, shuffle], theta[shuffle]), fbp(rows, theta))


@pytest.mark.parametrize("engine", ENGINES)
def test_linear(engine):
    rng = np.random.default_rng(2)
    theta = half_turn(90)
    a, b = rng.random((2, 1, 90, 64), dtype=np.float32)
    images = [fbp(rows, theta, engine=engine) for rows in (a, b, 2 * a - 3 * b)]
    assert images[2] == pytest.approx(2 * images[0] - 3 * images[1], abs=3e-6)


@pytest.mark.parametrize("accelerated", [True, False])
def test_region_of_interest_of_the_direct_engine(accelerated):
    rng = np.random.default_rng(4)
    geometry = Geometry.create(half_turn(60), 70, 33.3)
    rows = rng.random((2, 60, 70), dtype=np.float32)
    engine = DirectEngine(geometry, accelerated=accelerated)
    whole = np.empty((2, 70, 70), np.float32)
    engine.reconstruct(rows, whole)
    window = np.empty((2, 25, 40), np.float32)
    engine.reconstruct(rows, window, slice(30, 55), slice(3, 43))
    assert window == pytest.approx(whole[:, 30:55, 3:43], abs=1e-7)
    with pytest.raises(InputError, match="needs"):
        engine.reconstruct(rows, window, slice(30, 54), slice(3, 43))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("slices", "columns", "angles"), [(16, 200, 300), (3, 256, 200), (40, 128, 180)]
)
def test_memory_is_what_was_promised(engine, slices, columns, angles):
    rows = np.zeros((slices, angles, columns), np.float32)
    out = np.empty((slices, columns, columns), np.float32)
    fbp(rows[:, :20], half_turn(20), engine=engine)  # loads the loops
    gc.collect()  # a grid stays as long as any plan
    tracemalloc.start()
    try:
        plan = Reconstructor(half_turn(angles), columns, engine=engine)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        plan.reconstruct(rows, out)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    promised = plan.memory_bytes(slices)
    assert peak <= 1.02 * promised + 200_000
    assert peak >= 0.8 * promised


def test_plans_share_one_grid_and_leave_none(one_thread_then_all):
    """Whatever a grid held before, and whoever else is at work: a slice has the same bits."""
    pytest.importorskip("numba", reason="numba is not installed: the array code keeps nothing")
    one_thread_then_all(2)
    rng = np.random.default_rng(3)
    scans = [rng.random((2, 70, columns), dtype=np.float32) for columns in (40, 90, 64)]
    expected = [fbp(rows, half_turn(70)) for rows in scans]
    gc.collect()
    tracemalloc.start()
    try:
        plans = [Reconstructor(half_turn(70), rows.shape[2]) for rows in scans]
        for _ in range(2):
            for plan, rows, slices in zip(plans, scans, expected):
                assert np.array_equal(plan.reconstruct(rows), slices)
        with ThreadPoolExecutor(3) as pool:
            at_once = list(pool.map(Reconstructor.reconstruct, plans * 4, scans * 4))
        assert all(np.array_equal(a, b) for a, b in zip(at_once, expected * 4))
        del plan, at_once
        held = tracemalloc.get_traced_memory()[0]
        plans.clear()
        gc.collect()
        freed = held - tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    largest = 8 * 4 * 115 * 60  # 112 cells of 1.25 x 90 pixels, 4 lanes
    assert largest < freed < 2 * largest


def test_out_is_filled_and_float64_is_converted():
    theta = half_turn(60)
    rows = np.random.default_rng(0).random((2, 60, 48))
    plan = Reconstructor(theta, 48)
    out = np.full((2, 48, 48), np.nan, np.float32)
    assert plan.reconstruct(rows, out) is out
    assert np.isfinite(out).all()
    assert np.array_equal(out, plan.reconstruct(rows.astype(np.float32)))
    strided = np.asfortranarray(rows.astype(np.float32))
    assert np.array_equal(out, plan.reconstruct(strided))


def test_without_numba_the_array_code_serves(monkeypatch):
    from hipct.core import jit

    theta = half_turn(40)
    rows = np.random.default_rng(0).random((1, 40, 32), dtype=np.float32)
    expected = fbp(rows, theta)
    monkeypatch.setitem(sys.modules, "numba", None)
    jit.has_numba.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    try:
        image = fbp(rows, theta)
    finally:
        jit.has_numba.cache_clear()
    assert image == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("change", "message"), [
    ({"axis": -0.5}, "off the detector"), ({"axis": 63.5}, "off the detector"),
    ({"axis": np.nan}, "axis"), ({"axis": -100.0, "acquisition": "half"}, "width"),
    ({"engine": "astra"}, "'astra'.*fourier, direct"), ({"filter": "Hann"}, "'Hann'"),
    ({"acquisition": "quarter"}, "'quarter'"), ({"padding": "mirror"}, "'mirror'"),
    ({"pixel_size_um": 0.0}, "pixel size"), ({"pixel_size_um": np.nan}, "pixel size"),
    ({"size": 0}, "size"), ({"angles": np.zeros(5)}, "5 angles"),
    ({"angles": np.full(60, np.nan)}, "not finite"),
    ({"sinograms": np.zeros((60, 64))}, "shape"),
    ({"sinograms": np.zeros((0, 60, 64))}, "at least 1"),
    ({"sinograms": np.zeros((1, 60, 64), complex)}, "complex128"),
    ({"sinograms": np.full((1, 60, 64), np.nan)}, "not finite"),
    ({"sinograms": np.zeros((1, 60, 1))}, "columns"),
])  # fmt: skip
def test_bad_input_is_one_sentence(change, message):
    arguments = {"sinograms": np.zeros((1, 60, 64)), "angles": half_turn(60)} | change
    with pytest.raises(InputError, match=message):
        fbp(**arguments)


@pytest.mark.parametrize("engine", ENGINES)
def test_one_bad_value_anywhere_is_found(engine):
    rows = np.zeros((5, 60, 64), np.float32)
    rows[3, 17, 5] = np.inf
    with pytest.raises(InputError, match="not finite"):
        fbp(rows, half_turn(60), engine=engine)


def test_out_of_another_shape_or_dtype():
    plan = Reconstructor(half_turn(60), 64)
    for out in (np.empty((1, 64, 65), np.float32), np.empty((1, 64, 64))):
        with pytest.raises(InputError, match="has to be float32"):
            plan.reconstruct(np.zeros((1, 60, 64)), out)
    with pytest.raises(InputError, match="number of slices"):
        plan.memory_bytes(0)


@pytest.mark.parametrize("engine", ["fourier", "direct"])
def test_arrays_that_may_not_be_written(engine):
    plan = Reconstructor(half_turn(60), 64, engine=engine)
    rows = np.random.default_rng(2).random((1, 60, 64), dtype=np.float32)
    expected = plan.reconstruct(rows)
    rows.flags.writeable = False
    out = np.empty_like(expected)
    assert (plan.reconstruct(rows, out) == expected).all()
    out.flags.writeable = False
    with pytest.raises(InputError, match="read-only"):
        plan.reconstruct(rows, out)
