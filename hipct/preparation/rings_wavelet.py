"""Fourier-wavelet ring removal.

Muench, Trtik, Marone & Stampanoni, "Stripe and ring artifact removal with combined
wavelet-Fourier filtering", Optics Express 17 (2009) 8567: the sinogram is decomposed by wavelets;
in every band of vertical detail (high-pass across columns, low-pass along angles) the frequencies
k along the angle are damped by ``1 - exp(-k^2 / (2 sigma^2))``; the sinogram is put together again.

The filter is linear, and what it takes away has few frequencies: of every band only the Fourier
vectors with ``exp(-k^2 / (2 sigma^2))`` above rounding, 13 for sigma 1. Carried through the
low-pass transforms along the angle once, they become two thin matrices, and a sinogram S costs two
products with them: ``S - sum_l U_l W_l(P_l S)``, W_l being the transform of 13 rows across columns.
Same numbers as the full transform, 30 times faster; compiled loops need still fewer vectors
(:mod:`hipct.preparation.rings_wavelet_thin`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError
from hipct.core.jit import has_numba
from hipct.core.threads import parallel_for, thread_count
from hipct.preparation.checks import floating, output, three_axes
from hipct.preparation.wavelets import (
    HIGHEST_ORDER,
    analysis,
    analysis_adjoint,
    coefficients,
    synthesis,
    synthesis_filter,
)

if TYPE_CHECKING:
    from hipct.preparation.rings_wavelet_thin import ThinPlan

LEVELS = 5
SIGMA = 1.0
ORDER = 9
SMALLEST_BAND = 16
LARGEST_PADDING = 150


def remove_rings_wavelet(
    sinograms: Array,
    *,
    levels: int = LEVELS,
    sigma: float = SIGMA,
    order: int = ORDER,
    out: Array | None = None,
) -> Array:
    """Remove rings from sinograms by Fourier-wavelet filtering.

    The sinogram is continued by a tenth of its shorter side (at most 150): across columns by its
    edges, along the angle by the mean of each column, so that an object that differs between the
    first and the last angle leaves no frequencies of its own.

    Beyond input and output it needs what :func:`wavelet_memory_bytes` says. On a device float32
    goes through kernels, many slices at a time; float64 through the plain code.

    Parameters
    ----------
    sinograms : array, shape (slices, angles, columns)
        Line integrals or transmission; finite. Integers become float32.
    levels : int
        Wavelet levels, 1 or more; stripes up to about ``2**levels`` columns wide go. Where bands
        would get shorter than 16 samples, fewer levels are used.
    sigma : float
        Damped frequencies along the angle, in periods per (continued) sinogram: larger takes
        shorter pieces of stripes, and more of the object.
    order : int
        Vanishing moments of the Daubechies wavelet, 1 to 15.
    out : array, shape of the sinograms, their dtype, optional
        May be the sinograms themselves.

    Returns
    -------
    array, shape (slices, angles, columns), float32 (float64 from float64)

    Raises
    ------
    InputError
        If shape, dtype or a parameter is wrong, or a value is not finite.
    """
    sinograms = floating(three_axes(sinograms, "sinograms", "slices, angles, columns"))
    if levels < 1:
        raise InputError(f"levels is {levels}; one level or more is needed.")
    if not 0 < sigma < np.inf:
        raise InputError(f"sigma is {sigma}; it has to be above 0.")
    if not 1 <= order <= HIGHEST_ORDER:
        raise InputError(f"order is {order}; Daubechies wavelets 1 to {HIGHEST_ORDER} are known.")
    xp = namespace(sinograms)
    out = output(out, sinograms.shape, sinograms.dtype, sinograms)
    _, angles, columns = sinograms.shape
    shape, single = (angles, columns), sinograms.dtype == np.float32
    if xp is np and has_numba() and single:
        from hipct.preparation.rings_wavelet_thin import thin_plan

        finite = _threaded(sinograms, thin_plan(shape, levels, float(sigma), order), out)
    else:
        plan = wavelet_plan(shape, levels, float(sigma), order, sinograms.dtype.name)
        finite = (_on_device if xp is not np and single else _plain)(sinograms, plan, out)
    if not finite:
        raise InputError(
            "sinograms hold NaN or infinite values, which would spread over whole slices; mend "
            "the projections first (FlatField.apply and line_integral leave only finite values)."
        )
    return out


def _plain(sinograms: Array, plan: WaveletPlan, out: Array) -> bool:
    xp = namespace(sinograms)
    finite = bool(xp.isfinite(sinograms).all())
    project, restore = xp.asarray(plan.project), xp.asarray(plan.restore)
    for sinogram, target in zip(sinograms if finite else (), out):
        kept = _across(xp.matmul(project, sinogram), plan)
        xp.subtract(sinogram, xp.matmul(restore, kept), out=target)
    return finite


def _threaded(sinograms: NDArray[np.float32], plan: ThinPlan, out: NDArray[np.float32]) -> bool:
    """A slice for each thread, which finds it in its cache for the second product.

    What slices are left over after that, all threads share, by strips of columns.
    """
    from hipct.preparation.rings_wavelet_numba import (
        STRIP,
        keep_detail,
        project_columns,
        subtract_stripes,
    )

    slices, _, columns = sinograms.shape
    if sinograms.strides[2] != sinograms.itemsize:
        sinograms = np.ascontiguousarray(sinograms)
    target = out if out.strides[2] == out.itemsize else np.empty_like(sinograms)
    strips = -(-columns // STRIP)
    finite: list[bool] = []

    def clean(place: int) -> None:
        found = np.empty((columns, plan.into.shape[1]), np.float32)

        def project(start: int, stop: int) -> None:
            first, last = start * STRIP, min(stop * STRIP, columns)
            project_columns(plan.into, sinograms[place], first, last, found)

        def subtract(start: int, stop: int) -> None:
            first, last = start * STRIP, min(stop * STRIP, columns)
            subtract_stripes(plan.back, kept, sinograms[place], first, last, target[place])

        parallel_for(project, strips)
        finite.append(bool(np.isfinite(found).all()))
        if finite[-1]:
            kept = keep_detail(
                found, plan.mixes, plan.widths, plan.sources, plan.padding, plan.low, plan.high
            )
            parallel_for(subtract, strips)

    def clean_some(start: int, stop: int) -> None:
        for place in range(start, stop):
            clean(place)

    shared = slices % thread_count()
    parallel_for(clean_some, slices - shared)
    for place in range(slices - shared, slices):
        clean(place)
    if target is not out:
        out[...] = target
    return all(finite)


def _on_device(sinograms: Array, plan: WaveletPlan, out: Array) -> bool:
    from hipct.preparation.rings_wavelet_cuda import subtract_stripes

    xp = namespace(sinograms)
    target = out if out.flags.c_contiguous else xp.empty(out.shape, out.dtype)
    finite = subtract_stripes(xp.ascontiguousarray(sinograms), plan, target)
    if target is not out:
        out[...] = target
    return finite


@dataclass(frozen=True, eq=False)
class WaveletPlan:
    """Geometry of one size of sinogram.

    ``project`` (vectors, angles) takes the damped frequencies of all bands out of a sinogram,
    ``restore`` (angles, vectors) puts them back to angles. ``parts`` says which vectors belong to
    a level, ``widths`` how long a row is on its way across the columns, from the sinogram's with
    its padding down to the deepest band.
    """

    project: NDArray[Any]
    restore: NDArray[Any]
    parts: tuple[slice, ...]
    widths: tuple[int, ...]
    padding: int
    order: int

    @property
    def filters(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Filters of the synthesis, low-pass and high-pass, for the inner loops."""
        low, high = (synthesis_filter(self.order, high=high) for high in (False, True))
        return low.astype(np.float32), high.astype(np.float32)


def _across(found: Array, plan: WaveletPlan) -> Array:
    """Keep of the rows of each level what its high-pass band across columns holds."""
    xp = namespace(found)
    columns = found.shape[1]
    kept = xp.empty_like(found)
    pad = plan.padding
    for level, part in enumerate(plan.parts):
        band = xp.pad(found[part], ((0, 0), (pad, pad)), mode="edge")
        for _ in range(level):
            band = analysis(band, plan.order, high=False)
        detail = analysis(band, plan.order, high=True)
        band = synthesis(detail, plan.widths[level], plan.order, high=True)
        for width in reversed(plan.widths[:level]):
            band = synthesis(band, width, plan.order, high=False)
        kept[part] = band[:, pad : pad + columns]
    return kept


def wavelet_memory_bytes(
    slices: int,
    angles: int,
    columns: int,
    levels: int = LEVELS,
    sigma: float = SIGMA,
    *,
    on_device: bool = False,
) -> int:
    """Bytes that :func:`remove_rings_wavelet` takes beside input and output, float32.

    The damped frequencies are ``levels (12 sigma + 1)`` vectors. On the host each thread takes
    fewer rows of a sinogram than six times that (without numba twice as many and a sinogram,
    once); on a device as many for each block of 512 angles and three times more, of as many slices
    as fit :data:`hipct.preparation.rings_wavelet_cuda.WORK_BYTES`, one at least. The plan takes as
    many columns twice, or in float64, which has half as many again, six times. Arrays that are not
    C-contiguous are copied on a device.
    """
    _, levels = _extent((angles, columns), levels)
    host = has_numba() and not on_device
    smallest = float(np.finfo(np.float64 if host else np.float32).eps)
    vectors = levels * (2 * _highest_frequency(sigma, smallest) + 1)
    columns_once, rows = 4 * vectors * angles, 4 * vectors * columns
    if on_device:
        from hipct.preparation.rings_wavelet_cuda import work_bytes

        return 2 * columns_once + work_bytes(slices, angles, columns, vectors)
    if has_numba():
        return 12 * columns_once + min(slices, thread_count()) * 6 * rows
    return 2 * columns_once + 2 * rows + 4 * angles * columns


@lru_cache(maxsize=4)
def wavelet_plan(
    shape: tuple[int, int], levels: int, sigma: float, order: int, dtype: str
) -> WaveletPlan:
    """Plan for sinograms of a shape (angles, columns)."""
    angles, columns = shape
    padding, levels = _extent(shape, levels)
    heights, widths = [angles + 2 * padding], [columns + 2 * padding]
    smallest_weight = float(np.finfo(dtype).eps)
    along_in: list[NDArray[Any]] = []
    along_out: list[NDArray[Any]] = []
    parts: list[slice] = []
    vectors = 0
    for _ in range(levels):
        heights.append(coefficients(heights[-1], order))
        widths.append(coefficients(widths[-1], order))
        waves, weights = _damped_waves(heights[-1], sigma, smallest_weight)
        project, restore = waves, waves * weights[:, None]
        for height in reversed(heights[:-1]):
            project = analysis_adjoint(project, height, order)
            restore = synthesis(restore, height, order, high=False)
        inner = project[:, padding : padding + angles]
        outer = project.sum(axis=1) - inner.sum(axis=1)
        along_in.append(inner + outer[:, None] / angles)
        along_out.append(restore[:, padding : padding + angles])
        parts.append(slice(vectors, vectors + len(waves)))
        vectors += len(waves)
    return WaveletPlan(
        np.ascontiguousarray(np.concatenate(along_in), dtype),
        np.ascontiguousarray(np.concatenate(along_out).T, dtype),
        tuple(parts),
        tuple(widths),
        padding,
        order,
    )


def _extent(shape: tuple[int, int], levels: int) -> tuple[int, int]:
    """Padding of a sinogram, and the levels that it bears."""
    padding = min(LARGEST_PADDING, min(shape) // 10)
    shorter = min(shape) + 2 * padding
    return padding, min(levels, int(np.log2(max(shorter / SMALLEST_BAND, 2))))


def _highest_frequency(sigma: float, smallest: float) -> int:
    """First frequency whose weight is below ``smallest``."""
    return int(sigma * np.sqrt(-2 * np.log(smallest))) + 1


def _damped_waves(
    samples: int, sigma: float, smallest: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Orthonormal Fourier vectors (vectors, samples) and the share of each that is taken away."""
    highest = min(_highest_frequency(sigma, smallest), samples // 2)
    angle = 2 * np.pi / samples * np.arange(samples)
    waves, frequencies = [np.full(samples, 1 / np.sqrt(samples))], [0]
    for k in range(1, highest + 1):
        if 2 * k == samples:
            waves.append(np.cos(k * angle) / np.sqrt(samples))
            frequencies.append(k)
        else:
            waves += [np.cos(k * angle), np.sin(k * angle)]
            waves[-2] *= np.sqrt(2 / samples)
            waves[-1] *= np.sqrt(2 / samples)
            frequencies += [k, k]
    weights = np.exp(-(np.array(frequencies) ** 2) / (2 * sigma**2))
    return np.stack(waves), weights
