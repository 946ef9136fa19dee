"""How fine a pyramid is shown in three dimensions: the finest level that a graphics card holds."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from hipct.core.errors import InputError

BUDGET_BYTES = 256 * 2**20
"""Of a level in three dimensions: what cards of laptops draw smoothly, 512 voxels cubed."""

LONGEST_AXIS = 2048
"""Voxels that nearly every card takes along an axis of a texture in three dimensions."""


def finest_within(
    shapes: Sequence[Sequence[int]], itemsize: int, budget_bytes: int = BUDGET_BYTES
) -> int:
    """The finest level that fits; the coarsest where none does.

    Parameters
    ----------
    shapes : sequence of (z, y, x)
        Voxels of the levels, finest first.
    itemsize : int
        Bytes of a voxel.
    budget_bytes : int
        Bytes that the level may have.

    Raises
    ------
    InputError
        If there is no level, or the budget is not above 0.

    Examples
    --------
    >>> shapes = [(2048, 2048, 2048), (1024, 1024, 1024), (512, 512, 512), (256, 256, 256)]
    >>> finest_within(shapes, 2), finest_within(shapes, 2, 2**33), finest_within(shapes, 2, 1)
    (2, 1, 3)
    """
    if not shapes or budget_bytes <= 0:
        raise InputError(
            f"No level of {len(shapes)} is chosen within {budget_bytes} bytes; give at least one "
            "level and more than 0 bytes."
        )
    for number, shape in enumerate(shapes):
        if prod(shape) * itemsize <= budget_bytes and max(shape) <= LONGEST_AXIS:
            return number
    return len(shapes) - 1
