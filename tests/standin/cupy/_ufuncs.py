"""Element-wise functions, and the operators of arrays that are made of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from cupy._array import device, host, ndarray

NAMES = """
    absolute add arccos arccosh arcsin arcsinh arctan arctan2 arctanh bitwise_and bitwise_or
    bitwise_xor cbrt ceil conjugate copysign cos cosh deg2rad degrees divide divmod equal exp exp2
    expm1 float_power floor floor_divide fmax fmin fmod frexp gcd greater greater_equal hypot invert
    isfinite isinf isnan lcm ldexp left_shift less less_equal log log10 log1p log2 logaddexp
    logical_and logical_not logical_or logical_xor maximum minimum modf multiply negative nextafter
    not_equal positive power rad2deg radians reciprocal remainder right_shift rint sign signbit sin
    sinh sqrt square subtract tan tanh true_divide trunc
"""

SYNONYMS = {"abs": "absolute", "conj": "conjugate", "mod": "remainder", "bitwise_not": "invert"}

_SCATTERS = {"add", "maximum", "minimum"}


class ufunc:  # noqa: N801
    """One of CuPy's universal functions; see NumPy for what it computes."""

    def __init__(self, name: str):
        self._numpy = getattr(np, name)
        self.name = f"cupy_{name}"
        self.nin, self.nout, self.nargs = (
            self._numpy.nin,
            self._numpy.nout,
            self._numpy.nin + self._numpy.nout,
        )
        self.__name__ = self.name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if unknown := set(kwargs) - {"out", "dtype", "casting"}:
            raise TypeError(f"Wrong arguments {unknown}")
        for value in args[: self.nin]:
            if isinstance(value, (list, tuple)):
                raise TypeError(f"Unsupported type {type(value)}")
        outputs = args[self.nin :] or kwargs.pop("out", ())
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        outputs = tuple(out for out in outputs if out is not None)
        if not all(isinstance(out, ndarray) for out in outputs):
            raise TypeError("Output arguments type must be cupy.ndarray")
        kwargs.pop("out", None)
        with np.errstate(all="ignore"):  # a device does not warn of infinities
            result = self._numpy(
                *(host(value) for value in args[: self.nin]),
                **({"out": tuple(out._host for out in outputs)} if outputs else {}),
                **kwargs,
            )
        return device(result, *outputs)

    def reduce(
        self, array: Any, axis: Any = 0, dtype: Any = None, out: Any = None, keepdims: bool = False
    ) -> ndarray:
        if self.name not in ("cupy_add", "cupy_multiply"):
            raise NotImplementedError(f"`{self.name}.reduce` is not supported yet")
        return device(self._numpy.reduce(host(array), axis, dtype, host(out), keepdims), out)

    def accumulate(self, array: Any, axis: int = 0, dtype: Any = None, out: Any = None) -> ndarray:
        if self.name not in ("cupy_add", "cupy_multiply"):
            raise NotImplementedError(f"`{self.name}.accumulate` is not supported yet")
        return device(self._numpy.accumulate(host(array), axis, dtype, host(out)), out)

    def at(self, a: Any, indices: Any, b: Any = None) -> None:
        if self._numpy.__name__ not in _SCATTERS:
            raise NotImplementedError(f"`{self.name}.at` is not supported yet")
        if a.dtype.char not in "iILQefdFD":
            raise TypeError(f"{a.dtype} cannot be scattered to")
        self._numpy.at(host(a), host(indices), host(b))

    def outer(self, A: Any, B: Any, **kwargs: Any) -> Any:  # noqa: N803
        return device(self._numpy.outer(host(A), host(B), **kwargs))


FUNCTIONS = {name: ufunc(name) for name in NAMES.split()}
FUNCTIONS |= {name: FUNCTIONS[other] for name, other in SYNONYMS.items()}

_BINARY = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "true_divide",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "pow": "power",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
    "lshift": "left_shift",
    "rshift": "right_shift",
    "divmod": "divmod",
}
_COMPARISONS = {
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
    "eq": "equal",
    "ne": "not_equal",
}
_UNARY = {"neg": "negative", "pos": "positive", "abs": "absolute", "invert": "invert"}


def _install() -> None:
    def forward(function: ufunc) -> Any:
        def operate(self: ndarray, other: Any) -> Any:
            return function(self, other)

        return operate

    def backward(function: ufunc) -> Any:
        return lambda self, other: function(other, self)

    def in_place(function: ufunc) -> Any:
        return lambda self, other: function(self, other, out=self)

    def alone(function: ufunc) -> Any:
        def operate(self: ndarray) -> Any:
            return function(self)

        return operate

    for name, of in (_BINARY | _COMPARISONS).items():
        setattr(ndarray, f"__{name}__", forward(FUNCTIONS[of]))
    for name, of in _BINARY.items():
        setattr(ndarray, f"__r{name}__", backward(FUNCTIONS[of]))
        if name != "divmod":
            setattr(ndarray, f"__i{name}__", in_place(FUNCTIONS[of]))
    for name, of in _UNARY.items():
        setattr(ndarray, f"__{name}__", alone(FUNCTIONS[of]))


_install()
