"""Fourier transforms of arrays of the device, in single or double precision as their input.

From a half-spectrum that is not that of real numbers, cuFFT computes something undefined, where
NumPy leaves out what does not fit; so such input is refused here.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from cupy._creation import asarray
from cupy._functions import checked

from cupyx.scipy.fft._plans import check_plan, get_fft_plan, planned

_ONE = "x, n=None, axis=-1, norm=None, overwrite_x=False, *, plan=None"
_TWO = "x, s=None, axes=(-2, -1), norm=None, overwrite_x=False, *, plan=None"
_MANY = "x, s=None, axes=None, norm=None, overwrite_x=False, *, plan=None"
_COSINE = "x, type=2, n=None, axis=-1, norm=None, overwrite_x=False"
_COSINES = "x, type=2, s=None, axes=None, norm=None, overwrite_x=False"
_SIGNATURES = {
    "fft": _ONE, "ifft": _ONE, "rfft": _ONE, "irfft": _ONE,
    "fft2": _TWO, "ifft2": _TWO, "rfft2": _TWO, "irfft2": _TWO,
    "fftn": _MANY, "ifftn": _MANY, "rfftn": _MANY, "irfftn": _MANY,
    "dct": _COSINE, "idct": _COSINE, "dctn": _COSINES, "idctn": _COSINES,
    "dst": _COSINE, "idst": _COSINE, "dstn": _COSINES, "idstn": _COSINES,
}  # fmt: skip
_MISFIT = 1e-4
"""Part of the largest value by which a half-spectrum may miss the symmetry of a real one."""


def _transform(name: str) -> Callable[..., Any]:
    def compute(x: np.ndarray, **named: Any) -> np.ndarray:
        overwritten = named.pop("overwrite_x", False)
        check_plan(name, x, named)
        if named.get("type", 2) not in (2, 3):
            raise NotImplementedError("Only DCT-II and DCT-III have been implemented.")
        if name.startswith("rfft") and x.dtype.kind == "c":
            raise TypeError("x must be a real sequence")
        if name.startswith("irfft"):
            _check_symmetry(name, x, named)
        result = getattr(_library(), name)(x, **named)
        if overwritten and x.flags.writeable and x.dtype.kind in "fc":
            x[...] = np.nan  # whoever gives it away may not read it again
        return result

    return compute


def _library() -> ModuleType:
    try:
        import scipy.fft
    except ImportError:
        return np.fft
    return scipy.fft


def _check_symmetry(name: str, x: np.ndarray, named: dict[str, Any]) -> None:
    """The columns that are their own conjugates have to be Hermitian along the other axes."""
    if name == "irfft":
        axes, lengths = (named.get("axis", -1),), (named.get("n"),)
    else:
        lengths = named.get("s") or (None,)
        axes = named.get("axes")
        if axes is None:
            axes = range(-len(lengths), 0) if named.get("s") else range(-x.ndim, 0)
    *others, last = (axis % x.ndim for axis in axes)
    length = lengths[-1] or 2 * (x.shape[last] - 1)
    largest = np.abs(x).max(initial=0.0)
    for column in {0, length // 2} if length % 2 == 0 else {0}:
        if column >= x.shape[last]:
            continue
        found = np.take(x, [column], last)
        mirrored = found
        for axis in others:
            mirrored = np.roll(np.flip(mirrored, axis), 1, axis)
        misfit = np.abs(found - mirrored.conj()).max(initial=0.0)
        if misfit > _MISFIT * largest:
            raise ValueError(
                f"{name}: column {column} of the half-spectrum misses the symmetry of a real "
                f"array's by {misfit:.2g} of {largest:.2g}; cuFFT's result would be undefined"
            )


__all__ = ["fftfreq", "fftshift", "get_fft_plan", "ifftshift", "next_fast_len", "rfftfreq"]
__all__.extend(_SIGNATURES)
for _name, _arguments in _SIGNATURES.items():
    globals()[_name] = planned(checked(f"{_name}({_arguments})", _transform(_name)))
for _name in ("fftshift", "ifftshift"):
    globals()[_name] = checked(f"{_name}(x, axes=None)", getattr(np.fft, _name))


def fftfreq(n: int, d: float = 1.0) -> Any:
    """Frequencies of a transform."""
    return asarray(np.fft.fftfreq(n, d))


def rfftfreq(n: int, d: float = 1.0) -> Any:
    """Frequencies of half a transform."""
    return asarray(np.fft.rfftfreq(n, d))


def next_fast_len(target: int, real: bool = False) -> int:
    """Smallest length from ``target`` that has no prime factor above 7."""
    length = target
    while not _smooth(length):
        length += 1
    return length


def _smooth(number: int) -> bool:
    for prime in (2, 3, 5, 7):
        while number % prime == 0:
            number //= prime
    return number == 1
