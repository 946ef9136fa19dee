"""The factor of each frequency, from a few numbers for each axis.

Paganin's filter, an unsharp mask and the product of both have one form,

    H[k, l] = (level - p[k] q[l] - q[k] p[l]) / (t[k] + t[l]),

with t, p and q of the rows (k) and of the columns (l). The host makes a table of it; on a device
the factors of an axis are all that is kept, and H is worked out where it is needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hipct.phase.kernel import Method, axis_term
from hipct.phase.unsharp import UnsharpMask


@dataclass(frozen=True)
class SeparableResponse:
    """Paganin's filter, or one of its kind, times an unsharp mask.

    Attributes
    ----------
    length_px, method
        As in :func:`hipct.phase.kernel.axis_term`.
    mask : UnsharpMask or None
        The mask.
    """

    length_px: float
    method: Method
    mask: UnsharpMask | None = None

    @property
    def level(self) -> float:
        """What the products of the numerator are taken from."""
        return self.mask.level if self.mask else 1.0

    def factors(self, size: int) -> NDArray[np.float64]:
        """Factors t, p and q of an axis (:func:`axis_factors`)."""
        return axis_factors(size, self.length_px, self.method, self.mask)

    def table(self, rows: int, columns: int) -> NDArray[np.float64]:
        """H at all frequencies of a DCT-II, (rows, columns)."""
        return response_table(self.factors(rows), self.factors(columns), self.mask)


def axis_factors(
    size: int, length_px: float, method: Method, mask: UnsharpMask | None
) -> NDArray[np.float64]:
    """Factors t, p and q of an axis at the frequencies of its DCT-II.

    Parameters
    ----------
    size : int
        Samples N of the axis; frequency k is k / 2N cycles per pixel.
    length_px, method
        As in :func:`hipct.phase.kernel.axis_term`, whose sum over the axes, plus 1, is the
        denominator.
    mask : UnsharpMask or None
        The mask whose response is the numerator; 1 without.

    Returns
    -------
    ndarray of float64, (3, size + 1)
        t, p and q for k = 0 to N. The DCT-II ends at N - 1; N serves its mirror image N - k.
    """
    frequency = np.arange(size + 1) / (2 * size)
    factors = np.zeros((3, size + 1))
    factors[0] = 0.5 + axis_term(frequency, length_px, method)
    if mask:
        factors[1:] = mask.factors(frequency)
    return factors


def response_table(
    rows: NDArray[np.float64], columns: NDArray[np.float64], mask: UnsharpMask | None
) -> NDArray[np.float64]:
    """H at all frequencies of a DCT-II, (rows, columns), from the factors of both axes."""
    rows, columns = rows[:, :-1], columns[:, :-1]
    table: NDArray[np.float64] = 1 / (rows[0][:, None] + columns[0])
    if mask:
        numerator = np.outer(rows[1], columns[2])
        numerator += np.outer(rows[2], columns[1])
        table *= mask.level - numerator
    return table


def turning_factors(size: int) -> NDArray[np.float64]:
    """Cosine and sine of pi k / 2N for k = 0 to N: (2, size + 1), between DCT-II and FFT."""
    angle = np.pi / (2 * size) * np.arange(size + 1)
    return np.stack([np.cos(angle), np.sin(angle)])
