# ruff: noqa: ARG001 - an intrinsic takes its types by the names of its parameters
"""Sorting networks on whole vectors: columns sorted side by side, medians of neighbouring columns.

A network compares the same places whatever the values are, so that a vector does it for 16 columns
(or ranks) at a time, in two instructions for two places, and nothing is ever guessed wrongly.

Columns are sorted by a bitonic network for any number of rows (Lang, "Bitonic sorting network for
n not a power of 2"). Sixteen rows at a time stay in registers for four of its stages.

Medians of neighbouring columns share most of their windows. Eight (or sixteen) windows have a core
in common; only as many of its middle values as there are columns outside of it can become a
median. Half of the windows share half of these columns, which are merged with the candidates, of
which half remain; and so on down to single windows (cf. Adams, "Fast median filters using
separable sorting networks", ACM Trans. Graph. 40 (2021), in one dimension). For 21 columns that
takes 28 minima and maxima a value, where a sorted window that slides takes 80.
"""
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from hipct.core.simd_numba import address, load_at, store_at

STRIP = 16
"""Columns (or ranks) of a vector: a cache line."""

ROWS = 16
"""Rows that are sorted in registers; a network has a multiple of them."""

WIDEST = 63
"""Widest median by networks; they take ever longer to compile."""

_STRIP = (0,) * STRIP
_UP, _DOWN = (0,), ()
_TWO, _FOUR, _EIGHT, _SIXTEEN = (0,) * 2, (0,) * 4, (0,) * 8, (0,) * 16
_LOWEST, _HIGHEST = "lowest", "highest"

Value = Any
"""A vector in LLVM, or ``_LOWEST`` or ``_HIGHEST`` for a place that holds none."""


@lru_cache(maxsize=16)
def schedule(rows: int) -> NDArray[np.int64]:
    """Sorts of 16 rows and merges that sort ``rows``, a multiple of 16: (steps, 3).

    First row, number of rows, and whether they rise.
    """
    steps: list[tuple[int, int, int]] = []

    def add(first: int, count: int, rising: int) -> None:
        if count > ROWS:
            half = count // ROWS // 2 * ROWS
            add(first, half, 1 - rising)
            add(first + half, count - half, rising)
        steps.append((first, count, rising))

    add(0, rows, 1)
    return np.array(steps)


@njit(cache=True, nogil=True)
def sort_rows(keys: Any, steps: Any) -> None:  # pragma: no cover - compiled
    """Sort the columns of (rows, 16) uint32, as :func:`schedule` has it."""
    for step in range(len(steps)):
        first, count = steps[step, 0], steps[step, 1]
        if steps[step, 2] == 1:
            if count == ROWS:
                _sorted(_STRIP, _UP, keys, first * STRIP)
            else:
                _merge(_UP, keys, first, count)
        elif count == ROWS:
            _sorted(_STRIP, _DOWN, keys, first * STRIP)
        else:
            _merge(_DOWN, keys, first, count)


@njit(cache=True, nogil=True)
def _merge(up: Any, keys: Any, first: int, count: int) -> None:  # pragma: no cover - compiled
    """Sort rows of which the first half (in whole 16) are sorted one way, the others the other."""
    while count & (count - 1):
        half = ROWS
        while 2 * half < count:
            half *= 2
        for row in range(first, first + count - half):
            _halved(_TWO, _STRIP, up, keys, row * STRIP, half * STRIP)
        _merge_power(up, keys, first, half)
        first, count = first + half, count - half
    _merge_power(up, keys, first, count)


@njit(cache=True, nogil=True)
def _merge_power(up: Any, keys: Any, first: int, count: int) -> None:  # pragma: no cover - compiled
    """The same for a power of two of rows."""
    size = count
    while size >= 256:
        apart = size // 16
        for block in range(first, first + count, size):
            for row in range(block, block + apart):
                _halved(_SIXTEEN, _STRIP, up, keys, row * STRIP, apart * STRIP)
        size = apart
    for block in range(first, first + count, size):
        for row in range(block, block + ROWS):
            if size == 128:
                _halved(_EIGHT, _STRIP, up, keys, row * STRIP, ROWS * STRIP)
            elif size == 64:
                _halved(_FOUR, _STRIP, up, keys, row * STRIP, ROWS * STRIP)
            elif size == 32:
                _halved(_TWO, _STRIP, up, keys, row * STRIP, ROWS * STRIP)
        for row in range(block, block + size, ROWS):
            _halved(_SIXTEEN, _STRIP, up, keys, row * STRIP, STRIP)


def _in_order(builder: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """The smaller and the larger of two vectors, place by place."""
    if _LOWEST in (a, b):
        return _LOWEST, b if a is _LOWEST else a
    if _HIGHEST in (a, b):
        return b if a is _HIGHEST else a, _HIGHEST
    if isinstance(a.type.element, ir.IntType):
        less = builder.icmp_unsigned("<", a, b)
    else:
        less = builder.fcmp_ordered("<", a, b)
    return builder.select(less, a, b), builder.select(less, b, a)


def _sort(builder: Any, values: list[Value]) -> list[Value]:
    """Batcher's odd-even merge sort, for any number of values."""
    values = list(values)
    count, run = len(values), 1
    while run < count:
        apart = run
        while apart >= 1:
            for start in range(apart % run, count - apart, 2 * apart):
                for i in range(start, min(start + apart, count - apart)):
                    if i // (2 * run) == (i + apart) // (2 * run):
                        pair = _in_order(builder, values[i], values[i + apart])
                        values[i], values[i + apart] = pair
            apart //= 2
        run *= 2
    return values


def _halve(builder: Any, values: list[Value]) -> list[Value]:
    """Sort a bitonic run of a power of two of values."""
    values, apart = list(values), len(values) // 2
    while apart >= 1:
        for i in range(len(values)):
            if not i & apart:
                pair = _in_order(builder, values[i], values[i + apart])
                values[i], values[i + apart] = pair
        apart //= 2
    return values


@intrinsic
def _sorted(typing: Any, like: Any, up: Any, keys: Any, first: Any) -> Any:
    """Sort ``ROWS`` rows that follow each other, rising or falling."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = address(context, builder, signature.args[2], arguments[2])
        _rewrite(builder, data, arguments[3], like.count, ROWS, like.count, up.count, _sort)
        return context.get_dummy_value()

    return types.void(like, up, keys, types.intp), build


@intrinsic
def _halved(typing: Any, radix: Any, like: Any, up: Any, keys: Any, first: Any, step: Any) -> Any:
    """The last stages of a merge on ``radix`` rows that lie ``step`` keys apart."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = address(context, builder, signature.args[3], arguments[3])
        _rewrite(
            builder, data, arguments[4], arguments[5], radix.count, like.count, up.count, _halve
        )
        return context.get_dummy_value()

    return types.void(radix, like, up, keys, types.intp, types.intp), build


def _rewrite(
    builder: Any, data: Any, first: Any, step: Any, rows: int, width: int, up: int, network: Any
) -> None:
    """Have a network reorder rows of a table."""
    if isinstance(step, int):
        step = ir.Constant(first.type, step)
    places = [first]
    for _ in range(rows - 1):
        places.append(builder.add(places[-1], step))
    kind = ir.VectorType(ir.IntType(32), width)
    pointers = [builder.bitcast(builder.gep(data, [p]), kind.as_pointer()) for p in places]
    values = []
    for pointer in pointers if up else reversed(pointers):
        values.append(builder.load(pointer))
        values[-1].align = 4
    results = network(builder, values)
    for pointer, value in zip(pointers if up else reversed(pointers), results):
        builder.store(value, pointer).align = 4


def group_of(size: int) -> int:
    """How many medians of ``size`` columns are taken together."""
    if size > 31:
        return 16
    return 8 if size > 7 else 4 if size > 3 else 2


@intrinsic
def medians(
    typing: Any,
    size: Any,
    group: Any,
    like: Any,
    source: Any,
    rows: Any,
    first: Any,
    target: Any,
    place: Any,
    stride: Any,
) -> Any:
    """Medians of ``size`` rows each, for ``group`` windows that begin a row after each other.

    Row i of all ``size + group - 1`` begins at ``source[rows[i] + first]``; median k goes to
    ``target[place + k stride]``. ``size``, ``group`` and ``like`` are tuples of that length.
    """
    wide, windows, width = size.count, group.count, like.count

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, _, _, x, rows, first, y, place, stride = arguments
        data = address(context, builder, signature.args[3], x)
        table = address(context, builder, signature.args[4], rows)
        out = address(context, builder, signature.args[6], y)
        values = []
        for k in range(wide + windows - 1):
            row = builder.load(builder.gep(table, [ir.Constant(first.type, k)]))
            values.append(load_at(builder, data, builder.add(row, first), width))
        for median in _medians(builder, values, wide, windows):
            store_at(builder, out, place, median)
            place = builder.add(place, stride)
        return context.get_dummy_value()

    n = types.intp
    return types.void(size, group, like, source, rows, n, target, n, n), build


def _medians(builder: Any, values: list[Value], size: int, windows: int) -> list[Value]:
    middle = size // 2
    core = _sort(builder, values[windows - 1 : size])
    candidates: list[Value] = []
    for place in range(middle - windows + 1, middle + 1):
        outside = _LOWEST if place < 0 else _HIGHEST
        candidates.append(core[place] if 0 <= place < len(core) else outside)

    def narrowed(first: int, count: int, candidates: list[Value]) -> list[Value]:
        """Medians of windows ``first`` on; of their core only candidates count."""
        if count == 1:
            return candidates
        half = count // 2
        before = values[first + half - 1 : first + count - 1]
        behind = values[first + size : first + size + half]
        found = []
        for start, new in ((first, before), (first + half, behind)):
            found += narrowed(start, half, _middle(builder, candidates, _sort(builder, new)))
        return found

    return narrowed(0, windows, candidates)


def _middle(builder: Any, candidates: list[Value], new: list[Value]) -> list[Value]:
    """The middle third of sorted candidates and half as many sorted new values, sorted."""
    half = len(new)
    upper = [_in_order(builder, a, b)[1] for a, b in zip(candidates[:half], reversed(new))]
    upper = _halve(builder, upper)
    lower = [_in_order(builder, a, b)[0] for a, b in zip(upper, reversed(candidates[half:]))]
    return _halve(builder, lower)
