"""The cosine product of Paganin's filter in lanes: what :mod:`hipct.phase.cosine_numba` needs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.core.runs import run_of_rows
from hipct.core.threads import parallel_for, thread_count
from hipct.phase.extent import Extent

LANES = 16
"""Rows or columns that are transformed together: a cache line of float32."""


_STRIPS_A_THREAD = 16
"""Fewer keep threads waiting for one another at the end of a pass."""


class Axis:
    """Tables of the cosine transforms along one axis.

    Attributes
    ----------
    plan : ndarray of int64
        Radices of the Fourier transform of half the length.
    tables : tuple of ndarray
        ``turns``, (half + 1, 4): exp(-2 pi i k / N) and exp(-pi i k / 2N); ``factors`` of the
        Fourier transform; ``natural``, the groups' samples; ``order`` and ``back``, where each
        sample lies before the transform and after the one back, in floats.
    """

    def __init__(self, length: int) -> None:
        from hipct.core.fft_numba import radices, twiddles

        half = length // 2
        self.length = length
        self.groups = -(-length // LANES)
        k = np.arange(half + 1)
        whole, quarter = np.exp(-2j * np.pi * k / length), np.exp(-0.5j * np.pi * k / length)
        turns = np.stack([whole.real, whole.imag, quarter.real, quarter.imag], axis=1)
        natural = np.arange(self.groups * LANES)
        # Even samples rise, odd ones fall; those that fill the last group stay behind them.
        place = np.where(natural % 2 == 0, natural // 2, length - 1 - natural // 2)
        place[length:] = natural[length:]
        self.plan = np.array(radices(half), np.int64)
        self.tables = (
            turns.astype(np.float32),
            twiddles(half),
            natural,
            place * LANES,
            (place ^ 1) * LANES,
        )


class CosineLanes:
    """Filter of float32 images on the host.

    Parameters
    ----------
    extents : tuple of Extent
        Of the rows and of the columns, each of a length that :func:`hipct.phase.extent.fits_lanes`.
    response : ndarray of float64, (rows, columns)
        Factors of all frequencies.
    padding : {"mirror", "edge"}
    """

    def __init__(
        self, extents: tuple[Extent, Extent], response: NDArray[np.float64], padding: str
    ) -> None:
        self._extents, self._mirror = extents, padding == "mirror"
        self._size = extents[0].size, extents[1].size
        self._rows, self._columns = (Axis(extent.total) for extent in extents)
        groups = self._columns.groups
        table = np.zeros((groups * LANES, self._rows.length), np.float32)
        # Each transform back is twice the inverse, times half the length.
        table[: self._columns.length] = response.T / (self._rows.length * self._columns.length)
        by_groups = table.reshape(groups, LANES, -1).transpose(0, 2, 1)
        self._response = np.ascontiguousarray(by_groups).reshape(-1)

    def apply(
        self,
        block: NDArray[Any],
        out: NDArray[np.float32],
        *,
        wanted: range | None = None,
        minimum: float = 0.0,
    ) -> tuple[NDArray[np.float32], int]:
        """Filter images.

        Parameters
        ----------
        block : ndarray, (angles, rows, columns)
        out : ndarray of float32, (angles, wanted rows, columns)
            Where the result T goes; may be ``block`` itself, or a view of sinograms.
        wanted : range, optional
            Rows that come out, of step 1; all by default.
        minimum : float
            Above 0: ``-log(max(T, minimum))`` comes out instead of T.

        Returns
        -------
        ndarray of float32, (angles,)
            A value of each image that is not finite where one of its pixels is not.
        int
            How many values were below the minimum.
        """
        from hipct.phase.cosine_numba import strip_count

        wanted = range(self._extents[0].size) if wanted is None else wanted
        seen = np.empty(len(block), np.float32)
        raised: list[int] = []

        def work(start: int, stop: int) -> None:
            rows = strip_count(self._extents[0].size) * LANES
            spectrum = np.empty(self._columns.groups * rows * LANES, np.float32)
            for number in range(start, stop):
                image = block[number].astype(np.float32, copy=False)
                with run_of_rows(out[number : number + 1]) as run:
                    raised.append(self._filter(image, run, wanted, minimum, spectrum))
                seen[number] = spectrum[0]

        if self._alone(len(block)):
            parallel_for(work, len(block))
        else:
            work(0, len(block))
        return seen, sum(raised)

    def work_bytes(self, images: int) -> int:
        """Memory of the filter, and of a call beside its images and its result."""
        rows, columns = self._extents
        lines = 3 * LANES * max(self._rows.length, columns.total + 2 * LANES)
        spectrum = self._columns.groups * LANES * (rows.size + 2 * LANES)
        spectra = min(images, thread_count()) if self._alone(images) else 1
        return 4 * (self._response.size + spectra * spectrum + thread_count() * lines)

    def _alone(self, images: int) -> bool:
        """Whether each thread takes images of its own: they hold few strips.

        Else all threads work on one, whose frequencies then may stay in the last cache.
        """
        strips = -(-self._extents[0].size // LANES)
        return images >= thread_count() and strips < _STRIPS_A_THREAD * thread_count()

    def _filter(
        self,
        image: NDArray[np.float32],
        run: tuple[NDArray[np.float32], tuple[int, int]],
        wanted: range,
        minimum: float,
        spectrum: NDArray[np.float32],
    ) -> int:
        from hipct.phase import cosine_numba as passes

        rows, columns = self._extents
        along, across = self._columns, self._rows
        ends = columns.before, columns.after
        raised: list[int] = []

        def forward(start: int, stop: int) -> None:
            passes.forward_strips(
                image, *ends, self._mirror, along.tables, along.plan, start, stop, spectrum
            )

        def multiply(start: int, stop: int) -> None:
            passes.filter_groups(
                spectrum, self._response, rows.size, rows.before, rows.after, self._mirror,
                across.tables, across.plan, start, stop,
            )  # fmt: skip

        first = wanted.start // LANES

        def inverse(start: int, stop: int) -> None:
            done = passes.inverse_strips(
                spectrum, *self._size, *ends, along.tables, along.plan, first + start, first + stop,
                (wanted.start, wanted.stop), np.float32(minimum), run[0], run[1][1],
            )  # fmt: skip
            raised.append(done)

        parallel_for(forward, -(-rows.size // LANES))
        parallel_for(multiply, along.groups)
        parallel_for(inverse, -(-wanted.stop // LANES) - first)
        return sum(raised)
