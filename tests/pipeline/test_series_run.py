"""A series of sub-scans, each off in its place, axis and level, against the scan in one piece."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from hipct.acquisition.open import open_scan
from hipct.acquisition.series import open_series
from hipct.core.errors import ConfigError, InputError, PlanError
from hipct.pipeline.config import Config
from hipct.pipeline.estimates import estimate_axis, prepared_rows
from hipct.pipeline.job import resolve
from hipct.pipeline.plan import make_plan
from hipct.pipeline.report import StageClock
from hipct.pipeline.run import reconstruct
from hipct.pipeline.stream import Stream
from hipct.reconstruction import fbp
from hipct.reconstruction.stitching_weights import HALO_ROWS, resample_rows
from hipct.simulation import load_series_truth, simulate_series, simulate_whole
from hipct.volume.open import open_volume

ROWS, COLUMNS, AXIS = 48, 192, 150.4
SETTINGS = {
    "phase": {"method": "none"},
    "compute": {"memory": "2GB", "backend": "numpy"},
    "volume": {"window": (-0.05, 0.5), "chunk": 32},
    "stitching": {"margin_px": 5},
}


def settings(**sections):
    merged = dict(SETTINGS)
    for name, values in sections.items():
        merged[name] = {**SETTINGS.get(name, {}), **values}
    return Config(**merged)


@pytest.fixture(scope="module")
def organ(tmp_path_factory):
    """Four sub-scans: heights off by up to 3 px, axes by 2 px, mu by 5 %, moved sideways."""
    return simulate_series(
        tmp_path_factory.mktemp("organ") / "organ.series.zarr",
        sub_scans=4, rows=ROWS, columns=COLUMNS, angles=240, axis=AXIS, overlap=0.4,
        acquisition="half", distance_m=0.0, pixel_size_um=200.0, blur_px=0.7, position_error_px=3.0,
        lateral_error_px=1.5, axis_drift_px=2.0, level_steps=0.05, noise=None, drift=0.0,
        rings=0.0, seed=3,
    )  # fmt: skip


@pytest.fixture(scope="module")
def axes():
    """Axes that the first run has found, by the number of the sub-scan."""
    return {}


@pytest.fixture(scope="module")
def made(organ, axes, tmp_path_factory):
    def kept(scan, part, *rest, **more):
        axes[part.number] = estimate_axis(scan, part, *rest, **more)
        return axes[part.number]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hipct.pipeline.findings.estimate_axis", kept)
        return reconstruct(organ, tmp_path_factory.mktemp("made") / "o.ome.zarr", settings())


@pytest.fixture
def known(made, axes, monkeypatch):
    """Other runs need not look for the axes again."""
    monkeypatch.setattr(
        "hipct.pipeline.findings.estimate_axis", lambda scan, part, *_, **__: axes[part.number]
    )
    return made


def values(path, level=0):
    return open_volume(path).physical(level)


def grey(path, level=0):
    return open_volume(path).levels[level].array[...]


def centred(numbers):
    return np.asarray(numbers) - np.mean(numbers)


def test_places_axes_and_levels_are_found(organ, made):
    truth = load_series_truth(organ)
    found = made.provenance["series"]["sub_scans"]
    assert [each["name"] for each in found] == [each.name for each in truth.placements]
    offset = centred([each["offset_px"] for each in found])
    assert np.abs(centred(truth.motor_offsets_px) - centred(truth.offsets_px)).max() > 1.5
    assert np.abs(offset - centred(truth.offsets_px)).max() < 0.02
    for k, name in enumerate(("y", "x")):
        moved = centred([each["centre_px"][k] for each in found])
        expected = centred([getattr(each, f"{name}_px") for each in truth.placements])
        assert np.abs(moved - expected).max() < 0.02
    axes = np.array([each["axis_px"] for each in found])
    assert np.abs(axes - truth.axes_px).max() < 0.05
    level = np.array([each["gain"] for each in found])
    expected = truth.levels / np.exp(np.log(truth.levels).mean())
    assert np.abs(expected - 1).max() > 0.03
    assert np.abs(level - expected).max() < 2e-3


def test_seams_do_not_stand_out(made):
    seams = made.provenance["series"]["seams"]
    assert len(seams) == 3
    assert max(seam["score"] for seam in seams) <= 1.05
    report = json.loads(made.report_path.read_text())
    assert report["series"]["seams"] == seams


def test_it_is_the_volume_of_the_scan_in_one_piece(organ, made, tmp_path):
    """Against the whole sample seen at once, put where the first sub-scan has it.

    A common shift of all sub-scans is of no consequence, and a common factor cannot be known.
    Edges are included; what is left is the rounding of counts to whole numbers.
    """
    truth = load_series_truth(organ)
    offset, (y, x) = truth.placements[0].offset_px, -truth.lateral_px.mean(axis=0)
    rows = range(*made.provenance["source"]["rows"])
    # Rows whose neighbours the whole scan has as well.
    skipped = HALO_ROWS[0]
    place = rows.start + offset + skipped
    with open_scan(simulate_whole(organ, tmp_path / "whole.zarr", angles=240)) as scan:
        job = resolve(scan, settings())
        lines = prepared_rows(scan, job, range(scan.info.rows), StageClock())
        joined = values(made.path)[skipped:]
        lines = resample_rows(lines, place % 1)[int(place) - HALO_ROWS[0] :]
        single = fbp(
            lines, scan.info.angles_rad, truth.whole.setup.axis_px, acquisition="half",
            pixel_size_um=scan.info.pixel_size_um, centre_px=(y, x), size=joined.shape[1],
        )  # fmt: skip
    depth = min(len(single), len(joined))
    single = single[:depth] * np.exp(np.log(truth.levels).mean())
    y, x = np.mgrid[: joined.shape[1], : joined.shape[1]] - (joined.shape[1] - 1) / 2
    body = np.hypot(y, x) < 0.9 * joined.shape[1] / 2
    tissue = np.median(single[single > 0.05])
    difference = (joined[:depth] - single)[:, body]
    assert depth > 0.9 * len(joined)
    assert np.sqrt(np.mean(difference**2)) < 2e-3 * tissue
    assert abs(difference.mean()) < 1e-4 * tissue


def test_nothing_refined_leaves_seams(organ, known, tmp_path):
    """By the motors and unmatched the same series has seams: the score can tell."""
    made = reconstruct(
        organ, tmp_path / "o.ome.zarr", settings(stitching={"refine": False, "levels": "none"})
    )
    series = made.provenance["series"]
    assert max(seam["score"] for seam in series["seams"]) > 1.08
    motors = load_series_truth(organ).motor_offsets_px
    offsets = np.array([each["offset_px"] for each in series["sub_scans"]])
    np.testing.assert_allclose(offsets, motors - motors[0], atol=1e-9)
    assert all(each["gain"] == 1.0 for each in series["sub_scans"])


def leanest(series):
    """Settings with the least memory that a plan can be made for."""
    for megabytes in range(300, 2000, 5):
        lean = settings(compute={"memory": f"{megabytes}MB"})
        try:
            make_plan(series, lean)
        except PlanError:
            continue
        # The places that a run finds may ask for a little more than those of the motors.
        return settings(compute={"memory": f"{megabytes + 5}MB"})
    raise AssertionError("2 GB do not suffice")


def test_how_the_work_is_cut_changes_nothing(organ, made, known, tmp_path):
    with open_series(organ) as series:
        lean = leanest(series)
        fast, slow = make_plan(series, settings()).cut, make_plan(series, lean).cut
    assert slow.slab_rows < fast.slab_rows
    assert (slow.tile_buffers, slow.stage_tile) != (fast.tile_buffers, fast.stage_tile)
    again = reconstruct(organ, tmp_path / "o.ome.zarr", lean)
    for level in range(2):
        np.testing.assert_array_equal(grey(again.path, level), grey(made.path, level))


def test_a_crop_has_the_voxels_of_the_whole(organ, made, known, tmp_path):
    whole = grey(made.path)
    start = made.provenance["source"]["rows"][0]
    some = settings(
        scan={"first_row": start + 21, "last_row": start + 60},
        volume={"crop_y": (40, 201), "crop_x": (7, 150)},
    )
    cropped = reconstruct(organ, tmp_path / "o.ome.zarr", some)
    np.testing.assert_array_equal(grey(cropped.path), whole[21:60, 40:201, 7:150])


def test_places_that_leave_nothing_in_common_are_refused(organ):
    plain = make_plan(organ, settings()).organ
    parts = tuple(
        replace(part, axis=40.0, centre_px=(0.0, 9.0 * k)) for k, part in enumerate(plain.parts)
    )
    assert replace(plain, parts=parts[:2]).radius_px == pytest.approx(
        parts[0].measured_radius_px - 9
    )
    with pytest.raises(
        InputError, match=r"scan-00\d has its axis at column 40\.0.*stitching\.refine=false"
    ):
        replace(plain, parts=(parts[0], replace(parts[1], centre_px=(0.0, 500.0)))).radius_px  # noqa: B018


def test_slices_turn_with_what_is_asked(organ, made, known, tmp_path):
    """A quarter of a turn from x towards y: what lay along x lies along y."""
    start = made.provenance["source"]["rows"][0]
    rows = {"first_row": start + 30, "last_row": start + 46}
    turned = reconstruct(
        organ, tmp_path / "o.ome.zarr", settings(scan=rows, volume={"rotation_deg": 90})
    )
    expected = np.rot90(values(made.path)[30:46], k=-1, axes=(1, 2))
    difference = values(turned.path) - expected
    # The disc is cut at whole pixels, and an even slice turns about its middle.
    assert np.abs(difference).max() < 0.02 * expected.max()
    assert np.abs(values(turned.path) - values(made.path)[30:46]).max() > 0.3 * expected.max()


def test_a_crop_off_the_slices_is_refused(organ, known, tmp_path):
    with pytest.raises(ConfigError, match=r"volume.crop_x is 10 to 900, and the slices have 3\d\d"):
        reconstruct(organ, tmp_path / "o.ome.zarr", settings(volume={"crop_x": (10, 900)}))
    with pytest.raises(ConfigError, match="enclose none of the rows"):
        reconstruct(organ, tmp_path / "o.ome.zarr", settings(scan={"first_row": 5000}))
    assert not list(tmp_path.iterdir())


def test_a_gap_is_refused_or_left_empty_and_said(organ, made, axes, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "hipct.pipeline.findings.estimate_axis",
        lambda scan, part, *_, **__: axes[(0, 1, 3)[part.number]],
    )
    scans = sorted(organ.glob("scan-*"))
    three = [scans[0], scans[1], scans[3]]
    out = tmp_path / "o.ome.zarr"
    with pytest.raises(InputError, match="leave gaps"):
        reconstruct(three, out, settings())
    gappy = reconstruct(three, out, settings(), allow_gaps=True)
    series = gappy.provenance["series"]
    [[first, stop]] = series["rows_without_data"]
    assert series["gaps"]
    rows = made.provenance["source"]["rows"]
    volume = grey(out)
    empty = volume[first - rows[0] : stop - rows[0]]
    assert 0 < len(empty) < 30
    assert not empty.any()
    assert all(image.any() for image in volume[: first - rows[0]])
    assert all(image.any() for image in volume[stop - rows[0] :])
    # Only neighbours that were compared have a score.
    assert len(series["seams"]) == 1
    assert open_volume(out).provenance["series"]["rows_without_data"] == [[first, stop]]


def test_a_resumed_run_measures_nothing_again(organ, made, known, tmp_path, monkeypatch):
    out = tmp_path / "o.ome.zarr"
    write = Stream._write_layer
    calls = []

    def broken(stream, index, slabs):
        calls.append(index)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return write(stream, index, slabs)

    with monkeypatch.context() as patch:
        patch.setattr(Stream, "_write_layer", broken)
        with pytest.raises(KeyboardInterrupt):
            reconstruct(organ, out, settings())

    def unwanted(*_, **__):
        raise RuntimeError

    monkeypatch.setattr("hipct.pipeline.findings.place_parts", unwanted)
    monkeypatch.setattr("hipct.pipeline.findings.estimate_axis", unwanted)
    again = reconstruct(organ, out, settings())
    np.testing.assert_array_equal(grey(again.path), grey(made.path))
    assert again.provenance["series"] == made.provenance["series"]


def test_a_sub_scan_without_an_axis_takes_it_from_its_neighbours(
    organ, made, axes, tmp_path, monkeypatch
):
    def blind(scan, part, *_, **__):
        if part.number == 2:
            raise InputError("Nothing turns.")
        return axes[part.number]

    monkeypatch.setattr("hipct.pipeline.findings.estimate_axis", blind)
    made = reconstruct(organ, tmp_path / "o.ome.zarr", settings())
    third = made.provenance["series"]["sub_scans"][2]
    assert third["axis_measured_px"] is None
    assert third["axis_px"] == pytest.approx(load_series_truth(organ).axes_px[2], abs=0.05)
    assert any("no axis was found" in note for note in made.provenance["notes"])


def test_on_a_device(organ, made, known, tmp_path, standin):
    start = made.provenance["source"]["rows"][0]
    rows = {"first_row": start + 20, "last_row": start + 36}
    on_it = settings(scan=rows, compute={"backend": "cupy"})
    lifted = reconstruct(organ, tmp_path / "o.ome.zarr", on_it)
    difference = grey(lifted.path).astype(int) - grey(made.path)[20:36].astype(int)
    assert np.abs(difference).max() <= 2
