"""Paganin's single-distance phase retrieval on transmission images, textbook formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError
from hipct.phase.extent import Padding
from hipct.phase.filter import CosineFilter, check_size
from hipct.phase.halo import exponential_reach, step_reach
from hipct.phase.kernel import Method, check_method, kernel_length_px
from hipct.phase.response import SeparableResponse
from hipct.phase.unsharp import UnsharpMask

# What lies beyond the padding may change the result by this much: less than float32 resolves.
_PADDING_ERROR = 3e-8


class PaganinFilter(CosineFilter):
    """Paganin's filter for images of one size, computed once and used for many.

    Parameters
    ----------
    rows, columns : int
        Size of the images.
    pixel_size_um, distance_m : float
        Effective pixel size and propagation distance (magnification applied once, see
        :func:`hipct.phase.convert.effective_geometry`).
    energy_kev : float
        Mean photon energy.
    delta_beta : float
        Ratio delta/beta.
    method : {"paganin", "generalised"}
        ``1 / (1 + pi lambda z (delta/beta) |f|^2)`` (Paganin et al., J. Microsc. 206 (2002) 33,
        eq. 10), or ``1 / (1 + lambda z (delta/beta) / (4 pi p^2) * 2 (2 - cos 2 pi fx p -
        cos 2 pi fy p))`` (Paganin et al., J. Opt. 22 (2020) 115607), which smooths less near
        the Nyquist frequency.
    padding : {"mirror", "edge"}
        Continuation of the image beyond its edges.
    unsharp : UnsharpMask, optional
        A mask applied to the retrieved transmission in the same transform, at no extra cost.
    dtype : float32 or float64
        Type of the computation and of the result.
    xp : module, optional
        ``numpy`` (default) or ``cupy``: where the filter is kept.

    Raises
    ------
    InputError
        If a value is out of range.

    Notes
    -----
    The filter is even in both frequencies, so that a DCT-II of the plain image equals the FFT of
    the image mirrored to twice its size, at a quarter of the work. Where a mirrored axis has a
    length with large prime factors it is continued to a fast one, in float32 only: the
    difference lies below the rounding error. Calls from several threads at a time are safe.

    Examples
    --------
    >>> import numpy as np
    >>> plan = PaganinFilter(
    ...     64, 96, pixel_size_um=20, distance_m=3.5, energy_kev=90, delta_beta=1470
    ... )
    >>> retrieved = plan.apply(np.full((3, 64, 96), 0.5, np.float32))
    >>> bool(np.allclose(retrieved, 0.5))
    True
    """

    def __init__(
        self,
        rows: int,
        columns: int,
        *,
        pixel_size_um: float,
        distance_m: float,
        energy_kev: float,
        delta_beta: float,
        method: Method = "paganin",
        padding: Padding = "mirror",
        unsharp: UnsharpMask | None = None,
        dtype: DTypeLike = np.float32,
        xp: Any = np,
    ) -> None:
        check_size(rows, columns)
        check_method(method)
        length = kernel_length_px(
            pixel_size_um=pixel_size_um,
            distance_m=distance_m,
            energy_kev=energy_kev,
            delta_beta=delta_beta,
        )
        mask_reach = unsharp.halo if unsharp else 0
        super().__init__(
            rows,
            columns,
            SeparableResponse(length, method, unsharp),
            (
                _padding_reach(rows, length, method, padding) + mask_reach,
                _padding_reach(columns, length, method, padding) + mask_reach,
            ),
            padding=padding,
            dtype=dtype,
            xp=xp,
        )


def paganin(
    transmission: Array,
    *,
    pixel_size_um: float,
    distance_m: float,
    energy_kev: float,
    delta_beta: float,
    method: Method = "paganin",
    padding: Padding = "mirror",
    out: Array | None = None,
) -> Array:
    """Single-distance phase retrieval of transmission images.

    Parameters
    ----------
    transmission : ndarray, (angles, rows, columns)
        Flat-field corrected intensities (not their logarithm); float64 is computed in float64,
        all else in float32. NumPy or CuPy.
    pixel_size_um, distance_m, energy_kev, delta_beta, method, padding
        As in :class:`PaganinFilter`, which is the way to go for many blocks of one size.
    out : ndarray, optional
        Where the result goes.

    Returns
    -------
    ndarray, (angles, rows, columns)
        Filtered transmission T' = IFFT(FFT(T) / (1 + pi lambda z (delta/beta) |f|^2));
        ``-log(T')`` is the line integral of mu.

    Raises
    ------
    InputError
        If a value is out of range or an image is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> flat = np.ones((1, 32, 32), np.float32)
    >>> t = paganin(flat, pixel_size_um=20, distance_m=3.5, energy_kev=90, delta_beta=1470)
    >>> t.shape, t.dtype
    ((1, 32, 32), dtype('float32'))
    """
    xp = namespace(transmission, out)
    if transmission.ndim != 3:
        raise InputError(
            f"transmission has the shape {transmission.shape}; (angles, rows, columns) is needed "
            "(a single image as image[None])."
        )
    plan = PaganinFilter(
        *transmission.shape[1:],
        pixel_size_um=pixel_size_um,
        distance_m=distance_m,
        energy_kev=energy_kev,
        delta_beta=delta_beta,
        method=method,
        padding=padding,
        dtype=np.float64 if transmission.dtype == np.float64 else np.float32,
        xp=xp,
    )
    return plan.apply(transmission, out)


def _padding_reach(size: int, length_px: float, method: Method, padding: Padding) -> int:
    # The slow ripple of a short kernel is followed to half the image at most, as padding to 2N
    # would do; its exponential part always to the end. A mirrored axis needs none: where one is
    # continued all the same, for a faster length, it must not show.
    reach = step_reach(length_px, _PADDING_ERROR, method)
    if padding == "mirror":
        return reach
    return min(reach, max(exponential_reach(length_px, _PADDING_ERROR), size // 2))
