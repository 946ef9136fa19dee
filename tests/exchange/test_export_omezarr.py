"""Exports to OME-Zarr: the same voxels in the same place, and pyramids that are right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from hipct.core.errors import InputError, OutputError
from hipct.exchange.export import export_volume
from hipct.volume.check import check_volume
from hipct.volume.open import open_volume
from hipct.volume.pyramid import write_pyramid
from hipct.volume.pyramid_build import build_pyramid
from hipct.volume.pyramid_source import ArraySource

VOXEL = (30.0, 20.0, 10.0)
SHAPE = (45, 60, 52)
CROP = "3:40,:,5:50"
PART = (slice(3, 40), slice(None), slice(5, 50))


def places(path: Path) -> list[dict[str, Any]]:
    """Scale and translation of each level, as the files say them."""
    file = path / "zarr.json"
    ome = (
        json.loads(file.read_text())["attributes"]["ome"]
        if file.is_file()
        else json.loads((path / ".zattrs").read_text())
    )
    return [
        {step["type"]: step[step["type"]] for step in level["coordinateTransformations"]}
        for level in ome["multiscales"][0]["datasets"]
    ]


@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_a_crop_stays_where_it_was(organ: Path, tmp_path: Path, version: Any) -> None:
    out = tmp_path / "part.ome.zarr"
    written = export_volume(organ, out, format="ome-zarr", crop=CROP, ome_zarr=version)
    assert written.shape == (37, 60, 45)
    assert (out / ("zarr.json" if version == "0.5" else ".zattrs")).is_file()
    assert check_volume(out, deep=True) == []
    part = zarr.open_array(organ / "0", mode="r")[PART]
    np.testing.assert_array_equal(zarr.open_array(out / "0", mode="r")[:], part)
    place = places(out)[0]
    assert place == {"scale": [30, 20, 10], "translation": [90, 0, 50]}
    volume, whole = open_volume(out), open_volume(organ)
    assert volume.version == version
    np.testing.assert_allclose(volume.physical(), whole.physical(0, PART), rtol=1e-6)
    assert volume.unit == "1/cm"
    assert volume.display == (10_000, 40_000)
    assert volume.provenance["beamline"] == "BM18"
    assert volume.provenance["export"]["crop_voxels"] == [[3, 40], [0, 60], [5, 50]]
    assert volume.provenance["export"]["volume"] == "heart"


def test_a_part_of_a_part_of_a_level_remembers_both(organ: Path, tmp_path: Path) -> None:
    export_volume(organ, tmp_path / "a.ome.zarr", format="ome-zarr", level=1, crop="2:,4:30,:")
    export_volume(
        tmp_path / "a.ome.zarr", tmp_path / "b.ome.zarr", format="ome-zarr", crop="3:,:,:9"
    )
    # Voxel 0 of level 1 lies half a voxel of the finest level behind; each crop moves it on.
    z, y, x = (15 + 2 * 60 + 3 * 60, 10 + 4 * 40, 5)
    assert places(tmp_path / "b.ome.zarr")[0] == {"scale": [60, 40, 20], "translation": [z, y, x]}
    np.testing.assert_array_equal(
        zarr.open_array(tmp_path / "b.ome.zarr" / "0", mode="r")[:],
        zarr.open_array(organ / "1", mode="r")[5:, 4:30, :9],
    )
    export = open_volume(tmp_path / "b.ome.zarr").provenance["export"]
    assert (export["level"], export["earlier"]["level"]) == (0, 1)
    # A position in micrometres means the same voxels in the whole and in the part.
    for volume in (organ, tmp_path / "b.ome.zarr"):
        level = 1 if volume == organ else 0
        facts = export_volume(
            volume,
            tmp_path / "same",
            format="hdf5",
            level=level,
            crop="330:500um,190:400um,10:90um",
            overwrite=True,
        ).facts
        assert facts["origin_um"] == [375, 210, 25]
        assert facts["size_voxels"] == [3, 5, 4]


def test_eight_bits_mean_the_same_within_half_a_step(organ: Path, tmp_path: Path) -> None:
    export_volume(organ, tmp_path / "8.ome.zarr", format="ome-zarr", dtype="uint8")
    volume, whole = open_volume(tmp_path / "8.ome.zarr"), open_volume(organ)
    assert volume.dtype == np.uint8
    assert volume.display == (0, 255)
    assert volume.scale == pytest.approx(0.6 / 65535 * 30_000 / 255)
    low, high = -0.1 + np.array([10_000, 40_000]) * 0.6 / 65_535
    expected = np.clip(whole.physical(), low, high)
    np.testing.assert_allclose(volume.physical(), expected, atol=0.501 * volume.scale)
    with pytest.raises(InputError, match="uint8 and uint16, not float32"):
        export_volume(organ, tmp_path / "f.ome.zarr", format="ome-zarr", dtype="float32")
    assert not (tmp_path / "f.ome.zarr").exists()


def test_labels_stay_labels_in_every_format(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).choice(np.array([0, 7, 70_000], np.uint32), (20, 30, 40))
    path = tmp_path / "l.ome.zarr"
    build_pyramid(ArraySource(labels, VOXEL), path, kind="labels", chunk=16)
    export_volume(path, tmp_path / "c.ome.zarr", format="ome-zarr", crop="3:,:25,:")
    copy = open_volume(tmp_path / "c.ome.zarr")
    assert copy.labels
    assert copy.display is None
    assert check_volume(tmp_path / "c.ome.zarr", deep=True) == []
    np.testing.assert_array_equal(copy.levels[0].array[:], labels[3:, :25])
    # A plane between slices holds labels, no means of them.
    tifffile = pytest.importorskip("tifffile")
    export_volume(path, tmp_path / "cut.tif", format="tiff", oblique="9.4,14,20:1,0.3,0.2")
    cut = tifffile.imread(tmp_path / "cut.tif")
    assert cut.dtype == np.uint32
    assert set(np.unique(cut)) == {0, 7, 70_000}
    for options in ({"dtype": "uint8"}, {"dtype": "float32"}, {"dtype": "uint8", "window": (0, 9)}):
        with pytest.raises(InputError, match=r"holds labels of uint32, which --.* would change"):
            export_volume(path, tmp_path / "no.h5", format="hdf5", **options)
    small = tmp_path / "s.ome.zarr"
    build_pyramid(ArraySource((labels > 0).astype(np.uint8), VOXEL), small, kind="labels", chunk=16)
    with pytest.raises(InputError, match="a lossy jp2 would change; give --lossless"):
        export_volume(small, tmp_path / "no", format="jp2")
    image = pytest.importorskip("PIL.Image")
    export_volume(small, tmp_path / "p", format="png")
    with image.open(tmp_path / "p" / "s_000004.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), labels[4] > 0)


def test_it_goes_on_after_a_kill_and_refuses_what_is_there(
    organ: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hipct.exchange.export_omezarr import RegionSource

    read, count = RegionSource.read, []

    def killed(self: RegionSource, z: slice, y: slice = slice(None)) -> np.ndarray:
        if z.start >= 128:
            raise KeyboardInterrupt
        return read(self, z, y)

    def counted(self: RegionSource, z: slice, y: slice = slice(None)) -> np.ndarray:
        count.append(z.start)
        return read(self, z, y)

    tall = tmp_path / "tall.ome.zarr"
    values = np.random.default_rng(1).integers(0, 255, (300, 8, 8), np.uint8)
    write_pyramid(values, tall, voxel_size_um=1.0)
    out = tmp_path / "out.ome.zarr"
    monkeypatch.setattr(RegionSource, "read", killed)
    with pytest.raises(KeyboardInterrupt):
        export_volume(tall, out, format="ome-zarr")
    assert not out.exists()
    monkeypatch.setattr(RegionSource, "read", counted)
    with pytest.raises(OutputError, match="unfinished run with other parameters"):
        export_volume(tall, out, format="ome-zarr", crop="1:,:,:")
    export_volume(tall, out, format="ome-zarr")
    assert count
    assert min(count) >= 128
    np.testing.assert_array_equal(zarr.open_array(out / "0", mode="r")[:], values)
    with pytest.raises(OutputError, match="exists"):
        export_volume(tall, out, format="ome-zarr")
    for inside in (tall / "x.ome.zarr", tall):
        with pytest.raises(OutputError):
            export_volume(tall, inside, format="ome-zarr", overwrite=True)
    assert open_volume(tall).shape == (300, 8, 8)


@pytest.mark.parametrize("format", ["hdf5", "neuroglancer"])
def test_options_of_ome_zarr_mean_nothing_elsewhere(
    organ: Path, tmp_path: Path, format: str
) -> None:
    url = {"url": "https://host/h"} if format == "neuroglancer" else {}
    for options in ({"ome_zarr": "0.4"}, {"consolidated": True}, {"restart": True}):
        with pytest.raises(InputError, match="means nothing for the format"):
            export_volume(organ, tmp_path / "out", format=format, **options, **url)
