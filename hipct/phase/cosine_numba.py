"""Product with a filter between a DCT-II and its inverse, many rows or columns at a time.

A cosine transform of N samples is a Fourier transform of N / 2 complex ones between two orders
(Makhoul, IEEE Trans. Acoust. Speech Signal Process. 28 (1980) 27): even samples rising, odd ones
falling, two neighbours as one complex number. All of it is done on vectors of 16 floats, one of
each of 16 rows or columns (:mod:`hipct.core.fft_numba`), which stay in the second cache.

An image takes three passes through the memory. :func:`forward_strips` transforms strips of 16 rows
along the columns, :func:`filter_groups` groups of 16 columns along the rows, multiplies and
transforms back, and :func:`inverse_strips` finishes the strips. Between them the frequencies lie in
groups of 16 columns, (groups, rows, 16), so that a group is one run of memory, and a strip one of
1 KB in each group. Rows that continue the image are never transformed along the columns: they are
rows of the image.

Half of the time goes to the memory, so that the logarithm is taken on the way out. The flat field
is not taken on the way in: for one image at a time its references are three times the bytes that
are spared.
"""
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

import numpy as np
from numba import njit

from hipct.core.fft_numba import transform
from hipct.core.log_numba import line_integrals
from hipct.core.simd_numba import (
    add,
    every,
    load,
    multiply,
    multiply_add,
    store,
    subtract,
    transpose_by,
)

LANES = 16
LIKE = (0,) * LANES
WIDTH = 2 * LANES
ROOT_HALF = np.float32(np.sqrt(0.5))
HALF = np.float32(0.5)


@njit(cache=True, nogil=True)
def strip_count(rows):  # type: ignore[no-untyped-def]
    """Strips of 16 rows that memory is for: an odd number, so that groups meet in no cache line."""
    return -(-rows // LANES) | 1


@njit(cache=True, nogil=True, inline="always")
def _times(ar, ai, re, im, minus):  # type: ignore[no-untyped-def]
    """Real and imaginary part of a * (re + i im), where ``minus`` is -im."""
    return (
        multiply_add(ar, re, multiply(ai, minus)),
        multiply_add(ar, im, multiply(ai, re)),
    )


@njit(cache=True, nogil=True)
def _to_cosines(z, x, length, turns):  # type: ignore[no-untyped-def]
    """Fourier coefficients of the complex samples (z) to those of the DCT-II (x), without its 2."""
    half = length // 2
    re, im = load(z, 0, LIKE), load(z, LANES, LIKE)
    store(x, 0, add(re, im))
    store(x, half * LANES, multiply(subtract(re, im), every(ROOT_HALF, LIKE)))
    middle = every(HALF, LIKE)
    for k in range(1, half // 2 + 1):
        other = half - k
        ar, ai = load(z, k * WIDTH, LIKE), load(z, k * WIDTH + LANES, LIKE)
        br, bi = load(z, other * WIDTH, LIKE), load(z, other * WIDTH + LANES, LIKE)
        er, ei = multiply(add(ar, br), middle), multiply(subtract(ai, bi), middle)
        # (a - conj b) / 2i
        our, oui = multiply(add(ai, bi), middle), multiply(subtract(br, ar), middle)
        wr, wi, wm = every(turns[k, 0], LIKE), every(turns[k, 1], LIKE), every(-turns[k, 1], LIKE)
        pr, pi = _times(our, oui, wr, wi, wm)
        # The coefficient k, and the conjugate of the one at half - k.
        vr, vi = add(er, pr), add(ei, pi)
        ur, ui = subtract(er, pr), subtract(pi, ei)
        cr, ci, cm = every(turns[k, 2], LIKE), every(turns[k, 3], LIKE), every(-turns[k, 3], LIKE)
        xr, xi = _times(vr, vi, cr, ci, cm)
        cr, ci = every(turns[other, 2], LIKE), every(turns[other, 3], LIKE)
        cm = every(-turns[other, 3], LIKE)
        yr, yi = _times(ur, ui, cr, ci, cm)
        zero = every(np.float32(0), LIKE)
        store(x, k * LANES, xr)
        store(x, (length - k) * LANES, subtract(zero, xi))
        store(x, other * LANES, yr)
        store(x, (half + k) * LANES, subtract(zero, yi))


@njit(cache=True, nogil=True)
def _from_cosines(x, z, length, turns):  # type: ignore[no-untyped-def]
    """The inverse of :func:`_to_cosines`, times 2."""
    half = length // 2
    zero = load(x, 0, LIKE)
    last = multiply(load(x, half * LANES, LIKE), every(np.float32(2) * ROOT_HALF, LIKE))
    store(z, 0, add(zero, last))
    store(z, LANES, subtract(zero, last))
    for k in range(1, half // 2 + 1):
        other = half - k
        xr, xi = load(x, k * LANES, LIKE), load(x, (length - k) * LANES, LIKE)
        yr, yi = load(x, other * LANES, LIKE), load(x, (half + k) * LANES, LIKE)
        # conj(c) (x_k - i x_(N-k))
        cr, ci, cm = every(turns[k, 2], LIKE), every(turns[k, 3], LIKE), every(-turns[k, 3], LIKE)
        vr = multiply_add(xr, cr, multiply(xi, cm))
        vi = multiply_add(xr, cm, multiply(xi, every(-turns[k, 2], LIKE)))
        cr, ci = every(turns[other, 2], LIKE), every(turns[other, 3], LIKE)
        cm = every(-turns[other, 3], LIKE)
        ur = multiply_add(yr, cr, multiply(yi, cm))
        ui = multiply_add(yr, ci, multiply(yi, cr))  # its conjugate
        er, ei = add(vr, ur), add(vi, ui)
        wr, wi = subtract(vr, ur), subtract(vi, ui)
        tr, ti, tm = every(turns[k, 0], LIKE), every(turns[k, 1], LIKE), every(-turns[k, 1], LIKE)
        our, oui = _times(wr, wi, tr, tm, ti)
        # e + i o, and the conjugate of e - i o.
        store(z, k * WIDTH, subtract(er, oui))
        store(z, k * WIDTH + LANES, add(ei, our))
        store(z, other * WIDTH, add(er, oui))
        store(z, other * WIDTH + LANES, subtract(our, ei))


@njit(cache=True, nogil=True)
def forward_strips(image, before, after, mirror, tables, plan, start, stop, spectrum):  # type: ignore[no-untyped-def]
    """Strips ``start .. stop`` of an image, continued along its columns, to cosines.

    Parameters
    ----------
    image : float32, shape (rows, columns)
    before, after : int
        Samples that continue a row.
    mirror : bool
        Whether they mirror it, or repeat its end.
    tables : tuple
        Of the columns, see :class:`hipct.phase.cosine_lanes.Axis`.
    plan : int64
        Radices.
    spectrum : float32, shape (groups * rows * 16,)
        ``rows`` are those of the image, in whole strips.
    """
    rows, columns = image.shape
    turns, factors, natural, order, _ = tables
    length = before + columns + after
    groups = len(natural) // LANES
    strips = strip_count(rows)
    pitch = (groups + 1) * LANES  # not the power of 2 that columns often are
    lines = np.zeros((LANES, pitch), np.float32)
    run = lines.reshape(-1)
    one = np.zeros(groups * LANES * LANES, np.float32)
    two = np.zeros(groups * LANES * LANES, np.float32)
    pitches = np.arange(LANES) * pitch
    places = np.empty(LANES, np.int64)
    steps = np.arange(LANES) * LANES
    for strip in range(start, stop):
        for lane in range(LANES):
            source = image[min(strip * LANES + lane, rows - 1)]
            line = lines[lane]
            for c in range(columns):
                line[before + c] = source[c]
            _continue(line, before, columns, after, mirror)
        for group in range(groups):
            for c in range(LANES):
                places[c] = order[group * LANES + c]
            transpose_by(LIKE, run, pitches, group * LANES, one, places, 0)
        found = transform(LIKE, one, 0, WIDTH, 0, length // 2, plan, factors, two, one)
        cosines = one if found is two else two
        _to_cosines(found, cosines, length, turns)
        for group in range(groups):
            place = (group * strips + strip) * LANES * LANES
            transpose_by(LIKE, cosines, steps, group * LANES * LANES, spectrum, steps, place)


@njit(cache=True, nogil=True, inline="always")
def _continue(line, before, columns, after, mirror):  # type: ignore[no-untyped-def]
    end = before + columns
    for k in range(before):
        line[before - 1 - k] = line[before + _beyond(k, columns, mirror)]
    for k in range(after):
        line[end + k] = line[end - 1 - _beyond(k, columns, mirror)]


@njit(cache=True, nogil=True, inline="always")
def _beyond(k, size, mirror):  # type: ignore[no-untyped-def]
    """Distance from the end of the sample that stands for the one ``k`` beyond it."""
    if not mirror:
        return 0
    k %= 2 * size
    return k if k < size else 2 * size - 1 - k


@njit(cache=True, nogil=True)
def filter_groups(spectrum, response, rows, before, after, mirror, tables, plan, start, stop):  # type: ignore[no-untyped-def]
    """Groups ``start .. stop`` of columns: continued, transformed, multiplied and back, in place.

    Parameters
    ----------
    spectrum : float32, as :func:`forward_strips` fills it
    response : float32, shape (groups * length * 16,)
        Factors, with all scales.
    rows : int
        Of the image; ``before`` and ``after`` continue it.
    tables, plan
        Of the rows.
    """
    turns, factors, _, order, back = tables
    length = before + rows + after
    whole = strip_count(rows) * LANES
    one = np.zeros(length * LANES, np.float32)
    two = np.zeros(length * LANES, np.float32)
    for group in range(start, stop):
        base = group * whole * LANES
        for k in range(length):
            row = k - before
            if row < 0:
                row = _beyond(-1 - row, rows, mirror)
            elif row >= rows:
                row = rows - 1 - _beyond(row - rows, rows, mirror)
            store(one, order[k], load(spectrum, base + row * LANES, LIKE))
        found = transform(LIKE, one, 0, WIDTH, 0, length // 2, plan, factors, two, one)
        free = one if found is two else two
        _to_cosines(found, free, length, turns)
        first = group * length * LANES
        for k in range(length):
            factor = load(response, first + k * LANES, LIKE)
            store(free, k * LANES, multiply(load(free, k * LANES, LIKE), factor))
        _from_cosines(free, found, length, turns)
        found = transform(LIKE, found, 0, WIDTH, LANES, length // 2, plan, factors, free, found)
        for row in range(rows):
            store(spectrum, base + row * LANES, load(found, back[before + row], LIKE))


@njit(cache=True, nogil=True)
def inverse_strips(  # type: ignore[no-untyped-def]
    spectrum, rows, columns, before, after, tables, plan, start, stop, wanted, minimum, out, step
):
    """Strips ``start .. stop`` back to an image of (rows, columns), as :func:`forward_strips`.

    Parameters
    ----------
    wanted : tuple of int
        First row that is wanted and the one after the last.
    minimum : float32
        Above 0: ``-log(max(T, minimum))`` is put into ``out`` instead of the result T.
    out : float32
        A run of memory, in which the wanted rows begin ``step`` floats apart.

    Returns
    -------
    int
        How many values of the wanted rows were raised.
    """
    turns, factors, natural, _, back = tables
    length = before + columns + after
    groups = len(natural) // LANES
    strips = strip_count(rows)
    pitch = (groups + 1) * LANES  # not the power of 2 that columns often are
    lines = np.zeros((LANES, pitch), np.float32)
    run = lines.reshape(-1)
    one = np.zeros(groups * LANES * LANES, np.float32)
    two = np.zeros(groups * LANES * LANES, np.float32)
    pitches = np.arange(LANES) * pitch
    places = np.empty(LANES, np.int64)
    steps = np.arange(LANES) * LANES
    raised = 0
    for strip in range(start, stop):
        for group in range(groups):
            place = (group * strips + strip) * LANES * LANES
            transpose_by(LIKE, spectrum, steps, place, one, steps, group * LANES * LANES)
        _from_cosines(one, two, length, turns)
        found = transform(LIKE, two, 0, WIDTH, LANES, length // 2, plan, factors, one, two)
        for group in range(groups):
            for c in range(LANES):
                places[c] = back[group * LANES + c]
            transpose_by(LIKE, found, places, 0, run, pitches, group * LANES)
        for lane in range(LANES):
            row = strip * LANES + lane
            if row < wanted[0] or row >= wanted[1]:
                continue
            place = (row - wanted[0]) * step
            line = lines[lane, before : before + columns]
            if minimum > 0:
                raised += line_integrals(line, minimum, out[place : place + columns])
            else:
                for c in range(columns):
                    out[place + c] = line[c]
    return raised
