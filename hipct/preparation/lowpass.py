"""Wide Gaussians of whole detector frames, from any of their rows.

A frame that is mirrored at its edges (d c b a | a b c d) has the cosines of the DCT-II as its
eigenfunctions under any symmetric convolution: a Gaussian of standard deviation s multiplies the
cosine k of N pixels by ``exp(-(pi k s / N)^2 / 2)`` (Martucci, IEEE Trans. Signal Process. 42
(1994) 1038). At 50 px and above fewer than two cosines per N/s pixels are left, so a low-pass
frame *is* a small matrix of coefficients. Rows of a frame add to it one after another, and any
rows can be asked for: a slab needs no halo.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError

_SMALLEST_FACTOR = 1e-8
"""Cosines that the Gaussian damps below this share are left out."""


@dataclass(frozen=True, eq=False)
class LowPass:
    """A Gaussian low-pass for frames of one size, mirrored at their edges.

    Attributes
    ----------
    along_rows, along_columns : array, shape (rows or columns, coefficients), float32
        Orthonormal cosines, each times the root of its damping.
    """

    along_rows: Array
    along_columns: Array

    @classmethod
    def create(cls, rows: int, columns: int, sigma_px: float, *, xp: ModuleType = np) -> LowPass:
        """Set up the cosines.

        Parameters
        ----------
        rows, columns : int
            Size of the whole frames.
        sigma_px : float
            Standard deviation of the Gaussian in pixels.
        xp : module
            Array namespace of the frames, ``numpy`` or ``cupy``.

        Raises
        ------
        InputError
            If the size is below 1 or ``sigma_px`` not above 0.
        """
        if rows < 1 or columns < 1:
            raise InputError(f"rows is {rows} and columns is {columns}; both have to be 1 or more.")
        if not 0 < sigma_px < math.inf:
            raise InputError(f"sigma_px is {sigma_px}; it has to be a number of pixels above 0.")
        bases = [xp.asarray(_cosines(size, sigma_px)) for size in (rows, columns)]
        return cls(*bases)

    def coefficients(self, frame: Array, rows: slice = slice(None)) -> Array:
        """What rows of a frame add to its coefficients.

        Parameters
        ----------
        frame : array, shape (rows, columns) or (frames, rows, columns), float32
            Finite values of the given rows.
        rows : slice
            Which rows of the detector these are; all by default.

        Returns
        -------
        array, shape (..., coefficients, coefficients)
            The sum over disjoint rows that cover the detector is the low-pass frame.
        """
        return self.along_rows[rows].T @ (frame @ self.along_columns)

    def frame(self, coefficients: Array, rows: slice = slice(None)) -> Array:
        """Rows of low-pass frames, (..., rows, columns), from their coefficients."""
        return self.along_rows[rows] @ (coefficients @ self.along_columns.T)


def low_pass(frames: Array, sigma_px: float) -> Array:
    """Gaussian low-pass of whole frames, mirrored at their edges.

    Parameters
    ----------
    frames : array, shape (rows, columns) or (frames, rows, columns)
        Finite values; computed and returned as float32.
    sigma_px : float
        Standard deviation in pixels. Its cost falls with its width; below about 5 px a sampled
        kernel is cheaper.

    Raises
    ------
    InputError
        If the shape is wrong or ``sigma_px`` is not above 0.

    Examples
    --------
    >>> import numpy as np
    >>> frame = np.zeros((1, 9), np.float32)
    >>> frame[0, 4] = 1
    >>> low_pass(frame, 1.0)[0, 3:6].round(2)
    array([0.24, 0.4 , 0.24], dtype=float32)
    """
    if frames.ndim not in (2, 3):
        raise InputError(
            f"frames has shape {frames.shape}; give (rows, columns) or (frames, rows, columns)."
        )
    xp = namespace(frames)
    rows, columns = frames.shape[-2:]
    smooth = LowPass.create(rows, columns, sigma_px, xp=xp)
    return smooth.frame(smooth.coefficients(frames.astype(np.float32, copy=False)))


def _cosines(size: int, sigma_px: float) -> NDArray[np.float32]:
    """Cosines times the root of their damping, which both ways together give it once."""
    last = size * math.sqrt(-2 * math.log(_SMALLEST_FACTOR)) / (math.pi * sigma_px)
    order = np.arange(min(size, math.floor(last) + 1))
    place = (np.arange(size) + 0.5) / size
    damping = np.exp(-((np.pi * order * sigma_px / size) ** 2) / 4)
    norm = np.sqrt(np.where(order == 0, 1, 2) / size)
    cosines: NDArray[np.float32] = (
        np.cos(np.pi * np.outer(place, order)) * (norm * damping)
    ).astype(np.float32)
    return cosines
