"""Rotation axis of a 180 degree sinogram from the double wedge of its spectrum.

The 2-D spectrum A(n, w) of a sinogram over 360 degrees is empty where abs(n) > R abs(w), R the
radius of the object (Edholm, Lewitt & Lindholm 1986; Vo et al., Opt. Express 22 (2014) 19078
build a centre search on it). A half sinogram with spectrum A and its mirror image about the axis
c make the whole one, with the spectrum

    A(n, w) + (-1)^n exp(-2 i w c) conj(A(-n, w)).

Vo minimises its energy outside the wedge by trial over c. That energy is, however,

    E(c) = const + 2 Re sum_w exp(2 i w c) Q(w),   Q(w) = sum_n (-1)^n A(n, w) A(-n, w),

with the sum over n outside the wedge: a Fourier series in c. One transform of the sinogram gives
all positions at once, and the minimum to any fraction of a pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.reconstruction.axis_pair import typical_step

Float = NDArray[np.float64]
Reals = NDArray[np.floating[Any]]
Complex = NDArray[np.complexfloating[Any, Any]]

# Harmonics that say more of slow drifts than of the axis.
_LOWEST_HARMONIC = 4
_TAPER = 0.15
_MOST_FREQUENCIES = 512
_MOST_ANGLES = 1000
FEWEST_ANGLES = 16


@dataclass(frozen=True)
class WedgeMinimum:
    """Axis where the spectrum outside of the double wedge is least."""

    value: float
    uncertainty: float
    residual: float
    at_border: bool


@dataclass(frozen=True)
class HalfTurn:
    """How views are combined into ones at even steps over 180 degrees.

    Attributes
    ----------
    lower, upper : ndarray of int
        Views before and after each angle of an even grid.
    share : ndarray of float64
        Weight of ``upper``.
    bundle : int
        Neighbouring grid angles that are averaged: harmonics beyond the 1000th say nothing of
        the axis, and opposite averages mirror each other like opposite views.
    """

    lower: NDArray[np.intp]
    upper: NDArray[np.intp]
    share: Float
    bundle: int

    def sinogram(self, projections: NDArray[Any], row: int) -> Reals:
        """One row's sinogram on the even grid, (angles, columns)."""
        seen = projections[self.lower, row]
        lines: Reals = seen.astype(np.result_type(seen.dtype, np.float32), copy=False)
        between = np.flatnonzero(self.share > 0)
        if between.size:
            share = self.share[between, None].astype(lines.dtype)
            lines[between] *= 1 - share
            lines[between] += share * projections[self.upper[between], row]
        if self.bundle == 1:
            return lines
        result: Reals = lines.reshape(-1, self.bundle, lines.shape[1]).mean(axis=1)
        return result


def half_turns(angles: Float) -> list[HalfTurn]:
    """Cut a scan into half turns on even angular grids.

    The last angle of a half turn is the first of the next one and is left out. Between uneven
    angles views are interpolated linearly.
    """
    order = np.argsort(angles, kind="stable")
    ordered = angles[order]
    step = typical_step(ordered)
    count = round(np.pi / step) if step else 0
    if count < FEWEST_ANGLES:
        return []
    bundle = max(1, count // _MOST_ANGLES)
    count -= count % bundle
    turns = []
    for turn in range(int((ordered[-1] - ordered[0] + 1.01 * step) / np.pi + 1e-9)):
        grid = ordered[0] + np.pi * (turn + np.arange(count) / count)
        after = np.clip(np.searchsorted(ordered, grid), 1, len(ordered) - 1)
        gap = np.maximum(ordered[after] - ordered[after - 1], 1e-12)
        share = np.clip((grid - ordered[after - 1]) / gap, 0, 1)
        share = np.where(share < 0.02, 0, np.where(share > 0.98, 1, share))
        turns.append(HalfTurn(order[after - 1], order[after], share, bundle))
    return turns


def wedge_minimum(
    projections: NDArray[Any],
    turn: HalfTurn,
    start: float,
    limits: tuple[float, float],
    stripes: Reals,
) -> WedgeMinimum | None:
    """Find the axis of one half turn.

    Parameters
    ----------
    projections : ndarray, (angles, rows, columns)
        All views of the scan.
    turn : HalfTurn
        Which of them make the half turn.
    start : float
        Axis to some pixels: the columns are tapered about it, so that a truncated object does
        not end differently on its two sides.
    limits : tuple of float
        Range that is searched.
    stripes : ndarray of float, (rows, columns)
        Static stripes of the rows, as an estimate of their strength.

    Returns
    -------
    WedgeMinimum or None
        None if nothing lies outside of the wedge.
    """
    import scipy.fft

    angles, columns = len(turn.share) // turn.bundle, projections.shape[2]
    reach = min(start, columns - 1 - start)
    distance = np.abs(np.arange(columns) - start) / max(reach, 1)
    window = np.sin(np.pi / 2 * np.clip((1 - distance) / _TAPER, 0, 1)) ** 2
    size = scipy.fft.next_fast_len(2 * columns, real=True)
    harmonic = np.arange(1, angles)
    omega = 2 * np.pi * np.arange(1, size // 2 + 1) / size
    omega = omega[:_MOST_FREQUENCIES][omega[:_MOST_FREQUENCIES] * reach < angles - 2]
    outside = harmonic[:, None] > np.maximum(reach * omega, _LOWEST_HARMONIC)
    if not outside.any():
        return None
    series = np.zeros(len(omega), np.complex128)
    energy = 0.0
    sign = np.where(harmonic % 2, -1.0, 1.0)[:, None]
    for row in range(projections.shape[1]):
        sinogram = turn.sinogram(projections, row)
        sinogram -= sinogram.mean()
        sinogram *= window.astype(sinogram.dtype)
        spectrum = scipy.fft.rfft(sinogram, size, axis=1)[:, 1 : len(omega) + 1]
        spectrum = scipy.fft.fft(spectrum, 2 * angles, axis=0)
        ahead, back = spectrum[1:angles], spectrum[-1:-angles:-1]
        some = ahead[-(angles // 4) :, len(omega) // 2 :]
        noise = float(np.median(np.abs(some) ** 2)) / np.log(2)
        pixel_noise = noise / (angles * np.sum(window**2))
        stripe = (1.4826 * np.median(np.abs(stripes[row]))) ** 2 - pixel_noise / angles
        ratio = pixel_noise * angles / stripe if stripe > 0 else np.inf
        whitened = _without_stripes(ahead, outside, harmonic, angles, ratio)
        # Rows of little contrast weigh as little as their noise allows.
        weight = 1 / max(noise, 1e-12 * float(np.max(np.abs(ahead))) ** 2, 1e-300)
        signed = (sign * outside).astype(some.real.dtype)
        series += weight * np.einsum("ij,ij,ij->j", whitened, back, signed)
        energy += weight * sum(float(np.linalg.norm(one[outside])) ** 2 for one in (ahead, back))
    return _minimum(series, omega, energy, *limits)


def _without_stripes(
    spectrum: Complex,
    outside: NDArray[np.bool_],
    harmonic: NDArray[np.intp],
    angles: int,
    ratio: float,
) -> Complex:
    """Whiten against stripes, which are the same in all views and fill odd harmonics only.

    A stripe pattern r(w) adds r(w) g(n), g(n) = sum_k exp(-i n k pi / angles): a covariance of
    noise * 1 + stripes * g g^H, whose inverse takes the component along g away, the more so the
    stronger the stripes are against the noise (``ratio`` of noise to stripes).
    """
    if not np.isfinite(ratio):
        return spectrum
    odd = harmonic % 2 == 1
    comb = np.zeros(len(harmonic), np.complex128)
    comb[odd] = 2 / (1 - np.exp(-1j * np.pi * harmonic[odd] / angles))
    comb = comb.astype(spectrum.dtype)
    masked = comb[:, None] * outside
    along = np.einsum("ij,ij->j", masked.conj(), spectrum)
    along /= (np.abs(comb) ** 2) @ outside + ratio
    whitened: Complex = comb[:, None] * along
    np.subtract(spectrum, whitened, out=whitened)
    return whitened


def _minimum(
    series: Complex, omega: Float, energy: float, low: float, high: float
) -> WedgeMinimum | None:
    """Least value of E(c) = energy + 2 Re sum exp(2 i w c) Q(w), and how sure its place is."""
    positions = np.arange(low, high + 0.125, 0.25)
    if len(positions) < 3:
        return None
    phases = np.exp(2j * np.outer(positions, omega))
    best = int(np.argmin((phases @ series).real))
    value = float(positions[best])
    at_border = best in (0, len(positions) - 1)
    uncertainty = np.inf
    for _ in range(20):
        terms = series * np.exp(2j * omega * value)
        slopes, bends = (2j * omega * terms).real, (-4 * omega**2 * terms).real
        bend = float(bends.sum())
        if bend <= 0 or at_border:
            break
        # Padding to twice the columns makes neighbouring frequencies depend on each other.
        uncertainty = float(np.sqrt(2 * np.sum((slopes - slopes.mean()) ** 2))) / bend
        step = float(np.clip(-slopes.sum() / bend, -0.25, 0.25))
        value += step
        if abs(step) < 1e-5:
            break
    residual = 1 + 2 * float((series * np.exp(2j * omega * value)).real.sum()) / energy
    return WedgeMinimum(value, uncertainty, max(residual, 0.0), at_border)
