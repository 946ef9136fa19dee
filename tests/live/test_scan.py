"""Live slices against what a run writes of the same scan with the same configuration."""

from __future__ import annotations

import numpy as np
import pytest

from hipct.core.errors import FormatError, InputError, MissingMetadata
from hipct.core.progress import Silent
from hipct.live.cancel import Cancelled
from hipct.live.scan import LiveScan
from hipct.pipeline.config import Config

PLAIN = {"phase": {"method": "none"}, "volume": {"window": [-0.01, 0.05], "chunk": 32}}
RETRIEVED = {"phase": {"delta_beta": 300.0}, "volume": {"window": [-20.0, 60.0], "chunk": 32}}
META = {"pixel_size_um": 10.0, "distance_m": 1.0, "energy_kev": 80.0}


class Told(Silent):
    """Keeps what it is told."""

    def __init__(self):
        self.sentences = []

    def say(self, message):
        self.sentences.append(message)


def inside(live):
    """Voxels that a run does not set to 0."""
    _, rows, columns = live.shape
    y, x = np.arange(rows) - (rows - 1) / 2, np.arange(columns) - (columns - 1) / 2
    return np.hypot(y[:, None], x) < min(rows, columns) / 2 - 2


@pytest.mark.parametrize(("acquisition", "axis"), [("full", None), ("half", 40.7)])
def test_without_phase_retrieval_slices_are_those_of_a_run(discs, as_a_run, acquisition, axis):
    scan = discs(rows=40, noise=50.0, angles=90, acquisition=acquisition, axis=axis)
    config = Config(**PLAIN, rings={"method": "sorting", "size_px": 5})
    volume, step = as_a_run(scan, config)
    with LiveScan(scan, config) as live:
        assert live.shape == volume.shape
        keep = inside(live)
        for z in (0, 17, 39):
            # A run clips to its window and rounds to the nearest grey value.
            assert abs(live.slice(z).clip(-0.01, 0.05) - volume[z])[keep].max() <= 0.51 * step
        assert (live.slice(3)[0, :3] == 0).all()


@pytest.mark.parametrize(("acquisition", "axis"), [("full", None), ("half", 40.7)])
def test_phase_retrieval_differs_by_the_accuracy_of_its_halo(discs, as_a_run, acquisition, axis):
    scan = discs(rows=300, noise=50.0, angles=90, acquisition=acquisition, axis=axis, **META)
    config = Config(**RETRIEVED, unsharp={"method": "log"})
    volume, step = as_a_run(scan, config)
    with LiveScan(scan, config) as live:
        keep, values = inside(live), abs(volume).max()
        for z in (0, 127, 128, 299):
            wrong = abs(live.slice(z) - volume[z])[keep].max()
            assert wrong <= 0.51 * step + 2 * config.phase.halo_accuracy * values


def test_crop_turn_and_rows_are_those_of_a_run(discs, as_a_run):
    scan = discs(rows=60, noise=50.0)
    volume_settings = PLAIN["volume"] | {"crop_y": [5, 41], "crop_x": [3, 40], "rotation_deg": 30.0}
    config = Config(
        phase={"method": "none"}, volume=volume_settings, scan={"first_row": 11, "last_row": 52}
    )
    volume, step = as_a_run(scan, config)
    live = LiveScan(scan, config)
    assert live.shape == volume.shape == (41, 36, 37)
    assert abs(live.slice(20) - volume[20])[12:24, 12:24].max() <= 0.51 * step


@pytest.mark.parametrize(("acquisition", "axis"), [("full", None), ("half", 180.7)])
@pytest.mark.parametrize("level", [1, 2])
def test_a_coarse_slice_is_near_the_means_of_the_fine_ones(discs, acquisition, axis, level):
    # Columns, rows and slices are no multiples of a voxel of the coarse level.
    scan = discs(rows=45, columns=203, angles=720, acquisition=acquisition, axis=axis, **META)
    settings = {"crop_x": [3, 180], "crop_y": [11, 171], "rotation_deg": 20.0}
    config = Config(phase={"delta_beta": 30.0}, scan={"first_row": 3}, volume=settings)
    with LiveScan(scan, config) as live:
        b = 2**level
        z = len(range(0, 42, b)) // 2
        fine = np.mean([live.slice(each) for each in range(z * b, z * b + b)], axis=0)
        coarse = live.slice(z, level=level)
        rows, columns = 160 // b, 177 // b
        assert coarse.shape == (-(-160 // b), -(-177 // b))
        means = fine[: rows * b, : columns * b].reshape(rows, b, columns, b).mean(axis=(1, 3))
        inner = slice(3, -3), slice(3, -3)
        wrong = (coarse[:rows, :columns] - means)[inner]
        assert abs(wrong.mean()) < 2e-3 * means.max()
        assert wrong.std() < 0.015 * level * means.max()
        # By how much of a coarse voxel the grid lies beside the right one.
        for slope in np.gradient(means):
            assert abs((wrong * slope[inner]).sum() / (slope[inner] ** 2).sum()) < 0.08


def test_a_region_is_that_part_of_the_slice(discs):
    live = LiveScan(discs(), Config(**PLAIN))
    region = slice(5, 20), slice(11, 30)
    np.testing.assert_array_equal(live.slice(9, region=region), live.slice(9)[region])


def test_another_configuration_keeps_axis_and_what_went_before(discs):
    scan = discs(rows=200, noise=50.0, **META)
    live = LiveScan(scan, Config(**RETRIEVED))
    first = live.slice(100)
    reads = len(scan.reads)
    rings = live.with_config(Config(**RETRIEVED, rings={"method": "sorting", "size_px": 5}))
    assert rings.axis_px == live.axis_px
    assert not np.array_equal(rings.slice(100), first)
    # Rings are removed from the sinograms that are there.
    assert len(scan.reads) == reads
    np.testing.assert_array_equal(live.with_config(live.config).slice(100), first)
    given = live.with_config(Config(**RETRIEVED, axis={"value": 21.0}))
    assert given.axis_px == 21.0
    assert live.settled_config.axis.value == live.axis_px
    again = LiveScan(scan, live.settled_config)
    np.testing.assert_array_equal(again.slice(100), first)
    stronger = live.with_config(Config(phase={"delta_beta": 900.0}))
    assert stronger.axis_px == live.axis_px
    assert stronger.slice(100).std() < first.std()
    assert len(scan.reads) > reads


def test_what_nobody_waits_for_is_given_up(discs):
    live = LiveScan(discs(), Config(**PLAIN, axis={"value": 24.0}))
    with pytest.raises(Cancelled):
        live.slice(3, cancelled=lambda: True)
    assert live.slice(3, cancelled=lambda: False).any()


def test_what_is_wrong_is_said_at_once(discs):
    with pytest.raises(MissingMetadata, match=r"phase\.method=none"):
        LiveScan(discs())
    live = LiveScan(discs(), Config(**PLAIN))
    with pytest.raises(InputError, match="Slice 70 of level 0 was asked for; it has 0 to 69"):
        live.slice(70)


def write_nxtomo(path, frames, angles_rad):
    """Darks, flats and projections as NXtomo has them: in one stack, told apart by keys."""
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    kinds = {"darks": 2, "flats": 1, "projections": 0}
    with h5py.File(path, "w") as file:
        entry = file.create_group("entry")
        entry.attrs["NX_class"] = "NXentry"
        entry["definition"] = "NXtomo"
        for name in ("instrument", "instrument/detector", "sample"):
            entry.create_group(name).attrs["NX_class"] = f"NX{name.rpartition('/')[2]}"
        detector = entry["instrument/detector"]
        detector["data"] = np.concatenate([frames[kind] for kind in kinds])
        detector["image_key"] = [key for kind, key in kinds.items() for _ in frames[kind]]
        before = len(frames["darks"]) + len(frames["flats"])
        entry["sample/rotation_angle"] = [0.0] * before + np.rad2deg(angles_rad).tolist()
        entry["sample/rotation_angle"].attrs["units"] = "degree"


def test_a_raw_file_and_a_scan_store_give_the_same_slices(discs, tmp_path):
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    from hipct.acquisition.store import ScanStoreWriter

    scan = discs(rows=80, noise=50.0, columns=60, angles=70, **META)
    with ScanStoreWriter(tmp_path / "scan.zarr", scan.info) as writer:
        for kind in ("flats", "darks", "projections"):
            writer.write_frames(kind, 0, scan.frames[kind])
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        for kind, name in (("projections", ""), ("flats", "_white"), ("darks", "_dark")):
            file[f"exchange/data{name}"] = scan.frames[kind]
        file["exchange/theta"] = np.rad2deg(scan.info.angles_rad)
    write_nxtomo(tmp_path / "scan.nx", scan.frames, scan.info.angles_rad)
    of_scan = {"pixel_size_um": 10.0, "distance_m": 1.0, "energy_kev": 80.0}
    config = Config(**RETRIEVED, scan=of_scan, axis={"value": 29.9})
    with (
        LiveScan(scan, config) as memory,
        LiveScan(tmp_path / "scan.zarr", config) as store,
        LiveScan(tmp_path / "scan.h5", config) as file,
        LiveScan(tmp_path / "scan.nx", config) as nxtomo,
    ):
        for level, z in ((0, 41), (1, 5)):
            expected = memory.slice(z, level=level)
            assert expected.any()
            np.testing.assert_array_equal(store.slice(z, level=level), expected)
            # The files count their flats before all projections, as one group.
            for each in (file, nxtomo):
                np.testing.assert_allclose(
                    each.slice(z, level=level), expected, atol=1e-4 * expected.max()
                )
    with LiveScan(tmp_path / "scan.nx", config.model_copy(update={"axis": Config().axis})) as found:
        assert found.axis_px == pytest.approx(29.9, abs=0.2)


def test_rows_that_cannot_be_read_leave_the_axis_to_the_others(discs):
    """A truncated shard holds some of the rows that the axis is looked for in."""
    scan = discs(rows=120, noise=50.0, columns=64, angles=120)
    live = LiveScan(scan, Config(**PLAIN))
    axis, whole = live.axis_px, live.slice(20)
    read = scan._read_into

    def fails(kind, frames, rows, out):
        if kind == "projections" and rows.stop > 70:
            raise FormatError("The shard 0/1/0 of discs is damaged; copy it again.")
        read(kind, frames, rows, out)

    scan._read_into = fails
    told = Told()
    torn = LiveScan(scan, Config(**PLAIN), observer=told)
    assert torn.axis_px == pytest.approx(axis, abs=0.1)
    assert torn.axis_px != axis
    (left_out,) = (sentence for sentence in told.sentences if "is found without" in sentence)
    assert "shard 0/1/0 of discs is damaged" in left_out
    np.testing.assert_allclose(torn.slice(20), whole, atol=0.1 * whole.max())
    with pytest.raises(FormatError, match="0/1/0"):
        torn.slice(100)
    scan._read_into = lambda kind, frames, rows, out: fails(kind, frames, slice(70, 71), out)
    with pytest.raises(FormatError, match="0/1/0"):
        _ = LiveScan(scan, Config(**PLAIN)).axis_px


def test_coarse_slices_of_one_place_are_made_of_frames_that_were_read_once(discs):
    scan = discs(rows=90, noise=50.0, columns=203, angles=720, **META)
    plain = Config(phase={"delta_beta": 30.0}, scan={"first_row": 3})
    live = LiveScan(scan, plain)
    live.slice(5, level=2)
    reads = len(scan.reads)
    for settings in ({"delta_beta": 20.0}, {"delta_beta": 25.0, "method": "ctf_homogeneous"}):
        other = plain.model_copy(update={"phase": plain.phase.model_copy(update=settings)})
        tuned = live.with_config(Config(**other.as_dict()))
        kept = tuned.slice(5, level=2)
        assert len(scan.reads) == reads
        again = LiveScan(scan, tuned.settled_config)
        np.testing.assert_array_equal(again.slice(5, level=2), kept)
        reads = len(scan.reads)
    # Of its neighbours the halo is there, and nothing of it is read again.
    far = live.slice(20, level=2)
    live.slice(16, level=2)
    np.testing.assert_array_equal(LiveScan(scan, live.settled_config).slice(20, level=2), far)
    # Another correction of the camera needs other frames.
    reads = len(scan.reads)
    live.with_config(Config(**plain.as_dict() | {"repair": {"zinger_threshold": 0.5}})).slice(
        5, level=2
    )
    assert len(scan.reads) > reads


def test_a_budget_is_kept_and_a_broken_frame_is_told(discs):
    scan = discs(rows=200, **META)
    live = LiveScan(scan, Config(**RETRIEVED, axis={"value": 24.0}), budget_bytes=400_000)
    cache = live._shared.cache
    for z in range(0, 200, 7):
        live.slice(z)
        assert 0 < cache.held_bytes <= 400_000
    read = scan._read_into

    def fails(kind, frames, rows, out):
        if kind == "projections" and frames.start <= 33 < frames.stop:
            raise FormatError("Projection 33 cannot be read.")
        read(kind, frames, rows, out)

    scan._read_into = fails
    for level in (0, 1):
        with pytest.raises(FormatError, match="Projection 33"):
            live.slice(100 >> level, level=level)
    scan._read_into = read
    assert live.slice(100).any()
