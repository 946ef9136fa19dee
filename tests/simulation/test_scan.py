"""Simulated scans as they lie on disk."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import zarr

from hipct.acquisition.store import ScanStoreWriter, StoreScan
from hipct.core.errors import FormatError, InputError, OutputError
from hipct.core.progress import Silent
from hipct.core.threads import set_thread_count
from hipct.simulation import Organ, load_truth, simulate_scan
from hipct.simulation.primitives import cylinder, ellipsoid

SMALL = {"rows": 20, "columns": 40, "angles": 12, "flats": 3, "darks": 2}
CLEAN = SMALL | {"noise": None, "rings": 0.0, "drift": 0.0}


class Listener(Silent):
    def __init__(self):
        self.said, self.steps, self.total = [], 0, 0

    def start(self, stage, total):
        self.total = total

    def advance(self, stage, steps=1):
        self.steps += steps

    def say(self, message):
        self.said.append(message)


def frames(path):
    with StoreScan(path) as scan:
        every = slice(None)
        raw = scan.read_projections(every, every), scan.read_flats(every), scan.read_darks(every)
        return scan.info, *(part.astype(float) for part in raw)


def transmission(path):
    """Flat field with the nearest flat: enough for a scan without drift."""
    info, projections, flats, darks = frames(path)
    dark = darks.mean(axis=0)
    flat = ((flats - dark) / info.flat_current[:, None, None]).mean(axis=0)
    return (projections - dark) / info.current[:, None, None] / flat


def digest(path):
    sums = {}
    for file in sorted(Path(path).rglob("*")):
        if file.is_file():
            sums[str(file.relative_to(path))] = hashlib.sha256(file.read_bytes()).hexdigest()
    return sums


def contents(path):
    """Digest of every array and every attribute; how lz4 was threaded changes the bytes only."""
    root = zarr.open_group(path, mode="r")
    sums = {"attributes": hashlib.sha256(repr(dict(root.attrs)).encode()).hexdigest()}
    for name, member in root.members(max_depth=None):
        held = repr(dict(member.attrs)).encode()
        if isinstance(member, zarr.Array):
            held += np.ascontiguousarray(member[...]).tobytes()
        sums[name] = hashlib.sha256(held).hexdigest()
    return sums


def test_the_store_holds_the_scan_and_its_geometry(tmp_path):
    path = simulate_scan(
        tmp_path / "a.zarr", **SMALL, acquisition="half", energy_kev=80.0, distance_m=2.0,
        pixel_size_um=18.0,
    )  # fmt: skip
    info, projections, flats, darks = frames(path)
    assert (projections.shape, flats.shape, darks.shape) == ((12, 20, 40), (9, 20, 40), (2, 20, 40))
    assert info.dtype == np.uint16
    assert (info.acquisition, info.kind, info.current_unit) == ("half", "counts", "mA")
    assert (info.energy_kev, info.distance_m, info.pixel_size_um) == (80.0, 2.0, 18.0)
    assert info.rotation_axis_px is None
    np.testing.assert_allclose(info.angles_rad, np.arange(12) * 2 * np.pi / 12)
    # Darks, flats, half of the projections, flats, the other half, flats: no number twice.
    assert info.dark_index.tolist() == [-5, -4]
    assert info.flat_index.tolist() == [-3, -2, -1, 6, 7, 8, 15, 16, 17]
    assert info.projection_index.tolist() == [0, 1, 2, 3, 4, 5, 9, 10, 11, 12, 13, 14]
    assert np.all((info.current > 180) & (info.current <= 200))
    assert flats.mean() > 10 * darks.mean()


def test_without_propagation_the_logarithm_is_the_true_attenuation(tmp_path):
    path = simulate_scan(tmp_path / "a.zarr", **CLEAN, propagation=False, seed=3)
    truth = load_truth(path)
    info, *_ = frames(path)
    assert info.distance_m == 0
    wanted = truth.attenuation(info.angles_rad)
    found = -np.log(transmission(path))
    assert wanted.max() > 5e-3
    # Half a count of some 14000 and more, in projections, flats and their average.
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_propagation_adds_fringes_of_no_mean(tmp_path):
    """Free space moves light sideways; over a complete field none is lost."""
    organ = Organ.of(ellipsoid((0, 0, 0), (100, 120, 90), mu=0.3)).with_delta(1.5e-7)
    pure = simulate_scan(tmp_path / "a.zarr", **CLEAN, organ=organ, axis=33.4, propagation=False)
    fringed = simulate_scan(tmp_path / "b.zarr", **CLEAN, organ=organ, axis=33.4, distance_m=6.0)
    difference = transmission(fringed) - transmission(pure)
    whole = [0, 6]  # views that hold all of the organ
    assert np.abs(difference[whole]).max() > 3e-3
    assert np.abs(difference[whole].mean()) < 2e-5


def test_the_projection_convention_of_the_store(tmp_path):
    """An off-centre ball: column = axis + x cos a + y sin a, row = middle + z, in pixels."""
    p, x, y, z, axis = 20.0, 6.0, -3.5, 2.0, 19.3
    organ = Organ.of(ellipsoid((x * p, y * p, z * p), (60, 60, 60), mu=2.0))
    path = simulate_scan(
        tmp_path / "a.zarr", **(CLEAN | {"columns": 41, "angles": 7}), acquisition="full",
        organ=organ, axis=axis, propagation=False,
    )  # fmt: skip
    info, *_ = frames(path)
    for angle, image in zip(info.angles_rad, -np.log(transmission(path))):
        column = (image.sum(axis=0) * np.arange(41)).sum() / image.sum()
        row = (image.sum(axis=1) * np.arange(20)).sum() / image.sum()
        assert column == pytest.approx(axis + x * np.cos(angle) + y * np.sin(angle), abs=0.05)
        assert row == pytest.approx(9.5 + z, abs=0.05)


def test_opposite_views_of_a_half_acquisition_mirror_each_other(tmp_path):
    organ = Organ.of(
        ellipsoid((-60, 100, 30), (80, 90, 70), mu=0.5), cylinder((80, 0, 0), 60, mu=0.2)
    ).with_delta(1e-7)
    path = simulate_scan(tmp_path / "a.zarr", **CLEAN, organ=organ, axis=34.5)
    seen = transmission(path)
    common = slice(30, 40)
    assert np.ptp(seen[0, :, common]) > 0.005
    for k in range(6):
        np.testing.assert_allclose(seen[k, :, common], seen[k + 6, :, common][:, ::-1], atol=2e-4)


def test_truth_volume_sums_to_the_projections(tmp_path):
    path = simulate_scan(
        tmp_path / "a.zarr", **(CLEAN | {"columns": 41}), acquisition="full", axis=20.0,
        propagation=False, blur_px=0.0, seed=2,
    )  # fmt: skip
    truth = load_truth(path)
    volume = truth.volume().astype(float)
    assert volume.shape == (20, 41, 41)
    seen = -np.log(transmission(path)).astype(float)
    step = 20.0 * 1e-4
    for view, axis in ((0, 1), (6, 2)):
        sums = volume.sum(axis=axis) * step
        assert np.abs(sums - seen[view]).max() < 0.03 * sums.max()
        assert sums.sum() == pytest.approx(seen[view].sum(), rel=5e-3)
    np.testing.assert_array_equal(truth.volume(slice(3, 5)), volume[3:5].astype(np.float32))
    assert truth.volume(slice(0, 1), size=11).shape == (1, 11, 11)


def test_truth_comes_back_as_it_was(tmp_path):
    organ = Organ.of(ellipsoid((1, 2, 3), (40, 50, 60), mu=0.25, delta=3e-9, soft=True))
    path = simulate_scan(tmp_path / "a.zarr", **SMALL, organ=organ, axis=36.2, seed=8)
    truth = load_truth(path)
    for name in ("centre", "form", "soft", "mu", "delta"):
        np.testing.assert_array_equal(
            getattr(truth.organ.quadrics, name), getattr(organ.quadrics, name)
        )
    assert truth.organ.capsules.mu.size == 0
    assert (truth.setup.axis_px, truth.setup.seed, truth.setup.columns) == (36.2, 8, 40)
    assert truth.size == 74  # 2 * 36.2 + 1 = 73.4 columns


def test_the_same_seed_writes_the_same_frames_on_any_number_of_threads(tmp_path):
    noisy = SMALL | {"zingers": 1e-3, "dead_pixels": 1e-2, "seed": 4}
    first = contents(simulate_scan(tmp_path / "a.zarr", **noisy))
    try:
        set_thread_count(3)
        second = contents(simulate_scan(tmp_path / "b.zarr", **noisy))
    finally:
        set_thread_count(None)
    assert len(first) > 10
    assert first == second
    assert first != contents(simulate_scan(tmp_path / "c.zarr", **(noisy | {"seed": 5})))


@pytest.mark.parametrize("columns", [64, 200, 512, 2048])
def test_the_default_axis_of_a_half_acquisition_leaves_12_to_20_percent(columns):
    from hipct.simulation.scan import axis_column

    axis = axis_column(None, "half", columns)
    common = 2 * min(axis, columns - 1 - axis) + 1
    assert 0.12 < common / columns < 0.20
    assert axis != round(axis)


def test_the_jar_stands_in_the_field_with_the_organ_inside(tmp_path):
    path = simulate_scan(
        tmp_path / "a.zarr", **(CLEAN | {"columns": 60}), acquisition="full", jar=True
    )
    truth = load_truth(path)
    middle = truth.volume(slice(10, 11))[0]
    assert middle.shape == (60, 60)
    assert 0.15 < middle[30, 30] < 0.26  # 1/cm: medium and tissue
    assert np.abs(middle[30, [0, 59]]).max() == 0
    seen = transmission(path)
    assert seen[:, :, 31].mean() < 0.99
    np.testing.assert_allclose(seen[:, :, [0, -1]], 1, atol=2e-3)


def test_a_steep_phase_is_computed_finer_and_said(tmp_path):
    organ = Organ.of(ellipsoid((0, 0, 0), (250, 250, 400), mu=0.15)).with_delta(3.3e-7)
    listener = Listener()
    path = simulate_scan(tmp_path / "a.zarr", **CLEAN, organ=organ, axis=33.0, observer=listener)
    assert load_truth(path).setup.oversampling > 4
    assert any("instead of 4 times finer" in words for words in listener.said)
    assert (listener.steps, listener.total) == (12, 12)


def test_a_phase_that_nothing_carries_is_refused_and_nothing_is_left(tmp_path):
    organ = Organ.of(ellipsoid((0, 0, 0), (250, 250, 400), mu=0.5)).with_delta(1e-4)
    with pytest.raises(InputError, match="lower delta_beta"):
        simulate_scan(tmp_path / "a.zarr", **CLEAN, organ=organ, axis=33.0, oversampling=15)
    assert list(tmp_path.iterdir()) == []


def test_a_seed_shows_the_same_organ_at_every_distance(tmp_path):
    """At 50 m lambda z / p^2 is 15.5: two Fresnel zones are 7.9 pixels."""
    heard, organs = {}, []
    for distance in (0.0, 0.5, 50.0):
        listener = Listener()
        path = tmp_path / f"{distance}.zarr"
        given = CLEAN | {"energy_kev": 100.0, "delta_beta": 100.0, "angles": 2}
        simulate_scan(
            path, **given, distance_m=distance, pixel_size_um=6.3246, seed=3, observer=listener
        )
        organs.append(load_truth(path).organ)
        heard[distance] = [said for said in listener.said if "fringes" in said]
    for organ in organs[1:]:
        for table in ("quadrics", "capsules"):
            one, other = (vars(getattr(each, table)) for each in (organs[0], organ))
            assert all(np.array_equal(one[name], other[name]) for name in one)
    assert not heard[0.0]
    assert not heard[0.5]
    # The axis is at 36.3: (36.3 - 7.9) / (36.3 - 4.25) of the organ fits in.
    assert "reach 8 pixels" in heard[50.0][0]
    assert "organ_size of 0.88" in heard[50.0][0]


def test_organ_size_is_relative_to_the_field(tmp_path):
    whole, half = (
        load_truth(
            simulate_scan(tmp_path / f"{size}.zarr", **CLEAN, organ_size=size, propagation=False)
        ).organ.quadrics
        for size in (1.0, 0.5)
    )
    np.testing.assert_allclose(half.centre, whole.centre / 2)
    np.testing.assert_allclose(half.form, 4 * whole.form)
    np.testing.assert_array_equal(half.mu, whole.mu)


def test_runs_of_a_seed_differ_by_their_noise_alone(tmp_path):
    given = SMALL | {"noise": 500.0, "distance_m": 2.0}
    still = transmission(simulate_scan(tmp_path / "still.zarr", **CLEAN, distance_m=2.0))
    noise = [
        transmission(simulate_scan(tmp_path / f"{n}.zarr", **given, run=run, rings=0.0, drift=0.0))
        - still
        for n, run in enumerate((0, 0, 1))
    ]
    assert np.array_equal(noise[0], noise[1])
    assert noise[2].std() == pytest.approx(noise[0].std(), rel=0.05)
    assert abs(np.corrcoef(noise[0].ravel(), noise[2].ravel())[0, 1]) < 0.05


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"organ_size": 0.0}, "organ_size 0.0"),
        ({"distance_m": 9000.0}, "spreads by 620 pixels, and the field reaches 36.3 columns"),
        ({"run": -1}, "run is -1"),
        ({"acquisition": "quarter"}, "'quarter'"),
        ({"angles": 0}, "number of angles is 0"),
        ({"angles": 2.5}, "number of angles is 2.5"),
        ({"angles": [0.0, np.nan]}, "finite angles"),
        ({"columns": 12}, "no room for an organ"),
        ({"rows": 0}, "rows is 0"),
        ({"acquisition": "full", "axis": 50.0}, "off the detector"),
        ({"axis": np.inf}, "axis is inf"),
        ({"delta_beta": -1.0}, "delta_beta is -1.0"),
        ({"noise": -5.0}, "noise is -5.0"),
        ({"energy_kev": 0.0}, "energy_kev is 0.0"),
        ({"flats": 0}, "flats is 0"),
        ({"darks": 0}, "darks is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"oversampling": 3}, "oversampling is 3"),
    ],
)
def test_wrong_input_is_answered_by_a_sentence(tmp_path, changes, words):
    with pytest.raises(InputError, match=words) as caught:
        simulate_scan(tmp_path / "a.zarr", **(SMALL | changes))
    assert str(caught.value).endswith(".")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_store_is_replaced_only_on_demand(tmp_path):
    path = simulate_scan(tmp_path / "a.zarr", **SMALL)
    before = digest(path)
    with pytest.raises(OutputError, match="exists already"):
        simulate_scan(path, **SMALL, seed=1)
    assert digest(path) == before
    simulate_scan(path, **SMALL, seed=1, overwrite=True)
    assert load_truth(path).setup.seed == 1


def test_a_scan_without_truth_says_so(tmp_path):
    path = simulate_scan(tmp_path / "a.zarr", **SMALL)
    with StoreScan(path) as scan:
        info, every = scan.info, slice(None)
        with ScanStoreWriter(tmp_path / "b.zarr", info) as writer:
            writer.write_projections(0, scan.read_projections(every, every))
            writer.write_flats(0, scan.read_flats(every))
            writer.write_darks(0, scan.read_darks(every))
    with pytest.raises(InputError, match="holds no truth"):
        load_truth(tmp_path / "b.zarr")
    (path / "truth" / "capsules" / "zarr.json").unlink()
    with pytest.raises(FormatError, match="no array capsules"):
        load_truth(path)
