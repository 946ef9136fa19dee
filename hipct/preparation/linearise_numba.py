"""Inner loop of the logarithm from projections to sinograms."""
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

from typing import Any

from numba import njit

from hipct.core.log_numba import line_integrals


@njit(cache=True, nogil=True)
def sinogram_rows(
    transmission: Any, minimum: Any, start: int, stop: int, out: Any, steps: Any
) -> Any:  # pragma: no cover - compiled
    """Line integrals of the rows ``start .. stop``, counted over (angle, row).

    ``out`` is a run of memory in which angles and rows begin ``steps`` floats apart. Returns how
    many values were replaced.
    """
    _, rows, columns = transmission.shape
    replaced = 0
    for unit in range(start, stop):
        angle, row = unit // rows, unit % rows
        place = angle * steps[0] + row * steps[1]
        replaced += line_integrals(transmission[angle, row], minimum, out[place : place + columns])
    return replaced
