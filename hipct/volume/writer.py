"""Writing the layers of a pyramid: every shard once, whole, by one task.

The levels form a tree (:class:`PyramidTree`). Writing layer ``j`` of a level gives its reduced
block, which is one half of layer ``j // 2`` of the next level; whoever holds both halves writes
that one. Layers may be written in any order and by any worker: no two of them share a shard.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from hipct.core.errors import InputError, OutputError
from hipct.core.files import refuse_existing, write_together
from hipct.volume.block_files import Block, decode_block, encode_block, remove_torn
from hipct.volume.layout import PyramidSpec
from hipct.volume.omezarr import write_metadata
from hipct.volume.reduce import reduce_block, reduced_shape

Written = dict[str, tuple[int, int]]
"""Length in bytes and CRC-32C of files that were written, by their key in the group."""

ReadBand = Callable[[slice], Block]
"""Gives the rows ``slice`` of axis y of a layer: shape (z, y, x)."""


@dataclass(frozen=True)
class PyramidTree:
    """Which layers make which: nodes are (level, index of the write layer)."""

    spec: PyramidSpec

    @property
    def root(self) -> tuple[int, int]:
        """The single layer of the coarsest level."""
        return (len(self.spec.levels) - 1, 0)

    def children(self, level: int, index: int) -> list[tuple[int, int]]:
        """The one or two layers of the finer level that a layer is made of (none at level 0)."""
        if level == 0:
            return []
        below = self.spec.layers(level - 1)
        return [(level - 1, j) for j in (2 * index, 2 * index + 1) if j < below]

    def parent(self, level: int, index: int) -> tuple[int, int] | None:
        """The layer of the coarser level that a layer is part of (None for the root)."""
        return (level + 1, index // 2) if level + 1 < len(self.spec.levels) else None

    def nodes(self) -> list[tuple[int, int]]:
        """All nodes in the order of a writer that goes through the volume from the top down.

        Every node comes right after the last of its children, so that few halves wait.
        """
        order: list[tuple[int, int]] = []

        def visit(node: tuple[int, int]) -> None:
            for child in self.children(*node):
                visit(child)
            order.append(node)

        visit(self.root)
        return order


def create_pyramid(
    path: Path | str,
    spec: PyramidSpec,
    attributes: Mapping[str, Any] | None = None,
    *,
    overwrite: bool = False,
) -> None:
    """Write the metadata of a pyramid without voxels; layers follow by :func:`write_node`.

    Parameters
    ----------
    path : path
        Folder of the OME-Zarr group.
    spec : PyramidSpec
    attributes : mapping, optional
        Provenance, stored under the key ``hipct`` of the group.
    overwrite : bool
        Whether to remove what stands there.

    Raises
    ------
    OutputError
        If the path exists already or cannot be written.
    InputError
        If the attributes are no JSON.
    """
    refuse_existing(Path(path), overwrite)
    write_metadata(Path(path), spec, attributes or {})


def write_layer(path: Path | str, spec: PyramidSpec, level: int, index: int, block: Block) -> None:
    """Write all shards of one layer.

    Parameters
    ----------
    path : path
        A pyramid made by :func:`create_pyramid`.
    spec : PyramidSpec
    level, index : int
        Level, and number of the layer in it.
    block : ndarray, shape ``spec.levels[level].layer_shape(index)``, dtype of the spec
        The whole layer; a ``np.memmap`` is read shard by shard.

    Raises
    ------
    InputError
        If shape or dtype differ.
    OutputError
        If a file cannot be written.
    """
    _check_block(spec, level, index, [block], spec.levels[level].layer_shape(index)[0])
    write_bands(path, spec, level, index, lambda rows: block[:, rows], reduce=False)


def write_node(
    path: Path | str,
    spec: PyramidSpec,
    level: int,
    index: int,
    blocks: Sequence[Block],
    *,
    written: Written | None = None,
) -> Block | None:
    """Write one layer from its parts and give its reduced block to the next level.

    Parameters
    ----------
    path, spec, level, index
        As in :func:`write_layer`.
    blocks : sequence of ndarray
        The layer's rows in order: one block at level 0 (the layer itself, or several that stack
        up to it along z), above it what the children returned.
    written : dict, optional
        Receives length and checksum of every file.

    Returns
    -------
    ndarray or None
        The layer reduced by 2 x 2 x 2; None at the coarsest level.
    """
    _check_block(spec, level, index, blocks, spec.levels[level].layer_shape(index)[0])

    def read(rows: slice) -> Block:
        parts = [block[:, rows] for block in blocks]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    reduce = level + 1 < len(spec.levels)
    return write_bands(path, spec, level, index, read, reduce=reduce, written=written)


def write_bands(
    path: Path | str,
    spec: PyramidSpec,
    level: int,
    index: int,
    read: ReadBand,
    *,
    reduce: bool,
    written: Written | None = None,
) -> Block | None:
    """Write a layer band by band (one row of shards), so that it need not be in memory whole.

    Parameters
    ----------
    path, spec, level, index
        As in :func:`write_layer`.
    read : callable
        Gives the rows ``slice`` of axis y of the layer; called once for every band, in order.
    reduce : bool
        Whether to return the reduced layer.
    written : dict, optional
        Receives length and checksum of every file.
    """
    geometry = spec.levels[level]
    shape = geometry.layer_shape(index)
    reduced = np.empty(reduced_shape(shape), spec.dtype) if reduce else None
    height = geometry.shard[1]
    remove_torn(Path(path), spec, level, index)
    # One thread writes a block while the next one is encoded; never more than one waits.
    with ThreadPoolExecutor(1, thread_name_prefix="hipct-write") as pool:
        pending: Future[None] | None = None
        for number in range(geometry.shard_grid[1]):
            rows = slice(number * height, min((number + 1) * height, shape[1]))
            band = read(rows)
            for column in range(geometry.shard_grid[2]):
                columns = slice(column * geometry.shard[2], (column + 1) * geometry.shard[2])
                files = encode_block(spec, level, (index, number, column), band[:, :, columns])
                if written is not None:
                    for key, data in files.items():
                        written[key] = len(data), google_crc32c.value(data)
                if pending is not None:
                    pending.result()
                pending = pool.submit(_write_files, Path(path), files)
            if reduced is not None:
                part = reduced[:, rows.start // 2 : -(-rows.stop // 2)]
                reduce_block(band, out=part, how=spec.reduction)
        if pending is not None:
            pending.result()
    return reduced


def read_layer(path: Path | str, spec: PyramidSpec, level: int, index: int) -> Block:
    """Read one layer that was written before.

    Raises
    ------
    FormatError
        If a shard is missing, truncated or damaged.
    """
    geometry = spec.levels[level]
    block = np.empty(geometry.layer_shape(index), spec.dtype)
    for number in range(geometry.shard_grid[1]):
        _read_band(Path(path), spec, level, (index, number), block)
    return block


def read_reduced(path: Path | str, spec: PyramidSpec, level: int, index: int) -> Block | None:
    """The reduced block of a layer that was written before: what resuming needs.

    Equal to what :func:`write_node` returned; read in bands, so that the layer is never whole in
    memory.

    Raises
    ------
    FormatError
        If a shard is missing, truncated or damaged.
    """
    if level + 1 >= len(spec.levels):
        return None
    geometry = spec.levels[level]
    depth, height, width = geometry.layer_shape(index)
    reduced = np.empty(reduced_shape((depth, height, width)), spec.dtype)
    for number in range(geometry.shard_grid[1]):
        start = number * geometry.shard[1]
        stop = min(start + geometry.shard[1], height)
        band = np.empty((depth, stop - start, width), spec.dtype)
        _read_band(Path(path), spec, level, (index, number), band, origin=start)
        part = reduced[:, start // 2 : -(-stop // 2)]
        reduce_block(band, out=part, how=spec.reduction)
    return reduced


def _read_band(
    path: Path,
    spec: PyramidSpec,
    level: int,
    place: tuple[int, int],
    block: Block,
    *,
    origin: int = 0,
) -> None:
    geometry = spec.levels[level]
    start = place[1] * geometry.shard[1] - origin
    for column in range(geometry.shard_grid[2]):
        left = column * geometry.shard[2]
        target = block[:, start : start + geometry.shard[1], left : left + geometry.shard[2]]
        decode_block(path, spec, level, (*place, column), target)


def _write_files(path: Path, files: Mapping[str, bytes]) -> None:
    written = {path / key: data for key, data in files.items()}
    for folder in {file.parent for file in written}:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder} could not be made: {error.strerror or error}.") from error
    write_together(written)


def _check_block(
    spec: PyramidSpec, level: int, index: int, blocks: Sequence[Block], depth: int
) -> None:
    plane = spec.levels[level].shape[1:]
    fits = bool(blocks) and all(
        b.ndim == 3 and b.shape[1:] == plane and b.dtype == spec.dtype for b in blocks
    )
    if not fits or sum(block.shape[0] for block in blocks) != depth:
        given = ", ".join(f"{b.dtype} {b.shape}" for b in blocks) or "nothing"
        raise InputError(
            f"Layer {index} of level {level} was given {given}; "
            f"it takes {spec.dtype} of shape {(depth, *plane)}."
        )
