"""Functions and methods of CuPy that NumPy computes here, each with CuPy's own parameters.

To add one: write its line, as ``inspect.signature`` of the real function shows it. Where NumPy has
the same name and parameters nothing else is needed; the others are written out below.
"""

from __future__ import annotations

import inspect
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from cupy._array import device, host, ndarray, transfers

SAME = """
all(a, axis=None, out=None, keepdims=False)
allclose(a, b, rtol=1e-05, atol=1e-08, equal_nan=False)
amax(a, axis=None, out=None, keepdims=False)
amin(a, axis=None, out=None, keepdims=False)
any(a, axis=None, out=None, keepdims=False)
argmax(a, axis=None, dtype=None, out=None, keepdims=False)
argmin(a, axis=None, dtype=None, out=None, keepdims=False)
argpartition(a, kth, axis=-1)
array_equal(a1, a2, equal_nan=False)
array_split(ary, indices_or_sections, axis=0)
average(a, axis=None, weights=None, returned=False, *, keepdims=False)
bincount(x, weights=None, minlength=None)
broadcast_to(array, shape)
clip(a, a_min, a_max, out=None)
concatenate(tup, axis=0, out=None, *, dtype=None, casting='same_kind')
count_nonzero(a, axis=None)
cumprod(a, axis=None, dtype=None, out=None)
cumsum(a, axis=None, dtype=None, out=None)
diff(a, n=1, axis=-1, prepend=None, append=None)
digitize(x, bins, right=False)
dot(a, b, out=None)
expand_dims(a, axis)
flip(a, axis=None)
fliplr(a)
flipud(a)
hstack(tup, *, dtype=None, casting='same_kind')
interp(x, xp, fp, left=None, right=None, period=None)
isclose(a, b, rtol=1e-05, atol=1e-08, equal_nan=False)
max(a, axis=None, out=None, keepdims=False)
mean(a, axis=None, dtype=None, out=None, keepdims=False)
median(a, axis=None, out=None, overwrite_input=False, keepdims=False)
min(a, axis=None, out=None, keepdims=False)
moveaxis(a, source, destination)
nan_to_num(x, copy=True, nan=0.0, posinf=None, neginf=None)
nanmax(a, axis=None, out=None, keepdims=False)
nanmean(a, axis=None, dtype=None, out=None, keepdims=False)
nanmedian(a, axis=None, out=None, overwrite_input=False, keepdims=False)
nanmin(a, axis=None, out=None, keepdims=False)
nanstd(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False)
nansum(a, axis=None, dtype=None, out=None, keepdims=False)
outer(a, b, out=None)
partition(a, kth, axis=-1)
percentile(a, q, axis=None, out=None, overwrite_input=False, method='linear', keepdims=False)
prod(a, axis=None, dtype=None, out=None, keepdims=False)
quantile(a, q, axis=None, out=None, overwrite_input=False, method='linear', keepdims=False)
ravel(a, order='C')
repeat(a, repeats, axis=None)
roll(a, shift, axis=None)
rollaxis(a, axis, start=0)
rot90(a, k=1, axes=(0, 1))
round(a, decimals=0, out=None)
searchsorted(a, v, side='left', sorter=None)
split(ary, indices_or_sections, axis=0)
squeeze(a, axis=None)
stack(tup, axis=0, out=None, *, dtype=None, casting='same_kind')
std(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False)
sum(a, axis=None, dtype=None, out=None, keepdims=False)
swapaxes(a, axis1, axis2)
take(a, indices, axis=None, out=None)
take_along_axis(a, indices, axis)
tensordot(a, b, axes=2)
tile(A, reps)
trace(a, offset=0, axis1=0, axis2=1, dtype=None, out=None)
transpose(a, axes=None)
tril(m, k=0)
triu(m, k=0)
var(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False)
vstack(tup, *, dtype=None, casting='same_kind')
"""

METHODS = """
all(self, axis=None, out=None, keepdims=False)
any(self, axis=None, out=None, keepdims=False)
argmax(self, axis=None, out=None, dtype=None, keepdims=False)
argmin(self, axis=None, out=None, dtype=None, keepdims=False)
clip(self, min=None, max=None, out=None)
conj(self)
conjugate(self)
cumprod(self, axis=None, dtype=None, out=None)
cumsum(self, axis=None, dtype=None, out=None)
diagonal(self, offset=0, axis1=0, axis2=1)
dot(self, b, out=None)
flatten(self, order='C')
max(self, axis=None, out=None, keepdims=False)
mean(self, axis=None, dtype=None, out=None, keepdims=False)
min(self, axis=None, out=None, keepdims=False)
prod(self, axis=None, dtype=None, out=None, keepdims=False)
ravel(self, order='C')
repeat(self, repeats, axis=None)
round(self, decimals=0, out=None)
searchsorted(self, v, side='left', sorter=None)
squeeze(self, axis=None)
std(self, axis=None, dtype=None, out=None, ddof=0, keepdims=False)
sum(self, axis=None, dtype=None, out=None, keepdims=False)
swapaxes(self, axis1, axis2)
take(self, indices, axis=None, out=None)
trace(self, offset=0, axis1=0, axis2=1, dtype=None, out=None)
var(self, axis=None, dtype=None, out=None, ddof=0, keepdims=False)
"""

# How many elements come out depends on values: the host waits for them.
WAITING = """
argwhere(a)
flatnonzero(a)
nonzero(a)
unique(ar, return_index=False, return_inverse=False, return_counts=False, axis=None)
"""


def checked(text: str, compute: Callable[..., Any], *, waits: bool = False) -> Callable[..., Any]:
    """A function with the parameters that ``text`` declares, for arrays of the device alone."""
    made: dict[str, Any] = {}
    exec(f"def {text}: pass", made)  # the declarations are ours, above
    name = text.partition("(")[0]
    declared = inspect.signature(made[name])

    def function(*args: Any, **kwargs: Any) -> Any:
        bound = declared.bind(*args, **kwargs)
        given = (*bound.args, *bound.kwargs.values())
        if not any(_holds_array(value) for value in given):
            raise TypeError(f"{name} takes arrays of the device, not {[type(v) for v in given]}")
        if waits:
            transfers._wait()
        positional, named = [], {}
        for key, value in bound.arguments.items():
            parameter = declared.parameters[key]
            if parameter.kind is parameter.VAR_POSITIONAL:
                positional += [host(part) for part in value]
            elif parameter.kind is parameter.VAR_KEYWORD:
                named |= {word: host(part) for word, part in value.items()}
            elif parameter.default is parameter.empty:
                positional.append(host(value))
            elif value is not None or parameter.default is not None:
                named[key] = host(value)
        with _quiet(name):
            result = compute(*positional, **named)
        return device(result, *given)

    function.__name__ = function.__qualname__ = name
    function.__signature__ = declared  # type: ignore[attr-defined]
    function.__module__ = "cupy"
    return function


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """A device warns of nothing, be it infinite or empty."""
    with np.errstate(all="ignore"):
        if name.startswith("nan") or name in _SAY_EMPTY:
            # What is done with warnings is done to all threads.
            with _warning, warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                yield
        else:
            yield


_SAY_EMPTY = {"average", "mean", "median", "std", "var"}
_warning = threading.Lock()


def _holds_array(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(_holds_array(part) for part in value)
    return isinstance(value, ndarray)


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]


FUNCTIONS: dict[str, Callable[..., Any]] = {}


def _install() -> None:
    for line in _lines(SAME) + _lines(WAITING):
        name = line.partition("(")[0]
        FUNCTIONS[name] = checked(line, getattr(np, name), waits=line in WAITING)
    for line in _lines(METHODS):
        name = line.partition("(")[0]
        setattr(ndarray, name, checked(line, getattr(np.ndarray, name)))
    for line, compute in _OTHERS.items():
        FUNCTIONS[line.partition("(")[0]] = checked(line, compute)
    for line, compute in _OTHER_METHODS.items():
        setattr(ndarray, line.partition("(")[0], checked(line, compute))
    ndarray.__matmul__ = _product
    ndarray.__rmatmul__ = lambda self, other: _product(other, self)


def _product(a: Any, b: Any) -> Any:
    return FUNCTIONS["matmul"](a, b)


def _pad(array: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Any:
    if mode == "median":
        raise ValueError("mode 'median' is not supported")
    return np.pad(array, pad_width, mode, **kwargs)


def _where(condition: Any, x: Any = None, y: Any = None) -> Any:
    if x is None and y is None:
        transfers._wait()
        return np.where(condition)
    return np.where(condition, x, y)


def _put_along_axis(arr: Any, indices: Any, values: Any, axis: Any) -> None:
    ordered = np.sort(indices, axis)
    if np.ndim(values) and (np.diff(ordered, axis=axis) == 0).any():
        raise IndexError("an element is written twice: on a device, either value may stay")
    np.put_along_axis(arr, indices, values, axis)


def _sort_in_place(a: Any, axis: Any = -1, kind: Any = None) -> None:
    a[...] = _sort(a, axis, kind)


def _sort(a: Any, axis: Any = -1, kind: Any = None) -> Any:
    if kind not in (None, "stable"):
        raise ValueError("kind can only be None or 'stable'")
    return np.sort(a, axis, kind="stable")


def _argsort(a: Any, axis: Any = -1, kind: Any = None) -> Any:
    if kind not in (None, "stable"):
        raise ValueError("kind can only be None or 'stable'")
    return np.argsort(a, axis, kind="stable")


_OTHERS: dict[str, Callable[..., Any]] = {
    "argsort(a, axis=-1, kind=None)": _argsort,
    "copy(a, order='K')": np.copy,
    "copyto(dst, src, casting='same_kind', where=None)": np.copyto,
    "einsum(*operands, **kwargs)": np.einsum,
    "histogram(x, bins=10, range=None, density=False, weights=None)": np.histogram,
    "matmul(*args, axes=None, axis=None, keepdims=False, casting='same_kind', dtype=None, "
    "signature=None, order='K', out=None)": np.matmul,
    "pad(array, pad_width, mode='constant', **kwargs)": _pad,
    "put(a, ind, v, mode='wrap')": np.put,
    "put_along_axis(arr, indices, values, axis)": _put_along_axis,
    "reshape(a, newshape, order='C', *, copy=None)": np.reshape,
    "sort(a, axis=-1, kind=None)": _sort,
    "where(condition, x=None, y=None)": _where,
}
_OTHER_METHODS: dict[str, Callable[..., Any]] = {
    "argpartition(self, kth, axis=-1)": np.argpartition,
    "argsort(self, axis=-1, kind=None)": _argsort,
    "nonzero(self)": np.nonzero,
    "partition(self, kth, axis=-1)": np.ndarray.partition,
    "put(self, indices, values, mode='wrap')": np.put,
    "sort(self, axis=-1, kind=None)": _sort_in_place,
}
_install()
