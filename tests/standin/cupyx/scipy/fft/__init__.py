"""Fourier transforms of arrays of the device, in single or double precision as their input.

cuFFT computes from a half-spectrum what it likes where that is not the spectrum of real numbers
(NumPy takes the real part of some sort), so such input is refused here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cupy._functions import checked

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
    "dst": _COSINE, "idst": _COSINE,
}  # fmt: skip


def _transform(name: str) -> Callable[..., Any]:
    def compute(x: np.ndarray, **named: Any) -> np.ndarray:
        import scipy.fft

        if named.pop("plan", None) is not None:
            raise ValueError("the stand-in makes its own plans")
        if name == "rfft" and x.dtype.kind == "c":
            raise TypeError("x must be a real sequence")
        if name.startswith("irfft"):
            _check_real(name, x, named)
        # Not destroyed, however freely: what the caller has no right to use again is spoilt.
        result = getattr(scipy.fft, name)(x, **(named | {"overwrite_x": False}))
        if named.get("overwrite_x") and x.flags.writeable:
            x[...] = np.nan if x.dtype.kind in "fc" else x
        return result

    return compute


def _check_real(name: str, x: np.ndarray, named: dict[str, Any]) -> None:
    """Refuse a half-spectrum whose first and last column no real array has."""
    if name == "irfft":
        axes, length = (named.get("axis", -1),), named.get("n")
    else:
        axes = named.get("axes")
        shape = named.get("s")
        if axes is None:
            axes = (-2, -1) if name == "irfft2" else tuple(range(-len(shape or x.shape), 0))
        length = None if shape is None else shape[-1]
    length = 2 * (x.shape[axes[-1]] - 1) if length is None else length
    used = np.moveaxis(x, axes[-1], 0)
    others = [axis % x.ndim + 1 for axis in axes[:-1]]
    columns = [0, length // 2] if length % 2 == 0 and length // 2 < len(used) else [0]
    moved = np.moveaxis(x[None], axes[-1] % x.ndim + 1, 0)
    del used
    for column in columns:
        spectrum = moved[column]
        places = [axis - (axis > axes[-1] % x.ndim + 1) for axis in others]
        mirrored = spectrum
        for place in places:
            mirrored = np.roll(np.flip(mirrored, place), 1, place)
        scale = np.abs(x).max(initial=0.0)
        wrong = np.abs(spectrum - mirrored.conj()).max(initial=0.0)
        if wrong > 1e-3 * scale:
            raise ValueError(
                f"{name}: column {column} of the half-spectrum is not Hermitian "
                f"({wrong:.2g} of {scale:.2g}); cuFFT's result would be undefined"
            )


def _place(name: str, arguments: str) -> Callable[..., Any]:
    return checked(f"{name}({arguments})", _transform(name))


globals().update({name: _place(name, arguments) for name, arguments in _SIGNATURES.items()})


def _shift(name: str) -> Callable[..., Any]:
    return checked(f"{name}(x, axes=None)", getattr(np.fft, name))


fftshift, ifftshift = _shift("fftshift"), _shift("ifftshift")


def fftfreq(n: int, d: float = 1.0) -> Any:
    """Frequencies of a transform."""
    from cupy import asarray

    return asarray(np.fft.fftfreq(n, d))


def rfftfreq(n: int, d: float = 1.0) -> Any:
    """Frequencies of half a transform."""
    from cupy import asarray

    return asarray(np.fft.rfftfreq(n, d))


def next_fast_len(target: int, real: bool = False) -> int:
    """Smallest length from ``target`` that has no prime factor above 7."""
    length = target
    while True:
        rest = length
        for prime in (2, 3, 5, 7):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
        length += 1
