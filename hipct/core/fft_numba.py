# ruff: noqa: ARG001 - an intrinsic takes its types by the names of its parameters
"""Fourier transforms of many slices at a time, the slices innermost.

A sample is a run of real parts, one of each slice, and a run of their imaginary parts. A transform
over samples is then the same for all slices: twiddles are numbers and not vectors, and nothing is
ever shuffled. A library's transform along such an axis gathers the samples of one slice after the
other first, which takes most of its time.

Stockham's passes need no bit reversal: the first may read from anywhere with any step, and
between two work arrays that stay in the second cache the order becomes natural. The butterflies of
each radix are written as straight LLVM code on whole vectors, which stays in registers.

Tried and lost: butterflies as loops in numba (2.5 times slower), and pocketfft or ducc0 along
the leading axis (2.5 to 4 times).

The inverse is the forward transform of samples whose real and imaginary parts are exchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from hipct.core.simd_numba import CONTRACT, address, load_at, splat, store_at

RADICES = (8, 5, 4, 3, 2)

_TWO, _THREE, _FOUR, _FIVE, _EIGHT = (0,) * 2, (0,) * 3, (0,) * 4, (0,) * 5, (0,) * 8

Complex = tuple[Any, Any]


def radices(length: int) -> list[int]:
    """Radices whose product is a length of prime factors 2, 3 and 5."""
    found = []
    for radix in RADICES:
        while length % radix == 0:
            found.append(radix)
            length //= radix
    return found


def twiddles(length: int) -> NDArray[np.float32]:
    """Factors of all passes: for pass, place and output 1 .. radix - 1 real and imaginary part."""
    parts = []
    for radix in radices(length):
        places = np.arange(length // radix)[:, None] * np.arange(1, radix)
        factors = np.exp(-2j * np.pi * places / length)
        parts.append(factors.astype(np.complex64).view(np.float32).ravel())
        length //= radix
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


class _Code:
    """Vector arithmetic in LLVM on complex numbers (real parts, imaginary parts)."""

    def __init__(self, builder: Any, count: int) -> None:
        self.builder, self.count = builder, count

    def number(self, value: float) -> Any:
        vector = ir.VectorType(ir.FloatType(), self.count)
        return ir.Constant(vector, [float(np.float32(value))] * self.count)

    def add(self, a: Complex, b: Complex) -> Complex:
        return tuple(self.builder.fadd(x, y, flags=CONTRACT) for x, y in zip(a, b))

    def subtract(self, a: Complex, b: Complex) -> Complex:
        return tuple(self.builder.fsub(x, y, flags=CONTRACT) for x, y in zip(a, b))

    def scale(self, a: Complex, value: float) -> Complex:
        factor = self.number(value)
        return tuple(self.builder.fmul(x, factor, flags=CONTRACT) for x in a)

    def minus_i(self, a: Complex) -> Complex:
        return a[1], self.builder.fneg(a[0])

    def times(self, a: Complex, re: Any, im: Any) -> Complex:
        b = self.builder
        straight = b.fmul(a[0], re, flags=CONTRACT), b.fmul(a[1], re, flags=CONTRACT)
        crossed = b.fmul(a[1], im, flags=CONTRACT), b.fmul(a[0], im, flags=CONTRACT)
        return (
            b.fsub(straight[0], crossed[0], flags=CONTRACT),
            b.fadd(straight[1], crossed[1], flags=CONTRACT),
        )

    def two(self, a: list[Complex]) -> list[Complex]:
        return [self.add(a[0], a[1]), self.subtract(a[0], a[1])]

    def three(self, a: list[Complex]) -> list[Complex]:
        both, apart = self.two(a[1:])
        middle = self.subtract(a[0], self.scale(both, 0.5))
        side = self.minus_i(self.scale(apart, np.sqrt(0.75)))
        return [self.add(a[0], both), self.add(middle, side), self.subtract(middle, side)]

    def four(self, a: list[Complex]) -> list[Complex]:
        p, q = self.two([a[0], a[2]])
        r, s = self.two([a[1], a[3]])
        s = self.minus_i(s)
        return [self.add(p, r), self.add(q, s), self.subtract(p, r), self.subtract(q, s)]

    def five(self, a: list[Complex]) -> list[Complex]:
        p, s = self.two([a[1], a[4]])
        q, t = self.two([a[2], a[3]])
        c1, c2 = np.cos(2 * np.pi / 5), np.cos(4 * np.pi / 5)
        s1, s2 = np.sin(2 * np.pi / 5), np.sin(4 * np.pi / 5)
        first = self.add(self.add(a[0], self.scale(p, c1)), self.scale(q, c2))
        second = self.add(self.add(a[0], self.scale(p, c2)), self.scale(q, c1))
        u = self.minus_i(self.add(self.scale(s, s1), self.scale(t, s2)))
        v = self.minus_i(self.subtract(self.scale(s, s2), self.scale(t, s1)))
        return [
            self.add(a[0], self.add(p, q)),
            self.add(first, u),
            self.add(second, v),
            self.subtract(second, v),
            self.subtract(first, u),
        ]

    def eight(self, a: list[Complex]) -> list[Complex]:
        even, odd = self.four(a[0::2]), self.four(a[1::2])
        half = np.sqrt(0.5)
        odd[1] = self.scale(self.add(odd[1], self.minus_i(odd[1])), half)
        odd[2] = self.minus_i(odd[2])
        odd[3] = self.scale(self.subtract(self.minus_i(odd[3]), odd[3]), half)
        pairs = [self.two([e, o]) for e, o in zip(even, odd)]
        return [pair[0] for pair in pairs] + [pair[1] for pair in pairs]


_CODES: dict[int, Callable[[_Code, list[Complex]], list[Complex]]] = {
    2: _Code.two,
    3: _Code.three,
    4: _Code.four,
    5: _Code.five,
    8: _Code.eight,
}


@intrinsic  # type: ignore[untyped-decorator]
def _butterfly(
    typing: Any,
    radix: Any,
    like: Any,
    source: Any,
    first: Any,
    step: Any,
    swap: Any,
    target: Any,
    place: Any,
    stride: Any,
    factors: Any,
    turn: Any,
) -> Any:
    """Transform ``radix`` samples and turn all but the first by the factors from ``turn`` on.

    Samples lie ``step`` floats apart from ``first`` on, go to ``place`` and on every ``stride``.
    Real parts are read after ``swap`` floats, the imaginary parts before or after them. Without
    factors (None) nothing is turned.
    """
    size, count = radix.count, like.count
    turned = not isinstance(factors, types.NoneType)

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, _, x, first, step, swap, y, place, stride, w, turn = arguments
        data = address(context, builder, signature.args[2], x)
        out = address(context, builder, signature.args[6], y)
        code = _Code(builder, count)
        width = ir.Constant(first.type, count)
        values = []
        real = builder.add(first, swap)
        imaginary = builder.sub(builder.add(first, width), swap)
        for _ in range(size):
            values.append(
                (
                    load_at(builder, data, real, count),
                    load_at(builder, data, imaginary, count),
                )
            )
            real, imaginary = builder.add(real, step), builder.add(imaginary, step)
        results = _CODES[size](code, values)
        if turned:
            table = address(context, builder, signature.args[9], w)
            for k in range(1, size):
                numbers = []
                for part in range(2):
                    index = builder.add(turn, ir.Constant(turn.type, 2 * (k - 1) + part))
                    numbers.append(splat(builder, builder.load(builder.gep(table, [index])), count))
                results[k] = code.times(results[k], *numbers)
        for value in results:
            store_at(builder, out, place, value[0])
            store_at(builder, out, builder.add(place, width), value[1])
            place = builder.add(place, stride)
        return context.get_dummy_value()

    n = types.intp
    signature = types.void(radix, like, source, n, n, n, target, n, n, factors, n)
    return signature, build


@njit(cache=True, nogil=True)
def _pass(radix, like, source, first, step, swap, target, length, stride, factors, turn):  # type: ignore[no-untyped-def]
    """One pass of ``stride`` interleaved transforms of ``length``; samples lie ``step`` apart."""
    size, width = len(radix), 2 * len(like)
    parts = length // size
    for p in range(parts):
        t = turn + 2 * p * (size - 1)
        for q in range(stride):
            a = first + (q + stride * p) * step
            b = (q + stride * size * p) * width
            if p == 0:
                _butterfly(
                    radix, like, source, a, stride * parts * step, swap, target, b,
                    stride * width, None, t,
                )  # fmt: skip
            else:
                _butterfly(
                    radix, like, source, a, stride * parts * step, swap, target, b,
                    stride * width, factors, t,
                )  # fmt: skip


@njit(cache=True, nogil=True)
def transform(like, source, first, step, swap, length, plan, factors, work, other):  # type: ignore[no-untyped-def]
    """Transform ``length`` samples of as many slices as ``like`` is long.

    Parameters
    ----------
    like : tuple
        See :mod:`hipct.core.simd_numba`.
    source : float32
        Where the samples lie, ``step`` floats apart from ``first`` on. May be ``other``.
    swap : int
        0, or the number of slices for the inverse: the result has its parts exchanged too.
    plan : int64
        Radices.
    factors : float32
        :func:`twiddles` of the length.
    work, other : float32 (length * 2 * slices,)

    Returns
    -------
    float32
        ``work`` or ``other``, whichever holds the result.
    """
    width = 2 * len(like)
    # Numbers that numba takes for constants would have every pass compiled a second time.
    stride, turn, left = np.intp(1), np.intp(0), length
    x, y = source, work
    for radix in plan:
        if radix == 8:
            _pass(_EIGHT, like, x, first, step, swap, y, left, stride, factors, turn)
        elif radix == 5:
            _pass(_FIVE, like, x, first, step, swap, y, left, stride, factors, turn)
        elif radix == 4:
            _pass(_FOUR, like, x, first, step, swap, y, left, stride, factors, turn)
        elif radix == 3:
            _pass(_THREE, like, x, first, step, swap, y, left, stride, factors, turn)
        else:
            _pass(_TWO, like, x, first, step, swap, y, left, stride, factors, turn)
        turn += 2 * (left // radix) * (radix - 1)
        left //= radix
        stride *= radix
        if y is work:
            x, y = work, other
        else:
            x, y = other, work
        first, step, swap = np.intp(0), width, np.intp(0)
    return x
