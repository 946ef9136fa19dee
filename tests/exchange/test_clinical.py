"""NIfTI in its place: an analytic field in the patient, sampled along turned axes."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hipct.core.errors import FormatError, InputError, OutputError
from hipct.exchange.clinical import lps_matrix, open_clinical
from hipct.volume.pyramid import write_pyramid

nibabel = pytest.importorskip("nibabel", reason="nibabel is not installed")

SHAPE = (70, 41, 30)
"""Along i, j, k."""


def turned(size: Any = (1.0, 1.25, 2.5)) -> np.ndarray:
    """From (i, j, k) to RAS in millimetres: turned about all three axes, voxels of three edges."""
    a, b, c = 0.5, -0.3, 0.8
    x = [[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]]
    y = [[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]]
    z = [[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]]
    affine = np.eye(4)
    affine[:3, :3] = np.array(z) @ y @ x * np.asarray(size)
    affine[:3, 3] = (-20, 35, 110)
    return affine


def in_patient(right: Any, front: Any, head: Any) -> Any:
    """Grows to the right, to the front and to the head, each by its own slope per mm."""
    return 1000 + 3 * right - 5 * front + 7 * head


def sampled(affine: np.ndarray, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Values at the voxels of an image in the order (i, j, k) of NIfTI."""
    index = np.moveaxis(np.indices(shape), 0, -1)
    return in_patient(*np.moveaxis(index @ affine[:3, :3].T + affine[:3, 3], -1, 0))


def image(values: np.ndarray, affine: np.ndarray | None, **codes: int) -> Any:
    made = nibabel.Nifti1Image(values, affine)
    for kind, code in codes.items():
        getattr(made, f"set_{kind}")(affine, code)
    return made


def world_values(level: Any) -> tuple[np.ndarray, np.ndarray]:
    """What the level holds, and what the patient has where it says that its voxels lie."""
    index = np.moveaxis(np.indices(level.array.shape), 0, -1)
    z, y, x = np.moveaxis(index @ level.matrix[:3, :3].T + level.matrix[:3, 3], -1, 0) / 1000
    # LPS: x to the left, y to the back, z to the head.
    return level.array[:], in_patient(-x, -y, z)


@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz"])
@pytest.mark.parametrize(("unit", "factor"), [("mm", 1.0), ("micron", 1e3), ("meter", 1e-3)])
def test_voxels_lie_where_the_patient_has_them(
    tmp_path: Path, name: str, unit: str, factor: float
) -> None:
    affine = turned()
    values = sampled(affine).astype(np.float32)
    affine[:3] *= factor
    made = image(values, affine)
    made.header.set_xyzt_units(unit)
    nibabel.save(made, tmp_path / name)
    volume = open_clinical(tmp_path / name)
    assert (volume.name, volume.notes, volume.labels) == ("ct", (), False)
    assert len(volume.levels) == 2
    np.testing.assert_allclose(*world_values(volume.levels[0]), atol=2e-2)
    # Means of 2 x 2 x 2 lie half a voxel further; at odd ends of fewer.
    got, wanted = world_values(volume.levels[1])
    np.testing.assert_allclose(got[:15, :20, :35], wanted[:15, :20, :35], atol=2e-2)


def test_the_world_agrees_with_nibabel() -> None:
    affine = turned()
    matrix = lps_matrix(affine)
    points = np.random.default_rng(0).random((20, 3)) * 50
    right, front, head = nibabel.affines.apply_affine(affine, points).T
    z, y, x = (points[:, ::-1] @ matrix[:3, :3].T + matrix[:3, 3]).T
    np.testing.assert_allclose((z, y, x), (1e3 * head, -1e3 * front, -1e3 * right))
    assert nibabel.aff2axcodes(np.diag([-1, -1, 1, 1])) == ("L", "P", "S")


def test_integers_mean_what_the_file_says(tmp_path: Path) -> None:
    affine = turned()
    stored = np.rint(sampled(affine)).astype(">i2")
    made = image(stored, affine)
    made.header.set_slope_inter(0.5, -1024)
    made.header.set_xyzt_units("mm")
    nibabel.save(made, tmp_path / "ct.nii")
    volume = open_clinical(tmp_path / "ct.nii")
    expected = np.asarray(nibabel.load(tmp_path / "ct.nii").dataobj).T
    np.testing.assert_allclose(volume.levels[0].array[:], expected, atol=1e-3)
    low, high = volume.display
    assert expected.min() <= low < np.median(expected) < high <= expected.max()
    made.header["cal_min"], made.header["cal_max"] = -160, 240
    nibabel.save(made, tmp_path / "ct.nii")
    assert open_clinical(tmp_path / "ct.nii").display == (-160, 240)


def test_labels_are_kept_as_numbers(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 5, SHAPE).astype(">i2")
    made = image(labels, turned())
    made.header.set_intent("label")
    made.header.set_xyzt_units("mm")
    nibabel.save(made, tmp_path / "organs.nii.gz")
    volume = open_clinical(tmp_path / "organs.nii.gz")
    assert volume.labels
    assert volume.levels[0].array.dtype == np.dtype(np.int16)
    np.testing.assert_array_equal(volume.levels[0].array[:], labels.T)
    coarse = volume.levels[1]
    np.testing.assert_array_equal(coarse.array[:], labels.T[::2, ::2, ::2])
    np.testing.assert_allclose(coarse.matrix[:3, 3], volume.levels[0].matrix[:3, 3])


def test_what_a_file_leaves_open_is_said(tmp_path: Path) -> None:
    values = np.zeros((4, 5, 6), np.float32)
    made = image(values, None)
    made.header.set_zooms((1, 2, 3))
    nibabel.save(made, tmp_path / "a.nii")
    volume = open_clinical(tmp_path / "a.nii")
    np.testing.assert_array_equal(volume.levels[0].matrix, np.diag([3e3, 2e3, 1e3, 1]))
    assert any("does not say its unit of length; millimetres" in note for note in volume.notes)
    assert any("how it lies in a patient" in note for note in volume.notes)

    shifted = turned()
    shifted[:3, 3] += 4
    both = image(values, turned(), qform=1)
    both.set_sform(shifted, 1)
    both.header.set_xyzt_units("mm")
    nibabel.save(both, tmp_path / "b.nii")
    volume = open_clinical(tmp_path / "b.nii")
    np.testing.assert_allclose(
        volume.levels[0].matrix, lps_matrix(both.header.get_sform()), rtol=1e-6
    )
    assert any("lie up to 6.93 mm apart; the sform is taken" in note for note in volume.notes)


@pytest.mark.parametrize("window", [None, (-1.0, 3.0)])
def test_what_hipct_exported_lies_on_its_volume(tmp_path: Path, window: Any) -> None:
    from hipct.exchange.export import export_volume

    values = np.random.default_rng(0).integers(0, 65536, (8, 9, 10)).astype(np.uint16)
    write_pyramid(values, tmp_path / "v.ome.zarr", voxel_size_um=20.0, window=window)
    export_volume(tmp_path / "v.ome.zarr", tmp_path / "v.nii", format="nifti", crop="2:,3:,4:")
    volume = open_clinical(tmp_path / "v.nii")
    matrix = volume.levels[0].matrix
    np.testing.assert_allclose(matrix[:3, :3], np.eye(3) * 20, rtol=1e-6)
    np.testing.assert_allclose(matrix[:3, 3], (40, 60, 80), rtol=1e-6)
    assert "exported by hipct" in volume.notes[0]


def test_what_cannot_be_opened_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"c\.nii does not exist; give a NIfTI file"):
        open_clinical(tmp_path / "c.nii")
    flat = np.diag([1.0, 1.0, 0.0, 1.0])
    made = image(np.zeros((4, 4, 4), np.float32), np.eye(4))
    made.header.set_sform(flat, 1)
    made.header.set_qform(None, 0)
    file = made.header.binaryblock.ljust(352, b"\0") + bytes(256)
    (tmp_path / "flat.nii").write_bytes(file)
    with pytest.raises(FormatError, match=r"flat\.nii has the affine .* are no three directions"):
        open_clinical(tmp_path / "flat.nii")
    nibabel.save(image(np.zeros((9, 9, 9), np.float32), np.eye(4)), tmp_path / "t.nii")
    whole = (tmp_path / "t.nii").read_bytes()
    for name, data in (("t.nii", whole[:-9]), ("t.nii.gz", gzip.compress(whole[:-900]))):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(FormatError, match="truncated"):
            open_clinical(tmp_path / name)
    import hipct.exchange.clinical as module

    (tmp_path / "t.nii.gz").write_bytes(gzip.compress(whole))
    monkeypatch.setattr(module, "free_bytes", lambda folder: 100)
    with pytest.raises(OutputError, match=r"no room for .* of unpacked voxels"):
        open_clinical(tmp_path / "t.nii.gz")
    monkeypatch.setattr(module, "_LARGEST_BYTES", 100)
    with pytest.raises(InputError, match="make a pyramid of it with hipct pyramid"):
        open_clinical(tmp_path / "t.nii.gz")
