"""The sorting-based ring removal on a device: keys, sorted columns, a median across them.

Whole slices at a time, as many as a work space of bounded size takes; three kernels for each such
batch, and a fourth where a column has more angles than one block of threads sorts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hipct.core.arrays import Array, namespace
from hipct.core.kernels import C_NAMES, Constant, load

VARIANTS: tuple[tuple[str, dict[str, Constant]], ...] = (
    ("sort_columns", {"GROUPS": 1, "ANGLE": "unsigned short"}),
    ("sort_columns", {"GROUPS": 3, "ANGLE": "unsigned short"}),
    ("sort_columns", {"GROUPS": 6, "ANGLE": "unsigned short"}),
    ("sort_columns", {"GROUPS": 7, "ANGLE": "unsigned int"}),
    ("median_ranks", {"SIZE": 1, "ANGLE": "unsigned short"}),
    ("median_ranks", {"SIZE": 21, "ANGLE": "unsigned short"}),
    ("median_ranks", {"SIZE": 63, "ANGLE": "unsigned int"}),
)

WORK_BYTES = 256 * 2**20
"""Work space that batches of slices share; one slice may need more."""

MOST_SLICES = 1024
"""Slices of a batch: by far enough to fill a device, and within the limits of a grid."""

GROUP = 1024
MOST_GROUPS = 7
"""Of ``kernels/sort_columns.cu``: angles of a warp, and warps whose keys fit shared memory."""

WIDEST_WINDOW = 63
"""Widest median whose window stays in registers."""

TURNED = 32
RANKS = 128
MERGED = 256
STRIP = 128
"""Columns that a thread slides along: filling its window costs as much as 12 of them."""


@dataclass(frozen=True)
class Geometry:
    """How the angles of a column are cut into tiles, one for each block of threads."""

    angles: int

    @property
    def tiles(self) -> int:
        """Number of tiles."""
        return -(-self.angles // (GROUP * MOST_GROUPS))

    @property
    def tile(self) -> int:
        """Angles of a tile; the last one may have fewer."""
        return -(-self.angles // self.tiles)

    @property
    def groups(self) -> int:
        """Warps that sort a tile."""
        return -(-self.tile // GROUP)

    @property
    def angle_type(self) -> np.dtype[np.unsignedinteger]:
        """Type that holds the number of an angle."""
        return np.dtype(np.uint16 if self.angles <= 2**16 else np.uint32)

    def bytes_of_slice(self, columns: int) -> int:
        """Work space of one slice: a key and an angle for each value, twice if tiles are merged."""
        copies = 1 if self.tiles == 1 else 2
        return copies * self.angles * columns * (4 + self.angle_type.itemsize)

    def batch(self, slices: int, columns: int) -> int:
        """Slices in work at a time."""
        return max(1, min(slices, MOST_SLICES, WORK_BYTES // self.bytes_of_slice(columns)))


def work_bytes(slices: int, angles: int, columns: int) -> int:
    """Bytes of device memory that :func:`smooth_ranks` takes beside its arguments."""
    geometry = Geometry(angles)
    return geometry.batch(slices, columns) * geometry.bytes_of_slice(columns)


def smooth_ranks(sinograms: Array, size: int, out: Array) -> bool:
    """Columns of all sinograms sorted, median filtered by rank, and put back.

    Parameters
    ----------
    sinograms : array, shape (slices, angles, columns), float32, C-contiguous
    size : int
        Width of the median, odd, at most the number of columns.
    out : array, the same
        May be the sinograms themselves.

    Returns
    -------
    bool
        Whether all values were finite; ``out`` means nothing if not.
    """
    xp = namespace(sinograms, out)
    slices, angles, columns = sinograms.shape
    geometry = Geometry(angles)
    batch = geometry.batch(slices, columns)
    broken = xp.zeros(1, np.uint32)
    keys = [xp.empty((batch, columns, angles), np.uint32)]
    origin = [xp.empty((batch, columns, angles), geometry.angle_type)]
    if geometry.tiles > 1:
        keys.append(xp.empty_like(keys[0]))
        origin.append(xp.empty_like(origin[0]))
    for first in range(0, slices, batch):
        stop = min(first + batch, slices)
        part = slice(0, stop - first)
        rank_columns(
            sinograms[first:stop].view(np.uint32),
            [array[part] for array in keys],
            [array[part] for array in origin],
            broken,
        )
        median_of_ranks(keys[-1][part], origin[-1][part], size, out[first:stop].view(np.uint32))
    return not int(broken[0])


def rank_columns(bits: Array, keys: list[Array], origin: list[Array], broken: Array) -> None:
    """Keys of a batch in order, and where they came from, in the last of the arrays given."""
    xp = namespace(bits)
    slices, angles, columns = bits.shape
    sizes = {"slices": slices, "angles": angles, "columns": columns}
    geometry = Geometry(angles)
    constants: dict[str, Constant] = {
        "GROUPS": geometry.groups,
        "ANGLE": C_NAMES[geometry.angle_type],
    }
    load(xp, "sort_columns", "turn_keys", **constants)(
        (-(-columns // TURNED), -(-angles // TURNED), slices),
        (TURNED, 8),
        bits=bits,
        keys=keys[0],
        broken=broken,
        **sizes,
    )
    load(xp, "sort_columns", **constants)(
        (geometry.tiles, columns, slices),
        (32 * geometry.groups,),
        keys=keys[0],
        origin=origin[0],
        tile=geometry.tile,
        **sizes,
    )
    if geometry.tiles > 1:
        load(xp, "sort_columns", "merge_tiles", **constants)(
            (-(-angles // MERGED), columns, slices),
            (MERGED,),
            keys=keys[0],
            origin=origin[0],
            merged=keys[1],
            merged_origin=origin[1],
            tile=geometry.tile,
            **sizes,
        )


def median_of_ranks(keys: Array, origin: Array, size: int, out: Array) -> None:
    """Medians across columns at every rank, written to the angles that they belong to."""
    xp = namespace(keys)
    slices, columns, angles = keys.shape
    in_registers = size <= WIDEST_WINDOW
    kernel = load(
        xp,
        "median_ranks",
        "median_ranks" if in_registers else "running_median",
        SIZE=size if in_registers else 1,
        ANGLE=C_NAMES[origin.dtype],
    )
    kernel(
        (-(-angles // RANKS), -(-columns // STRIP), slices),
        (RANKS,),
        keys=keys,
        origin=origin,
        out=out,
        slices=slices,
        columns=columns,
        angles=angles,
        strip=STRIP,
        **({} if in_registers else {"half": size // 2}),
    )
