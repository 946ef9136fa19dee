"""Levels, crops and oblique planes from words, against places computed by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from hipct.core.errors import InputError, PlanError
from hipct.exchange.export import export_volume
from hipct.exchange.export_level import LevelView, choose_level
from hipct.exchange.export_selection import choose_plane, choose_region
from hipct.volume.open import open_volume
from hipct.volume.pyramid import write_pyramid

VOXEL = (30.0, 20.0, 10.0)
SHAPE = (40, 50, 60)
WINDOW = (-1.0, 3.0)


def field(z: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """A linear field over micrometres, which trilinear interpolation gives exactly."""
    return 1e-3 * (0.7 * z - 0.5 * y + 0.9 * x)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    values = field(*(n * v for n, v in zip(np.ix_(*map(np.arange, SHAPE)), VOXEL)))
    folder = tmp_path_factory.mktemp("selection") / "v.ome.zarr"
    write_pyramid(values.astype(np.float32), folder, voxel_size_um=VOXEL, window=WINDOW, chunk=16)
    return folder


@pytest.fixture(scope="module")
def view(path: Path) -> LevelView:
    return choose_level(open_volume(path), 0)


def test_levels_by_number_and_by_voxel_size(path: Path) -> None:
    volume = open_volume(path)
    assert choose_level(volume, "1").number == 1
    # The longest edges are 30, 60 and 120 um.
    for words, number in (("30um", 0), ("0.03mm", 0), ("59.9um", 0), ("60um", 1), ("1 mm", 2)):
        assert choose_level(volume, words).number == number
    for words, sentence in (
        ("25um", "no level with voxels of 25um or finer; its finest has 30 um"),
        ("-1", "has no level -1; it has 0 to 2"),
        ("coarse", "The level is 'coarse'; give a number from 0 to 2, or a voxel size"),
        ("0um", "The level is '0um'"),
        ("1e1e1um", "The level is '1e1e1um'"),
    ):
        with pytest.raises(InputError, match=sentence):
            choose_level(volume, words)


def test_crops_in_voxels(view: LevelView) -> None:
    assert choose_region(view, None) == tuple(slice(0, n) for n in SHAPE)
    assert choose_region(view, "3:9, :5 ,7:") == (slice(3, 9), slice(0, 5), slice(7, 60))
    for words, sentence in (
        ("3:9,1:5", "crop is '3:9,1:5'; give z0:z1,y0:y1,x0:x1"),
        ("3:41,:,:", "along z is 3:41; level 0 has the voxels 0:40"),
        ("-1:4,:,:", "along z is -1:4"),
        (":,5:5,:", "along y is 5:5"),
        (":,:,1.5:3", "along x is 1.5:3"),
        (":,:,a:3", "'a' is no number"),
        (":,1mm:,1um:", "one unit, um or mm"),
    ):
        with pytest.raises(InputError, match=sentence):
            choose_region(view, words)


def test_crops_in_lengths_take_the_centres_inside(path: Path, view: LevelView) -> None:
    # Voxel i of x lies from 10 i - 5 to 10 i + 5 um.
    assert choose_region(view, ":,:,20:50um")[2] == slice(2, 5)
    assert choose_region(view, ":,:,20.1:50.1um")[2] == slice(3, 6)
    assert choose_region(view, ":,0.1:0.5mm,:")[1] == slice(5, 25)
    # Two crops side by side share no voxel and miss none.
    left, right = (choose_region(view, f":,:,{words}um")[2] for words in ("-5:317.3", "317.3:595"))
    assert (left.start, left.stop, right.stop) == (0, right.start, 60)
    # Level 1 begins half a voxel of level 0 later: its voxels of 20 um lie at 5, 25, 45, ...
    coarse = choose_level(open_volume(path), 1)
    assert choose_region(coarse, ":,:,20:50um")[2] == slice(1, 3)
    assert choose_region(coarse, ":,:,-5:595um")[2] == slice(0, 30)
    for words in (":,:,-5.1:20um", ":,:,20:595.1um", ":,:,21:29um", ":,:,50:20um"):
        with pytest.raises(InputError, match=r"along x is .* um; level 0 lies from -5 to 595 um"):
            choose_region(view, words)


def test_lengths_need_a_voxel_size(tmp_path: Path) -> None:
    write_pyramid(np.ones((4, 4, 4), "u1"), tmp_path / "v", voxel_size_um=None)
    volume = open_volume(tmp_path / "v")
    for use in (
        lambda: choose_level(volume, "5um"),
        lambda: choose_region(choose_level(volume, 0), "0:2um,:,:"),
        lambda: choose_plane(choose_level(volume, 0), "1,1,1um:1,0,0"),
    ):
        with pytest.raises(InputError, match="does not say how large its voxels are"):
            use()
    export_volume(tmp_path / "v", tmp_path / "t", format="tiff")
    with tifffile.TiffFile(tmp_path / "t" / "v_000002.tif") as file:
        assert file.pages[0].tags["ResolutionUnit"].value != 3
        assert '"voxel_size_voxel": [1.0, 1.0, 1.0]' in file.pages[0].description


@pytest.mark.parametrize("normal", ["1,0,0", "-2,0,0"])
def test_a_plane_across_z_is_the_slice(tmp_path: Path, normal: str) -> None:
    values = np.random.default_rng(0).integers(0, 65536, SHAPE).astype(np.uint16)
    write_pyramid(values, tmp_path / "v", voxel_size_um=10.0, chunk=16)
    words = f"7,24.5,29.5:{normal}"
    export_volume(tmp_path / "v", tmp_path / "o.tif", format="tiff", oblique=words)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "o.tif"), values[7])
    with tifffile.TiffFile(tmp_path / "o.tif") as file:
        x = file.pages[0].tags["XResolution"].value
        assert 1e4 * x[1] / x[0] == pytest.approx(10)


@pytest.mark.parametrize(("normal", "index"), [("0,1,0", 1), ("0,0,1", 2)])
def test_planes_across_y_and_x_have_z_downwards(tmp_path: Path, normal: str, index: int) -> None:
    values = np.random.default_rng(0).integers(0, 65536, SHAPE).astype(np.uint16)
    write_pyramid(values, tmp_path / "v", voxel_size_um=None, chunk=16)
    centre = [(n - 1) / 2 for n in SHAPE]
    centre[index] = 9
    words = ",".join(map(str, centre))
    export_volume(tmp_path / "v", tmp_path / "o.tif", format="tiff", oblique=f"{words}:{normal}")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "o.tif"), values.take(9, index))


@pytest.mark.parametrize(
    "words", ["600,500,300um:1,0.4,-0.7", "0.6,0.5,0.3mm:0.2,-1,0.3:0.9", "20,25,30:1,1,3:150"]
)
@pytest.mark.parametrize("dtype", [None, "float32"])
def test_a_linear_field_is_cut_exactly(
    path: Path, view: LevelView, tmp_path: Path, words: str, dtype: str | None
) -> None:
    """Across anisotropic voxels, chunks and tiles; each pixel at the place that the facts say."""
    written = export_volume(path, tmp_path / "o.tif", format="tiff", oblique=words, dtype=dtype)
    picture = tifffile.imread(tmp_path / "o.tif")
    facts = written.facts
    first, down, right = (np.array(facts[f"{key}_um"]) for key in ("first", "down", "right"))
    for step in (down, right):
        assert np.linalg.norm(step) == pytest.approx(10)
    assert down @ right == pytest.approx(0, abs=1e-9)
    normal = np.array([float(word) for word in words.split(":")[1].split(",")])
    np.testing.assert_allclose([down @ normal, right @ normal], 0, atol=1e-9)
    i, j = np.indices(picture.shape)
    place = first + i[..., None] * down + j[..., None] * right
    middle = place.mean(axis=(0, 1))
    np.testing.assert_allclose(middle, (600, 500, 300), atol=1e-6)
    voxels = place / VOXEL
    between = ((voxels >= 0) & (voxels <= np.array(SHAPE) - 1)).all(axis=-1)
    outside = ((voxels < -0.51) | (voxels > np.array(SHAPE) - 0.49)).any(axis=-1)
    assert between.sum() > 1000
    physical = picture if dtype else picture * facts["scale"] + facts["offset"]
    step = (WINDOW[1] - WINDOW[0]) / 65535
    # Stored values are off by half a step at most, and rounded once more in uint16.
    error = np.abs(physical - field(*np.moveaxis(place, -1, 0)))[between].max()
    assert error <= (0.51 if dtype else 1.01) * step
    if words.count(":") == 2:
        assert picture.shape[0] == picture.shape[1] == (90 if "mm" in words else 150)
    else:
        # All of the cut: some pixel within the volume at each of two opposite borders.
        assert outside.any()
        rows, columns = (np.flatnonzero((~outside).any(axis=axis)) for axis in (1, 0))
        assert rows[0] <= 1 or rows[-1] >= picture.shape[0] - 2
        assert columns[0] <= 1 or columns[-1] >= picture.shape[1] - 2
    empty = np.isnan(picture) if dtype else picture == 0
    assert empty[outside].all()
    assert not empty[between].any()


def test_oblique_planes_as_png_and_what_they_refuse(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.png"
    export_volume(path, out, format="png", oblique="20,25,30:1,1,1:64")
    with Image.open(out) as picture:
        assert picture.size == (64, 64)
        assert picture.mode == "L"
    for words, sentence in (
        ("20,25:1,0,0", "give cz,cy,cx:nz,ny,nx"),
        ("20,25,30:0,0,0", "three numbers, not all of them 0"),
        ("20,25,30:1um,0,0", "three numbers, not all of them 0"),
        ("900,25,30:1,0,0", "does not meet level 0"),
        ("20,,30:1,0,0", "'' is no number"),
    ):
        with pytest.raises(InputError, match=sentence):
            export_volume(path, tmp_path / "x.png", format="png", oblique=words)
    with pytest.raises(PlanError, match=r"10000 x 10000 pixels needs .* may take"):
        export_volume(
            path, tmp_path / "x", format="png", oblique="9,9,9:1,1,0:10000", memory_bytes=10**8
        )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["o.png"]


def test_a_plane_reads_what_it_touches(path: Path, view: LevelView, tmp_path: Path) -> None:
    """Boxes of 128 pixels: a square of a corner needs no chunk of the other end."""
    (path_of_chunks,) = (path / "0").glob("c")
    far = sorted(p for p in path_of_chunks.rglob("*") if p.is_file())
    assert zarr.open_array(path / "0", mode="r").shards is not None
    assert len(far) >= 3
    hidden = far[-1].with_name("hidden")
    far[-1].rename(hidden)
    try:
        export_volume(path, tmp_path / "o", format="tiff", oblique="5,9,9:1,0.1,0:9")
    finally:
        hidden.rename(far[-1])
