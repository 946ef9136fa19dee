"""By which way do the chunks of a plane come fastest, as a viewer asks for them.

Of the pyramid of ``benchmarks.view_data`` (written first, 3 GB) a plane of 2048 x 2048 voxels is
read: 256 chunks of 128, each of which is decoded for 1/128 of its voxels; and a small part of the
finest level, 256 x 256 voxels in 4 to 9 chunks. All are asked for the same planes in turns; the
files are in the cache of the system, decoded chunks in nobody's. ``kept`` is whether the chunks
that were decoded stay, so that the next slice costs nothing.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from benchmarks.common import RESULTS, measure, save_table, versions
from benchmarks.view_data import EDGE, terabyte
from hipct.core.threads import available_cores
from hipct.viewing.reads_source import ChunkSource, source_of
from hipct.volume.open import open_volume
from hipct.volume.storage_zarr import chunkwise

QUICK_EDGE = 1024
Plane = tuple[int, slice, slice]


def by_hipct(source: ChunkSource, plane: Plane) -> NDArray[Any]:
    """What the window does: chunk by chunk, whole ones, which it keeps."""
    z, rows, columns = plane
    out = np.empty((rows.stop - rows.start, columns.stop - columns.start), source.dtype)
    depth, height, width = source.chunks
    places = itertools.product(
        range(rows.start // height, -(-rows.stop // height)),
        range(columns.start // width, -(-columns.stop // width)),
    )

    def read(place: tuple[int, int]) -> None:
        chunk = source.chunk((z // depth, *place))
        there = [
            slice(max(p * c, part.start), min((p + 1) * c, part.stop))
            for p, c, part in zip(place, (height, width), (rows, columns))
        ]
        inside = tuple(
            slice(t.start - p * c, t.stop - p * c) for t, p, c in zip(there, place, (height, width))
        )
        out[
            there[0].start - rows.start : there[0].stop - rows.start,
            there[1].start - columns.start : there[1].stop - columns.start,
        ] = chunk[z % depth][inside]

    with ThreadPoolExecutor(available_cores()) as pool:
        list(pool.map(read, places))
    return out


def contenders(path: Path, level: int) -> dict[str, tuple[str, Callable[[Plane], Any]]]:
    """Ways to read a plane, each with what the next slice costs."""
    volume = open_volume(path)
    array = volume.levels[level].array
    source, view = source_of(volume, level), chunkwise(array)
    ways: dict[str, tuple[str, Callable[[Plane], Any]]] = {
        "hipct, chunk by chunk": ("yes", lambda plane: by_hipct(source, plane)),
        "zarr-python": ("no", lambda plane: array[plane]),
        "zarr-python, hipct's store of chunks": ("no", lambda plane: view[plane]),
    }
    try:
        with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
            piped = zarr.open_array(path / str(level), mode="r")
        ways["zarr-python, zarrs"] = ("no", lambda plane: piped[plane])
    except (ImportError, KeyError):
        pass
    try:
        import tensorstore
    except ImportError:
        return ways

    def by_tensorstore(plane: Plane) -> Any:
        return opened(path, level, tensorstore)[plane].read().result()

    ways["tensorstore"] = ("yes", by_tensorstore)
    return ways


def opened(path: Path, level: int, tensorstore: Any) -> Any:
    """An array of tensorstore with a cache of its own, so that no plane is there already."""
    context = tensorstore.Context(
        {
            "cache_pool": {"total_bytes_limit": 4 * 2**30},
            "data_copy_concurrency": {"limit": available_cores()},
        }
    )
    spec = {
        "driver": "zarr3",
        "kvstore": {"driver": "file", "path": f"{path}/{level}/"},
        "recheck_cached_data": False,
    }
    return tensorstore.open(spec, context=context, read=True).result()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small pyramid, to see that it runs")
    parser.add_argument("--repeats", type=int, default=5, help="rounds (default 5)")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "hipct-view")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result")
    chosen = parser.parse_args()
    edge = QUICK_EDGE if chosen.quick else EDGE
    path = terabyte(chosen.folder, edge)
    rows: list[dict[str, object]] = []
    for level, span, what in ((2, edge // 4, "whole plane"), (0, 256, "small part")):
        middle = (edge >> level) // 2
        part = slice(middle - span // 2, middle + span // 2)
        plane = (middle - 60, part, part)
        ways = contenders(path, level)
        truth = np.asarray(ways["hipct, chunk by chunk"][1](plane))
        for name, (_, read) in ways.items():
            if not np.array_equal(np.asarray(read(plane)), truth):
                print(f"{name} reads other voxels.", file=sys.stderr)
                return 1
        calls = {name: partial(read, plane) for name, (_, read) in ways.items()}
        for name, timing in measure(calls, repeats=chosen.repeats).items():
            rows.append(
                {
                    "what": f"{what}, {span} x {span}",
                    "by": name,
                    "time [s]": timing.median,
                    "spread": timing.spread,
                    "kept": ways[name][0],
                }
            )
    command = f"python -m benchmarks.view_reads --repeats {chosen.repeats}"
    command += " --quick" if chosen.quick else ""
    facts = {"cores": str(available_cores())} | versions(["tensorstore"])
    save_table("view_reads", rows, command, out=chosen.out, facts=facts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
