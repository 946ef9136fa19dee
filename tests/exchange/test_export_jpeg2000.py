"""JPEG2000 and HTJ2K stacks, decoded by others: size, fidelity, no loss where none is allowed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from hipct.exchange.export import export_volume
from hipct.exchange.export_jpeg2000 import encode_to_size
from hipct.volume.pyramid import write_pyramid

imagecodecs = pytest.importorskip("imagecodecs", reason="imagecodecs is not installed")

DECODE = {"jp2": imagecodecs.jpeg2k_decode, "htj2k": imagecodecs.htj2k_decode}
SUFFIX = {"jp2": "jp2", "htj2k": "j2c"}


@pytest.fixture(scope="module")
def volume() -> np.ndarray:
    """Smooth tissue with noise; above it empty slices, and one with tissue in a corner."""
    rng = np.random.default_rng(0)
    tissue = gaussian_filter(rng.normal(size=(36, 160, 170)), 3)
    grey = 30_000 + 80_000 * tissue + rng.normal(0, 400, tissue.shape)
    grey = grey.clip(0, 65_535).astype(np.uint16)
    grey[:2] = 7
    grey[2, 40:] = 7
    return grey


@pytest.fixture(scope="module")
def organ(tmp_path_factory: pytest.TempPathFactory, volume: np.ndarray) -> Path:
    path = tmp_path_factory.mktemp("jpeg2000") / "brain.ome.zarr"
    write_pyramid(volume, path, voxel_size_um=10.0, chunk=32)
    return path


def decoded(folder: Path, kind: str) -> np.ndarray:
    files = sorted(folder.glob(f"brain_*.{SUFFIX[kind]}"))
    return np.stack([DECODE[kind](file.read_bytes()) for file in files])


@pytest.mark.parametrize("kind", ["jp2", "htj2k"])
@pytest.mark.parametrize("ratio", [None, 4.0])
def test_every_slice_is_as_small_as_asked(
    organ: Path, volume: np.ndarray, tmp_path: Path, kind: str, ratio: float | None
) -> None:
    written = export_volume(organ, tmp_path / "out", format=kind, ratio=ratio)
    files = sorted((tmp_path / "out").glob(f"*.{SUFFIX[kind]}"))
    assert [f.name for f in files] == [f"brain_{z:06}.{SUFFIX[kind]}" for z in range(36)]
    wanted = ratio or 10.0
    ratios = [volume[0].nbytes / file.stat().st_size for file in files]
    np.testing.assert_allclose(ratios[3:], wanted, rtol=0.05)
    # What compresses further without any loss is stored without.
    again = decoded(tmp_path / "out", kind)
    assert min(ratios[:2]) > 50
    np.testing.assert_array_equal(again[:2], volume[:2])
    said = written.facts["compression"]
    assert json.loads((tmp_path / "out" / "export.json").read_text())["compression"] == said
    assert said["ratio"] == pytest.approx(
        volume.nbytes / sum(file.stat().st_size for file in files), abs=1e-3
    )
    # The PSNR is that of slices 0, 32, ...
    error = np.mean((again[[0, 32]].astype(float) - volume[[0, 32]]) ** 2)
    assert said["psnr_db"] == pytest.approx(10 * np.log10(65_535**2 / error), abs=0.01)
    assert said["psnr_db"] > (45 if ratio is None else 58)
    assert not said["lossless"]


@pytest.mark.parametrize("kind", ["jp2", "htj2k"])
@pytest.mark.parametrize("dtype", [None, "uint8"])
def test_without_loss_every_voxel_comes_back(
    organ: Path, volume: np.ndarray, tmp_path: Path, kind: str, dtype: str | None
) -> None:
    window = None if dtype is None else (0.0, 65_535.0)
    written = export_volume(
        organ, tmp_path / "out", format=kind, lossless=True, dtype=dtype, window=window
    )
    again = decoded(tmp_path / "out", kind)
    if dtype is None:
        np.testing.assert_array_equal(again, volume)
    else:
        assert again.dtype == np.uint8
        assert np.abs(again - volume / 257).max() <= 0.5 + 1e-9
    said = written.facts["compression"]
    assert (said["lossless"], said["rms_error"], said["psnr_db"]) == (True, 0, None)


def test_pillow_reads_the_16_bits_of_a_jp2(organ: Path, volume: np.ndarray, tmp_path: Path) -> None:
    export_volume(organ, tmp_path / "out", format="jp2", lossless=True, crop="20:21,:,3:")
    with Image.open(tmp_path / "out" / "brain_000020.jp2") as picture:
        assert (picture.format, picture.mode) == ("JPEG2000", "I;16")
        np.testing.assert_array_equal(np.asarray(picture), volume[20, :, 3:])


def test_ten_to_one_loses_as_much_as_openjpeg_does_at_that_rate(
    organ: Path, volume: np.ndarray, tmp_path: Path
) -> None:
    """Pillow asks OpenJPEG for the rate itself: the same fidelity within 0.5 dB."""
    export_volume(organ, tmp_path / "out", format="jp2", crop="20:21,:,:")
    ours = imagecodecs.jpeg2k_decode((tmp_path / "out" / "brain_000020.jp2").read_bytes())
    theirs_file = tmp_path / "pillow.jp2"
    Image.fromarray(volume[20]).save(
        theirs_file, quality_mode="rates", quality_layers=[10], irreversible=True
    )
    theirs = imagecodecs.jpeg2k_decode(theirs_file.read_bytes())
    rms = [np.sqrt(np.mean((a.astype(float) - volume[20]) ** 2)) for a in (ours, theirs)]
    assert abs(20 * np.log10(rms[0] / rms[1])) < 0.5


def test_bytes_do_not_depend_on_the_order_of_threads(organ: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        export_volume(organ, tmp_path / name, format="htj2k")
    for file in (tmp_path / "a").glob("*.j2c"):
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


@pytest.mark.parametrize("start", [5.0, 40.0, 120.0])
@pytest.mark.parametrize("curve", [1.0, 0.3, 2.0])
def test_the_search_finds_the_size_from_anywhere(start: float, curve: float) -> None:
    """An encoder whose size grows exponentially with the quality, as steep as this or steeper."""
    tried = []

    def encode(decibels: float) -> bytes:
        tried.append(decibels)
        return bytes(int(100 * 2 ** (curve * decibels / 12)))

    bounds = (3.0, 150.0)
    data, quality = encode_to_size(
        encode, 3000, 4000, start=start, bounds=bounds, otherwise=lambda: b""
    )
    reachable = 100 * 2 ** (curve * bounds[1] / 12) > 3000
    assert len(data) == (pytest.approx(3000, rel=0.03) if reachable else 0)
    assert all(bounds[0] <= decibels <= bounds[1] for decibels in tried)
    assert quality in tried or not reachable
    assert len(tried) <= 14
