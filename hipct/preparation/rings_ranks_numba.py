# ruff: noqa: ARG001 - an intrinsic takes its types by the names of its parameters
"""Columns of a sinogram to their ranks and back, sixteen at a time.

A value and its angle share 32 bits: the upper ones say where between the smallest and the largest
of its column the value lies, in steps fine enough that hardly two values share one; the lower ones
are the angle, so that equal values keep the order of the angles. Such keys are sorted by a network
(1.7 ns a value, where three passes of a radix sort over keys of 64 bits take 5 and need columns
that are contiguous). Then values are looked up by their angles; the few that shared a step and
came out in the wrong order are put right one by one. Where that would be many, because one value
lies far beyond all others, or where there are more angles than 14 bits count, columns are sorted
by radix.
"""
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from hipct.core.simd_numba import address, load_at, splat, store_at, transpose
from hipct.preparation.networks_numba import STRIP, sort_rows

_STRIP = (0,) * STRIP
KEY_BITS = 24
MOST_ANGLE_BITS = 14
MOVES = 4
RUN = 64
RADIX_BITS = 11
PASSES = 3
AHEAD = 24
HALF_KEY = np.uint64(32)
DIGIT = np.uint64(2**RADIX_BITS - 1)
INDEX = np.uint64(0xFFFFFFFF)
SIGN = np.uint32(0x80000000)
INFINITY = np.uint32(0x7F800000)
ALL = np.uint32(0xFFFFFFFF)
ONE = np.int32(1)


@njit(cache=True, nogil=True)
def work_space(steps: Any) -> Any:  # pragma: no cover - compiled
    """What the functions here write to, for columns that ``steps`` sort (see ``schedule``)."""
    rows = steps[-1, 1]
    return (
        np.zeros((rows, STRIP), np.float32),
        np.zeros((rows, STRIP), np.float32),
        np.empty((rows, STRIP), np.uint32),
        np.empty((STRIP, rows), np.float32),
        np.empty((STRIP, rows), np.uint32),
        np.empty(3 * STRIP, np.float32),
    )


@njit(cache=True, nogil=True)
def rank_columns(
    sinogram: Any, start: int, stop: int, ranked: Any, origin: Any, steps: Any, work: Any
) -> Any:  # pragma: no cover - compiled
    """Sort columns into their slots; whether all values are finite.

    ``sinogram`` (angles, columns) float32 has contiguous rows; column c goes to slot ``c modulo
    len(ranked)`` of ``ranked`` (values) and ``origin`` (their angles), ranks contiguous.
    """
    edge, strip, keys, turned, order, bounds = work
    angles, rows = len(sinogram), len(keys)
    angle_bits = 0
    while 2**angle_bits < angles:
        angle_bits += 1
    by_network = angle_bits <= MOST_ANGLE_BITS
    steps_of_key = np.float32(2 ** min(KEY_BITS, 32 - angle_bits) - 1)
    mask = np.uint32(2**angle_bits - 1)
    magnitudes = bounds[2 * STRIP :].view(np.uint32)
    finite = True
    for left in range(start, stop, STRIP):
        width = min(STRIP, stop - left)
        if width < STRIP:
            edge[:angles, :width] = sinogram[:, left:stop]
            _take(_STRIP, edge, 0, STRIP, angles, strip, bounds)
        else:
            _take(_STRIP, sinogram, left, sinogram.strides[0] // 4, angles, strip, bounds)
        for column in range(width):
            finite &= magnitudes[column] < INFINITY
        for row in range(0, rows, STRIP):
            transpose(_STRIP, strip, row * STRIP, STRIP, turned, row, rows)
        if by_network:
            _key(_STRIP, strip, bounds, steps_of_key, angle_bits, angles, keys)
            keys[angles:] = ALL
            sort_rows(keys, steps)
            for row in range(0, rows, STRIP):
                transpose(_STRIP, keys, row * STRIP, STRIP, order, row, rows)
        for column in range(width):
            slot = (left + column) % len(ranked)
            values, angle = ranked[slot, :angles], origin[slot, :angles]
            if not by_network or not _looked_up(turned[column], order[column], mask, values, angle):
                _rank_by_radix(turned[column, :angles].view(np.uint32), values, angle)
    return finite


@njit(cache=True, nogil=True)
def restore_columns(
    smooth: Any, origin: Any, left: int, right: int, out: Any, work: Any
) -> None:  # pragma: no cover - compiled
    """Values by rank, row by row of ``smooth``, back to their angles."""
    corner, restored = work[0], work[3]
    angles, rows = len(out), restored.shape[1]
    pitch = out.strides[0] // 4
    for first in range(left, right, STRIP):
        width = min(STRIP, right - first)
        for column in range(width):
            home = origin[(first + column) % len(origin)]
            values = smooth[first - left + column]
            target = restored[column]
            for rank in range(angles):
                target[home[rank]] = values[rank]
        for angle in range(0, angles, STRIP):
            count = min(STRIP, angles - angle)
            if width < STRIP or count < STRIP:
                transpose(_STRIP, restored, angle, rows, corner, 0, STRIP)
                out[angle : angle + count, first : first + width] = corner[:count, :width]
            else:
                transpose(_STRIP, restored, angle, rows, out, angle * pitch + first, pitch)


@njit(cache=True, nogil=True)
def _looked_up(
    column: Any, keys: Any, mask: Any, values: Any, angle: Any
) -> Any:  # pragma: no cover - compiled
    """Values and angles in the order of the keys, put right; False if that takes too long."""
    count = len(values)
    for rank in range(count):  # one loop for both is slower
        angle[rank] = keys[rank] & mask
    for rank in range(count):
        values[rank] = column[np.intp(keys[rank] & mask)]
    left = MOVES * count
    if _falls(values):
        for start in range(0, count, RUN):
            stop = min(start + RUN, count)
            if _falls(values[max(start - 1, 0) : stop]):
                left = _put_right(values, angle, start, stop, left)
    return left > 0


@njit(cache=True, nogil=True)
def _falls(values: Any) -> Any:  # pragma: no cover - compiled
    """How often a value is smaller than the one before."""
    falls = 0
    for rank in range(1, len(values)):
        falls += values[rank] < values[rank - 1]
    return falls


@njit(cache=True, nogil=True)
def _put_right(
    values: Any, angle: Any, start: int, stop: int, left: int
) -> Any:  # pragma: no cover - compiled
    """Move values down to where they belong among those before; how many moves are left."""
    for rank in range(start, stop):
        here, place, to = values[rank], angle[rank], rank
        while to > 0 and values[to - 1] > here and left > 0:
            values[to], angle[to] = values[to - 1], angle[to - 1]
            to -= 1
            left -= 1
        values[to], angle[to] = here, place
    return left


@intrinsic
def _take(
    typing: Any, like: Any, source: Any, first: Any, pitch: Any, count: Any, strip: Any, bounds: Any
) -> Any:
    """Rows of 16 columns to a strip of their own, -0 as 0.

    ``bounds`` gets the smallest and the largest value of each column, and the largest magnitude,
    which is not finite if any is not.
    """
    width = like.count

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, x, first, pitch, count, y, z = arguments
        data = address(context, builder, signature.args[1], x)
        out = address(context, builder, signature.args[5], y)
        found = address(context, builder, signature.args[6], z)
        whole = ir.VectorType(ir.IntType(32), width)

        def number(value: float) -> Any:
            return ir.Constant(ir.VectorType(ir.FloatType(), width), [value] * width)

        low = cgutils.alloca_once_value(builder, number(float("inf")))
        high = cgutils.alloca_once_value(builder, number(float("-inf")))
        magnitude = cgutils.alloca_once_value(builder, ir.Constant(whole, [0] * width))
        bytes_ = ir.IntType(8).as_pointer()
        flags = [ir.Constant(ir.IntType(32), n) for n in (0, 2, 1)]
        kind = ir.FunctionType(ir.VoidType(), [bytes_, *(flag.type for flag in flags)])
        prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        with cgutils.for_range(builder, count) as loop:
            place = builder.add(first, builder.mul(loop.index, pitch))
            ahead = builder.add(place, builder.mul(pitch, ir.Constant(pitch.type, AHEAD)))
            builder.call(prefetch, [builder.bitcast(builder.gep(data, [ahead]), bytes_), *flags])
            value = builder.fadd(load_at(builder, data, place, width), number(0.0))
            to = builder.mul(loop.index, ir.Constant(place.type, width))
            store_at(builder, out, to, value)
            for kept, sign in ((low, "<"), (high, ">")):
                old = builder.load(kept)
                builder.store(
                    builder.select(builder.fcmp_ordered(sign, value, old), value, old), kept
                )
            size = builder.and_(
                builder.bitcast(value, whole), ir.Constant(whole, [0x7FFFFFFF] * width)
            )
            old = builder.load(magnitude)
            larger = builder.icmp_unsigned(">", size, old)
            builder.store(builder.select(larger, size, old), magnitude)
        for which, kept in enumerate((low, high, magnitude)):
            value = builder.bitcast(builder.load(kept), number(0.0).type)
            store_at(builder, found, ir.Constant(first.type, which * width), value)
        return context.get_dummy_value()

    n = types.intp
    return types.void(like, source, n, n, n, strip, bounds), build


@intrinsic
def _key(
    typing: Any,
    like: Any,
    strip: Any,
    bounds: Any,
    steps: Any,
    bits: Any,
    count: Any,
    keys: Any,
) -> Any:
    """Key of each value of a strip: its step of ``steps`` above the smallest, and its row.

    Subtraction, multiplication and truncation keep the order. Where a column's range is nothing or
    not finite, all its values take the last step.
    """
    width = like.count

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, x, y, steps, bits, count, z = arguments
        data = address(context, builder, signature.args[1], x)
        found = address(context, builder, signature.args[2], y)
        out = address(context, builder, signature.args[6], z)
        whole = ir.VectorType(ir.IntType(32), width)
        low = load_at(builder, found, ir.Constant(count.type, 0), width)
        high = load_at(builder, found, ir.Constant(count.type, width), width)
        last = splat(builder, steps, width)
        scale = builder.fdiv(last, builder.fsub(high, low))
        shift = _splat(builder, builder.trunc(bits, ir.IntType(32)), width)
        with cgutils.for_range(builder, count) as loop:
            place = builder.mul(loop.index, ir.Constant(count.type, width))
            above = builder.fsub(load_at(builder, data, place, width), low)
            step = builder.fmul(above, scale)
            step = builder.select(builder.fcmp_ordered("<", step, last), step, last)
            key = builder.shl(builder.fptosi(step, whole), shift)
            row = _splat(builder, builder.trunc(loop.index, ir.IntType(32)), width)
            pointer = builder.bitcast(builder.gep(out, [place]), whole.as_pointer())
            builder.store(builder.or_(key, row), pointer).align = 4
        return context.get_dummy_value()

    n = types.intp
    return types.void(like, strip, bounds, types.float32, n, n, keys), build


def _splat(builder: Any, value: Any, width: int) -> Any:
    """A vector of one whole number."""
    whole = ir.VectorType(ir.IntType(32), width)
    first = builder.insert_element(
        ir.Constant(whole, ir.Undefined), value, ir.Constant(ir.IntType(32), 0)
    )
    return builder.shuffle_vector(
        first, ir.Constant(whole, ir.Undefined), ir.Constant(whole, [0] * width)
    )


@njit(cache=True, nogil=True)
def _rank_by_radix(bits: Any, values: Any, angle: Any) -> None:  # pragma: no cover - compiled
    """One column, whatever its values are."""
    keys = np.empty(len(bits), np.uint64)
    spare = np.empty(len(bits), np.uint64)
    for place in range(len(bits)):
        value = bits[place]
        ordered = np.uint32(value ^ (ALL if value >= SIGN else SIGN))
        keys[place] = (np.uint64(ordered) << HALF_KEY) | np.uint64(place)
    keys = _radix_sort(keys, spare)
    value_bits = values.view(np.uint32)
    for rank in range(len(bits)):
        ordered = np.uint32(keys[rank] >> HALF_KEY)
        value_bits[rank] = np.uint32(ordered ^ (SIGN if ordered >= SIGN else ALL))
        angle[rank] = np.uint32(keys[rank] & INDEX)


@njit(cache=True, nogil=True)
def _radix_sort(keys: Any, spare: Any) -> Any:  # pragma: no cover - compiled
    """Sort by the upper half of the keys, least digit first, hence stable."""
    count = len(keys)
    places = np.zeros((PASSES, 2**RADIX_BITS), np.int32)
    for i in range(count):
        value = keys[i] >> HALF_KEY
        for p in range(PASSES):
            places[p, (value >> np.uint64(RADIX_BITS * p)) & DIGIT] += ONE
    for p in range(PASSES):
        total = np.int32(0)
        for digit in range(2**RADIX_BITS):
            number = places[p, digit]
            places[p, digit] = total
            total += number
    source, target = keys, spare
    for p in range(PASSES):
        shift = np.uint64(32 + RADIX_BITS * p)
        next_place = places[p]
        for i in range(count):
            key = source[i]
            digit = (key >> shift) & DIGIT
            place = next_place[digit]
            next_place[digit] = place + ONE
            target[np.uint32(place)] = key
        source, target = target, source
    return source
