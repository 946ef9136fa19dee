"""Functions and methods of CuPy that NumPy computes here, each with CuPy's own parameters.

To add one: write its line, as ``inspect.signature`` of the real function shows it. Where NumPy has
the same name and parameters nothing else is needed; the others are written out below.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from cupy._array import allocate, device, host, ndarray, transfers, upload

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
fliplr(m)
flipud(m)
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
unique(ar, return_index=False, return_inverse=False, return_counts=False, axis=None, *, equal_nan=True)
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
        with np.errstate(all="ignore"):
            result = compute(*positional, **named)
        return device(result, *given)

    function.__name__ = function.__qualname__ = name
    function.__signature__ = declared  # type: ignore[attr-defined]
    function.__module__ = "cupy"
    return function


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
    ndarray.__matmul__ = lambda self, other: FUNCTIONS["matmul"](self, other)
    ndarray.__rmatmul__ = lambda self, other: FUNCTIONS["matmul"](other, self)


def _where(condition: Any, x: Any = None, y: Any = None) -> Any:
    if x is None and y is None:
        transfers._wait()
        return np.where(condition)
    return np.where(condition, x, y)


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
    "pad(array, pad_width, mode='constant', **kwargs)": np.pad,
    "put(a, ind, v, mode='wrap')": np.put,
    "put_along_axis(arr, indices, values, axis)": np.put_along_axis,
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


def array(
    obj: Any,
    dtype: Any = None,
    copy: bool = True,
    order: str = "K",
    subok: bool = False,
    ndmin: int = 0,
    *,
    blocking: bool = False,
) -> ndarray:
    """A new array: of numbers, of a host array (the one way up), or of an array of the device."""
    if isinstance(obj, ndarray):
        made = np.array(host(obj), dtype, copy=copy or None, order=order, ndmin=ndmin)
        return device(made, obj)
    if isinstance(obj, (list, tuple)) and any(isinstance(part, ndarray) for part in obj):
        obj = [part.get() if isinstance(part, ndarray) else part for part in obj]
    values = np.array(obj, dtype, ndmin=ndmin)
    turned = order == "F" or (order in "KA" and values.ndim > 1 and values.flags.fnc)
    return upload(values, "F" if turned else "C")


def asarray(
    a: Any, dtype: Any = None, order: Any = None, *, copy: Any = None, blocking: bool = False
) -> ndarray:
    """The array itself where it fits; a host array is sent to the device."""
    if isinstance(a, ndarray):
        return device(np.array(host(a), dtype, copy=copy, order=order), a)
    return array(a, dtype, order=order or "K")


def asnumpy(
    a: Any, stream: Any = None, order: str = "C", out: Any = None, *, blocking: bool = True
) -> np.ndarray:
    """A copy on the host."""
    if isinstance(a, ndarray):
        return a.get(stream, order, out, blocking)
    return np.asarray(a, order=order)


def ascontiguousarray(a: Any, dtype: Any = None) -> ndarray:
    """The array itself if it is one run of memory, else a copy that is."""
    return asarray(a, dtype, "C")


def empty(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    """New memory, with garbage in it."""
    return allocate(shape, dtype, order)


def _filled(shape: Any, value: Any, dtype: Any, order: str) -> ndarray:
    out = allocate(shape, dtype, order)
    out._host[...] = value
    return out


def zeros(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    return _filled(shape, 0, dtype, order)


def ones(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    return _filled(shape, 1, dtype, order)


def full(shape: Any, fill_value: Any, dtype: Any = None, order: str = "C") -> ndarray:
    value = host(fill_value)
    return _filled(shape, value, np.asarray(value).dtype if dtype is None else dtype, order)


def _like(a: Any, dtype: Any, shape: Any) -> tuple[Any, Any]:
    like = host(a) if isinstance(a, ndarray) else None
    if like is None:
        raise TypeError(f"Unsupported type {type(a)}")
    return (like.shape if shape is None else shape), (like.dtype if dtype is None else dtype)


def empty_like(
    prototype: Any, dtype: Any = None, order: str = "K", subok: Any = None, shape: Any = None
) -> ndarray:
    return empty(*_like(prototype, dtype, shape))


def zeros_like(
    a: Any, dtype: Any = None, order: str = "K", subok: Any = None, shape: Any = None
) -> ndarray:
    return zeros(*_like(a, dtype, shape))


def ones_like(
    a: Any, dtype: Any = None, order: str = "K", subok: Any = None, shape: Any = None
) -> ndarray:
    return ones(*_like(a, dtype, shape))


def full_like(
    a: Any,
    fill_value: Any,
    dtype: Any = None,
    order: str = "K",
    subok: Any = None,
    shape: Any = None,
) -> ndarray:
    shape, dtype = _like(a, dtype, shape)
    return full(shape, fill_value, dtype)


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> ndarray:
    bounds = (0, start) if stop is None else (start, stop)
    return _made(np.arange(*bounds, step, dtype=dtype))


def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    made = np.linspace(host(start), host(stop), num, endpoint, retstep, dtype, axis)
    return (_made(made[0]), made[1]) if retstep else _made(made)


def eye(N: int, M: Any = None, k: int = 0, dtype: Any = float, order: str = "C") -> ndarray:  # noqa: N803
    return _made(np.eye(N, M, k, dtype, order))


def meshgrid(*xi: Any, **kwargs: Any) -> Any:
    return [device(part, *xi) for part in np.meshgrid(*map(host, xi), **kwargs)]


def result_type(*arrays_and_dtypes: Any) -> np.dtype:
    return np.result_type(*map(host, arrays_and_dtypes))


def ndim(a: Any) -> int:
    return np.ndim(host(a))


def shape(a: Any) -> tuple[int, ...]:
    return np.shape(host(a))


def may_share_memory(a: Any, b: Any, max_work: Any = None) -> bool:
    return np.may_share_memory(host(a), host(b))


def shares_memory(a: Any, b: Any, max_work: Any = None) -> bool:
    return np.shares_memory(host(a), host(b))


def iscomplexobj(x: Any) -> bool:
    return np.iscomplexobj(host(x))


def get_array_module(*args: Any) -> Any:
    import cupy

    return cupy if any(isinstance(a, ndarray) for a in args) else np


def atleast_1d(*arys: Any) -> Any:
    made = [device(np.atleast_1d(host(a)), a) for a in arys]
    return made[0] if len(made) == 1 else made


def _made(values: np.ndarray) -> ndarray:
    out = allocate(values.shape, values.dtype)
    out._host[...] = values
    return out
