"""The search for a shift: band-pass, correlation over the common pixels, its peak."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.core.arrays import Array, fft_module, namespace
from hipct.core.errors import InputError
from hipct.preparation.registration_peak import STEPS, Pixels, Shift, shift_of

Band = tuple[float, float]
"""Standard deviations in pixels of the fine and of the coarse Gaussian of a band-pass."""

SMALLEST_OVERLAP_PX = 8
"""Rows and columns that both images need to have in common at the expected shift."""

_LEAST_SHARE = 0.2
"""Share of the largest overlap below which a shift is not believed."""


@dataclass(frozen=True)
class Search:
    """Which parts of the images are compared, over which shifts, and how they are filtered."""

    parts: tuple[tuple[slice, slice], tuple[slice, slice]]
    """Rows and columns of the reference, and of the moving image."""
    base: tuple[int, int]
    """Start of the part of the moving image minus that of the reference."""
    lags: tuple[range, range]
    """Whole shifts between the two parts, along rows and columns."""
    shape: tuple[int, int]
    """Of the transforms: no shift of the search wraps around."""
    band: Band

    @classmethod
    def create(
        cls,
        first: Sequence[int],
        second: Sequence[int],
        reach_px: Pixels,
        expected_px: Pixels,
        band: Band,
    ) -> Search:
        """Cut images of the shapes (..., rows, columns) to what can overlap.

        Raises
        ------
        InputError
            If less than 8 rows or columns overlap at the expected shift.
        """
        rows, columns = (
            _Axis.create(name, first[k], second[k], reach_px[k], expected_px[k])
            for name, k in (("rows", -2), ("columns", -1))
        )
        narrow = min(rows.overlap, columns.overlap) / 6
        return cls(
            parts=((rows.first, columns.first), (rows.second, columns.second)),
            base=(rows.base, columns.base),
            lags=(rows.lags, columns.lags),
            shape=(rows.length, columns.length),
            band=(band[0], max(min(band[1], narrow), 1.5 * band[0])),
        )

    def measure(self, first: Array, second: Array) -> Shift:
        """The shift of stacks (images, rows, columns), one likelihood."""
        xp = namespace(first, second)
        spectra, noise = self._spectra(first, second)
        coarse = self._coarse(spectra)
        index = xp.argmax(coarse)
        width = len(self.lags[1])
        best = [self.lags[0].start + index // width, self.lags[1].start + index % width]
        steps = xp.arange(-STEPS, STEPS + 1) / STEPS
        fine = [_at(spectrum, self.shape, [b + steps for b in best]) for spectrum in spectra]
        # Everything that the host needs, in one transfer.
        parts = [coarse, _normalised(*fine[:3]), fine[3][STEPS, STEPS], noise]
        flat = xp.concatenate([part.astype(np.float64).ravel() for part in parts])
        values = flat if xp is np else flat.get()
        if not np.isfinite(values).all():
            raise InputError(
                "The images to register hold values that are not finite, or nothing but one "
                "value; repair them first (hipct.preparation does so)."
            )
        size = coarse.size
        surface = values[:size].reshape(coarse.shape)
        peak = values[size:-3].reshape(2 * STEPS + 1, 2 * STEPS + 1)
        samples = float(values[-3]) * len(first) * self._bandwidth()
        return shift_of(
            surface,
            peak,
            lags=self.lags,
            base=self.base,
            samples=samples,
            noise=values[-2:] / len(first),
        )

    def _spectra(self, first: Array, second: Array) -> tuple[list[Array], Array]:
        """Spectra of four correlations: images, squares of either with the weights, weights.

        Their values at a shift are the sums over the pixels that both images have there. Beside
        them, for either direction, what :func:`shift_of` wants to know of noise.
        """
        xp = namespace(first, second)
        fft = fft_module(xp)
        weight, other_weight = self._weights(xp)
        spectra = [fft.rfft2(weights, self.shape) for weights in (weight, other_weight)]
        sums: list[Any] = [0.0, 0.0, 0.0]
        power: Any = 0.0
        for image, other in zip(first, second):
            a = self._band_pass(image[self.parts[0]])
            b = self._band_pass(other[self.parts[1]])
            whole, squared = (fft.rfft2(weight * part, self.shape) for part in (a, a * a))
            moved, moved_squared = (
                fft.rfft2(other_weight * part, self.shape) for part in (b, b * b)
            )
            sums[0] = sums[0] + xp.conj(whole) * moved
            sums[1] = sums[1] + xp.conj(squared) * spectra[1]
            sums[2] = sums[2] + xp.conj(spectra[0]) * moved_squared
            power = power + abs(whole) ** 2 + abs(moved) ** 2
        return [*sums, xp.conj(spectra[0]) * spectra[1]], self._noise(power)

    def _noise(self, power: Array) -> Array:
        """Along rows and columns: sum w^2 |A|^2 |H|^2 / (sum |A|^2 sum |H|^2), w in radians."""
        xp = namespace(power)
        response = self._response(self.shape) ** 2 * _twice(self.shape[1])
        rows, columns = np.fft.fftfreq(self.shape[0])[:, None], np.fft.rfftfreq(self.shape[1])
        factors = np.stack([
            (2 * np.pi * frequency) ** 2 * response / response.sum()
            for frequency in (rows, columns)
        ])  # fmt: skip
        total = (power * xp.asarray(_twice(self.shape[1]))).sum()
        return (xp.asarray(factors) * power).sum(axis=(1, 2)) / total

    def _weights(self, xp: Any) -> list[Array]:
        """Weights of the pixels of both parts: 1 but for a slope to 0 at the borders."""
        weights = []
        for part in self.parts:
            along = [_taper(axis.stop - axis.start, 2 * self.band[1]) for axis in part]
            weights.append(xp.asarray(np.outer(*along).astype(np.float32)))
        return weights

    def _band_pass(self, image: Array) -> Array:
        """Difference of two Gaussians: float32."""
        return filtered(image, self._response, math.ceil(3 * self.band[1]))

    def _response(self, shape: Sequence[int]) -> NDArray[np.float64]:
        return gaussian(shape, self.band[0]) - gaussian(shape, self.band[1])

    def _bandwidth(self) -> float:
        """Independent values in a pixel of filtered white noise."""
        power = self._response((128, 254)) ** 2
        return float(power.mean() ** 2 / (power**2).mean())

    def _coarse(self, spectra: list[Array]) -> Array:
        """Normalised correlation at all whole shifts; -1 where too little overlaps."""
        xp = namespace(*spectra)
        fft = fft_module(xp)
        index = [xp.asarray(np.asarray(lag) % size) for lag, size in zip(self.lags, self.shape)]
        values = [
            fft.irfft2(spectrum, self.shape)[index[0]][:, index[1]] for spectrum in spectra
        ]  # fmt: skip
        enough = values[3] > _LEAST_SHARE * values[3].max()
        return xp.where(enough, _normalised(*values[:3]), -1.0)


@dataclass(frozen=True)
class _Axis:
    """One direction of a search."""

    first: slice
    second: slice
    base: int
    lags: range
    length: int
    overlap: int

    @classmethod
    def create(cls, name: str, first: int, second: int, reach: float, expected: float) -> _Axis:
        """Cut both images of ``first`` and ``second`` pixels to what can overlap."""
        low, high = math.floor(expected - reach), math.ceil(expected + reach)
        middle = round(expected)
        overlap = min(first, second - middle) - max(0, -middle)
        if overlap < SMALLEST_OVERLAP_PX:
            raise InputError(
                f"At the expected shift of {expected:g} {name} the images of {first} and {second} "
                f"{name} overlap by {max(overlap, 0)}; at least {SMALLEST_OVERLAP_PX} are needed."
            )
        one = slice(max(0, -high), min(first, second - low))
        two = slice(max(0, low), min(second, first + high))
        base = two.start - one.start
        lags = range(low - base, high - base + 1)
        lengths = one.stop - one.start, two.stop - two.start
        # A shift and its alias, one length away, must not both overlap.
        length = _good_length(max(lengths[0] + lags[-1], lengths[1] - lags[0]) + 2)
        return cls(one, two, base, lags, length, overlap)


def gaussian(shape: Sequence[int], sigma_px: float) -> NDArray[np.float64]:
    """Response of a Gaussian at the frequencies of a half spectrum."""
    rows, columns = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])
    response: NDArray[np.float64] = np.exp(-2 * (np.pi * sigma_px) ** 2 * (rows**2 + columns**2))
    return response


def filtered(
    image: Array, response: Callable[[Sequence[int]], NDArray[np.float64]], margin: int
) -> Array:
    """An image (rows, columns), continued by its edge over a margin, filtered: float32."""
    xp = namespace(image)
    fft = fft_module(xp)
    image = image - image.mean(dtype=np.float64)
    shape = tuple(_good_length(size + 2 * margin) for size in image.shape)
    widths = [(margin, full - size - margin) for full, size in zip(shape, image.shape)]
    padded = xp.pad(image.astype(np.float32), widths, mode="edge")
    spectrum = fft.rfft2(padded) * xp.asarray(response(shape).astype(np.float32))
    rows, columns = (slice(margin, margin + size) for size in image.shape)
    return fft.irfft2(spectrum, shape)[rows, columns]


def _normalised(both: Array, first: Array, second: Array) -> Array:
    """Correlation from -1 to 1; rounding must not make a sum of squares 0 or negative."""
    xp = namespace(both, first, second)
    least = 1e-6 * xp.maximum(first.max(), second.max())
    return both / xp.sqrt(xp.maximum(first, least) * xp.maximum(second, least))


def _at(spectrum: Array, shape: tuple[int, int], places: list[Array]) -> Array:
    """The inverse transform of a half spectrum at any places: (along rows, along columns)."""
    xp = namespace(spectrum)
    down = xp.asarray(np.fft.fftfreq(shape[0]))
    right = xp.asarray(np.fft.rfftfreq(shape[1]))
    twice = xp.asarray(_twice(shape[1]))[:, None]
    rows = xp.exp(2j * np.pi * places[0][:, None] * down)
    columns = xp.exp(2j * np.pi * right[:, None] * places[1]) * twice
    return (rows @ spectrum @ columns).real / (shape[0] * shape[1])


def _twice(length: int) -> NDArray[np.float64]:
    """How often the columns of a half spectrum count in the whole one."""
    twice = np.full(length // 2 + 1, 2.0)
    twice[0] = 1.0
    if length % 2 == 0:
        twice[-1] = 1.0
    return twice


def _taper(size: int, width: float) -> NDArray[np.float64]:
    """1, falling to 0 just outside of both ends by half a period of a sine."""
    width = max(1.0, min(width, size / 4))
    edge = np.minimum(np.arange(size), np.arange(size)[::-1]) + 0.5
    weight: NDArray[np.float64] = np.sin(0.5 * np.pi * np.minimum(edge / width, 1.0)) ** 2
    return weight


def _good_length(at_least: int) -> int:
    """The next length whose prime factors are 2, 3 and 5."""
    length = max(at_least, 1)
    while True:
        rest = length
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
        length += 1
