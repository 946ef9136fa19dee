"""A pyramid of 8192 x 8192 x 8192 voxels (1.1 TB) with real chunks in the views that are visited.

``python -m benchmarks.view_data FOLDER`` writes it: 7 levels, chunks of 128 in shards of 128 x 1024
x 1024, as ``hipct reconstruct`` does. From level 4 on all chunks are there; on levels 2 and 3 those
of the slices beside the middle, on levels 0 and 1 those within 1152 voxels of the middle of these
slices. Everywhere else a shard is an index without chunks. 3 GB of disk, about two minutes on two
cores; one that is there already is taken as it is.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hipct.core.threads import parallel_for
from hipct.storage.chunks import chunk_grid
from hipct.storage.shards import encode_shard
from hipct.volume.layout import Level, PyramidSpec
from hipct.volume.writer import create_pyramid

EDGE = 8192
VOXEL_UM = 10.0
WINDOW = (-0.2, 1.0)
CHUNK = 128
REACH = 1152
ALL_FROM = 4
PLANES_FROM = 2


def spec_of(edge: int = EDGE) -> PyramidSpec:
    """The layout of the pyramid."""
    return PyramidSpec(
        shape=(edge, edge, edge), voxel_size_um=VOXEL_UM, window=WINDOW, name="terabyte"
    )


def terabyte(folder: Path, edge: int = EDGE) -> Path:
    """The pyramid in a folder, written now if it is not there whole."""
    path = folder / f"view-{edge}.ome.zarr"
    done = path.with_suffix(".done")
    if done.exists():
        return path
    spec = spec_of(edge)
    window = {"scale": spec.value_scale, "offset": WINDOW[0], "unit": spec.unit}
    create_pyramid(path, spec, {"window": window}, overwrite=True)
    texture = np.random.default_rng(0).normal(0, 300, (CHUNK,) * 3).astype(np.float32)
    for number, level in enumerate(spec.levels):
        _write_level(path / str(number), level, number, edge, texture)
    done.touch()
    return path


def _write_level(
    path: Path, level: Level, number: int, edge: int, texture: NDArray[np.float32]
) -> None:
    grid = [-(-n // s) for n, s in zip(level.shape, level.shard)]
    empty = encode_shard(np.zeros(level.shard, np.uint16), level.shard, level.chunk)
    for place in np.ndindex(*grid):
        first = tuple(p * s for p, s in zip(place, level.shard))
        chunks = [
            tuple(f + c for f, c in zip(first, inner))
            for inner in _corners(level)
            if _is_visited(tuple(f + c for f, c in zip(first, inner)), level, number)
        ]
        data = _shard(level, first, chunks, edge, texture) if chunks else empty
        file = path / "c" / "/".join(str(p) for p in place)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


def _corners(level: Level) -> list[tuple[int, ...]]:
    return [
        tuple(p * c for p, c in zip(place, level.chunk))
        for place in chunk_grid(level.shard, level.chunk)
    ]


def _is_visited(corner: tuple[int, ...], level: Level, number: int) -> bool:
    if number >= ALL_FROM:
        return True
    middle = [n // 2 for n in level.shape]
    if not middle[0] - CHUNK <= corner[0] < middle[0] + CHUNK:
        return False
    return number >= PLANES_FROM or all(
        m - REACH <= c < m + REACH for c, m in zip(corner[1:], middle[1:])
    )


def _shard(
    level: Level,
    first: tuple[int, ...],
    corners: list[tuple[int, ...]],
    edge: int,
    texture: NDArray[np.float32],
) -> bytes:
    block = np.zeros(level.shard, np.uint16)

    def task(start: int, stop: int) -> None:
        for corner in corners[start:stop]:
            there = tuple(slice(c - f, c - f + n) for c, f, n in zip(corner, first, level.chunk))
            block[there] = _voxels(corner, level, edge, texture)

    parallel_for(task, len(corners))
    return encode_shard(block, level.shard, level.chunk)


def _voxels(
    corner: tuple[int, ...], level: Level, edge: int, texture: NDArray[np.float32]
) -> NDArray[np.uint16]:
    """A ball with shells in a bath in a jar, with tubes across it, and noise."""
    size = VOXEL_UM * edge / 2
    z, y, x = (
        ((np.arange(c, c + n, dtype=np.float32) * s + t) / size - 1).reshape(
            [-1 if a == axis else 1 for a in range(3)]
        )
        for axis, (c, n, s, t) in enumerate(
            zip(corner, level.chunk, level.scale, level.translation)
        )
    )
    disc = y * y + x * x
    radius = np.sqrt(disc + z * z)
    body = np.where(radius < 0.8, 26000 + 2500 * np.sin(40 * radius), 18000)
    tubes = np.sin(25 * x + 3 * z) * np.sin(25 * y - 4 * z) * np.sin(21 * z + 2 * x)
    body += np.where((radius < 0.78) & (tubes > 0.55), 9000, 0)
    body += texture[: body.shape[0], : body.shape[1], : body.shape[2]]
    return np.where(disc < 1, body, 0).astype(np.uint16)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    print(terabyte(parser.parse_args().folder))
