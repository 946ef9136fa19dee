"""How fast an OME-Zarr pyramid of all levels is written, and whether its means are exact.

Contenders write the same 16-bit volume from memory: chunks of 128, shards of 128 x 1024 x 1024,
blosc-zstd level 1 with bit shuffle in blocks of 2 MiB. The error is the mean of a coarse level less
the exact mean, in grey values: truncated means lose 0.44 a level.

hipct also builds it from files (slices in uncompressed TIFF, a Zarr array in chunks of 128), and
writes the finest level alone, for how much the other levels cost.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import dask.array as da
import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from benchmarks.common import measure, options, versions, write_table
from hipct.exchange.source import open_volume_source
from hipct.volume.layout import PyramidSpec
from hipct.volume.pyramid import create_pyramid
from hipct.volume.pyramid_build import build_pyramid
from hipct.volume.pyramid_source import ArraySource
from hipct.volume.writer import write_bands

VOXEL_UM = 20.0
COMPRESSOR = BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle", blocksize=1 << 21)


def organ_like(n: int) -> NDArray[np.uint16]:
    """A sphere with shells, photon noise and nothing outside of the reconstructed circle."""
    rng = np.random.default_rng(0)
    volume = np.zeros((n, n, n), np.uint16)
    axis = (np.arange(n, dtype=np.float32) - (n - 1) / 2) / (n / 2)
    disc = axis[:, None] ** 2 + axis**2
    for z, height in enumerate(axis):
        radius = np.sqrt(disc + height * height)
        body = 24000 + 3000 * np.sin(40 * radius) * (radius < 0.8)
        noise = rng.normal(0, 700, (n, n)).astype(np.float32)
        volume[z] = np.where(disc <= 1, body + noise, 0)
    return volume


def by_hipct(volume: NDArray[np.uint16], path: Path) -> None:
    build_pyramid(ArraySource(volume, VOXEL_UM), path, overwrite=True)


def by_hipct_from(source: Path, _: NDArray[np.uint16], path: Path) -> None:
    with open_volume_source(source, voxel_um=VOXEL_UM) as opened:
        build_pyramid(opened, path, overwrite=True)


def level_0_alone(volume: NDArray[np.uint16], path: Path) -> None:
    spec = PyramidSpec(shape=volume.shape, voxel_size_um=VOXEL_UM)
    create_pyramid(path, spec, overwrite=True)
    for index in range(spec.layers(0)):
        layer = volume[spec.levels[0].rows(index)]
        write_bands(path, spec, 0, index, partial(_band, layer), reduce=False)


def _band(layer: NDArray[np.uint16], rows: slice) -> NDArray[np.uint16]:
    return layer[:, rows]


def write_sources(volume: NDArray[np.uint16], folder: Path) -> tuple[Path, Path]:
    """The same voxels as a folder of slices and as a Zarr array."""
    slices, array = folder / "slices", folder / "array.zarr"
    shutil.rmtree(slices, ignore_errors=True)
    slices.mkdir()
    for number, image in enumerate(volume):
        tifffile.imwrite(slices / f"{number:05}.tif", image)
    stored = zarr.create_array(
        array,
        shape=volume.shape,
        dtype=volume.dtype,
        chunks=tuple(min(128, n) for n in volume.shape),
        compressors=COMPRESSOR,
        overwrite=True,
    )
    stored[...] = volume
    return slices, array


def by_dask(volume: NDArray[np.uint16], path: Path) -> None:
    """Level by level with ``dask.array.coarsen``, one task a shard, each level read back."""
    shutil.rmtree(path, ignore_errors=True)
    level, number = da.from_array(volume, chunks=shard_of(volume.shape)), 0
    while True:
        array = zarr.create_array(
            path / str(number),
            shape=level.shape,
            dtype=level.dtype,
            chunks=tuple(min(128, n) for n in level.shape),
            shards=shard_of(level.shape),
            compressors=COMPRESSOR,
        )
        da.store(level.rechunk(array.shards), array, lock=False)
        if max(level.shape) <= 128:
            return
        stored = da.from_zarr(array, chunks=array.shards)
        level = da.coarsen(np.mean, stored, {0: 2, 1: 2, 2: 2}).astype(np.uint16)
        number += 1


def by_ngff_zarr(volume: NDArray[np.uint16], path: Path) -> None:
    import ngff_zarr

    shutil.rmtree(path, ignore_errors=True)
    scale = dict.fromkeys("zyx", VOXEL_UM)
    image = ngff_zarr.to_ngff_image(volume, dims=("z", "y", "x"), scale=scale)
    factors = [2**k for k in range(1, 10) if volume.shape[0] // 2 ** (k - 1) > 128]
    multiscales = ngff_zarr.to_multiscales(
        image, factors, method=ngff_zarr.Methods.ITKWASM_BIN_SHRINK, chunks=128
    )
    shards = {"z": 1, "y": min(8, volume.shape[1] // 128), "x": min(8, volume.shape[2] // 128)}
    ngff_zarr.to_ngff_zarr(
        path, multiscales, version="0.5", chunks_per_shard=shards, compressors=COMPRESSOR
    )


def shard_of(shape: tuple[int, ...]) -> tuple[int, int, int]:
    depth, height, width = shape
    return (min(128, depth), min(1024, height), min(1024, width))


def mean_of_level(path: Path, number: int) -> float:
    names = sorted(p.parent for p in path.rglob("zarr.json") if (p.parent / "c").is_dir())
    by_size = sorted((zarr.open_array(p, mode="r") for p in names), key=lambda a: -a.size)
    return float(by_size[number][:].mean(dtype=np.float64))


def main() -> None:
    chosen = options(__doc__)
    rows: list[dict[str, object]] = []
    writers: dict[str, Callable[[NDArray[np.uint16], Path], None]] = {
        "hipct": by_hipct,
        "hipct, level 0 alone": level_0_alone,
        "dask coarsen": by_dask,
        "ngff-zarr, itkwasm bin": by_ngff_zarr,
    }
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what peers warn of is theirs
        for n in (256,) if chosen.quick else (512, 1024):
            volume = organ_like(n)
            slices, array = write_sources(volume, Path(folder))
            contenders = writers | {
                "hipct, TIFF slices": partial(by_hipct_from, slices),
                "hipct, Zarr array": partial(by_hipct_from, array),
            }
            paths = {name: Path(folder) / f"{k}.ome.zarr" for k, name in enumerate(contenders)}
            calls = {
                name: partial(write, volume, paths[name]) for name, write in contenders.items()
            }
            times = measure(calls, repeats=chosen.repeats)
            level = 1 if chosen.quick else 2
            exact = float(volume.mean(dtype=np.float64))
            for name, time in times.items():
                rows.append(
                    {
                        "writer": name,
                        "voxels": f"{n}^3",
                        "s": time.median,
                        "MB/s": volume.nbytes / 1e6 / time.median,
                        "times hipct": time.median / times["hipct"].median,
                        "spread": time.spread,
                        f"error of level {level}": ""
                        if "alone" in name
                        else mean_of_level(paths[name], level) - exact,
                    }
                )
            del volume
    write_table("pyramid", rows, chosen, facts=versions(["dask", "ngff-zarr"]))


if __name__ == "__main__":
    main()
