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

The environment says what the device is: ``HIPCT_STANDIN_DEVICES`` (number), ``HIPCT_STANDIN_DRIVER``
(e.g. 11080; 0 for none), ``HIPCT_STANDIN_MEMORY`` (bytes), ``HIPCT_STANDIN_ORDER`` (of threads:
natural, reversed, shuffled) and ``HIPCT_STANDIN_SEED`` (of the first launch).
"""

from __future__ import annotations

import numpy as _numpy
from numpy import (
    bool_,
    can_cast,
    complex64,
    complex128,
    dtype,
    e,
    float16,
    float32,
    float64,
    floating,
    generic,
    inexact,
    inf,
    int8,
    int16,
    int32,
    int64,
    integer,
    intp,
    isscalar,
    issubdtype,
    nan,
    newaxis,
    number,
    pi,
    promote_types,
    uint8,
    uint16,
    uint32,
    uint64,
)

from cupy._array import ndarray
from cupy._array import transfers as _transfers
from cupy._functions import (
    FUNCTIONS as _functions,
)
from cupy._functions import (
    arange,
    array,
    asarray,
    ascontiguousarray,
    asnumpy,
    atleast_1d,
    empty,
    empty_like,
    eye,
    full,
    full_like,
    get_array_module,
    iscomplexobj,
    linspace,
    may_share_memory,
    meshgrid,
    ndim,
    ones,
    ones_like,
    result_type,
    shape,
    shares_memory,
    zeros,
    zeros_like,
)
from cupy._memory import pool as _pool
from cupy._raw import RawKernel, RawModule
from cupy._ufuncs import FUNCTIONS as _ufuncs
from cupy import cuda, fft, lib

globals().update(_functions)
globals().update(_ufuncs)
__version__ = "14.2.0"
ndarray.__module__ = "cupy"
is_available = cuda.is_available
get_default_memory_pool = cuda.memory.get_default_memory_pool
get_default_pinned_memory_pool = cuda.memory.get_default_pinned_memory_pool
