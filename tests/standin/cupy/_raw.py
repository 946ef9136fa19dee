"""Kernels from source, launched on the memory of arrays."""

from __future__ import annotations

import ctypes
import os
import secrets
import threading
from typing import Any

import numpy as np

from cupy import _host
from cupy._array import ndarray
from cupy._devices import current_device
from cupy.cuda.compiler import CompileException

_C = {
    "bool": ctypes.c_bool,
    "int8": ctypes.c_int8,
    "int16": ctypes.c_int16,
    "int32": ctypes.c_int32,
    "int64": ctypes.c_int64,
    "uint8": ctypes.c_uint8,
    "uint16": ctypes.c_uint16,
    "uint32": ctypes.c_uint32,
    "uint64": ctypes.c_uint64,
    "float32": ctypes.c_float,
    "float64": ctypes.c_double,
}


class Seeds:
    """One for each launch, in their order; the first is ``HIPCT_STANDIN_SEED``, or any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next = secrets.randbits(32)
        self.begin()

    def begin(self) -> int:
        """The seed of the next launch, which is the one wished for if there is one."""
        self._next = int(os.environ.get("HIPCT_STANDIN_SEED", self._next))
        return self._next

    def take(self) -> int:
        """A seed for a launch."""
        with self._lock:
            self._next += 1
            return self._next - 1


seeds = Seeds()


class RawKernel:
    """One kernel of a source."""

    def __init__(self, code: str, name: str, options: tuple[str, ...] = ()):
        current_device()
        self.code, self.name, self.options = code, name, options
        try:
            self._library = _host.library(code, tuple(options))
            self._kinds = _host.signature(self._library, name)
        except _host.CompileError as error:
            raise CompileException(str(error), code, name, options) from error
        except AttributeError as error:
            raise RuntimeError(f"CUDA_ERROR_NOT_FOUND: named symbol not found: {name}") from error

    def __call__(
        self,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        args: tuple[Any, ...],
        *,
        shared_mem: int = 0,
        stream: Any = None,
    ) -> None:
        """Run it to its end. A wrong argument is an error here, where CUDA would misread it."""
        if not (isinstance(grid, tuple) and isinstance(block, tuple)):
            raise TypeError("grid and block are tuples")
        if shared_mem:
            raise ValueError("kernels have no dynamic shared memory here")
        if len(args) != len(self._kinds):
            raise TypeError(f"{self.name} takes {len(self._kinds)} arguments, not {len(args)}")
        if not all(grid):
            raise RuntimeError("CUDA_ERROR_INVALID_VALUE: invalid argument")
        values = [self._value(k, kind, args[k]) for k, kind in enumerate(self._kinds)]
        order = os.environ.get("HIPCT_STANDIN_ORDER", "shuffled")
        seed = seeds.take()
        _host.launch(self._library, self.name, grid, block, values, order, seed)
        for k, value in enumerate(args):
            if isinstance(value, ndarray) and not value._block.intact():
                raise _host.LaunchError(
                    f"{self.name} wrote before or behind argument {k} (order {order}, seed {seed})"
                )

    def _value(self, k: int, kind: str, given: Any) -> ctypes._SimpleCData:
        wanted = kind.removeprefix("*")
        if kind.startswith("*"):
            if not isinstance(given, ndarray):
                raise TypeError(f"argument {k} of {self.name}: {type(given)} is no device array")
            if given.dtype != np.dtype(wanted):
                raise TypeError(f"argument {k} of {self.name}: {given.dtype}, and not {wanted}")
            if not given.flags.c_contiguous:
                raise TypeError(f"argument {k} of {self.name} is not contiguous")
            if given._block.device != current_device():
                raise ValueError(f"argument {k} of {self.name} lies on another device")
            return ctypes.c_void_p(given._host.ctypes.data)
        if not isinstance(given, np.generic) or given.dtype != np.dtype(wanted):
            raise TypeError(f"argument {k} of {self.name}: {given!r} is no np.{wanted}")
        return _C[wanted](given.item())


class RawModule:
    """Kernels of one source; compiled when the first is asked for."""

    def __init__(self, *, code: str, options: tuple[str, ...] = (), backend: str = "nvrtc"):
        if not isinstance(options, tuple):
            raise TypeError("options is a tuple")
        self.code, self.options, self.backend = code, options, backend

    def get_function(self, name: str) -> RawKernel:
        """The kernel of this name."""
        return RawKernel(self.code, name, self.options)
