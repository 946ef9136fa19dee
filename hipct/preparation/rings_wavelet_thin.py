"""The Fourier-wavelet filter with as few vectors along the angle as float32 can tell apart.

The bands of all levels damp nearly the same low frequencies: their vectors, five times 19 for
sigma 1, span no more than some 25 dimensions above rounding. In an orthonormal basis ``I`` of what
goes in and another ``O`` of what comes out, the vectors of level l are ``P_l = A_l I`` and
``U_l = O C_l``, and ``sum_l U_l W_l(P_l S) = O sum_l C_l A_l W_l(I S)``: two products with 25
vectors each instead of 95, and one wavelet transform of 25 rows for all levels together, whose
detail bands are mixed by the small matrices ``C_l A_l`` on their way.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hipct.preparation.rings_wavelet import wavelet_plan
from hipct.preparation.wavelets import continuation, synthesis_filter

TILE = 8
"""Vectors that the loops take at a time; how many there are is a multiple of it."""

TOLERANCE = 3e-8
"""Share of a vector that a basis may leave out: what float32 cannot tell from one."""

Single = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ThinPlan:
    """Geometry of one size of sinogram for the inner loops.

    ``into`` (angles, inner) and ``back`` (outer, angles or more) hold the bases, as many vectors
    as fill whole tiles, the last ones empty, as are the last angles of ``back``. ``mixes``
    (levels, inner, outer) leads from one to the other. ``widths`` are the lengths of a row from
    level to level, ``sources`` (levels, places) the samples that continue a row of each, the first
    of them those of the sinogram's columns.
    """

    into: Single
    back: Single
    mixes: Single
    widths: NDArray[np.int64]
    sources: NDArray[np.int64]
    padding: int
    low: Single
    high: Single


@lru_cache(maxsize=4)
def thin_plan(shape: tuple[int, int], levels: int, sigma: float, order: int) -> ThinPlan:
    """Plan for sinograms of a shape (angles, columns), float32."""
    plan = wavelet_plan(shape, levels, sigma, order, "float64")
    # A frequency that is hardly damped needs neither of its two vectors exactly.
    share = np.linalg.norm(plan.restore, axis=0) / np.linalg.norm(plan.project, axis=1)
    project = plan.project * np.sqrt(share)[:, None]
    restore = (plan.restore / np.sqrt(share)).T
    inner = _basis([project[part] for part in plan.parts])
    outer = _basis([restore[part] for part in plan.parts])
    mixes = [(inner @ project[part].T) @ (restore[part] @ outer.T) for part in plan.parts]
    rows, columns = (-(-len(basis) // TILE) * TILE for basis in (inner, outer))
    mixed = np.zeros((len(mixes), rows, columns), np.float32)
    mixed[:, : len(inner), : len(outer)] = mixes
    longest = plan.widths[0] + 2 * (2 * order - 1)
    sources = np.zeros((len(mixes), longest), np.int64)
    for level, width in enumerate(plan.widths[:-1]):
        places = continuation(width, order)
        if level == 0:
            places = np.clip(places - plan.padding, 0, shape[1] - 1)
        sources[level, : len(places)] = places
    low, high = (synthesis_filter(order, high=high).astype(np.float32) for high in (False, True))
    return ThinPlan(
        np.ascontiguousarray(_filled(inner, rows, shape[0]).T),
        _filled(outer, columns, -(-shape[0] // TILE) * TILE),
        mixed,
        np.array(plan.widths),
        sources,
        plan.padding,
        low,
        high,
    )


def _basis(parts: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Orthonormal rows that hold all rows of all parts but what is below the tolerance.

    By Gram and Schmidt, always with the row of a part that the basis holds least of: unlike a
    singular value decomposition that takes no time for many rows of which few matter.
    """
    basis = np.zeros((0, parts[0].shape[1]))
    for part in parts:
        rest = part - (part @ basis.T) @ basis
        for _ in range(min(rest.shape)):
            lengths = np.linalg.norm(rest, axis=1)
            if lengths.max() <= TOLERANCE:
                break
            new = rest[lengths.argmax()] / lengths.max()
            new -= (basis @ new) @ basis  # twice makes it orthogonal to rounding
            new /= np.linalg.norm(new)
            basis = np.concatenate([basis, new[None]])
            rest -= np.outer(rest @ new, new)
    return basis


def _filled(basis: NDArray[np.float64], rows: int, angles: int) -> Single:
    whole = np.zeros((rows, angles), np.float32)
    whole[: len(basis), : basis.shape[1]] = basis
    return whole
