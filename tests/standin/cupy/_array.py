"""The device array: NumPy underneath, and nothing of NumPy's accepted or given away unasked."""

from __future__ import annotations

import operator
import threading
from typing import Any

import numpy as np

from cupy._devices import current_device
from cupy._memory import Block, garbage

DTYPES = frozenset("?bBhHiIlLqQefdFD")


class Transfers:
    """How often anything went to the host or to the device: what a test may set a limit to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Count from nothing again."""
        self.to_host = self.to_device = self.host_bytes = self.device_bytes = self.waits = 0

    def _host(self, nbytes: int) -> None:
        with self._lock:
            self.to_host += 1
            self.host_bytes += nbytes

    def _device(self, nbytes: int) -> None:
        with self._lock:
            self.to_device += 1
            self.device_bytes += nbytes

    def _wait(self) -> None:
        with self._lock:
            self.waits += 1


transfers = Transfers()


def host(value: Any) -> Any:
    """What NumPy computes with: arrays unwrapped, anything of NumPy's refused."""
    if isinstance(value, ndarray):
        if value._block.device != current_device():
            raise ValueError(
                f"Array device must be same as the current device: array device = "
                f"{value._block.device} while current = {current_device()}"
            )
        return value._host
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    if isinstance(value, (list, tuple)):
        return type(value)(host(part) for part in value)
    plain = (bool, int, float, complex, str, np.generic, np.dtype, type, slice, type(None))
    if isinstance(value, plain) or value is Ellipsis:
        return value
    raise TypeError(f"Unsupported type {type(value)}")


def device(result: Any, *sources: Any) -> Any:
    """What a computation gave, as arrays of the device; views share the memory of ``sources``."""
    if result is None:  # of what writes into its argument
        return None
    if isinstance(result, (list, tuple)):
        return type(result)(device(part, *sources) for part in result)
    for source in sources:
        if isinstance(source, ndarray):
            if result is source._host:
                return source
            if isinstance(result, np.ndarray) and np.may_share_memory(result, source._host):
                return _wrap(result, source._block)
        elif isinstance(source, (list, tuple)):
            for part in source:
                if isinstance(part, ndarray) and result is part._host:
                    return part
    result = np.asarray(result)
    check_dtype(result.dtype)
    return _wrap(result, Block(result.nbytes))


def allocate(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    """An array of new memory, with garbage in it."""
    shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(map(int, shape))
    kind = check_dtype(np.dtype(dtype))
    block = Block(int(np.prod(shape, dtype=np.int64)) * kind.itemsize)
    return _wrap(block.room(shape, kind, order), block)


def upload(values: np.ndarray, order: str = "C") -> ndarray:
    """A copy of a host array on the device."""
    check_dtype(values.dtype)
    out = allocate(values.shape, values.dtype, order)
    out._host[...] = values
    transfers._device(values.nbytes)
    return out


def check_dtype(dtype: np.dtype) -> np.dtype:
    """Refuse types that the device does not know."""
    if dtype.char not in DTYPES:
        raise ValueError(f"Unsupported dtype {dtype}")
    return dtype


def _wrap(values: np.ndarray, block: Block) -> ndarray:
    array = ndarray.__new__(ndarray)
    array._host, array._block = values, block
    return array


def _reshape_in_place(array: ndarray, shape: Any) -> None:
    view = array._host.view()
    view.shape = shape
    array._host = view


class ndarray:  # noqa: N801
    """An array on the device; see :mod:`cupy`."""

    __slots__ = ("__weakref__", "_block", "_host")
    __hash__ = None
    # NumPy's functions and operators refuse it, and leave operators with scalars to it.
    __array_ufunc__ = None
    __array_priority__ = 100

    def __init__(self, shape: Any, dtype: Any = float, *, order: str = "C"):
        made = allocate(shape, dtype, order)
        self._host, self._block = made._host, made._block

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        raise TypeError(f"numpy.{func.__name__} was applied to an array of the device")

    # What the host may know without waiting for the device.

    shape = property(lambda self: self._host.shape, _reshape_in_place)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    itemsize = property(lambda self: self._host.itemsize)
    nbytes = property(lambda self: self._host.nbytes)
    strides = property(lambda self: self._host.strides)
    flags = property(lambda self: self._host.flags)
    T = property(lambda self: device(self._host.T, self))
    mT = property(lambda self: device(self._host.mT, self))  # noqa: N815

    @property
    def real(self) -> ndarray:
        return device(self._host.real, self)

    @real.setter
    def real(self, value: Any) -> None:
        self._host.real = host(value)

    @property
    def imag(self) -> ndarray:
        return device(self._host.imag, self)

    @imag.setter
    def imag(self, value: Any) -> None:
        self._host.imag = host(value)

    @property
    def device(self) -> Any:
        from cupy.cuda import Device

        return Device(self._block.device)

    @property
    def data(self) -> Any:
        return _Pointer(self._host.ctypes.data)

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Any:
        return (self[k] for k in range(len(self._host)))

    # What waits for the device and brings values to the host.

    def get(
        self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True
    ) -> np.ndarray:
        """A copy on the host."""
        from cupy.cuda.stream import fetch

        return fetch(self, stream, order, out, blocking)

    def item(self) -> Any:
        return self.get().item()

    def tolist(self) -> Any:
        return self.get().tolist()

    def tobytes(self, order: str = "C") -> bytes:
        return self.get().tobytes(order)

    def __bool__(self) -> bool:
        return bool(self.get())

    def __int__(self) -> int:
        return int(self.get())

    def __float__(self) -> float:
        return float(self.get())

    def __complex__(self) -> complex:
        return complex(self.get())

    def __index__(self) -> int:
        return self.get().__index__()

    def __repr__(self) -> str:
        return repr(self.get())

    def __str__(self) -> str:
        return str(self.get())

    def __format__(self, style: str) -> str:
        return format(self.get(), style)

    def set(self, arr: np.ndarray, stream: Any = None) -> None:
        """Copy a host array here."""
        from cupy.cuda.stream import send

        send(self, arr, stream)

    # Indexing.

    def __getitem__(self, index: Any) -> ndarray:
        if _counts_elements(index):
            transfers._wait()
        return device(self._host[_index(index)], self)

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(value, (list, tuple)):
            raise TypeError(f"Unsupported type {type(value)}")
        if _counts_elements(index) and np.ndim(host(value)):
            transfers._wait()
        if np.ndim(host(value)) and _has_integer_arrays(index):
            places = np.arange(self.size).reshape(self.shape)[_index(index)]
            if np.unique(places).size < places.size:
                raise IndexError("an element is written twice: on a device, either value may stay")
        self._host[_index(index)] = host(value)

    # Shape and type.

    def reshape(self, *shape: Any, order: str = "C", copy: Any = None) -> ndarray:
        shape = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
        return device(self._host.reshape(tuple(map(operator.index, shape)), order=order), self)

    def transpose(self, *axes: Any) -> ndarray:
        return device(self._host.transpose(*axes), self)

    def view(self, dtype: Any = None, type: Any = None) -> ndarray:
        dtype = self.dtype if dtype is None else dtype
        return device(self._host.view(check_dtype(np.dtype(dtype))), self)

    def astype(
        self,
        dtype: Any,
        order: str = "K",
        casting: Any = None,
        subok: Any = None,
        copy: bool = True,
    ) -> ndarray:
        rule = {} if casting is None else {"casting": casting}
        made = self._host.astype(check_dtype(np.dtype(dtype)), order=order, copy=copy, **rule)
        return device(made, self)

    def copy(self, order: str = "C") -> ndarray:
        return device(self._host.copy(order))

    def fill(self, value: Any) -> None:
        self._host.fill(host(value)[()] if isinstance(value, ndarray) else host(value))


class _Pointer:
    """Place of an array in the device's memory."""

    def __init__(self, ptr: int):
        self.ptr = ptr


def _index(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(_index(part) for part in index)
    if isinstance(index, list):
        if any(isinstance(part, (ndarray, np.ndarray)) for part in index):
            raise TypeError("a list of arrays is no index")
        transfers._device(8 * len(index))
        return index
    if isinstance(index, np.ndarray):
        raise TypeError(f"Unsupported type {type(index)}: upload an index before its use")
    return host(index)


def _counts_elements(index: Any) -> bool:
    """Whether the size of what is indexed depends on values, so that the host has to wait."""
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(part, ndarray) and part.dtype == bool for part in parts)


def _has_integer_arrays(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(part, (ndarray, list)) and not _counts_elements(part) for part in parts)


__all__ = ["allocate", "device", "garbage", "host", "ndarray", "transfers", "upload"]
