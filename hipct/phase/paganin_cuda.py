"""Products of cosine coefficients on a device: three kernels around cuFFT's real transforms."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.core.arrays import Array, fft_module
from hipct.core.idle import borrowed
from hipct.core.kernels import Constant, load
from hipct.phase.extent import LARGEST_DEVICE_PRIME, Extent, Padding, largest_prime
from hipct.phase.response import turning_factors

VARIANTS: tuple[tuple[str, dict[str, Constant]], ...] = (("cosine_filter", {}),)
"""Kernel files of this module with the constants that they are compiled with."""

# A batch of 64 MiB keeps the device busy for longer than its launches take, and its whole work
# space near 256 MiB. Beyond 32 images nothing is gained, and a few images of a small size would
# be filled up with more zeros than they are worth.
_BATCH_BYTES = 2**26
_MOST_IMAGES = 32

# As in cosine_filter.cu: threads of a block, rows of a thread, images of a thread.
_BLOCK = (32, 8)
_ROWS = 4
_IMAGES = 8

# Work area of a plan in transforms: cuFFT's manual says 1 to 8, the least for fast lengths.
_WORK_AREA_FAST, _WORK_AREA_SLOW = 1, 8

_AXES = (1, 2)


class CosineProduct:
    """Continues images, multiplies their cosine coefficients, and cuts them out again.

    Images pass in batches of a fixed number, the last one filled up with zeros. So a pair of
    plans is all that cuFFT needs, and an image meets the same plan, and gives the same bits,
    however the angles are cut into blocks.

    Parameters
    ----------
    xp : module
        ``cupy``.
    extents : tuple of Extent
        How rows and columns are continued.
    factors : tuple of ndarray of float64, (3, N + 1)
        Of rows and columns: see :func:`hipct.phase.response.axis_factors`.
    level : float
        What the products of the numerator are taken from (1 without an unsharp mask).
    padding : {"mirror", "edge"}
        By what the images are continued.

    Notes
    -----
    CuPy's own cache keeps plans, and their work areas, for every thread that has ever made a
    transform. Here a call takes a pair that lies idle, or makes one, and hands it back when the
    device is done: there are as many as calls at the same time, and they go with the filter.
    """

    def __init__(
        self,
        xp: ModuleType,
        extents: tuple[Extent, Extent],
        factors: tuple[NDArray[np.float64], NDArray[np.float64]],
        *,
        level: float,
        padding: Padding,
    ) -> None:
        self._xp, self._fft = xp, fft_module(xp)
        rows, columns = extents
        self._shape = rows.total, columns.total
        self._inner = rows.size, columns.size
        self._batch = batch_images(*self._shape)
        # The denominator takes along the transforms' scale and the halves of the kernel's sums.
        scale = np.array([2.0 * rows.total * columns.total, 1, 1])[:, None]
        self._factors = {
            f"{name}_factors": xp.asarray(
                np.concatenate([scale * of_axis, turning_factors(extent.total)], dtype=np.float32)
            )
            for name, extent, of_axis in zip(("row", "column"), extents, factors)
        }
        self._level = level
        self._mirror = int(padding == "mirror")
        self._sizes = {
            "image_rows": rows.size,
            "image_columns": columns.size,
            "batch": self._batch,
            "rows": rows.total,
            "columns": columns.total,
            "rows_before": rows.before,
            "columns_before": columns.before,
        }
        self._idle: list[tuple[Any, Any]] = []

    def apply(self, block: Array, out: Array) -> NDArray[np.float32]:
        """Filter images.

        Parameters
        ----------
        block : cupy.ndarray, (angles, rows, columns)
            Images of any real type.
        out : cupy.ndarray of float32, (angles, rows, columns)
            Where the result goes; may be ``block`` itself.

        Returns
        -------
        ndarray of float32, (angles,)
            Sum of each continued image, on the host: not finite where a pixel is not. The one
            thing that is fetched from the device.
        """
        xp = self._xp
        sums = xp.empty(len(block), np.float32)
        with borrowed(self._idle, self._new_plans) as plans:
            for first in range(0, len(block), self._batch):
                part = slice(first, first + self._batch)
                images, target = xp.ascontiguousarray(block[part], dtype=np.float32), out[part]
                contiguous = target.flags.c_contiguous
                result = target if contiguous else xp.empty(target.shape, np.float32)
                self._filter_batch(images, result, sums, first, plans)
                if not contiguous:
                    target[...] = result
            # The fetch waits for the device, so that nothing uses the plans any longer.
            fetched: NDArray[np.float32] = xp.asnumpy(sums)
        return fetched

    def work_bytes(self) -> int:
        """Device memory that a call needs beside its images and its result.

        A batch as reals and as spectra, and the work areas of two plans.
        """
        rows, columns = self._shape
        real, spectra = 4 * rows * columns, 8 * rows * (columns // 2 + 1)
        slow = max(largest_prime(rows), largest_prime(columns)) > LARGEST_DEVICE_PRIME
        work_areas = 2 * spectra * (_WORK_AREA_SLOW if slow else _WORK_AREA_FAST)
        return self._batch * (real + spectra + work_areas)

    def _filter_batch(
        self, images: Array, result: Array, sums: Array, first: int, plans: tuple[Any, Any]
    ) -> None:
        xp, fft, (rows, columns) = self._xp, self._fft, self._shape
        arranged = xp.empty((self._batch, rows, columns), np.float32)
        load(xp, "cosine_filter", "cosine_arrange")(
            _grid(columns, rows, _ROWS, self._batch),
            _BLOCK,
            images=images,
            arranged=arranged,
            count=len(images),
            mirror=self._mirror,
            **self._sizes,
        )
        spectrum = fft.rfft2(arranged, axes=_AXES, plan=plans[0])
        del arranged  # the transform back takes its place
        load(xp, "cosine_filter", "cosine_multiply")(
            _grid(columns // 2 + 1, rows // 2 + 1, 1, -(-self._batch // _IMAGES)),
            _BLOCK,
            spectrum=spectrum,
            sums=sums,
            batch=self._batch,
            rows=rows,
            columns=columns,
            angles=len(sums),
            first_angle=first,
            level=self._level,
            **self._factors,
        )
        # "forward" saves the transform back a pass for its scale, which the factors have.
        arranged = fft.irfft2(
            spectrum, self._shape, axes=_AXES, norm="forward", overwrite_x=True, plan=plans[1]
        )
        load(xp, "cosine_filter", "cosine_restore")(
            _grid(self._inner[1], self._inner[0], _ROWS, len(images)),
            _BLOCK,
            arranged=arranged,
            images=result,
            count=len(images),
            **self._sizes,
        )

    def _new_plans(self) -> tuple[Any, Any]:
        xp, fft, (rows, columns) = self._xp, self._fft, self._shape
        if min(rows, columns) == 1:
            # To CuPy such an array may be in Fortran's order, for which it has no such plans; it
            # makes others of its own.
            return None, None
        reals = xp.empty((self._batch, rows, columns), np.float32)
        forward = fft.get_fft_plan(reals, axes=_AXES, value_type="R2C")
        del reals
        spectra = xp.empty((self._batch, rows, columns // 2 + 1), np.complex64)
        return forward, fft.get_fft_plan(spectra, self._shape, axes=_AXES, value_type="C2R")


def batch_images(rows: int, columns: int) -> int:
    """Images of a batch, from the size of the transform."""
    return max(1, min(_MOST_IMAGES, _BATCH_BYTES // (4 * rows * columns)))


def _grid(columns: int, rows: int, rows_a_thread: int, layers: int) -> tuple[int, int, int]:
    across, down = _BLOCK
    return -(-columns // across), -(-rows // (down * rows_a_thread)), layers
