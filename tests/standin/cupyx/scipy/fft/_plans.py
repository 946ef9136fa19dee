"""Plans of transforms: they fit one kind, type, shape and batch, and nothing else."""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from cupy._array import allocate, ndarray

_current = threading.local()


class Plan:
    """What a plan of cuFFT was made for; also a context, as CuPy's is."""

    def __init__(self, purpose: tuple[Any, ...]) -> None:
        self.purpose = purpose
        # cuFFT has a work area for each, from CuPy's pool, about as large as the spectra.
        kind, precision, _, lengths, batch = purpose
        *others, last = (*batch, *lengths)
        last = last if kind == "C2C" else last // 2 + 1
        bytes_each = 16 if precision == "double" else 8
        self.work_area = allocate(math.prod(others) * last * bytes_each, np.uint8)

    def __enter__(self) -> Plan:
        _current.plan = self
        return self

    def __exit__(self, *exception: object) -> None:
        _current.plan = None


def get_fft_plan(a: ndarray, shape: Any = None, axes: Any = None, value_type: str = "C2C") -> Plan:
    """A plan for arrays like ``a``."""
    if not isinstance(a, ndarray):
        raise TypeError("The input array a must be a cupy.ndarray")
    if not a.flags.c_contiguous:
        raise ValueError("Input array a must be contiguous")
    shape = (shape,) if isinstance(shape, int) else shape
    axes = (axes,) if isinstance(axes, int) else axes
    several = len(axes or shape or a.shape) > 1
    if several and value_type != "C2C" and a.flags.f_contiguous:
        raise ValueError("C2R/R2C PlanNd for F-order arrays is not supported")
    return Plan(_purpose(value_type, a.dtype, a.shape, shape, axes))


def planned(function: Callable[..., Any]) -> Callable[..., Any]:
    """A transform that may be given a plan, which :func:`check_plan` then looks at."""

    @functools.wraps(function)
    def transform(*args: Any, plan: Plan | None = None, **named: Any) -> Any:
        _current.given = plan
        try:
            return function(*args, **named)
        finally:
            _current.given = None

    return transform


def check_plan(name: str, x: np.ndarray, named: dict[str, Any]) -> None:
    """Refuse a plan, given or current, that was not made for this transform."""
    given, current = (getattr(_current, kind, None) for kind in ("given", "plan"))
    if given is not None and current is not None:
        raise RuntimeError("Use the cuFFT plan either as a context manager or as an argument.")
    if given is current is None:
        return
    if given is not None and name in ("rfft", "irfft"):
        raise ValueError(f"CuPy's {name} does not heed its argument plan; use it as a context")
    kind = "C2R" if name.startswith("irfft") else "R2C" if name.startswith("rfft") else "C2C"
    if "axis" in named or name in ("fft", "ifft", "rfft", "irfft"):
        axes: Any = (named.get("axis", -1),)
        shape = None if named.get("n") is None else (named["n"],)
    else:
        axes, shape = named.get("axes"), named.get("s")
        axes = (-2, -1) if axes is None and name.endswith("2") else axes
    purpose, wanted = (given or current).purpose, _purpose(kind, x.dtype, x.shape, shape, axes)
    if purpose != wanted:
        raise ValueError(f"the plan of cuFFT is for {purpose}, and {name} needs {wanted}")


def _purpose(
    kind: str, dtype: np.dtype[Any], shape: tuple[int, ...], lengths: Any, axes: Any
) -> tuple[Any, ...]:
    if axes is None:
        axes = tuple(range(-len(lengths or shape), 0))
    axes = tuple(axis % len(shape) for axis in axes)
    if lengths is None:
        lengths = [shape[axis] for axis in axes]
        if kind == "C2R":
            lengths[-1] = 2 * (lengths[-1] - 1)
    batch = tuple(size for axis, size in enumerate(shape) if axis not in axes)
    double = dtype.char in "dD"
    return kind, "double" if double else "single", axes, tuple(lengths), batch
