"""Paganin's single-distance phase retrieval on transmission images, textbook formulas."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from hipct.core.arrays import Array, fft_module, namespace
from hipct.core.errors import InputError
from hipct.core.jit import has_numba
from hipct.core.threads import parallel_for, thread_count
from hipct.phase.cosine_lanes import CosineLanes
from hipct.phase.extent import Padding, check_padding, extend, fits_lanes, plan_extent
from hipct.phase.halo import exponential_reach, step_reach
from hipct.phase.kernel import Method, check_method, kernel_length_px
from hipct.phase.paganin_cuda import CosineProduct
from hipct.phase.response import axis_factors, response_table
from hipct.phase.unsharp import UnsharpMask

# What lies beyond the padding may change the result by this much: less than float32 resolves.
_PADDING_ERROR = 3e-8
# CuPy's own DCT works through complex copies of all images.
_DEVICE_COPIES = 8


class PaganinFilter:
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
        for name, value in (("rows", rows), ("columns", columns)):
            if value < 1:
                raise InputError(f"{name} is {value}; an image has at least 1.")
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.float32, np.float64):
            raise InputError(f"dtype is {self.dtype}; the filter works in float32 or float64.")
        check_method(method)
        check_padding(padding)
        length = kernel_length_px(
            pixel_size_um=pixel_size_um,
            distance_m=distance_m,
            energy_kev=energy_kev,
            delta_beta=delta_beta,
        )
        self.shape = (rows, columns)
        self._padding = padding
        self._xp = xp
        mask_reach = unsharp.halo if unsharp else 0
        self._rows, self._columns = (
            plan_extent(
                size,
                _padding_reach(size, length, method, padding) + mask_reach,
                padding,
                exact=self.dtype == np.float64,
                xp=xp,
            )
            for size in self.shape
        )
        factors = (
            axis_factors(self._rows.total, length, method, unsharp),
            axis_factors(self._columns.total, length, method, unsharp),
        )
        self._product: CosineProduct | None = None
        self._lanes: CosineLanes | None = None
        extents = self._rows, self._columns
        in_lanes = xp is np and self.dtype == np.float32 and has_numba()
        if in_lanes and all(fits_lanes(extent.total) for extent in extents):
            self._lanes = CosineLanes(extents, response_table(*factors, unsharp), padding)
        elif xp is not np and self.dtype == np.float32:
            level = unsharp.level if unsharp else 1.0
            self._product = CosineProduct(xp, extents, factors, level=level, padding=padding)
        else:
            self._response = xp.asarray(response_table(*factors, unsharp), dtype=self.dtype)

    def apply(self, block: Array, out: Array | None = None) -> Array:
        """Retrieve a block of transmission images.

        Parameters
        ----------
        block : ndarray, (angles, rows, columns)
            Transmission (flat-field corrected, not the logarithm), any real type, finite.
        out : ndarray, optional
            Where the result goes, same shape, dtype of the filter; may be ``block`` itself. After
            an error it holds nothing of use.

        Returns
        -------
        ndarray, (angles, rows, columns)
            Filtered transmission T'; ``-log(T')`` is the line integral of mu.

        Raises
        ------
        InputError
            If the shapes do not fit, or an image holds NaN or infinite values.
        """
        self._check(block, out)
        if out is None:
            out = self._xp.empty(block.shape, self.dtype)
        elif out.shape != block.shape or out.dtype != self.dtype:
            raise InputError(
                f"out is {out.dtype} {out.shape}; it has to be {self.dtype} {block.shape}."
            )
        if self._product:
            _refuse(np.flatnonzero(~np.isfinite(self._product.apply(block, out))))
        elif self._lanes:
            _refuse(np.flatnonzero(~np.isfinite(self._lanes.apply(block, out)[0])))
        elif self._xp is not np:
            self._filter(block, out, {})
        elif len(block) >= thread_count():
            parallel_for(partial(self._filter_range, block, out), len(block))
        else:
            self._filter_range(block, out, 0, len(block), workers=thread_count())
        return out

    @property
    def takes_logarithm(self) -> bool:
        """Whether :meth:`sinograms` spares a pass: on the host, with numba, in float32."""
        return self._lanes is not None

    def sinograms(
        self,
        block: Array,
        out: Array,
        first: int = 0,
        *,
        minimum: float,
        rows: slice | None = None,
    ) -> int:
        """Retrieve a block of images and put the line integrals into sinograms.

        Parameters
        ----------
        block : ndarray, (angles, rows, columns)
            As in :meth:`apply`.
        out : ndarray, (wanted rows, at least first + angles, columns)
            Sinograms, dtype of the filter; other angles than these stay as they are.
        first : int
            Index in ``out`` of the first of these angles.
        minimum : float
            Smaller transmissions are raised to it before the logarithm; in (1e-37, 1).
        rows : slice, optional
            Rows that are wanted, where others are a halo; all by default.

        Returns
        -------
        int
            How many values of the wanted rows were raised.

        Raises
        ------
        InputError
            If the shapes do not fit, or an image holds NaN or infinite values.
        """
        self._check(block, out)
        wanted = range(self.shape[0])[slice(None) if rows is None else rows]
        angles = len(block)
        fits = out.ndim == 3 and out.shape[::2] == (len(wanted), self.shape[1])
        if not fits or out.dtype != self.dtype or not 0 <= first <= out.shape[1] - angles:
            raise InputError(
                f"out is {out.dtype} {out.shape}; for {angles} images from angle {first} on and "
                f"rows {wanted} it has to be {self.dtype} ({len(wanted)}, {first + angles} or "
                f"more, {self.shape[1]})."
            )
        if wanted.step != 1 or not 1e-37 < minimum < 1:
            raise InputError(
                f"rows is {rows} and minimum {minimum}; the rows have to follow one another, and "
                "the minimum has to be a transmission in (1e-37, 1)."
            )
        part = out[:, first : first + angles].swapaxes(0, 1)
        if self._lanes:
            seen, raised = self._lanes.apply(block, part, wanted=wanted, minimum=minimum)
            _refuse(np.flatnonzero(~np.isfinite(seen)))
            return raised
        retrieved = self.apply(block)[:, wanted.start : wanted.stop]
        part[...] = -self._xp.log(self._xp.maximum(retrieved, minimum))
        return int((retrieved < minimum).sum())

    def _check(self, block: Array, out: Array | None) -> None:
        if block.ndim != 3 or block.shape[1:] != self.shape:
            raise InputError(
                f"The block has the shape {block.shape}; this filter takes "
                f"(angles, {self.shape[0]}, {self.shape[1]}) (a single image as image[None])."
            )
        if namespace(block, out) is not self._xp:
            raise InputError(
                f"The block is an array of {namespace(block).__name__} and the filter is kept "
                f"by {self._xp.__name__}; make the filter with xp={namespace(block).__name__}."
            )

    def memory_bytes(self, angles: int) -> int:
        """Peak bytes of a call on ``angles`` images: filter, result, work space of each thread."""
        itemsize = self.dtype.itemsize
        result = angles * self.shape[0] * self.shape[1] * itemsize
        if self._product:
            return result + self._product.work_bytes()
        if self._lanes:
            return result + self._lanes.work_bytes(angles)
        padded = self._rows.total * self._columns.total * itemsize
        if self._xp is not np:
            return padded + result + _DEVICE_COPIES * padded * angles
        return padded + result + 3 * padded * min(angles, thread_count())

    def _filter_range(
        self, block: Array, out: Array, start: int, stop: int, workers: int = 1
    ) -> None:
        # One image at a time: transform, product and transform back meet a warm cache.
        for index in range(start, stop):
            one = slice(index, index + 1)
            self._filter(block[one], out[one], {"workers": workers}, index)

    def _filter(self, block: Array, out: Array, options: dict[str, int], first: int = 0) -> None:
        fft = fft_module(self._xp)
        images = block.astype(self.dtype, copy=False)
        padded = self._rows.total, self._columns.total
        if padded != self.shape:
            images = extend(self._xp, images, self._rows, self._columns, self._padding)
        spectrum = fft.dctn(
            images, axes=(1, 2), overwrite_x=not self._xp.shares_memory(images, block), **options
        )
        # The zero frequency is the sum of an image: one value tells of any NaN in it.
        _refuse(self._xp.flatnonzero(~self._xp.isfinite(spectrum[:, 0, 0])), first)
        spectrum *= self._response
        retrieved = fft.idctn(spectrum, axes=(1, 2), overwrite_x=True, **options)
        out[...] = retrieved[:, self._rows.inner, self._columns.inner]


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


def _refuse(bad: Array, first: int = 0) -> None:
    """Raise InputError if there are images, by their number, that are not finite."""
    if bad.size:
        raise InputError(
            f"Image {first + int(bad[0])} of the block holds NaN or infinite values, which "
            "would spread over all of it; repair bad pixels before phase retrieval."
        )


def _padding_reach(size: int, length_px: float, method: Method, padding: Padding) -> int:
    # The slow ripple of a short kernel is followed to half the image at most, as padding to 2N
    # would do; its exponential part always to the end. A mirrored axis needs none: where one is
    # continued all the same, for a faster length, it must not show.
    reach = step_reach(length_px, _PADDING_ERROR, method)
    if padding == "mirror":
        return reach
    return min(reach, max(exponential_reach(length_px, _PADDING_ERROR), size // 2))
