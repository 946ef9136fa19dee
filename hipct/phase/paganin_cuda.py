"""Products of cosine coefficients on a device: three kernels around cuFFT's real transforms.

Images pass in batches of a fixed number, the last one filled up with zeros. So cuFFT works with
one pair of plans, which CuPy keeps for the thread and the device, and an image meets the same
plan, and gives the same bits, however the angles are cut into blocks.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from hipct.core.arrays import Array, fft_module, namespace
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


def batch_images(rows: int, columns: int) -> int:
    """Images of a batch, from the size of the transform."""
    return max(1, min(_MOST_IMAGES, _BATCH_BYTES // (4 * rows * columns)))


def work_bytes(rows: int, columns: int) -> int:
    """Device memory that :func:`filter_images` needs beside its images and its result.

    A batch as reals and as spectra, and the work areas of the two plans (which live as long as
    CuPy keeps the plans).
    """
    batch = batch_images(rows, columns)
    real, spectra = 4 * batch * rows * columns, 8 * batch * rows * (columns // 2 + 1)
    slow = max(largest_prime(rows), largest_prime(columns)) > LARGEST_DEVICE_PRIME
    return real + spectra + 2 * spectra * (_WORK_AREA_SLOW if slow else _WORK_AREA_FAST)


def kernel_factors(
    xp: ModuleType, rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> tuple[Array, Array]:
    """Factors of both axes as the kernel takes them: (5, N + 1) float32 on the device.

    Parameters
    ----------
    xp : module
        ``cupy``.
    rows, columns : ndarray of float64, (3, N + 1)
        See :func:`hipct.phase.response.axis_factors`.
    """
    # The denominator takes along the scale of the transforms and the halves of the kernel's sums.
    scale = 2.0 * (rows.shape[1] - 1) * (columns.shape[1] - 1)
    uploaded = []
    for factors in (rows, columns):
        table = np.concatenate([factors, turning_factors(factors.shape[1] - 1)])
        table[0] *= scale
        uploaded.append(xp.asarray(table.astype(np.float32)))
    return uploaded[0], uploaded[1]


def filter_images(
    block: Array,
    out: Array,
    factors: tuple[Array, Array],
    level: float,
    *,
    rows: Extent,
    columns: Extent,
    padding: Padding,
) -> NDArray[np.float32]:
    """Multiply the cosine coefficients of continued images, and cut them out again.

    Parameters
    ----------
    block : cupy.ndarray, (angles, rows, columns)
        Images of any real type.
    out : cupy.ndarray of float32, (angles, rows, columns)
        Where the result goes; may be ``block`` itself.
    factors : tuple of cupy.ndarray
        From :func:`kernel_factors`, for the continued axes.
    level : float
        What the products of the numerator are taken from (1 without an unsharp mask).
    rows, columns : Extent
        How the axes are continued.
    padding : {"mirror", "edge"}
        By what.

    Returns
    -------
    ndarray of float32, (angles,)
        Sum of each continued image, on the host: not finite where a pixel is not. The one thing
        that is fetched from the device.
    """
    xp = namespace(factors[0])
    fft = fft_module(xp)
    shape = rows.total, columns.total
    batch = batch_images(*shape)
    arrange = load(xp, "cosine_filter", "cosine_arrange")
    multiply = load(xp, "cosine_filter", "cosine_multiply")
    restore = load(xp, "cosine_filter", "cosine_restore")
    sizes = {"image_rows": rows.size, "image_columns": columns.size}
    sizes |= {"batch": batch, "rows": shape[0], "columns": shape[1]}
    before = {"rows_before": rows.before, "columns_before": columns.before}
    sums = xp.empty(len(block), xp.float32)
    for start in range(0, len(block), batch):
        images = xp.ascontiguousarray(block[start : start + batch], dtype=xp.float32)
        arranged = xp.empty((batch, *shape), xp.float32)
        arrange(
            _grid(shape[1], shape[0], _ROWS, batch),
            _BLOCK,
            images=images,
            arranged=arranged,
            count=len(images),
            mirror=int(padding == "mirror"),
            **sizes,
            **before,
        )
        spectrum = fft.rfft2(arranged, axes=(1, 2))
        del arranged  # the transform back takes its place
        multiply(
            _grid(shape[1] // 2 + 1, shape[0] // 2 + 1, 1, -(-batch // _IMAGES)),
            _BLOCK,
            spectrum=spectrum,
            row_factors=factors[0],
            column_factors=factors[1],
            sums=sums,
            batch=batch,
            rows=shape[0],
            columns=shape[1],
            angles=len(block),
            first_angle=start,
            level=level,
        )
        # "forward" saves the transform back a pass for its scale, which the factors have.
        arranged = fft.irfft2(spectrum, shape, axes=(1, 2), norm="forward", overwrite_x=True)
        target = out[start : start + batch]
        result = target if target.flags.c_contiguous else xp.empty(target.shape, xp.float32)
        restore(
            _grid(columns.size, rows.size, _ROWS, len(images)),
            _BLOCK,
            arranged=arranged,
            images=result,
            count=len(images),
            **sizes,
            **before,
        )
        if result is not target:
            target[...] = result
    return xp.asnumpy(sums)  # type: ignore[no-any-return]


def _grid(columns: int, rows: int, rows_a_thread: int, layers: int) -> tuple[int, int, int]:
    across, down = _BLOCK
    return -(-columns // across), -(-rows // (down * rows_a_thread)), layers
