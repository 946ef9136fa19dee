# ruff: noqa: ARG001 - an intrinsic takes its types by the names of its parameters
"""Several floats at a time: the few vector operations that numba's own loops do not reach.

LLVM vectorises a loop of a compiled function only after checks, at every entry, that its arrays
do not overlap; for runs of some dozen floats the checks cost more than the run. The functions here
write LLVM's vector instructions down directly. LLVM maps them to what the machine has (AVX, SSE,
NEON), so nothing depends on the processor but the speed.

Arrays are one-dimensional, contiguous and float32, indices count floats, and nothing is checked.
How long a vector is, is the length of a tuple, ``like``: a type, so that every length is compiled
by itself, in the same operations.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

VECTOR = 8
"""Floats in a vector where the data do not say how many."""

EIGHT = (0,) * VECTOR
"""The ``like`` of such a vector."""

_BYTES = ir.IntType(8).as_pointer()

CONTRACT = ("contract",)
"""Products and sums may be fused where the machine can."""


class Vector(types.Type):  # type: ignore[misc]
    """``count`` floats in a register, or in several."""

    def __init__(self, count: int) -> None:
        self.count = count
        super().__init__(name=f"float32x{count}")


def llvm_vector(count: int) -> ir.VectorType:
    """The vector's type in LLVM."""
    return ir.VectorType(ir.FloatType(), count)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, fe_type: Any) -> None:
        super().__init__(manager, fe_type, llvm_vector(fe_type.count))


def address(context: Any, builder: Any, array_type: Any, array: Any) -> Any:
    """Pointer to the first float of an array."""
    return context.make_array(array_type)(context, builder, array).data


def load_at(builder: Any, data: Any, index: Any, count: int) -> Any:
    """The vector at ``data[index]``."""
    place = builder.gep(data, [index])
    value = builder.load(builder.bitcast(place, llvm_vector(count).as_pointer()))
    value.align = 4
    return value


def store_at(builder: Any, data: Any, index: Any, value: Any) -> None:
    """Put a vector at ``data[index]``."""
    place = builder.bitcast(builder.gep(data, [index]), value.type.as_pointer())
    builder.store(value, place).align = 4


def splat(builder: Any, value: Any, count: int) -> Any:
    """A vector of one number."""
    empty = ir.Constant(llvm_vector(count), ir.Undefined)
    first = builder.insert_element(empty, value, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), count), [0] * count)
    return builder.shuffle_vector(first, empty, zeros)


@intrinsic  # type: ignore[untyped-decorator]
def load(typing: Any, array: Any, index: Any, like: Any) -> Any:
    """Return the vector of the floats from ``array[index]`` on."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = address(context, builder, signature.args[0], arguments[0])
        return load_at(builder, data, arguments[1], like.count)

    return Vector(like.count)(array, types.intp, like), build


@intrinsic  # type: ignore[untyped-decorator]
def store(typing: Any, array: Any, index: Any, vector: Any) -> Any:
    """Put a vector into an array, from ``array[index]`` on."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = address(context, builder, signature.args[0], arguments[0])
        store_at(builder, data, arguments[1], arguments[2])
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), build


@intrinsic  # type: ignore[untyped-decorator]
def every(typing: Any, value: Any, like: Any) -> Any:
    """Return the vector of one number."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return splat(builder, arguments[0], like.count)

    return Vector(like.count)(types.float32, like), build


@intrinsic  # type: ignore[untyped-decorator]
def prefetch(typing: Any, array: Any, index: Any) -> Any:
    """Have the memory send the cache line of ``array[index]``, which may lie beyond the array."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = address(context, builder, signature.args[0], arguments[0])
        place = builder.bitcast(builder.gep(data, [arguments[1]]), _BYTES)
        numbers = [ir.Constant(ir.IntType(32), number) for number in (0, 2, 1)]
        kind = ir.FunctionType(ir.VoidType(), [_BYTES, *(number.type for number in numbers)])
        call = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(call, [place, *numbers])
        return context.get_dummy_value()

    return types.void(array, types.intp), build


@intrinsic  # type: ignore[untyped-decorator]
def add(typing: Any, a: Any, b: Any) -> Any:
    """Return a + b."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fadd(*arguments)

    return a(a, b), build


@intrinsic  # type: ignore[untyped-decorator]
def subtract(typing: Any, a: Any, b: Any) -> Any:
    """Return a - b."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fsub(*arguments)

    return a(a, b), build


@intrinsic  # type: ignore[untyped-decorator]
def multiply(typing: Any, a: Any, b: Any) -> Any:
    """Return a * b."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fmul(*arguments)

    return a(a, b), build


@intrinsic  # type: ignore[untyped-decorator]
def multiply_add(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a * b + c, fused where the machine can."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        product = builder.fmul(*arguments[:2], flags=CONTRACT)
        return builder.fadd(product, arguments[2], flags=CONTRACT)

    return a(a, b, c), build


@intrinsic  # type: ignore[untyped-decorator]
def divide(typing: Any, a: Any, b: Any) -> Any:
    """Return a / b."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fdiv(*arguments)

    return a(a, b), build


@intrinsic  # type: ignore[untyped-decorator]
def larger(typing: Any, a: Any, b: Any) -> Any:
    """Return the larger of a and b, one by one."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", *arguments), *arguments)

    return a(a, b), build


@intrinsic  # type: ignore[untyped-decorator]
def reverse(typing: Any, vector: Any) -> Any:
    """Return a vector backwards."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        order = ir.VectorType(ir.IntType(32), vector.count)
        mask = ir.Constant(order, list(range(vector.count - 1, -1, -1)))
        return builder.shuffle_vector(arguments[0], arguments[0], mask)

    return vector(vector), build


@intrinsic  # type: ignore[untyped-decorator]
def total(typing: Any, vector: Any) -> Any:
    """Return the sum of a vector, whose length is a power of two."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (value,), count = arguments, vector.count
        while count > 1:
            count //= 2
            halves = ir.VectorType(ir.IntType(32), count)
            one, two = (
                builder.shuffle_vector(
                    value, value, ir.Constant(halves, list(range(first, first + count)))
                )
                for first in (0, count)
            )
            value = builder.fadd(one, two)
        return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

    return types.float32(vector), build


@intrinsic  # type: ignore[untyped-decorator]
def deal(
    typing: Any,
    hands: Any,
    like: Any,
    source: Any,
    first: Any,
    target: Any,
    place: Any,
    stride: Any,
) -> Any:
    """Put floats that follow each other elsewhere in turns, as cards are dealt.

    Float i from ``source[first]`` on goes to run ``i % n`` of ``n = len(hands)``; the runs begin
    ``stride`` floats apart from ``target[place]`` on.
    """
    count, several = like.count, hands.count

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, _, x, first, y, place, stride = arguments
        data = address(context, builder, signature.args[2], x)
        out = address(context, builder, signature.args[4], y)
        cards = load_at(builder, data, first, count * several)
        order = ir.VectorType(ir.IntType(32), count)
        for hand in range(several):
            mask = ir.Constant(order, list(range(hand, count * several, several)))
            store_at(builder, out, place, builder.shuffle_vector(cards, cards, mask))
            place = builder.add(place, stride)
        return context.get_dummy_value()

    n = types.intp
    return types.void(hands, like, source, n, target, n, n), build


@intrinsic  # type: ignore[untyped-decorator]
def transpose(
    typing: Any,
    like: Any,
    source: Any,
    first: Any,
    pitch: Any,
    target: Any,
    place: Any,
    stride: Any,
) -> Any:
    """Put a square of floats, its rows ``pitch`` floats apart, elsewhere as its columns."""
    count = like.count

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = address(context, builder, signature.args[1], arguments[1])
        out = address(context, builder, signature.args[4], arguments[4])
        _, _, index, pitch, _, place, stride = arguments
        rows = []
        for _ in range(count):
            rows.append(load_at(builder, data, index, count))
            index = builder.add(index, pitch)
        for row in _transposed(builder, rows):
            store_at(builder, out, place, row)
            place = builder.add(place, stride)
        return context.get_dummy_value()

    n = types.intp
    return types.void(like, source, n, n, target, n, n), build


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """Blocks off the diagonal are exchanged, of one element, of 2 x 2, 4 x 4 and so on."""
    count = len(rows)
    indices = ir.VectorType(ir.IntType(32), count)
    half = 1
    while half < count:
        # Elements of the second vector count on from those of the first.
        left = [k if not k & half else count + k - half for k in range(count)]
        right = [k + half if not k & half else count + k for k in range(count)]
        for i in range(count):
            if not i & half:
                a, b = rows[i], rows[i + half]
                rows[i] = builder.shuffle_vector(a, b, ir.Constant(indices, left))
                rows[i + half] = builder.shuffle_vector(a, b, ir.Constant(indices, right))
        half *= 2
    return rows


@intrinsic  # type: ignore[untyped-decorator]
def float_of_bits(typing: Any, bits: Any) -> Any:
    """Return the float32 whose bits an int32 has."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), build


@intrinsic  # type: ignore[untyped-decorator]
def bits_of_float(typing: Any, value: Any) -> Any:
    """Return the int32 that has the bits of a float32."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.int32(types.float32), build


@intrinsic  # type: ignore[untyped-decorator]
def transpose_by(
    typing: Any,
    like: Any,
    source: Any,
    pitches: Any,
    first: Any,
    target: Any,
    places: Any,
    offset: Any,
) -> Any:
    """Put a square of floats elsewhere as its columns, both in any order.

    Row i of the square begins at ``source[first + pitches[i]]``, and its column i goes to
    ``target[offset + places[i]]``; ``pitches`` and ``places`` are int64.
    """
    count = like.count

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        types_of = signature.args
        _, x, steps, first, y, to, offset = arguments
        data = address(context, builder, types_of[1], x)
        out = address(context, builder, types_of[4], y)
        table = address(context, builder, types_of[2], steps)
        order = address(context, builder, types_of[5], to)

        def entry(numbers: Any, k: int, start: Any) -> Any:
            place = builder.gep(numbers, [ir.Constant(start.type, k)])
            return builder.add(start, builder.load(place))

        rows = [load_at(builder, data, entry(table, k, first), count) for k in range(count)]
        for k, row in enumerate(_transposed(builder, rows)):
            store_at(builder, out, entry(order, k, offset), row)
        return context.get_dummy_value()

    n = types.intp
    return types.void(like, source, pitches, n, target, places, n), build
