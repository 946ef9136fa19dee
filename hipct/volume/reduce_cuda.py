"""Launch of ``kernels/reduce.cu`` for :func:`hipct.volume.reduce.reduce_block`."""

from __future__ import annotations

from hipct.core.arrays import Array, namespace
from hipct.core.kernels import C_NAMES, Constant, load

VARIANTS: tuple[tuple[str, dict[str, Constant]], ...] = (
    ("reduce", {"VOXEL": "unsigned char"}),
    ("reduce", {"VOXEL": "unsigned short"}),
)
_THREADS = 256
_COLUMNS = 1024
"""Columns of the result that a block makes."""


def reduce_planes(block: Array, out: Array) -> None:
    """Write the means of 2 x 2 x 2 voxels; both arrays C-contiguous."""
    depth, rows, columns = block.shape
    planes, half_rows, half_columns = out.shape
    load(namespace(block, out), "reduce", VOXEL=C_NAMES[block.dtype])(
        (-(-half_columns // _COLUMNS), half_rows, planes),
        (_THREADS,),
        block=block,
        reduced=out,
        depth=depth,
        rows=rows,
        columns=columns,
    )
