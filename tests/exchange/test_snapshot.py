"""Pictures of volumes: what is where on them, at which scale, from which level, and bad input."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

import hipct
from hipct.core.errors import (
    FormatError,
    HipctError,
    InputError,
    MissingExtra,
    OutputError,
    PlanError,
    RemoteError,
)
from hipct.core.progress import Silent
from hipct.exchange.snapshot import snapshot
from hipct.exchange.snapshot_parts import Faults, SourceLayers, gather
from hipct.volume.pyramid import write_pyramid
from hipct.volume.pyramid_build import build_pyramid
from hipct.volume.pyramid_source import ArraySource
from hipct.volume.snapshot_sheet import HOLE

SHAPE = (70, 90, 250)
AT = (12, 61, 200)
LEVEL = ("attributes", "ome", "multiscales", 0, "datasets", 0)
SCALE = (*LEVEL, "coordinateTransformations", 0, "scale")


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, SHAPE, np.uint8)


@pytest.fixture(scope="module")
def organ(noise: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("organ") / "organ.ome.zarr"
    write_pyramid(noise, path, voxel_size_um=20.0, chunk=32, window=(-0.1, 0.9))
    return path


def places(picture: Image.Image, image: np.ndarray) -> list[tuple[int, int]]:
    """Rows and columns at which an image stands on a picture, pixel by pixel."""
    grey = np.asarray(picture)
    grey = np.where((grey == grey[..., :1]).all(axis=-1), grey[..., 0].astype(int), -1)
    rows, columns = image.shape
    first = grey[: grey.shape[0] - rows + 1, : grey.shape[1] - columns + 1] == image[0, 0]
    return [
        (int(row), int(column))
        for row, column in np.argwhere(first)
        if (grey[row : row + rows, column : column + columns] == image).all()
    ]


def test_the_three_slices_and_the_projection_are_the_volume_itself(
    organ: Path, noise: np.ndarray
) -> None:
    made = hipct.snapshot(organ, at="12,61,200", camera=(0, 0))
    z, y, x = AT
    # Black is 0 and white 255: the display window of all of 8 bits.
    for slice_ in (noise[z], noise[:, y], noise[:, :, x]):
        assert len(places(made.picture, slice_)) == 1
    largest = noise.max(axis=1)
    low, high = np.percentile(largest.astype(np.float32), [1, 99.9])
    shown = np.rint(np.clip((largest - low) * (255 / (high - low)), 0, 255)).astype(np.uint8)
    # The axes of the box are drawn over its outermost pixels.
    assert len(places(made.picture, shown[2:-2, 2:-2])) == 1
    assert made.unit_per_px == 20.0
    assert made.faults == ()
    assert made.read == "slices of level 0 (20 um), projection of level 0 (20 um)"


def test_by_default_the_slices_go_through_the_middle(organ: Path, noise: np.ndarray) -> None:
    made = snapshot(organ, projection="none")
    for slice_ in (noise[35], noise[:, 45], noise[:, :, 125]):
        assert len(places(made.picture, slice_)) == 1
    at = snapshot(organ, projection="none", at="0.7,0.9,2.5mm")
    assert made.png() == at.png()


def test_the_picture_says_its_scale_and_is_written_whole(organ: Path, tmp_path: Path) -> None:
    made = snapshot(organ, tmp_path / "new" / "organ.png")
    assert [each.name for each in (tmp_path / "new").iterdir()] == ["organ.png"]
    with Image.open(tmp_path / "new" / "organ.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), np.asarray(made.picture))
        assert picture.info["dpi"][0] == pytest.approx(25400 / 20, rel=1e-4)
    # 150 pixels of 20 um are 3 mm: 2 mm are 100 pixels.
    ink = (np.asarray(made.picture) == 235).all(axis=-1)
    run = np.array([row[14:115].sum() if row[14:114].all() else 0 for row in ink])
    assert (run == 100).sum() == 7
    assert Image.open(io.BytesIO(made._repr_png_())).size == made.picture.size


def test_small_pictures_take_coarser_levels(organ: Path) -> None:
    made = snapshot(organ, size_px=130, memory_bytes=2_000_000)
    assert made.read == "slices of level 1 (40 um), projection of level 3 (160 um)"
    coarse = np.asarray(hipct.open_volume(organ).levels[1].array[17])
    assert len(places(made.picture, coarse)) == 1


def test_a_terabyte_is_pictured_from_its_coarse_levels(tmp_path: Path) -> None:
    """12000^3 voxels whose fine levels hold nothing: reading them would take all day."""
    import zarr

    group = zarr.open_group(tmp_path / "big.zarr", mode="w")
    datasets = []
    for level in range(7):
        n = -(-12_000 // 2**level)
        array = group.create_array(str(level), shape=(n,) * 3, chunks=(64,) * 3, dtype="u2")
        scale = [float(2**level)] * 3
        datasets.append(
            {"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        )
        if level >= 5:
            array[n // 2 : n // 2 + 2] = 1000
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [{"axes": axes, "datasets": datasets, "name": "big"}],
    }
    made = snapshot(tmp_path / "big.zarr", memory_bytes=200_000_000)
    assert made.read == "slices of level 5 (32 um), projection of level 6 (64 um)"
    assert made.unit_per_px == 32.0
    assert len(places(made.picture, np.full((375, 375), 255))) > 0


def test_labels_have_colours_and_no_window(tmp_path: Path) -> None:
    labels = np.zeros((30, 40, 50), np.uint8)
    labels[5:25, 5:35, 5:20], labels[5:25, 5:35, 30:45] = 1, 2
    build_pyramid(ArraySource(labels, 10.0), tmp_path / "l.zarr", kind="labels", chunk=16)
    made = snapshot(tmp_path / "l.zarr", camera=(0, 0))
    colours, counts = np.unique(np.asarray(made.picture).reshape(-1, 3), axis=0, return_counts=True)
    strong = counts[np.ptp(colours.astype(int), axis=1) > 60]
    # Two slices and the view from outside show both, 90 times enlarged; the slice across x misses.
    assert np.sort(strong)[-2:].min() > 20 * 15 * 81


@pytest.mark.parametrize("memory", [10**9, 90_000])
def test_what_has_no_coarse_levels_passes_through_once(memory: int) -> None:
    rng = np.random.default_rng(1)
    volume = rng.integers(0, 1000, (50, 97, 131)).astype(np.uint16)
    reads: list[tuple[slice, slice]] = []

    class Counted(ArraySource):
        def read(self, z: slice, y: slice = slice(None)) -> Any:
            reads.append((z, y))
            return super().read(z, y)

    layers = SourceLayers(Counted(volume), Faults())
    made = gather(
        layers,
        (20, 50, 77),
        longest=(44, 11),
        labels=False,
        memory_bytes=memory,
        observer=Silent(),
    )
    # Every second slice, from the one that slice 20 belongs to; pixels of 3 x 3; voxels of 4.
    padded = np.full((25, 99, 132), np.nan)
    padded[:, :97, :131] = volume[0::2]
    small = np.nanmean(padded.reshape(25, 33, 3, 44, 3), axis=(2, 4))
    assert made.every == 2
    np.testing.assert_allclose(made.slices[0], small[10], rtol=1e-5)
    np.testing.assert_allclose(made.slices[1], small[:, 16], rtol=1e-5)
    np.testing.assert_allclose(made.slices[2], small[:, :, 25], rtol=1e-5)
    wide = np.full((28, 36, 44), np.nan)
    wide[:25, :33] = small
    block = np.nanmean(wide.reshape(7, 4, 9, 4, 11, 4), axis=(1, 3, 5))
    np.testing.assert_allclose(made.block, block, rtol=1e-5)
    taken = sum(z.stop - z.start for z, y in reads for _ in range(*y.indices(97)))
    assert taken == 25 * 97
    if memory < 10**9:
        assert max(len(range(*y.indices(97))) for _, y in reads) < 97


def test_too_little_memory_is_said_with_what_to_do(organ: Path) -> None:
    layers = SourceLayers(ArraySource(np.zeros((4, 400, 4000), np.uint16)), Faults())
    with pytest.raises(PlanError, match=r"1 slices.*need .* and the picture may take .*--memory"):
        gather(
            layers,
            (0, 0, 0),
            longest=(100, 10),
            labels=False,
            memory_bytes=1000,
            observer=Silent(),
        )


def test_tiff_and_nifti_look_like_the_same_volume(
    organ: Path, noise: np.ndarray, tmp_path: Path
) -> None:
    tifffile.imwrite(tmp_path / "stack.tif", noise, photometric="minisblack")
    made = snapshot(tmp_path / "stack.tif", voxel_um=20.0, window=(0, 255), projection="none")
    assert made.unit == "um"
    for slice_ in (noise[35], noise[:, 45], noise[:, :, 125]):
        assert len(places(made.picture, slice_)) == 1
    unknown = snapshot(tmp_path / "stack.tif", projection="none")
    assert unknown.unit == "voxel"
    nibabel = pytest.importorskip("nibabel", reason="nibabel is not installed")
    image = nibabel.Nifti1Image(noise.T.copy(), np.diag([0.02, 0.02, 0.02, 1]))
    image.header.set_xyzt_units("mm")
    nibabel.save(image, tmp_path / "organ.nii.gz")
    packed = snapshot(tmp_path / "organ.nii.gz", window=(0, 255), camera=(0, 0))
    for slice_ in (noise[35], noise[:, 45], noise[:, :, 125]):
        assert len(places(packed.picture, slice_)) == 1
    assert packed.unit_per_px == pytest.approx(20.0)


def test_voxels_without_a_value_are_black_and_no_holes(tmp_path: Path) -> None:
    volume = np.full((40, 700, 640), 0.5, np.float32)
    volume[:, :350] = np.nan
    volume[:, 350:, :320] = 1
    tifffile.imwrite(tmp_path / "f.tif", volume, photometric="minisblack")
    made = snapshot(tmp_path / "f.tif", window=(0, 1), projection="none", size_px=350)
    assert made.faults == ()
    expected = np.zeros((350, 320), np.uint8)
    expected[175:, :160], expected[175:, 160:] = 255, 128
    assert len(places(made.picture, expected)) == 1
    assert not (np.asarray(made.picture) == HOLE).all(axis=-1).any()
    tifffile.imwrite(
        tmp_path / "n.tif", np.full((9, 70, 64), np.nan, np.float32), photometric="minisblack"
    )
    snapshot(tmp_path / "n.tif")


def test_a_slice_that_cannot_be_read_is_a_line_of_holes(tmp_path: Path) -> None:
    folder = tmp_path / "slices"
    folder.mkdir()
    for k in range(30):
        image = np.full((300, 300), 90, np.uint8)
        tifffile.imwrite(folder / f"s_{k:03}.tif", image, compression="zlib")
    torn = folder / "s_007.tif"
    data = bytearray(torn.read_bytes())
    with tifffile.TiffFile(torn) as file:
        place, length = file.pages[0].dataoffsets[0], file.pages[0].databytecounts[0]
    data[place : place + length] = bytes(length)
    torn.write_bytes(data)
    made = snapshot(folder, window=(0, 100), projection="none")
    (fault,) = made.faults
    assert "s_007.tif" in fault
    pink = (np.asarray(made.picture) == HOLE).all(axis=-1)
    assert pink.sum() == 2 * 300


def test_a_volume_on_a_server_gives_the_same_picture(web: Any, organ: Path) -> None:
    pytest.importorskip("obstore", reason="obstore is not installed")
    shutil.copytree(organ, web.folder / "organ.ome.zarr")
    web.begin()
    far = snapshot(f"{web.url}/organ.ome.zarr", size_px=130)
    assert far.png() == snapshot(organ, size_px=130).png()
    web.begin(lambda path, before: 403)
    with pytest.raises(RemoteError, match="403"):
        snapshot(f"{web.url}/organ.ome.zarr")
    web.begin()


@pytest.fixture
def torn(organ: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "torn.ome.zarr"
    shutil.copytree(organ, copy)
    return copy


def shards(volume: Path, level: str) -> list[Path]:
    return sorted(path for path in (volume / level / "c").rglob("*") if path.is_file())


def test_a_broken_chunk_is_a_hole_and_is_named(torn: Path, noise: np.ndarray) -> None:
    whole = snapshot(torn, camera=(0, 0))
    (shard, *_) = shards(torn, "0")
    data = bytearray(shard.read_bytes())
    data[100:400] = bytes(300)  # in the first chunk; the index at the end stays right
    shard.write_bytes(data)
    made = snapshot(torn, at="5,5,5", camera=(0, 0))
    (fault,) = made.faults
    assert f"{torn / '0'}, chunk (0, 0, 0), is damaged" in fault
    assert "hipct check --deep names every fault" in fault
    pink = (np.asarray(made.picture) == HOLE).all(axis=-1)
    # 32 x 32 of each of the three slices.
    assert pink.sum() == 3 * 32 * 32
    assert not (np.asarray(whole.picture) == HOLE).all(axis=-1).any()
    assert len(places(made.picture, noise[5][32:])) == 1


def test_a_level_whose_files_are_gone_is_no_picture_of_zeros(torn: Path) -> None:
    for shard in shards(torn, "1"):
        shard.unlink()
    with pytest.raises(FormatError, match=r"/1/.* is missing: the volume is not whole"):
        snapshot(torn, size_px=130, projection="none")


def test_a_missing_level_is_named_and_others_are_shown(torn: Path) -> None:
    shutil.rmtree(torn / "1")
    made = snapshot(torn, size_px=130)
    (note,) = made.notes
    assert re.match(r"Level '1' of .* cannot be opened", note)
    assert made.read.startswith("slices of level 2 (80 um)")
    for level in ("0", "2", "3"):
        shutil.rmtree(torn / level)
    with pytest.raises(FormatError, match="cannot be opened"):
        snapshot(torn)


@pytest.mark.parametrize(
    ("keys", "junk"),
    [
        (("attributes",), [1]),
        (("attributes",), None),
        (("attributes", "ome"), 0.5),
        (LEVEL, 7),
        ((*SCALE, 0), 1e-300),
        ((*SCALE, 1), float("inf")),
    ],
)
def test_broken_metadata_is_a_sentence(keys: tuple[Any, ...], junk: Any, torn: Path) -> None:
    content = json.loads((torn / "zarr.json").read_text())
    node = content
    for key in keys[:-1]:
        node = node[key]
    node[keys[-1]] = junk
    (torn / "zarr.json").write_text(json.dumps(content))
    with pytest.raises(HipctError):
        snapshot(torn)


def test_a_volume_that_is_being_written_is_refused(torn: Path) -> None:
    torn.with_name(torn.name + ".run").mkdir()
    with pytest.raises(FormatError, match="is being written, or a run was broken off"):
        snapshot(torn)


def test_outputs_that_cannot_be(organ: Path, tmp_path: Path) -> None:
    (tmp_path / "there.png").write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists already"):
        snapshot(organ, tmp_path / "there.png")
    assert (tmp_path / "there.png").read_bytes() == b"mine"
    snapshot(organ, tmp_path / "there.png", overwrite=True)
    assert (tmp_path / "there.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(OutputError, match="could not be written"):
        snapshot(organ, tmp_path / "there.png" / "in_a_file.png")
    with pytest.raises(OutputError, match="is the volume itself, or inside"):
        snapshot(organ, organ / "picture.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["there.png"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size_px": 10}, "give 64 to 4000"),
        ({"projection": "mean"}, "give max or none"),
        ({"camera": (float("nan"), 20.0)}, "at nan,20 degrees; give numbers"),
        ({"png": "organ.jpg"}, "written as PNG"),
        ({"at": "1,2"}, "give z,y,x"),
        ({"at": "1,2,300"}, "outside of the volume, whose x goes from -10 to 4990 um"),
        ({"at": "1mm,2um,3"}, "in one unit"),
        ({"window": (9, 3)}, "give the lower one first"),
        ({"url": "https://host/v"}, "needs the file"),
        ({"link": "x.json"}, "needs the file"),
        ({"link": "x.json", "url": "ftp://host"}, "http, https, s3 or gs"),
    ],
)
def test_options_that_do_not_fit(
    options: dict[str, Any],
    words: str,
    organ: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=words):
        snapshot(organ, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_link_shows_the_same_place(organ: Path, tmp_path: Path) -> None:
    made = snapshot(
        organ, link=tmp_path / "organ.json", url="https://host/organ.ome.zarr", at="12,61,200"
    )
    state = json.loads((tmp_path / "organ.json").read_text())
    assert state == made.state
    assert state["position"] == [200.0, 61.0, 12.0]
    assert state["layers"][0]["source"] == "zarr3://https://host/organ.ome.zarr"
    assert made.link is not None
    assert made.link.startswith("https://neuroglancer-demo.appspot.com/#!")
    tifffile.imwrite(tmp_path / "s.tif", np.zeros((4, 5, 6), np.uint8), photometric="minisblack")
    with pytest.raises(InputError, match=r"no OME-Zarr volume.*hipct pyramid"):
        snapshot(tmp_path / "s.tif", link=tmp_path / "s.json", url="https://host/s.tif")
    assert not (tmp_path / "s.json").exists()


def test_what_a_format_needs_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.nii").write_bytes((348).to_bytes(4, "little") + bytes(600))
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(MissingExtra, match=r"pip install 'hipct\[formats\]'"):
        snapshot(tmp_path / "a.nii")


def test_without_a_screen_and_without_napari(organ: Path, tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "for name in ('napari', 'qtpy', 'PySide6', 'vispy', 'matplotlib'):\n"
        "    sys.modules[name] = None\n"
        "from hipct.cli.main import main\n"
        f"main(['snapshot', {str(organ)!r}, '-o', {str(tmp_path / 'organ.png')!r}])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env={}
    )
    assert done.returncode == 0, done.stderr
    assert "slices of level 0 (20 um)" in done.stdout
    assert (tmp_path / "organ.png").is_file()
