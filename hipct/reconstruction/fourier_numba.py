"""The passes of the Fourier engine around its transforms, each fused with what stands beside it.

Slices are innermost, real parts of all slices before their imaginary parts
(:mod:`hipct.core.fft_numba`). A row of real samples is, in that order, the row of half as
many complex ones that the transform of real data is made of: it needs no packing.

Whatever slices a call has, a vector is full: lanes beyond them hold zeros.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from hipct.core.fft_numba import transform
from hipct.core.simd_numba import (
    add,
    every,
    load,
    multiply,
    multiply_add,
    prefetch,
    store,
    subtract,
    transpose,
)
from hipct.reconstruction.gridding import BEFORE

_LINE = 16
"""Floats of a cache line."""


@njit(cache=True, nogil=True)
def pad_row(like, sinograms, first, pitch, slices, source, lateral, out):  # type: ignore[no-untyped-def]
    """out[j, s] = sinograms[first + s * pitch + source[j]] * lateral[j]: a row of ``Geometry.pad``.

    ``sinograms`` is flat, ``first`` the first sample of the row in the first slice.
    """
    lanes = len(like)
    j = 0
    while j < source.size:
        run = 1
        most = min(lanes, source.size - j)
        while run < most and source[j + run] == source[j] + run:
            run += 1
        place = first + source[j]
        if run == lanes and slices == lanes:
            transpose(like, sinograms, place, pitch, out, j * lanes, lanes)
        else:
            for s in range(slices):
                for i in range(run):
                    out[(j + i) * lanes + s] = sinograms[place + s * pitch + i]
        for k in range(j, j + run):
            if lateral[k] != 1.0:
                value = load(out, k * lanes, like)
                store(out, k * lanes, multiply(every(lateral[k], like), value))
        j += run
        # Beyond its edges a row is constant, but for its weight.
        while j < source.size and source[j] == source[j - 1]:
            for s in range(slices):
                out[j * lanes + s] = sinograms[first + s * pitch + source[j]] * lateral[j]
            value = load(out, j * lanes, like)
            j += 1
            while j < source.size and source[j] == source[j - 1] and lateral[j] == lateral[j - 1]:
                store(out, j * lanes, value)
                j += 1


@njit(cache=True, nogil=True)
def rows_to_lines(  # type: ignore[no-untyped-def]
    like, sinograms, starts, pitch, slices, source, lateral, response, weight, shift, turned, turns,
    plan, factors, work, other, out,
):  # fmt: skip
    """Pad, transform and filter rows; whether all of them were finite.

    What ``GridPlan.factors`` times the spectra is, conjugated for lines that were turned.

    Parameters
    ----------
    sinograms : float32
        Flat; row k begins at ``starts[k]``, the same row of the next slice ``pitch`` further.
    response : float32 (samples,)
        Half the filter.
    weight, shift, turned : (lines,)
        Angular weight, phase ramp in turns per sample, and whether the line was turned.
    turns : complex64 (half of half the samples,)
        exp(-2 pi i m / length).
    plan, factors, work, other
        Of half the length of a padded row: see :func:`hipct.core.fft_numba.transform`.
        In ``other`` lanes beyond the slices have to be finite.
    out : float32 (lines * samples * 2 * lanes,)
    """
    lanes = len(like)
    width = 2 * lanes
    half = source.size // 2
    last = source.max()
    finite = True
    zero = np.intp(0)  # no constant, for which the transform would be compiled a second time
    for k in range(starts.size):
        pad_row(like, sinograms, starts[k], pitch, slices, source, lateral, other)
        row = transform(like, other, zero, width, zero, half, plan, factors, work, other)
        target = k * (half + 1) * width
        sign = every(np.float32(-1.0 if turned[k] else 1.0), like)
        step = np.exp(2j * np.pi * shift[k])
        low, high = weight[k] + 0j, weight[k] * np.exp(2j * np.pi * shift[k] * half)
        ahead, column, left = starts[min(k + 1, starts.size - 1)], 0, slices
        for m in range(half // 2 + 1):
            # The next row is on its way while this one is filtered.
            for _ in range(2):
                if left > 0:
                    prefetch(sinograms, ahead + column)
                    column += _LINE
                    if column > last:
                        ahead, column, left = ahead + pitch, 0, left - 1
            # Samples m and half - m come from the same two of the packed row.
            n = half - m
            a, b = m * width, (n % half) * width
            a_re, a_im = load(row, a, like), load(row, a + lanes, like)
            b_re, b_im = load(row, b, like), load(row, b + lanes, like)
            e_re, e_im = add(a_re, b_re), subtract(a_im, b_im)
            o_re, o_im = add(a_im, b_im), subtract(b_re, a_re)
            w_re, w_im = every(turns[m].real, like), every(turns[m].imag, like)
            t_re = subtract(multiply(w_re, o_re), multiply(w_im, o_im))
            t_im = multiply_add(w_re, o_im, multiply(w_im, o_re))
            _put(like, out, target + a, add(e_re, t_re), add(e_im, t_im), response[m], low, sign)
            _put(
                like, out, target + n * width, subtract(e_re, t_re), subtract(t_im, e_im),
                response[n], high, sign,
            )  # fmt: skip
            low *= step
            high *= np.conj(step)
        for s in range(slices):
            finite = finite and np.isfinite(out[target + s])
    return finite


@njit(cache=True, nogil=True, inline="always")
def _put(like, out, index, re, im, response, ramp, sign):  # type: ignore[no-untyped-def]
    """Store a sample times response and ramp, its imaginary part times a sign."""
    c = every(np.float32(response * ramp.real), like)
    s = every(np.float32(response * ramp.imag), like)
    store(out, index, subtract(multiply(re, c), multiply(im, s)))
    store(out, index + len(like), multiply(sign, multiply_add(re, s, multiply(im, c))))


@njit(cache=True, nogil=True)
def columns_to_rows(  # type: ignore[no-untyped-def]
    like, grid, columns, start, stop, size, level, plan, factors, work, other
):
    """Transform columns start .. stop - 1 along v in place, keep the rows of the slice.

    The rows come into the first ones of the grid, times ``level``.

    Parameters
    ----------
    grid : float32 (rows * columns * 2 * lanes,)
        With its margins; ``columns`` counts them.
    size : int
        Cells along v without the margins, of which v = 0 is the middle one.
    level : float32 (n,)
    plan, factors, work, other
        Of ``size``.
    """
    lanes = len(like)
    width = 2 * lanes
    pitch = columns * width
    n = level.size
    for u in range(start, stop):
        first = BEFORE * pitch + (u + BEFORE) * width
        column = transform(
            like, grid, first, pitch, np.intp(lanes), size, plan, factors, work, other
        )
        # All columns but u = 0 and the last stand for their mirror images as well.
        double = np.float32(2.0 if u in (0, size // 2) else 1.0)
        for y in range(size):
            # The next column is on its way while this one is written.
            ahead = first + y * pitch + width
            prefetch(grid, ahead)
            prefetch(grid, ahead + lanes)
            if y >= n:
                continue
            place = y - n // 2
            # v began at its lowest and not at 0: every other row has the other sign.
            factor = every(-double * level[y] if place % 2 else double * level[y], like)
            source = (place + size if place < 0 else place) * width
            target = y * pitch + (u + BEFORE) * width
            store(grid, target, multiply(factor, load(column, source + lanes, like)))
            store(grid, target + lanes, multiply(factor, load(column, source, like)))


@njit(cache=True, nogil=True)
def rows_to_slices(  # type: ignore[no-untyped-def]
    like, grid, columns, start, stop, size, level, pivot, reach_squared, turns, plan, factors, work,
    other, slices, out, row_pitch, slice_pitch,
):  # fmt: skip
    """Transform rows start .. stop - 1 along u, crop, take the kernel out, cut the circle.

    Parameters
    ----------
    grid, columns, size, level
        As in :func:`columns_to_rows`.
    pivot, reach_squared
        Pixels further from the pixel (row, column) ``pivot`` are 0.
    turns : complex64 (half of half the cells,)
        exp(2 pi i m / size).
    plan, factors, work, other
        Of half of ``size``.
    out : float32
        Flat, with the floats from row to row and from slice to slice.
    """
    lanes = len(like)
    width = 2 * lanes
    half = size // 2
    n = level.size
    zero = np.intp(0)
    square = np.empty(lanes * lanes, np.float32)
    for y in range(start, stop):
        begin, end = _chord(y - pivot[0], pivot[1], reach_squared, n)
        target = y * row_pitch
        for s in range(slices):
            for x in range(begin):
                out[target + s * slice_pitch + x] = 0.0
            for x in range(end, n):
                out[target + s * slice_pitch + x] = 0.0
        if begin >= end:
            continue
        _packed(like, grid, (y * columns + BEFORE) * width, half, turns, other)
        row = transform(like, other, zero, width, zero, half, plan, factors, work, other)
        x = begin
        while x < end:
            count = min(lanes, end - x)
            for i in range(lanes):
                # The transform was the forward one of conjugates: odd samples are negative.
                place = (min(x + i, end - 1) - n // 2) % size
                factor = level[min(x + i, end - 1)]
                factor = every(-factor if place % 2 else factor, like)
                store(square, i * lanes, multiply(factor, load(row, place * lanes, like)))
            if count == lanes and slices == lanes:
                transpose(like, square, 0, lanes, out, target + x, slice_pitch)
            else:
                for s in range(slices):
                    for i in range(count):
                        out[target + s * slice_pitch + x + i] = square[i * lanes + s]
            x += count


@njit(cache=True, nogil=True, inline="always")
def _chord(y, column, reach_squared, n):  # type: ignore[no-untyped-def]
    """First pixel of a row, ``y`` from the axis, inside of the circle, and the first beyond it."""
    rest = reach_squared - y * y
    if rest < 0.0:
        return 0, 0
    half = np.sqrt(rest)
    begin = min(max(int(np.ceil(column - half)), 0), n)
    return begin, max(min(int(np.floor(column + half)) + 1, n), begin)


@njit(cache=True, nogil=True, inline="always")
def _packed(like, grid, first, half, turns, out):  # type: ignore[no-untyped-def]
    """Of half a Hermitian row the conjugate of the row whose inverse transform packs real pairs."""
    lanes = len(like)
    width = 2 * lanes
    zero = every(np.float32(0.0), like)
    for m in range(half // 2 + 1):
        n = half - m
        a, b = first + m * width, first + n * width
        a_re, a_im = load(grid, a, like), load(grid, a + lanes, like)
        b_re, b_im = load(grid, b, like), load(grid, b + lanes, like)
        if m == 0:  # real, whatever stands there
            a_im, b_im = zero, zero
        e_re, e_im = add(a_re, b_re), subtract(a_im, b_im)
        d_re, d_im = subtract(a_re, b_re), add(a_im, b_im)
        w_re, w_im = every(turns[m].real, like), every(turns[m].imag, like)
        o_re = subtract(multiply(w_re, d_re), multiply(w_im, d_im))
        o_im = multiply_add(w_re, d_im, multiply(w_im, d_re))
        store(out, m * width, subtract(e_re, o_im))
        store(out, m * width + lanes, subtract(subtract(zero, e_im), o_re))
        if m > 0:
            store(out, n * width, add(e_re, o_im))
            store(out, n * width + lanes, subtract(e_im, o_re))
