"""Simulated series: every sub-scan shows the same organ, as far off as the truth says."""

from __future__ import annotations

import numpy as np
import pytest

from hipct.acquisition.store import StoreScan
from hipct.core.errors import InputError, OutputError
from hipct.simulation import (
    load_series_truth,
    load_truth,
    simulate_helix,
    simulate_scan,
    simulate_series,
    simulate_whole,
)

SMALL = {"sub_scans": 3, "rows": 16, "columns": 64, "angles": 24, "flats": 3, "darks": 2}
CLEAN = SMALL | {"noise": None, "rings": 0.0, "drift": 0.0, "propagation": False}
FAULTS = {
    "position_error_px": 3.0,
    "lateral_error_px": 1.0,
    "axis_drift_px": 2.0,
    "level_steps": 0.05,
}
ALL = slice(None)


def attenuation(path):
    with StoreScan(path) as scan:
        info = scan.info
        projections, flats, darks = (
            part.astype(float)
            for part in (
                scan.read_projections(ALL, ALL),
                scan.read_flats(ALL),
                scan.read_darks(ALL),
            )
        )
    dark = darks.mean(axis=0)
    flat = ((flats - dark) / info.flat_current[:, None, None]).mean(axis=0)
    return -np.log((projections - dark) / info.current[:, None, None] / flat)


def test_each_sub_scan_holds_what_the_whole_organ_projects_to_at_its_place(tmp_path):
    """Oracle: line integrals of the unmoved organ at the shifted rows and columns."""
    path = simulate_series(tmp_path / "a.series.zarr", **CLEAN, **FAULTS, blur_px=0.0)
    truth = load_series_truth(path)
    assert np.abs(truth.offsets_px - truth.motor_offsets_px).max() > 0.5
    assert np.ptp(truth.axes_px) > 1.5
    assert np.ptp(truth.levels) > 0.02
    pixel = truth.whole.setup.pixel_size_um
    fine = (np.arange(4) + 0.5) / 4 - 0.5
    for place in truth.placements:
        found = attenuation(path / place.name)
        with StoreScan(path / place.name) as scan:
            info = scan.info
        for k in (0, 7):
            a = info.angles_rad[k]
            along = place.x_px * np.cos(a) + place.y_px * np.sin(a)
            rows = (np.arange(16)[:, None] + fine).ravel() + place.offset_px - (truth.rows - 1) / 2
            columns = (np.arange(64)[:, None] + fine).ravel() - place.axis_px - along
            rays = truth.whole.organ.projected_thickness(a, rows * pixel, columns * pixel)
            # The detector averages the transmission over its pixels.
            seen = np.exp(-place.level * rays).reshape(16, 4, 64, 4).mean(axis=(1, 3))
            np.testing.assert_allclose(found[k], -np.log(seen), atol=2e-4)


def test_the_whole_organ_in_one_scan_is_what_the_sub_scans_cut_out(tmp_path):
    path = simulate_series(tmp_path / "a.series.zarr", **CLEAN)
    truth = load_series_truth(path)
    tall = attenuation(simulate_whole(path, tmp_path / "w.zarr", angles=24))
    assert tall.shape == (24, truth.rows, 64)
    for place in truth.placements:
        first = round(place.offset_px)
        np.testing.assert_allclose(
            attenuation(path / place.name), tall[:, first : first + 16], atol=3e-4
        )


def test_the_index_and_the_scans_say_where_they_stand(tmp_path):
    path = simulate_series(tmp_path / "a.series.zarr", **CLEAN, descending=True)
    infos = {name: StoreScan(path / name).info for name in ("scan-000", "scan-001", "scan-002")}
    z = [infos[name].z_um for name in sorted(infos)]
    assert np.diff(z).tolist() == [-12 * 20.0, -12 * 20.0]
    assert infos["scan-001"].name == "scan-001"
    assert infos["scan-000"].start_time < infos["scan-001"].start_time
    truth = load_series_truth(path)
    assert [place.name for place in truth.placements] == ["scan-002", "scan-001", "scan-000"]
    assert load_truth(path / "scan-001").setup.rows == 16


def test_quarter_acquisitions_have_two_annuli_at_every_height(tmp_path):
    path = simulate_series(
        tmp_path / "a.series.zarr", **CLEAN, acquisition="quarter", join_error_px=1.5
    )
    truth = load_series_truth(path)
    inner, outer = truth.placements[:2]
    assert (inner.annulus, outer.annulus, inner.offset_px) == ("inner", "outer", outer.offset_px)
    apart = outer.axis_px - inner.axis_px
    nominal = StoreScan(path / outer.name).info.lateral_um / 20.0
    assert nominal == 64 - round(0.48 * 64)
    assert 0 < abs(apart - nominal) <= 1.5
    assert truth.size > 2 * 64 + 2 * (nominal - 12)
    # Columns in common show the same rays: shift by the true distance and compare.
    near, far = attenuation(path / inner.name), attenuation(path / outer.name)
    columns = np.arange(64.0)
    for row in (3, 12):
        moved = np.interp(columns, columns + apart, near[5, row])
        common = slice(int(np.ceil(apart)) + 1, 63)
        np.testing.assert_allclose(far[5, row, common], moved[common], atol=2e-3)


def test_a_reference_is_the_jar_alone_with_noise_of_its_own(tmp_path):
    options = SMALL | {"jar": 1.3, "propagation": False, "rings": 0.0, "sub_scans": 1}
    sample = simulate_series(tmp_path / "a.series.zarr", **options, organ_size=0.01)
    reference = simulate_series(tmp_path / "b.series.zarr", **options, reference=True)
    a, b = attenuation(sample / "scan-000"), attenuation(reference / "scan-000")
    assert 0.01 < b.mean() < 0.2
    middle = np.abs(a - b)[:, :, :30]
    assert 0 < middle.mean() < 0.05  # noise of 5000 photons at most
    correlation = np.corrcoef((a - a.mean(0)).ravel(), (b - b.mean(0)).ravel())[0, 1]
    assert abs(correlation) < 0.1
    flats = [StoreScan(path / "scan-000").read_flats(ALL) for path in (sample, reference)]
    assert np.corrcoef(*(flat.mean(axis=0).ravel() for flat in flats))[0, 1] > 0.9


def test_darkening_takes_light_from_the_projections_alone(tmp_path):
    path = simulate_series(tmp_path / "a.series.zarr", **CLEAN, darkening=0.06)
    clean = simulate_series(tmp_path / "b.series.zarr", **CLEAN)
    lost = [
        np.exp(attenuation(clean / name) - attenuation(path / name)).mean(axis=(1, 2))
        for name in ("scan-000", "scan-001", "scan-002")
    ]
    time = (np.concatenate(lost) - 1) / -0.06
    # A sub-scan begins where the one before it has ended.
    rise = np.diff(time)
    assert np.abs(rise[23::24]).max() < 1e-3
    assert np.delete(rise, [23, 47]).min() > 0.01
    assert time[0] == pytest.approx(0, abs=0.02)
    assert time[-1] == pytest.approx(1, abs=0.02)


def test_steps_of_the_light_differ_by_sub_scan_and_have_no_mean(tmp_path):
    path = simulate_series(tmp_path / "a.series.zarr", **CLEAN, light_steps=0.05)
    clean = simulate_series(tmp_path / "b.series.zarr", **CLEAN)
    factors = []
    for name in ("scan-000", "scan-001", "scan-002"):
        factor = np.exp(attenuation(clean / name) - attenuation(path / name))
        assert factor.std() < 1e-3
        factors.append(factor.mean())
    places = load_series_truth(path).placements
    assert factors == pytest.approx([1 - place.darkening[0] for place in places], abs=2e-4)
    assert np.mean(factors) == pytest.approx(1.0, abs=2e-4)
    assert 0.02 < np.ptp(factors) < 0.1


def test_series_without_flats(tmp_path):
    path = simulate_series(tmp_path / "a.series.zarr", **(CLEAN | {"flats": 0}))
    assert StoreScan(path / "scan-001").info.flats == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"acquisition": "third"}, "'third'"),
        ({"sub_scans": 0}, "sub_scans is 0"),
        ({"overlap": 1.0}, "overlap is 1.0"),
        ({"position_error_px": -1.0}, "position_error_px is -1.0"),
        ({"axis_drift_px": np.nan}, "axis_drift_px is nan"),
        ({"level_steps": 0.7}, "level_steps is 0.7"),
        ({"light_steps": -0.1}, "light_steps is -0.1"),
        ({"flats": -1}, "flats is -1"),
        ({"darks": 0}, "darks is 0"),
        ({"jar": -1.0}, "jar is -1.0"),
        ({"organ_size": 0.0}, "organ_size is 0.0"),
    ],
)
def test_wrong_input_is_answered_by_a_sentence(tmp_path, changes, words):
    with pytest.raises(InputError, match=words):
        simulate_series(tmp_path / "a.series.zarr", **(SMALL | changes))
    assert list(tmp_path.iterdir()) == []


def test_an_existing_series_is_replaced_only_on_demand(tmp_path):
    path = simulate_series(tmp_path / "a.series.zarr", **(CLEAN | {"sub_scans": 1}))
    with pytest.raises(OutputError, match="exists already"):
        simulate_series(path, **(CLEAN | {"sub_scans": 1}))
    simulate_series(path, **(CLEAN | {"sub_scans": 2}), overwrite=True)
    assert len(load_series_truth(path).placements) == 2
    scan = simulate_scan(tmp_path / "s.zarr", columns=40, rows=8, angles=4, flats=1, darks=1)
    with pytest.raises(OutputError, match="no series store"):
        simulate_series(scan, **SMALL, overwrite=True)


def test_motion_moves_the_organ_as_far_as_the_truth_says(tmp_path):
    """Oracle: line integrals of the unmoved organ where the motion has brought the pixels."""
    path = simulate_series(
        tmp_path / "a.series.zarr", **(CLEAN | {"sub_scans": 1}), motion_px=4.0, blur_px=0.0
    )
    truth = load_series_truth(path)
    (place,) = truth.placements
    assert np.abs(place.motion_px).max() > 0.5
    found = attenuation(path / place.name)
    with StoreScan(path / place.name) as scan:
        info = scan.info
    time = info.projection_index / info.projection_index[-1]
    moved = truth.motion_px(place, time)
    np.testing.assert_allclose(moved[-1], place.motion_px)
    pixel = 20.0
    fine = (np.arange(4) + 0.5) / 4 - 0.5
    for k in (0, 5, 23):
        a, (x, y, z) = info.angles_rad[k], moved[k]
        rows = (np.arange(16)[:, None] + fine).ravel() - (truth.rows - 1) / 2 - z
        columns = (np.arange(64)[:, None] + fine).ravel() - place.axis_px
        columns -= x * np.cos(a) + y * np.sin(a)
        rays = truth.whole.organ.projected_thickness(a, rows * pixel, columns * pixel)
        seen = np.exp(-rays).reshape(16, 4, 64, 4).mean(axis=(1, 3))
        np.testing.assert_allclose(found[k], -np.log(seen), atol=2e-4)


@pytest.mark.parametrize("pitch", [10.0, -10.0])
def test_a_helical_scan_rises_through_the_organ(tmp_path, pitch):
    """Each projection is the band of a tall circular scan that its z tells."""
    options = {"columns": 64, "rows": 16, "noise": None, "rings": 0.0, "drift": 0.0, "flats": 2,
               "darks": 2, "propagation": False, "blur_px": 0.0}  # fmt: skip
    path = simulate_helix(
        tmp_path / "h.zarr", turns=2.5, pitch_px=pitch, angles_per_turn=8, **options
    )
    truth = load_truth(path)
    assert truth.setup.rows == 16 + 24
    found = attenuation(path)
    with StoreScan(path) as scan:
        info = scan.info
    assert info.projections == 20
    first = (info.projection_z_um - info.projection_z_um.min()) / 20.0
    np.testing.assert_allclose(np.diff(first), pitch / 8)
    fine = (np.arange(4) + 0.5) / 4 - 0.5
    for k in (0, 7, 19):
        rows = (np.arange(16)[:, None] + fine).ravel() + first[k] - (truth.setup.rows - 1) / 2
        columns = (np.arange(64)[:, None] + fine).ravel() - truth.setup.axis_px
        rays = truth.organ.projected_thickness(info.angles_rad[k], rows * 20.0, columns * 20.0)
        seen = np.exp(-rays).reshape(16, 4, 64, 4).mean(axis=(1, 3))
        np.testing.assert_allclose(found[k], -np.log(seen), atol=2e-4)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"turns": 0.0}, "turns is 0.0"),
        ({"angles_per_turn": 0}, "angles_per_turn is 0"),
        ({"pitch_px": np.inf}, "pitch_px is inf"),
        ({"flats": 0}, "flats is 0"),
    ],
)
def test_wrong_helices_are_answered_by_a_sentence(tmp_path, changes, words):
    with pytest.raises(InputError, match=words):
        simulate_helix(tmp_path / "h.zarr", **changes)
    assert list(tmp_path.iterdir()) == []


def test_returns_show_where_the_motion_ended(tmp_path):
    """The view at 0 degrees, taken again, is that of the organ at the end of its way."""
    path = simulate_series(
        tmp_path / "a.series.zarr", **(CLEAN | {"sub_scans": 1}), motion_px=4.0, blur_px=0.0,
        returns=3,
    )  # fmt: skip
    truth = load_series_truth(path)
    (place,) = truth.placements
    with StoreScan(path / place.name) as scan:
        info = scan.info
        again = scan.read_returns(ALL).astype(float)
        dark = scan.read_darks(ALL).astype(float).mean(axis=0)
        flat = scan.read_flats(ALL).astype(float).mean(axis=0) - dark
    np.testing.assert_allclose(np.degrees(info.return_angles_rad), [0, 90, 180])
    assert info.return_index.min() > info.projection_index.max()
    pixel, (x, y, z) = 20.0, place.motion_px
    fine = (np.arange(4) + 0.5) / 4 - 0.5
    for angle, frame in zip(info.return_angles_rad, again):
        seen = (frame - dark) / flat
        rows = (np.arange(16)[:, None] + fine).ravel() - (truth.rows - 1) / 2 - z
        columns = (np.arange(64)[:, None] + fine).ravel() - place.axis_px
        columns -= x * np.cos(angle) + y * np.sin(angle)
        rays = truth.whole.organ.projected_thickness(angle, rows * pixel, columns * pixel)
        wanted = np.exp(-rays).reshape(16, 4, 64, 4).mean(axis=(1, 3))
        # The machine's current is one factor for all of the frame.
        seen *= wanted.mean() / seen.mean()
        np.testing.assert_allclose(seen, wanted, atol=3e-4)
