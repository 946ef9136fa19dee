# ruff: noqa: ARG001 - an intrinsic takes its types by the names of its parameters
"""Eight floats at a time: the few vector operations that numba's own loops do not reach.

LLVM vectorises a loop of a compiled function only after checks, at every entry, that its arrays
do not overlap; for runs of some dozen floats the checks cost more than the run. The functions here
write LLVM's vector instructions down directly. LLVM maps them to what the machine has (AVX, SSE,
NEON), so nothing depends on the processor but the speed.

Arrays are one-dimensional, contiguous and float32, indices count floats, and nothing is checked.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

VECTOR = 8
"""Floats in a vector: four complex numbers."""

_LLVM = ir.VectorType(ir.FloatType(), VECTOR)
_INDICES = ir.VectorType(ir.IntType(32), VECTOR)


class _Vector(types.Type):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(name=f"float32x{VECTOR}")


_vector = _Vector()


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, fe_type: Any) -> None:
        super().__init__(manager, fe_type, _LLVM)


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), _LLVM.as_pointer())


@intrinsic  # type: ignore[untyped-decorator]
def load(typing: Any, array: Any, index: Any) -> Any:
    """Return the vector array[index : index + VECTOR]."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = builder.load(_pointer(context, builder, signature.args[0], *arguments))
        value.align = 4
        return value

    return _vector(array, types.intp), build


@intrinsic  # type: ignore[untyped-decorator]
def store(typing: Any, array: Any, index: Any, vector: Any) -> Any:
    """Set array[index : index + VECTOR] to a vector."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], *arguments[:2])
        builder.store(arguments[2], pointer).align = 4
        return context.get_dummy_value()

    return types.void(array, types.intp, _vector), build


@intrinsic  # type: ignore[untyped-decorator]
def pairs(typing: Any, even: Any, odd: Any) -> Any:
    """Return the vector even, odd, even, odd, ..."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        empty = ir.Constant(_LLVM, ir.Undefined)
        first, second = (ir.Constant(ir.IntType(32), k) for k in (0, 1))
        vector = builder.insert_element(empty, arguments[0], first)
        vector = builder.insert_element(vector, arguments[1], second)
        alternate = ir.Constant(_INDICES, [0, 1] * (VECTOR // 2))
        return builder.shuffle_vector(vector, empty, alternate)

    return _vector(types.float32, types.float32), build


@intrinsic  # type: ignore[untyped-decorator]
def swapped(typing: Any, vector: Any) -> Any:
    """Return the vector with the two elements of every pair exchanged."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        order = ir.Constant(_INDICES, [k ^ 1 for k in range(VECTOR)])
        return builder.shuffle_vector(arguments[0], arguments[0], order)

    return _vector(_vector), build


@intrinsic  # type: ignore[untyped-decorator]
def add(typing: Any, a: Any, b: Any) -> Any:
    """Return a + b."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fadd(*arguments)

    return _vector(_vector, _vector), build


@intrinsic  # type: ignore[untyped-decorator]
def multiply(typing: Any, a: Any, b: Any) -> Any:
    """Return a * b."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fmul(*arguments)

    return _vector(_vector, _vector), build


@intrinsic  # type: ignore[untyped-decorator]
def multiply_add(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a * b + c, fused where the machine can."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        product = builder.fmul(*arguments[:2], flags=("contract",))
        return builder.fadd(product, arguments[2], flags=("contract",))

    return _vector(_vector, _vector, _vector), build
