"""Functions that make arrays, and those that only ask about them."""

from __future__ import annotations

from typing import Any

import numpy as np

from cupy._array import allocate, device, host, ndarray, upload
from cupy.cuda.stream import watch


def array(  # noqa: PLR0917
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
        made = np.array(host(obj), dtype, copy=copy, order=order, ndmin=ndmin)
        return device(made, obj)
    if isinstance(obj, (list, tuple)) and any(isinstance(part, ndarray) for part in obj):
        obj = [part.get() if isinstance(part, ndarray) else part for part in obj]
    if copy is False:
        raise ValueError("Unable to avoid copy while creating an array as requested.")
    values = np.array(obj, dtype, ndmin=ndmin)
    if isinstance(obj, np.ndarray) and not blocking:
        watch(obj)
    turned = order == "F" or (order in "KA" and values.ndim > 1 and values.flags.fnc)
    return upload(values, "F" if turned else "C")


def asarray(
    a: Any, dtype: Any = None, order: Any = None, *, copy: Any = None, blocking: bool = False
) -> ndarray:
    """The array itself where it fits; a host array is sent to the device."""
    if isinstance(a, ndarray):
        return device(np.array(host(a), dtype, copy=copy, order=order), a)
    return array(a, dtype, copy, order or "K", blocking=blocking)


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
    kind = np.asarray(value).dtype if dtype is None else dtype
    return _filled(shape, value, kind, order)


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


def full_like(  # noqa: PLR0917
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


def linspace(  # noqa: PLR0917
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


FUNCTIONS = {
    name: function
    for name, function in globals().items()
    if getattr(function, "__module__", None) == __name__ and not name.startswith("_")
}
