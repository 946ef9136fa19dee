"""Inner loops of the sorting-based ring removal.

Column after column streams through: its values are packed with their angles into 64-bit keys and
sorted by radix (three passes of 11 bits, 5 ns a value, where a comparison sort takes 25 to 70);
ranks lie along the contiguous axis, so the running median across columns is a replacement in a
sorted window, done for 256 ranks at a time with minima and maxima; then values return to their
angles. A slice in work needs (3 windows + 166) columns of 4 bytes, not a second sinogram.
"""
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

LANES = 256
COLUMNS = 32  # two cache lines of float32; 16 and 64 are slower
RADIX_BITS = 11
PASSES = 3
HALF_KEY = np.uint64(32)
DIGIT = np.uint64(2**RADIX_BITS - 1)
INDEX = np.uint64(0xFFFFFFFF)
SIGN = np.uint32(0x80000000)
MAGNITUDE = np.uint32(0x7FFFFFFF)
INFINITY = np.uint32(0x7F800000)
ALL = np.uint32(0xFFFFFFFF)
ONE = np.int32(1)


@njit(cache=True, nogil=True)
def smooth_ranks(
    bits: Any, size: int, first: int, last: int, out: Any
) -> Any:  # pragma: no cover - compiled
    """Columns ``first .. last`` of one sinogram, sorted, median filtered and put back.

    ``bits`` is the sinogram (angles, columns) float32 seen as uint32; ``out`` may be the same
    memory if all columns are done in one call. Returns whether all values read were finite.
    """
    angles, columns = bits.shape
    half = size // 2
    blocks = (angles + LANES - 1) // LANES
    slots = size + COLUMNS + 1
    ranked = np.zeros((slots, blocks * LANES), np.float32)
    origin = np.zeros((slots, angles), np.uint32)
    window = np.empty((blocks, size, LANES), np.float32)
    smooth = np.empty((COLUMNS, blocks * LANES), np.float32)
    carry = np.empty(LANES, np.float32)
    finite = True
    ready = max(0, first - half)
    for left in range(first, last, COLUMNS):
        right = min(left + COLUMNS, last)
        stop = min(right + half, columns)
        while ready < stop:
            end = min(ready + COLUMNS, stop)
            finite &= rank_columns(bits, ready, end, ranked, origin)
            ready = end
        for block in range(blocks):
            ranks = slice(block * LANES, (block + 1) * LANES)
            kept = window[block]
            for column in range(left, right):
                if column == first:
                    kept[:] = np.float32(np.inf)
                    for near in range(column - half, column + half + 1):
                        carry[:] = ranked[reflect(near, columns) % slots, ranks]
                        insert(kept, carry)
                else:
                    gone = ranked[reflect(column - half - 1, columns) % slots, ranks]
                    carry[:] = ranked[reflect(column + half, columns) % slots, ranks]
                    replace(kept, gone, carry)
                smooth[column - left, ranks] = kept[half]
        restore_columns(smooth, origin, left, right, out)
    return finite


@njit(cache=True, nogil=True)
def rank_columns(
    bits: Any, start: int, stop: int, ranked: Any, origin: Any
) -> Any:  # pragma: no cover - compiled
    """Sort columns into their slots; whether all values are finite."""
    angles = len(bits)
    turned = np.empty((COLUMNS, angles), np.uint32)
    keys = np.empty(angles, np.uint64)
    spare = np.empty(angles, np.uint64)
    places = np.empty((PASSES, 2**RADIX_BITS), np.int32)
    finite = True
    for angle in range(angles):
        for column in range(start, stop):
            turned[column - start, angle] = bits[angle, column]
    for column in range(start, stop):
        slot = column % len(ranked)
        finite &= _pack(turned[column - start], keys)
        in_order = _radix_sort(keys, spare, places)
        _unpack(in_order, ranked[slot].view(np.uint32), origin[slot])
    return finite


@njit(cache=True, nogil=True)
def restore_columns(
    smooth: Any, origin: Any, left: int, right: int, out: Any
) -> None:  # pragma: no cover - compiled
    """Values by rank back to their angles."""
    angles = len(out)
    restored = np.empty((COLUMNS, angles), np.float32)
    for column in range(left, right):
        home = origin[column % len(origin)]
        values = smooth[column - left]
        target = restored[column - left]
        for rank in range(angles):
            target[home[rank]] = values[rank]
    for angle in range(angles):
        for column in range(right - left):
            out[angle, left + column] = restored[column, angle]


@njit(cache=True, nogil=True)
def reflect(column: int, columns: int) -> Any:  # pragma: no cover - compiled
    """Column whose values continue a row beyond its borders."""
    if column < 0:
        return -1 - column
    return column if column < columns else 2 * columns - 1 - column


@njit(cache=True, nogil=True)
def _pack(bits: Any, keys: Any) -> Any:  # pragma: no cover - compiled
    """Keys (order-preserving bits of the value, angle) of one column; whether all are finite."""
    largest = np.uint32(0)
    for angle in range(len(bits)):
        value = bits[angle]
        magnitude = np.uint32(value & MAGNITUDE)
        largest = max(largest, magnitude)
        signed = value if magnitude > 0 else magnitude  # both zeros are one value
        ordered = np.uint32(signed ^ (ALL if signed >= SIGN else SIGN))
        keys[angle] = (np.uint64(ordered) << HALF_KEY) | np.uint64(angle)
    return largest < INFINITY


@njit(cache=True, nogil=True)
def _unpack(keys: Any, value_bits: Any, angle: Any) -> None:  # pragma: no cover - compiled
    for rank in range(len(keys)):
        ordered = np.uint32(keys[rank] >> HALF_KEY)
        value_bits[rank] = np.uint32(ordered ^ (SIGN if ordered >= SIGN else ALL))
        angle[rank] = np.uint32(keys[rank] & INDEX)


@njit(cache=True, nogil=True)
def _radix_sort(keys: Any, spare: Any, places: Any) -> Any:  # pragma: no cover - compiled
    """Sort by the upper half of the keys, least digit first, hence stable."""
    count = len(keys)
    places[:] = 0
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


@njit(cache=True, nogil=True)
def insert(window: Any, carry: Any) -> None:  # pragma: no cover - compiled
    """Insert into sorted windows, pushing the largest value out."""
    for k in range(len(window)):
        _exchange(window[k], window[k], window[k], carry)


@njit(cache=True, nogil=True)
def replace(window: Any, gone: Any, carry: Any) -> None:  # pragma: no cover - compiled
    """Take ``gone`` out of sorted windows and put ``carry`` in, in one sweep."""
    last = len(window) - 1
    for k in range(last):
        _exchange(window[k], window[k + 1], gone, carry)
    window[last, :] = carry


@njit(cache=True, nogil=True)
def _exchange(row: Any, above: Any, gone: Any, carry: Any) -> None:  # pragma: no cover - compiled
    """One place of the windows: skip what is gone, keep the smaller, carry the larger on.

    A function of its own, with all loads before the stores, becomes SIMD code; inside of the loop
    over places it does not, and takes five times as long.
    """
    for lane in range(LANES):
        here = row[lane]
        next_one = above[lane]
        a = here if here < gone[lane] else next_one
        b = carry[lane]
        low = a if a < b else b
        high = b if a < b else a
        row[lane] = low
        carry[lane] = high
