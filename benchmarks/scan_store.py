"""Layouts of the scan store: how fast a slab of rows over all angles is read.

    python -m benchmarks.scan_store [--quick] [--repeats 5] [--out DIR]

Noisy 16-bit projections are written in each layout and read back, in turns, by zarr-python's
codec pipeline, by the Rust one, and in the store's own layout by hipct: a slab of 16 rows and a
tile of 128 rows over all angles, and two whole projections half a scan apart, as the search for
the rotation axis wants them. Files lie in the page cache, so that layouts and codecs are compared
and not the disk. GB/s are of the uncompressed pixels that were asked for; writing is measured on
one shard's angles.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from benchmarks.common import measure, options, write_table
from hipct.acquisition.scan import ScanInfo
from hipct.acquisition.store import ScanStoreWriter, StoreScan

PIPELINES = {
    "zarrs": "zarrs.ZarrsCodecPipeline",
    "zarr": "zarr.core.codec_pipeline.BatchedCodecPipeline",
}


def layouts(columns: int) -> dict[str, tuple[tuple[int, int, int], tuple[int, int, int] | None]]:
    """Chunks and shards that are compared."""
    return {
        "1 x all x N": ((1, 256, columns), None),
        "32 x 32 x N": ((32, 32, columns), None),
        "128 x 16 x N": ((128, 16, columns), None),
        "8 x 16 x N in 128 x 256 x N": ((8, 16, columns), (128, 256, columns)),
        "16 x 16 x N in 128 x 256 x N": ((16, 16, columns), (128, 256, columns)),
        "32 x 16 x N in 128 x 256 x N": ((32, 16, columns), (128, 256, columns)),
        "64 x 16 x N in 128 x 256 x N": ((64, 16, columns), (128, 256, columns)),
        "16 x 16 x 256 in 128 x 256 x N": ((16, 16, 256), (128, 256, columns)),
    }


def main() -> None:
    chosen = options(__doc__)
    angles, rows, columns = (256, 128, 512) if chosen.quick else (1536, 256, 1024)
    block = np.random.default_rng(0).poisson(3000, (128, rows, columns)).astype(np.uint16)
    shape = (angles, rows, columns)
    with tempfile.TemporaryDirectory() as folder:
        arrays: dict[tuple[str, str], Any] = {}
        sizes: dict[str, dict[str, object]] = {}
        for number, (name, (chunks, shards)) in enumerate(layouts(columns).items()):
            path = Path(folder) / f"{number}.zarr"
            array = create(path, shape, chunks, shards)
            for first in range(0, angles, 128):
                array[first : first + 128] = block
            sizes[name] = size(path, array.nbytes)
            for codecs in PIPELINES:
                arrays[name, codecs] = opened(path, codecs)
        store_path = Path(folder) / "store.zarr"
        write_store(store_path, block, angles)
        store = StoreScan(store_path)
        ours = ("ScanStoreWriter, StoreScan", "hipct")
        sizes[ours[0]] = size(store_path / "projections", store.info.nbytes)
        readers = {key: partial(read_array, array) for key, array in arrays.items()}
        readers[ours] = store.read_projections
        writers: dict[tuple[str, str], Callable[[], object]] = {
            key: partial(array.__setitem__, slice(0, 128), block) for key, array in arrays.items()
        }
        writers[ours] = lambda: write_store(Path(folder) / "new.zarr", block, 128)
        everything, half = slice(0, angles), angles // 2
        wide, narrow = slice(0, min(128, rows)), slice(0, 16)
        timed: dict[str, tuple[float, dict[str, Any]]] = {
            "16 rows GB/s": (
                angles * 16 * columns * 2,
                {key: partial(read, everything, narrow) for key, read in readers.items()},
            ),
            "128 rows GB/s": (
                angles * wide.stop * columns * 2,
                {key: partial(read, everything, wide) for key, read in readers.items()},
            ),
            "2 projections GB/s": (
                2 * rows * columns * 2,
                {key: partial(read_pair, read, half, rows) for key, read in readers.items()},
            ),
            "write GB/s": (block.nbytes, dict(writers)),
        }
        table: dict[Any, dict[str, object]] = {
            key: {"layout": key[0], "codecs": key[1]} for key in readers
        }
        for column, (asked, contenders) in timed.items():
            for key, timing in measure(contenders, repeats=chosen.repeats).items():
                table[key][column] = asked / timing.median / 1e9
                table[key]["spread"] = max(timing.spread, float(str(table[key].get("spread", 1))))
    for key, row in table.items():
        spread = row.pop("spread")
        row.update(sizes[key[0]], spread=spread)
    facts = {"projections": f"{angles} x {rows} x {columns} uint16"}
    write_table("scan_store", list(table.values()), chosen, facts=facts)


def read_array(array: Any, angles: slice, rows: slice) -> Any:
    """Read rows of a plain zarr array."""
    return array[angles, rows]


def read_pair(read: Callable[[slice, slice], Any], half: int, rows: int) -> None:
    """Read two whole projections."""
    read(slice(0, 1), slice(0, rows))
    read(slice(half, half + 1), slice(0, rows))


def opened(path: Path, codecs: str) -> zarr.Array[Any]:
    """Open an array with one of the codec pipelines."""
    with zarr.config.set({"codec_pipeline.path": PIPELINES[codecs]}):
        return zarr.open_array(path, mode="r+")


def create(
    path: Path,
    shape: tuple[int, int, int],
    chunks: tuple[int, int, int],
    shards: tuple[int, int, int] | None,
) -> zarr.Array[Any]:
    """Make an empty array; a chunk is never taller than the array."""
    rows = shape[1]
    chunks = (chunks[0], min(chunks[1], rows), chunks[2])
    if shards is not None:
        shards = (shards[0], min(shards[1], rows), shards[2])
    with zarr.config.set({"codec_pipeline.path": PIPELINES["zarrs"]}):
        return zarr.create_array(
            path,
            shape=shape,
            chunks=chunks,
            shards=shards,
            dtype="uint16",
            compressors=BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle"),
            overwrite=True,
        )


def write_store(path: Path, block: NDArray[np.uint16], angles: int) -> None:
    """Write a whole store, everything on the disk at the end."""
    info = ScanInfo(
        projections=angles,
        rows=block.shape[1],
        columns=block.shape[2],
        dtype=block.dtype,
        angles_rad=np.linspace(0, np.pi, angles),
    )
    with ScanStoreWriter(path, info, overwrite=True) as writer:
        for first in range(0, angles, len(block)):
            writer.write_projections(first, block)


def size(path: Path, raw: int) -> dict[str, object]:
    """Files of a layout, and how far they shrank."""
    sizes = [file.stat().st_size for file in path.rglob("*") if file.is_file()]
    return {"files": len(sizes), "compression": raw / sum(sizes)}


if __name__ == "__main__":
    main()
