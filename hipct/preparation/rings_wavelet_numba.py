# ruff: noqa: ARG001 - an intrinsic takes its types by the names of its parameters
"""Inner loops of the Fourier-wavelet ring removal: two products with thin matrices, and wavelets.

A library's product would do, but brings its own threads, which stand in each other's way when
several slabs are in work; and it needs one more sinogram for the stripes. Here the sums of eight
vectors by 16 columns stay in registers while one factor streams by; what a sinogram's column has
in common with all vectors is read from memory once. The wavelet transform goes across the columns
with the vectors innermost: it has no even and odd samples to part, only runs to add.
"""
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from hipct.core.simd_numba import (
    CONTRACT,
    address,
    every,
    llvm_vector,
    load,
    load_at,
    multiply_add,
    splat,
    store,
    store_at,
)
from hipct.preparation.rings_wavelet_thin import TILE

STRIP = 16
"""Columns at a time: a cache line."""

CHUNK = 128
"""Angles of a partial sum, which keeps rounding small and a strip in the first cache."""

_STRIP = (0,) * STRIP
_TILE = (0,) * TILE


@intrinsic
def _product(
    typing: Any,
    like: Any,
    left: Any,
    first: Any,
    pitch: Any,
    right: Any,
    start: Any,
    step: Any,
    count: Any,
    sign: Any,
    base: Any,
    origin: Any,
    apart: Any,
    target: Any,
    place: Any,
    stride: Any,
) -> Any:
    """Tile of a product of matrices, added to a tile with a sign.

    ``target[place + i stride + c] = base[origin + i apart + c] + sign sum_k left[first + k pitch
    + i] right[start + k step + c]`` for i below ``TILE`` and c below the length of ``like``.
    """
    width = like.count

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, a, first, pitch, b, start, step, count, sign, x, origin, apart, y, place, stride = (
            arguments
        )
        pointers = [
            address(context, builder, signature.args[which], array)
            for which, array in ((1, a), (4, b), (9, x), (12, y))
        ]
        zero = ir.Constant(llvm_vector(width), [0.0] * width)
        sums = [cgutils.alloca_once_value(builder, zero) for _ in range(TILE)]
        with cgutils.for_range(builder, count) as loop:
            shares = builder.add(first, builder.mul(loop.index, pitch))
            row = load_at(
                builder, pointers[1], builder.add(start, builder.mul(loop.index, step)), width
            )
            for i, total in enumerate(sums):
                index = builder.add(shares, ir.Constant(shares.type, i))
                share = splat(builder, builder.load(builder.gep(pointers[0], [index])), width)
                product = builder.fmul(share, row, flags=CONTRACT)
                builder.store(builder.fadd(builder.load(total), product, flags=CONTRACT), total)
        factor = splat(builder, sign, width)
        for total in sums:
            product = builder.fmul(factor, builder.load(total), flags=CONTRACT)
            kept = load_at(builder, pointers[2], origin, width)
            store_at(builder, pointers[3], place, builder.fadd(kept, product, flags=CONTRACT))
            origin, place = builder.add(origin, apart), builder.add(place, stride)
        return context.get_dummy_value()

    n, f = types.intp, types.float32
    return types.void(like, left, n, n, right, n, n, n, f, base, n, n, target, n, n), build


@njit(cache=True, nogil=True)
def project_columns(
    vectors: Any, sinogram: Any, first: int, last: int, found: Any
) -> None:  # pragma: no cover - compiled
    """``found = sinogram.T @ vectors`` for columns ``first .. last``.

    ``vectors`` (angles, vectors) and ``found`` (columns, vectors); rows of the sinogram are
    contiguous.
    """
    angles, count = vectors.shape
    pitch = sinogram.strides[0] // 4
    sums = np.empty(count * STRIP, np.float32)
    edge = np.zeros((CHUNK, STRIP), np.float32)
    for left in range(first, last, STRIP):
        width = min(STRIP, last - left)
        sums[:] = np.float32(0)
        for angle in range(0, angles, CHUNK):
            rows = min(CHUNK, angles - angle)
            if width < STRIP:
                edge[:rows, :width] = sinogram[angle : angle + rows, left : left + width]
            for v in range(0, count, TILE):
                if width < STRIP:
                    _product(
                        _STRIP, vectors, angle * count + v, count, edge, 0, STRIP, rows,
                        np.float32(1), sums, v * STRIP, STRIP, sums, v * STRIP, STRIP,
                    )  # fmt: skip
                else:
                    _product(
                        _STRIP, vectors, angle * count + v, count, sinogram,
                        angle * pitch + left, pitch, rows,
                        np.float32(1), sums, v * STRIP, STRIP, sums, v * STRIP, STRIP,
                    )  # fmt: skip
        for c in range(width):
            for v in range(count):
                found[left + c, v] = sums[v * STRIP + c]


@njit(cache=True, nogil=True)
def subtract_stripes(
    vectors: Any, kept: Any, sinogram: Any, first: int, last: int, out: Any
) -> None:  # pragma: no cover - compiled
    """``out = sinogram - vectors.T @ kept.T`` for columns ``first .. last``.

    ``vectors`` (vectors, angles) and ``kept`` (columns, vectors); rows of both sinograms are
    contiguous. The angles are a multiple of ``TILE``, but for those of the sinograms.
    """
    count, pitch = vectors.shape
    angles = len(sinogram)
    pitches = sinogram.strides[0] // 4, out.strides[0] // 4
    stripes = np.zeros(count * STRIP, np.float32)
    edge = np.zeros((TILE, STRIP), np.float32)
    for left in range(first, last, STRIP):
        width = min(STRIP, last - left)
        for c in range(width):
            for v in range(count):
                stripes[v * STRIP + c] = kept[left + c, v]
        for angle in range(0, angles, TILE):
            rows = min(TILE, angles - angle)
            if width < STRIP or rows < TILE:
                edge[:rows, :width] = sinogram[angle : angle + rows, left : left + width]
                _product(
                    _STRIP, vectors, angle, pitch, stripes, 0, STRIP, count,
                    np.float32(-1), edge, 0, STRIP, edge, 0, STRIP,
                )  # fmt: skip
                out[angle : angle + rows, left : left + width] = edge[:rows, :width]
            else:
                _product(
                    _STRIP, vectors, angle, pitch, stripes, 0, STRIP, count,
                    np.float32(-1), sinogram, angle * pitches[0] + left, pitches[0],
                    out, angle * pitches[1] + left, pitches[1],
                )  # fmt: skip


@njit(cache=True, nogil=True)
def keep_detail(
    found: Any, mixes: Any, widths: Any, sources: Any, padding: int, low: Any, high: Any
) -> Any:  # pragma: no cover - compiled
    """Rows (columns, inner) to what the detail bands of all levels hold, (columns, outer).

    For the parameters see :class:`hipct.preparation.rings_wavelet_thin.ThinPlan`.
    """
    columns = len(found)
    levels, _, outer = mixes.shape
    starts = np.zeros(levels + 1, np.int64)
    for level in range(levels):
        starts[level + 1] = starts[level] + widths[level + 1]
    details = np.zeros((starts[levels], outer), np.float32)
    row = found
    for level in range(levels):
        count = widths[level + 1]
        near = sources[level]
        detail = _analysed(row, near, count, high)
        _mixed(detail, mixes[level], details[starts[level] : starts[level + 1]])
        if level < levels - 1:
            row = _analysed(row, near, count, low)
    band = np.zeros((widths[levels], outer), np.float32)
    for level in range(levels - 1, -1, -1):
        detail = details[starts[level] : starts[level + 1]]
        band = _synthesised(band, detail, widths[level], low, high)
    return band[padding : padding + columns]


@njit(cache=True, nogil=True)
def _analysed(row: Any, near: Any, count: int, taps: Any) -> Any:  # pragma: no cover - compiled
    """Coefficients of rows (samples, vectors); ``near`` continues them at both ends."""
    vectors = row.shape[1]
    band = np.empty((count, vectors), np.float32)
    for i in range(count):
        for v in range(0, vectors, TILE):
            total = every(np.float32(0), _TILE)
            for j in range(len(taps)):
                here = load(row, near[2 * i + j] * vectors + v, _TILE)
                total = multiply_add(here, every(taps[j], _TILE), total)
            store(band, i * vectors + v, total)
    return band


@njit(cache=True, nogil=True)
def _synthesised(
    band: Any, detail: Any, samples: int, low: Any, high: Any
) -> Any:  # pragma: no cover - compiled
    """Samples that both bands spread to."""
    taps, vectors = len(low), band.shape[1]
    row = np.empty((samples, vectors), np.float32)
    for sample in range(samples):
        place = sample + taps - 2
        for v in range(0, vectors, TILE):
            total = every(np.float32(0), _TILE)
            for j in range(place % 2, taps, 2):
                i = ((place - j) // 2) * vectors + v
                total = multiply_add(load(band, i, _TILE), every(low[j], _TILE), total)
                total = multiply_add(load(detail, i, _TILE), every(high[j], _TILE), total)
            store(row, sample * vectors + v, total)
    return row


@njit(cache=True, nogil=True)
def _mixed(band: Any, mix: Any, mixed: Any) -> None:  # pragma: no cover - compiled
    """``band @ mix`` for rows (samples, inner), into (samples, outer)."""
    inner, outer = mix.shape
    for i in range(len(band)):
        for v in range(0, outer, TILE):
            total = every(np.float32(0), _TILE)
            for k in range(inner):
                share = every(band[i, k], _TILE)
                total = multiply_add(load(mix, k * outer + v, _TILE), share, total)
            store(mixed, i * outer + v, total)
