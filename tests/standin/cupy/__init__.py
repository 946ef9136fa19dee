"""A strict stand-in for CuPy, for tests on machines without a GPU.

Arrays lie in host memory and NumPy computes on them, but they let nothing pass that the device
would refuse, and refuse some things that it would let pass:

* nothing turns into a NumPy array by itself, no NumPy function or array is mixed in, and functions
  take CuPy's own parameters (a test compares them with the real ones);
* reductions are 0-d arrays; what brings values to the host is counted (``_transfers``), as is what
  makes the host wait without bringing anything (``_transfers.waits``);
* new memory holds NaN or an implausible number, never zeros; out-of-range indices raise;
* kernels (``RawModule``) are compiled by g++, and run in shuffled order on the very memory of their
  arguments, with nothing converted; whoever writes beyond an array is found out;
* copies that do not block are finished only when their stream is waited for.

The environment says what the device is: ``HIPCT_STANDIN_DEVICES`` (number),
``HIPCT_STANDIN_DRIVER`` (e.g. 11080; 0 for none), ``HIPCT_STANDIN_MEMORY`` (bytes),
``HIPCT_STANDIN_ORDER`` (of threads: natural, reversed, shuffled), ``HIPCT_STANDIN_SEED`` (of the
first launch) and ``HIPCT_HOST_FLAGS`` (more options of g++). What begins with an underscore is the
stand-in's own: ``_transfers``, and ``get_default_memory_pool()._peak``, the most bytes in use.
"""

from __future__ import annotations

import numpy as _numpy

from cupy import _array as _arrays
from cupy import _creation, _functions, _memory, _raw, _ufuncs, cuda
from cupy import fft as fft
from cupy import lib as lib

_OF_NUMPY = """
    bool_ can_cast complex64 complex128 complexfloating dtype e finfo float16 float32 float64
    floating generic iinfo inexact inf int8 int16 int32 int64 integer intp isscalar issubdtype nan
    number pi promote_types signedinteger uint8 uint16 uint32 uint64 unsignedinteger
"""

globals().update({name: getattr(_numpy, name) for name in _OF_NUMPY.split()})
globals().update(_functions.FUNCTIONS)
globals().update(_ufuncs.FUNCTIONS)
globals().update(_creation.FUNCTIONS)

RawKernel, RawModule = _raw.RawKernel, _raw.RawModule
is_available = cuda.is_available


def get_default_memory_pool() -> cuda.MemoryPool:
    """The pool that all arrays come from."""
    return _memory.pool


def get_default_pinned_memory_pool() -> cuda.PinnedMemoryPool:
    """The pool that pinned host memory comes from."""
    return cuda.pinned_memory._pool


ndarray = _arrays.ndarray
ndarray.__module__ = "cupy"
_transfers = _arrays.transfers
newaxis = None
__version__ = "14.2.0"
