"""Opening, describing and picturing volumes; readers of others on ours and ours on others'."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import ome_zarr_models
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hipct.core.errors import FormatError, HipctError, InputError
from hipct.volume.check import check_volume
from hipct.volume.describe import describe_volume
from hipct.volume.open import open_volume
from hipct.volume.preview import orthogonal_preview
from hipct.volume.pyramid import write_pyramid

VOXEL = (30.0, 20.0, 10.0)


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.1, 0.5, (40, 45, 51)).astype(np.float32)


@pytest.fixture(scope="module")
def organ(tmp_path_factory: pytest.TempPathFactory, values: np.ndarray) -> Path:
    path = tmp_path_factory.mktemp("open") / "heart.ome.zarr"
    write_pyramid(
        values,
        path,
        voxel_size_um=VOXEL,
        window=(-0.1, 0.5),
        chunk=16,
        attributes={"software": "hipct 0", "axis": {"value": 3.5}},
    )
    return path


def test_levels_places_and_physical_values(organ: Path, values: np.ndarray) -> None:
    volume = open_volume(organ)
    assert volume.name == "heart"
    assert volume.shape == values.shape
    assert volume.voxel_size_um == VOXEL
    assert [level.array.shape for level in volume.levels] == [
        (40, 45, 51),
        (20, 23, 26),
        (10, 12, 13),
    ]
    assert volume.levels[2].scale == (120.0, 80.0, 40.0)
    assert volume.levels[2].translation == (45.0, 30.0, 15.0)
    assert volume.display == (0.0, 65535.0)
    assert volume.provenance["axis"] == {"value": 3.5}
    assert volume.notes == ()
    region = (slice(3, 9), 7, slice(None))
    physical = volume.physical(0, region)
    assert physical.dtype == np.float32
    np.testing.assert_allclose(physical, values[region], atol=0.51 * 0.6 / 65535)
    with pytest.raises(InputError, match="no level 7"):
        volume.physical(7)


def test_a_volume_without_meaning_says_so(tmp_path: Path) -> None:
    write_pyramid(np.ones((4, 4, 4), np.uint8), tmp_path / "v", voxel_size_um=1.0)
    with pytest.raises(InputError, match="what its grey values mean"):
        open_volume(tmp_path / "v").physical()
    assert describe_volume(tmp_path / "v")["values"].startswith("missing")


def test_other_readers_agree(organ: Path) -> None:
    image = ome_zarr_models.open_ome_zarr(organ)
    assert type(image).__module__.endswith("v05.image")
    ngff_zarr = pytest.importorskip("ngff_zarr", reason="ngff-zarr is not installed")
    multiscales = ngff_zarr.from_ngff_zarr(organ)
    ours = open_volume(organ)
    assert len(multiscales.images) == len(ours.levels)
    for theirs, level in zip(multiscales.images, ours.levels):
        assert theirs.dims == ("z", "y", "x")
        assert tuple(theirs.scale[axis] for axis in "zyx") == level.scale
        assert tuple(theirs.translation[axis] for axis in "zyx") == level.translation
        np.testing.assert_array_equal(np.asarray(theirs.data), level.array[:])


def old_volume(path: Path, steps: list[dict[str, Any]], axes: str = "xyz", **axis: str) -> None:
    """An OME-Zarr 0.4 as the Human Organ Atlas has them: Zarr v2, axes x, y, z."""
    group = zarr.open_group(path, mode="w", zarr_format=2)
    group.create_array("s0", shape=(4, 5, 6), chunks=(4, 4, 4), dtype="u2")[...] = 7
    dataset = {"path": "s0", "coordinateTransformations": steps}
    described = [{"name": name, "type": "space", **axis} for name in axes]
    multiscale = {"version": "0.4", "axes": described, "datasets": [dataset], "name": "old"}
    group.attrs["multiscales"] = [multiscale]


def test_version_04_with_axes_xyz_in_millimetres(tmp_path: Path) -> None:
    scale = {"type": "scale", "scale": [0.01, 0.02, 0.03]}
    old_volume(tmp_path / "v", [scale], unit="millimeter")
    volume = open_volume(tmp_path / "v")
    assert volume.version == "0.4"
    assert volume.axes == ("x", "y", "z")
    np.testing.assert_allclose(volume.levels[0].scale, (10.0, 20.0, 30.0))
    assert (volume.levels[0].array[:] == 7).all()


def test_translation_before_scale_is_applied_in_that_order_and_said(tmp_path: Path) -> None:
    steps = [
        {"type": "translation", "translation": [1, 2, 3]},
        {"type": "scale", "scale": [10, 20, 30]},
    ]
    old_volume(tmp_path / "v", steps)
    volume = open_volume(tmp_path / "v")
    assert volume.levels[0].translation == (10.0, 40.0, 90.0)
    assert any("translation before its scale" in note for note in volume.notes)
    assert sum("micrometer is assumed" in note for note in volume.notes) == 3


def test_an_unknown_voxel_size_is_said_and_not_invented(tmp_path: Path) -> None:
    path = tmp_path / "tooth.ome.zarr"
    voxels = np.arange(4 * 6 * 6, dtype=np.uint16).reshape(4, 6, 6)
    write_pyramid(voxels, path, voxel_size_um=None, chunk=4)
    axes = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]["multiscales"][0][
        "axes"
    ]
    assert all("unit" not in axis for axis in axes)
    volume = open_volume(path)
    assert volume.length_unit == "voxel"
    assert volume.levels[1].scale == (2.0, 2.0, 2.0)
    assert volume.levels[1].translation == (0.5, 0.5, 0.5)
    assert describe_volume(path)["voxel"].startswith("missing")
    findings = check_volume(path)
    assert [(f.rule, f.severity) for f in findings if f.rule == "units"] == [("units", "warning")]
    assert not [f for f in findings if f.severity == "error"]


@pytest.mark.parametrize("begun", ["v.ome.zarr.run/volume.ome.zarr", "v.ome.zarr.partial"])
def test_a_volume_that_is_being_written_is_named(begun: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"v\.ome\.zarr does not exist; give the folder"):
        open_volume(tmp_path / "v.ome.zarr")
    (tmp_path / begun).mkdir(parents=True)
    with pytest.raises(InputError, match=rf"being written.* give {tmp_path / begun} to see"):
        open_volume(tmp_path / "v.ome.zarr")


def test_raw_scans_are_told_from_volumes(tmp_path: Path) -> None:
    for kind in ("scan", "series"):
        noted = {"hipct": {"format": f"hipct-{kind}-store", "version": 1}}
        zarr.create_group(tmp_path / kind, attributes=noted)
        with pytest.raises(FormatError, match=r"raw scans and no volume; .* --live shows them"):
            open_volume(tmp_path / kind)


def test_volumes_with_time_or_channels_are_refused(tmp_path: Path) -> None:
    old_volume(tmp_path / "v", [{"type": "scale", "scale": [1, 1, 1]}], axes="tyx")
    with pytest.raises(FormatError, match="only volumes of z, y and x"):
        open_volume(tmp_path / "v")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.sampled_from((-1, 0, 7, 10**400))
    | st.floats(allow_nan=False)
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


def places(node: Any) -> Iterator[tuple[Any, Any]]:
    for key in list(node) if isinstance(node, dict) else range(len(node)):
        yield node, key
        if isinstance(node[key], (dict, list)):
            yield from places(node[key])


@settings(max_examples=40, deadline=None)
@given(data=st.data(), junk=JSON)
def test_broken_metadata_gives_sentences_not_accidents(
    organ: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, junk: Any
) -> None:
    """Any value anywhere in the metadata replaced by anything."""
    content = json.loads((organ / "zarr.json").read_text())
    node, key = data.draw(st.sampled_from(list(places(content))))
    node[key] = junk
    path = tmp_path_factory.mktemp("fuzz") / "v"
    path.mkdir()
    (path / "zarr.json").write_text(json.dumps(content))
    for level in "012":
        (path / level).symlink_to(organ / level)

    def picture(path: Path) -> None:
        orthogonal_preview(path, path.parent / "v.png")

    for use in (open_volume, check_volume, describe_volume, picture):
        with suppress(HipctError):
            use(path)


def test_the_description_names_sizes_places_and_meaning(organ: Path) -> None:
    facts = describe_volume(organ)
    assert facts["format"] == "OME-Zarr 0.5, uint16, axes z, y, x"
    assert facts["size"].startswith("40 x 45 x 51 voxels, 211 kB")
    assert facts["extent"] == "1.2 x 0.9 x 0.51 mm"
    assert facts["voxel"] == "30 x 20 x 10 um"
    assert "at (15, 10, 5) um" in facts["level 1"]
    assert facts["values"].endswith("+ -0.1 1/cm")
    assert facts["software"] == "hipct 0"


def test_the_picture_shows_the_central_slices_to_scale(tmp_path: Path) -> None:
    volume = np.zeros((60, 80, 100), np.uint8)
    volume[30] = 255  # a plane: white in xy, one bright line in xz and yz
    write_pyramid(volume, tmp_path / "v", voxel_size_um=(20.0, 10.0, 10.0))
    orthogonal_preview(tmp_path / "v", tmp_path / "v.png")
    picture = np.asarray(Image.open(tmp_path / "v.png").convert("L")).astype(int)
    # The longest edge, 1200 um, enlarged 4 times: 2.5 um a pixel. xy is 400 x 320 px of white,
    # xz beside it 480 px high with its plane, 8 px thick, half a slice below the middle.
    left, top = 14, int(np.flatnonzero((picture[:, 14:414] > 250).all(axis=1))[0])
    assert (picture[top : top + 320, left : left + 400] == 255).all()
    assert (picture[top + 320, left : left + 400] < 50).all()
    column = picture[top : top + 480, left + 400 + 14 + 200]
    np.testing.assert_array_equal(np.flatnonzero(column == 255), np.arange(240, 248))
    np.testing.assert_array_equal(np.unique(column), [0, 255])


def test_large_volumes_are_pictured_from_a_coarser_level(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    volume = rng.integers(0, 9, (16, 300, 300), "u1")
    write_pyramid(volume, tmp_path / "v", voxel_size_um=1.0, chunk=32)
    first = orthogonal_preview(tmp_path / "v", tmp_path / "a.png", max_px=160)
    with Image.open(first) as picture:
        assert 520 <= picture.width < 600
    orthogonal_preview(tmp_path / "v", tmp_path / "b.png", max_px=160)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with pytest.raises(InputError, match="at least 64"):
        orthogonal_preview(tmp_path / "v", tmp_path / "c.png", max_px=10)
