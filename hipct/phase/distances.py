"""Filters of images taken at one distance or at several: one transmission for each view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError
from hipct.phase.contrast import (
    REGULARISATION,
    Contrast,
    ContrastMethod,
    ContrastResponse,
    contrast_numbers,
)
from hipct.phase.extent import Padding
from hipct.phase.filter import CosineFilter, check_size
from hipct.phase.unsharp import UnsharpMask

_PADDING_ERROR = 1e-6


class ContrastFilter:
    """The contrast transfer function inverted for images of one size (:class:`Contrast`).

    Parameters
    ----------
    rows, columns : int
        Size of the images.
    pixel_size_um, energy_kev : float
        Effective pixel size and mean photon energy.
    distances_m : sequence of float
        Effective propagation distances of the images.
    delta_beta, method, regularisation
        As in :class:`Contrast`.
    padding, unsharp, dtype, xp
        As in :class:`hipct.phase.paganin.PaganinFilter`.

    Raises
    ------
    InputError
        If a value is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> plan = ContrastFilter(
    ...     64, 96, pixel_size_um=1, energy_kev=20, distances_m=[0.02, 0.05], delta_beta=800
    ... )
    >>> retrieved = plan.apply(np.full((3, 2 * 64, 96), 0.5, np.float32))
    >>> retrieved.shape, bool(np.allclose(retrieved, 0.5))
    ((3, 64, 96), True)
    """

    takes_logarithm = False

    def __init__(
        self,
        rows: int,
        columns: int,
        *,
        pixel_size_um: float,
        energy_kev: float,
        distances_m: Sequence[float],
        delta_beta: float,
        method: ContrastMethod = "ctf_homogeneous",
        regularisation: float = REGULARISATION,
        padding: Padding = "mirror",
        unsharp: UnsharpMask | None = None,
        dtype: DTypeLike = np.float32,
        xp: Any = np,
    ) -> None:
        check_size(rows, columns)
        numbers = contrast_numbers(distances_m, pixel_size_um=pixel_size_um, energy_kev=energy_kev)
        contrast = Contrast(numbers, delta_beta, method, regularisation)
        # A mirrored axis that is continued by more than itself is not continued at all.
        reach = contrast.reach(_PADDING_ERROR, max(rows, columns))
        reach += unsharp.halo if unsharp else 0
        self._filters = [
            CosineFilter(
                rows,
                columns,
                ContrastResponse(contrast, number, unsharp),
                (min(reach, rows), min(reach, columns)) if padding == "edge" else (reach, reach),
                padding=padding,
                dtype=dtype,
                xp=xp,
            )
            for number in range(len(numbers))
        ]
        self.shape, self.dtype = (rows, columns), np.dtype(dtype)
        self._xp = xp

    def apply(self, block: Array, out: Array | None = None) -> Array:
        """Retrieve a block of images.

        Parameters
        ----------
        block : ndarray, (angles, distances * rows, columns)
            Transmissions, those of the distances below one another, any real type, finite.
        out : ndarray, (angles, rows, columns), optional
            Where the result goes; of one distance it may be ``block`` itself.

        Returns
        -------
        ndarray, (angles, rows, columns)
            Transmission T' whose ``-log(T')`` is the line integral of mu, for "ctf" that of the
            phase over delta/beta: ``4 pi beta / lambda`` with beta = delta / delta_beta.

        Raises
        ------
        InputError
            If the shapes do not fit, or an image holds NaN or infinite values.
        """
        rows, columns = self.shape
        given = len(self._filters)
        if block.ndim != 3 or block.shape[1:] != (given * rows, columns):
            raise InputError(
                f"The block has the shape {block.shape}; this filter takes (angles, "
                f"{given * rows}, {columns}): {given} images of {rows} rows below one another."
            )
        if given == 1:
            return self._filters[0].apply(block, out)
        if namespace(block, out) is not self._xp:
            raise InputError(
                f"The block is an array of {namespace(block).__name__} and the filter is kept by "
                f"{self._xp.__name__}; make the filter with xp={namespace(block).__name__}."
            )
        total = self._filters[0].apply(block[:, :rows], out)
        for number, each in enumerate(self._filters[1:], start=1):
            total += each.apply(block[:, number * rows : (number + 1) * rows])
        return total

    def memory_bytes(self, angles: int) -> int:
        """Peak bytes of a call on ``angles`` views: filters, results, work space."""
        one = [each.memory_bytes(angles) for each in self._filters]
        if len(one) == 1:
            return one[0]
        result = angles * self.shape[0] * self.shape[1] * self.dtype.itemsize
        kept = sum(each.memory_bytes(0) for each in self._filters)
        return kept + max(one) + result


def ctf(
    transmissions: Array,
    *,
    pixel_size_um: float,
    energy_kev: float,
    distances_m: Sequence[float],
    delta_beta: float,
    method: ContrastMethod = "ctf_homogeneous",
    regularisation: float = REGULARISATION,
    padding: Padding = "mirror",
) -> Array:
    """Phase retrieval of weak objects by the contrast transfer function.

    Parameters
    ----------
    transmissions : ndarray, (distances, angles, rows, columns)
        Flat-field corrected intensities; float64 is computed in float64, all else in float32.
        NumPy or CuPy.
    pixel_size_um, energy_kev, distances_m, delta_beta, method, regularisation, padding
        As in :class:`ContrastFilter`, which is the way to go for many blocks of one size.

    Returns
    -------
    ndarray, (angles, rows, columns)
        As of :meth:`ContrastFilter.apply`.

    Raises
    ------
    InputError
        If a value is out of range or an image is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> flat = np.ones((1, 1, 32, 32), np.float32)
    >>> scan = dict(pixel_size_um=1, energy_kev=20, distances_m=[0.05], delta_beta=800)
    >>> ctf(flat, **scan).shape
    (1, 32, 32)
    """
    xp = namespace(transmissions)
    if transmissions.ndim != 4 or len(transmissions) != len(distances_m):
        raise InputError(
            f"transmissions has the shape {transmissions.shape}; (distances, angles, rows, "
            f"columns) with {len(distances_m)} distances is needed."
        )
    plan = ContrastFilter(
        *transmissions.shape[2:],
        pixel_size_um=pixel_size_um,
        energy_kev=energy_kev,
        distances_m=distances_m,
        delta_beta=delta_beta,
        method=method,
        regularisation=regularisation,
        padding=padding,
        dtype=np.float64 if transmissions.dtype == np.float64 else np.float32,
        xp=xp,
    )
    return plan.apply(xp.concatenate(list(transmissions), axis=1))
