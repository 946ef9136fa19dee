"""Pyramids by other packages, from memory, from a TIFF stack, from a Zarr array, from level 0.

Files are read as their users read them: through Dask, a slice or a chunk a task. Each makes levels
by the mean of 2 x 2 x 2 voxels, until the largest axis has 128 voxels.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import tifffile
import zarr
from zarr.codecs import BloscCodec

VOXEL_UM = 20.0
CHUNK = 128
COMPRESSOR = BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle", blocksize=1 << 21)
Input = Any
"""A NumPy array, or the path of a folder of slices, of a Zarr array."""


def as_dask(given: Input, *, shards: bool = True) -> Any:
    """The volume as a Dask array: in the blocks it is stored in, or in those to be written."""
    if isinstance(given, np.ndarray):
        return da.from_array(given, chunks=shard_of(given.shape) if shards else CHUNK)
    if (given / "zarr.json").is_file():
        return da.from_zarr(given)
    files = sorted(given.glob("*.tif"))
    first = tifffile.imread(files[0])
    read = dask.delayed(tifffile.imread, pure=True)
    return da.stack([da.from_delayed(read(file), first.shape, first.dtype) for file in files])


def by_dask(given: Input, out: Path) -> None:
    """Level by level with ``dask.array.coarsen``, one task a shard, each level read back."""
    level, number = as_dask(given), 0
    while True:
        array = zarr.create_array(
            out / str(number),
            shape=level.shape,
            dtype=level.dtype,
            chunks=tuple(min(CHUNK, n) for n in level.shape),
            shards=shard_of(level.shape),
            compressors=COMPRESSOR,
        )
        da.store(level.rechunk(array.shards), array, lock=False)
        if max(level.shape) <= CHUNK:
            return
        stored = da.from_zarr(array, chunks=array.shards)
        level = da.coarsen(np.mean, stored, {0: 2, 1: 2, 2: 2}).astype(np.uint16)
        number += 1


def by_ngff_zarr(given: Input, out: Path) -> None:
    """ngff-zarr, its fastest method."""
    import ngff_zarr

    data = given if isinstance(given, np.ndarray) else as_dask(given)
    scale = dict.fromkeys("zyx", VOXEL_UM)
    image = ngff_zarr.to_ngff_image(data, dims=("z", "y", "x"), scale=scale)
    multiscales = ngff_zarr.to_multiscales(
        image, factors(data.shape), method=ngff_zarr.Methods.ITKWASM_BIN_SHRINK, chunks=CHUNK
    )
    shards = {"z": 1, "y": min(8, data.shape[1] // CHUNK), "x": min(8, data.shape[2] // CHUNK)}
    ngff_zarr.to_ngff_zarr(
        out, multiscales, version="0.5", chunks_per_shard=shards, compressors=COMPRESSOR
    )


def by_ome_zarr_py(given: Input, out: Path) -> None:
    """ome-zarr-py: local means, a file a chunk."""
    from ome_zarr.scale import Methods
    from ome_zarr.writer import write_image

    data = as_dask(given, shards=False)
    write_image(
        data.rechunk(CHUNK),
        str(out),
        axes=["z", "y", "x"],
        scale=dict.fromkeys("zyx", VOXEL_UM),
        scale_factors=[dict.fromkeys("zyx", factor) for factor in factors(data.shape)],
        method=Methods.LOCAL_MEAN,
        storage_options={"compressors": COMPRESSOR},
    )


def by_stack_to_chunk(given: Input, out: Path) -> None:
    """stack-to-chunk, with two processes."""
    import stack_to_chunk
    from pydantic_zarr.v3 import ArraySpec

    # It wants axes x, y, z, and slices as blocks.
    data = as_dask(given).T
    data = data.rechunk((data.shape[0], data.shape[1], 1))
    like = zarr.create_array(
        {}, shape=data.shape, dtype=data.dtype, chunks=(CHUNK,) * 3, compressors=COMPRESSOR
    )
    group = stack_to_chunk.MultiScaleGroup(
        out,
        name="v",
        spatial_unit="micrometer",
        voxel_size=(VOXEL_UM,) * 3,
        array_spec=ArraySpec.from_zarr(like),
    )
    group.add_full_res_data(data, n_processes=2)
    for number in range(1, len(factors(data.shape)) + 1):
        group.add_downsample_level(number, n_processes=2)


def by_tensorstore(given: Path, out: Path) -> None:
    """Tensorstore's downsampling of level 0, each level from the one below it."""
    import tensorstore

    context = tensorstore.Context({"cache_pool": {"total_bytes_limit": 0}})

    def opened(number: int, **more: Any) -> Any:
        store = {"driver": "file", "path": str(out / str(number))}
        spec = {"driver": "zarr3", "kvstore": store, **more}
        return tensorstore.open(spec, context=context).result()

    metadata = json.loads((given / "0" / "zarr.json").read_text())
    level = opened(0)
    for number in range(1, len(factors(level.shape)) + 1):
        half = tensorstore.downsample(level, [2, 2, 2], "mean")
        shard = shard_of(half.shape)
        grid = {"name": "regular", "configuration": {"chunk_shape": list(shard)}}
        like = {key: metadata[key] for key in ("data_type", "fill_value", "codecs")}
        made = {"shape": list(half.shape), "chunk_grid": grid, **like}
        level = opened(number, metadata=made, create=True)
        for top in range(0, half.shape[0], shard[0]):
            rows = slice(top, min(top + shard[0], half.shape[0]))
            level[rows].write(half[rows]).result()


def factors(shape: tuple[int, ...]) -> list[int]:
    """Factors of the coarser levels."""
    return [2**k for k in range(1, 12) if max(shape) > CHUNK * 2 ** (k - 1)]


def shard_of(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Shape of a shard like ours."""
    depth, height, width = shape
    return (min(CHUNK, depth), min(1024, height), min(1024, width))


PEERS: dict[str, tuple[str, Callable[[Input, Path], None]]] = {
    "dask coarsen": ("dask", by_dask),
    "ngff-zarr, itkwasm bin": ("ngff_zarr", by_ngff_zarr),
    "ome-zarr-py, local mean": ("ome_zarr", by_ome_zarr_py),
    "stack-to-chunk, 2 processes": ("stack_to_chunk", by_stack_to_chunk),
}
"""What builds a pyramid: the package that it needs, and how it is called."""

LEVEL_PEERS: dict[str, tuple[str, Callable[[Path, Path], None]]] = {
    "tensorstore downsample": ("tensorstore", by_tensorstore),
}
"""What builds the other levels beside level 0."""
