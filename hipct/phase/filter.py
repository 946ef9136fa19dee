"""A filter of projections that multiplies their cosine coefficients.

Paganin's filters, those of the contrast transfer function and an unsharp mask differ in the factor
of each frequency alone. What is common to them is here: how images are continued beyond their
edges, where the transforms run, and how line integrals are made in the last pass.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from hipct.core.arrays import Array, fft_module, namespace
from hipct.core.errors import InputError
from hipct.core.jit import has_numba
from hipct.core.threads import parallel_for, thread_count
from hipct.phase.cosine_lanes import CosineLanes
from hipct.phase.extent import Padding, check_padding, extend, fits_lanes, plan_extent
from hipct.phase.paganin_cuda import CosineProduct, batch_images
from hipct.phase.response import SeparableResponse

# CuPy's own DCT works through complex copies of all images.
_DEVICE_COPIES = 8


class Response(Protocol):
    """The factor of each frequency."""

    def table(self, rows: int, columns: int) -> NDArray[np.float64]:
        """Factors (rows, columns) of the DCT-II: row k is k / 2N cycles a pixel, of N rows."""


class CosineFilter:
    """A filter of images of one size, computed once and used for many.

    Parameters
    ----------
    rows, columns : int
        Size of the images.
    response : Response
        The factor of each frequency. Even in both frequencies, so that a DCT-II of the plain image
        equals the FFT of the image mirrored to twice its size, at a quarter of the work.
    reach : (int, int)
        Rows and columns beyond which the filter is not felt: how far images are continued where
        they are not simply mirrored.
    padding : {"mirror", "edge"}
        Continuation of the image beyond its edges.
    dtype : float32 or float64
        Type of the computation and of the result.
    xp : module
        ``numpy`` or ``cupy``: where the filter is kept.

    Raises
    ------
    InputError
        If a value is out of range.

    Notes
    -----
    Calls from several threads at a time are safe.
    """

    def __init__(
        self,
        rows: int,
        columns: int,
        response: Response,
        reach: tuple[int, int],
        *,
        padding: Padding = "mirror",
        dtype: DTypeLike = np.float32,
        xp: Any = np,
    ) -> None:
        check_size(rows, columns)
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.float32, np.float64):
            raise InputError(f"dtype is {self.dtype}; the filter works in float32 or float64.")
        check_padding(padding)
        self.shape = (rows, columns)
        self._padding = padding
        self._xp = xp
        self._rows, self._columns = (
            plan_extent(size, far, padding, exact=self.dtype == np.float64, xp=xp)
            for size, far in zip(self.shape, reach)
        )
        self._product: CosineProduct | None = None
        self._lanes: CosineLanes | None = None
        extents = self._rows, self._columns
        total = self._rows.total, self._columns.total
        self._batch = batch_images(*total)
        in_lanes = xp is np and self.dtype == np.float32 and has_numba()
        on_device = xp is not np and self.dtype == np.float32
        if in_lanes and all(fits_lanes(size) for size in total):
            self._lanes = CosineLanes(extents, response.table(*total), padding)
        elif on_device and isinstance(response, SeparableResponse):
            factors = response.factors(total[0]), response.factors(total[1])
            self._product = CosineProduct(
                xp, extents, factors, level=response.level, padding=padding
            )
        else:
            self._response = xp.asarray(response.table(*total), dtype=self.dtype)

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
            refuse_bad(np.flatnonzero(~np.isfinite(self._product.apply(block, out))))
        elif self._lanes:
            refuse_bad(np.flatnonzero(~np.isfinite(self._lanes.apply(block, out)[0])))
        elif self._xp is not np:
            self._filter_batches(block, out)
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
            refuse_bad(np.flatnonzero(~np.isfinite(seen)))
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
            return padded + result + _DEVICE_COPIES * padded * min(angles, self._batch)
        return padded + result + 3 * padded * min(angles, thread_count())

    def _filter_batches(self, block: Array, out: Array) -> None:
        # Batches of a fixed number of images, so that the work space has a bound.
        for first in range(0, len(block), self._batch):
            some = slice(first, first + self._batch)
            self._filter(block[some], out[some], {}, first)

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
        refuse_bad(self._xp.flatnonzero(~self._xp.isfinite(spectrum[:, 0, 0])), first)
        spectrum *= self._response
        retrieved = fft.idctn(spectrum, axes=(1, 2), overwrite_x=True, **options)
        out[...] = retrieved[:, self._rows.inner, self._columns.inner]


def check_size(rows: int, columns: int) -> None:
    """Raise InputError unless an image of this size exists."""
    for name, value in (("rows", rows), ("columns", columns)):
        if value < 1:
            raise InputError(f"{name} is {value}; an image has at least 1.")


def refuse_bad(bad: Array, first: int = 0) -> None:
    """Raise InputError if there are images, by their number, that are not finite."""
    if bad.size:
        raise InputError(
            f"Image {first + int(bad[0])} of the block holds NaN or infinite values, which "
            "would spread over all of it; repair bad pixels before phase retrieval."
        )
