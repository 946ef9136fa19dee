"""From the projected organ to the image that falls on the detector's pixels.

The wave behind the organ is ``u = exp(-mu t / 2 - i (2 pi / lambda) int delta)`` (refractive
index ``1 - delta + i beta``, ``mu = 4 pi beta / lambda``). Free space multiplies its spectrum by
``H(f) = exp(-i pi lambda z |f|^2)`` (Fresnel; Goodman, Introduction to Fourier Optics, 4-21).
The detector sees ``|u|^2``, blurred by its Gaussian point spread and summed over pixels.

All of it is computed on samples several times finer than the pixel, with a margin around the
detector that holds the real organ, since light from beyond the edge reaches the detector:

- No wave on samples of pitch h travels further sideways than ``lambda z / 2h``. The margin is
  that reach, the blur's reach, and a guard of 6 Fresnel zones in which the wave is faded to 1 so
  that opposite edges of the periodic grid meet smoothly.
- The phase of H changes by less than pi/2 between neighbouring frequencies where the grid is at
  least 4 reaches long; it is made that long.
- The phase of the wave has to change by less than pi/2 between neighbouring samples. Where it
  does not, strong refraction would be folded into weak; :meth:`Imaging.image` then raises, and
  the scan computes that view on finer samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.fft
import scipy.sparse
import scipy.special
from numpy.typing import NDArray

from hipct.core.errors import InputError
from hipct.core.jit import has_numba
from hipct.core.physics import wavelength_m
from hipct.simulation.render import Samples

Real = NDArray[np.float32]
Wave = NDArray[np.complex64]

LARGEST_STEP = math.pi / 2
LARGEST_OVERSAMPLING = 16
GUARD_ZONES = 6.0
SMALLEST_GUARD_SAMPLES = 16
BLUR_REACH = 4.5


def object_wave(attenuation: Real, phase: Real) -> Wave:
    """Wave behind a thin object, ``exp(-attenuation / 2 + i phase)``.

    Parameters
    ----------
    attenuation : (rows, columns) float32
        ``mu t``.
    phase : (rows, columns) float32
        Phase in radians, negative where delta is positive.

    Returns
    -------
    (rows, columns) complex64
    """
    amplitude = np.exp(-0.5 * attenuation)
    wave = np.empty(attenuation.shape, dtype=np.complex64)
    wave.real = amplitude * np.cos(phase)
    wave.imag = amplitude * np.sin(phase)
    return wave


def transfer_function(
    samples: int, pitch_um: float, distance_m: float, energy_kev: float
) -> NDArray[np.complex128]:
    """One factor of H along one axis: ``exp(-i pi lambda z f^2)`` at the FFT's frequencies.

    Returns
    -------
    (samples,) complex128
    """
    f = scipy.fft.fftfreq(samples, pitch_um * 1e-6)
    factor: NDArray[np.complex128] = np.exp(
        -1j * np.pi * wavelength_m(energy_kev) * distance_m * f * f
    )
    return factor


def propagate(
    wave: NDArray[Any], *, pitch_um: tuple[float, float], distance_m: float, energy_kev: float
) -> NDArray[Any]:
    """Propagate a periodic wave through free space (Fresnel).

    H is a product of a factor of rows and one of columns, so each axis is done on its own.

    Parameters
    ----------
    wave : (rows, columns) complex64 or complex128
        Overwritten.
    pitch_um : (float, float)
        Distance of samples along rows' and columns' index in um.
    distance_m, energy_kev : float
        Distance in m (effective), photon energy in keV.

    Returns
    -------
    (rows, columns) of the same dtype
    """
    for axis in (1, 0):
        factor = transfer_function(wave.shape[axis], pitch_um[axis], distance_m, energy_kev)
        factor = factor.astype(wave.dtype)
        spectrum = scipy.fft.fft(wave, axis=axis, overwrite_x=True)
        spectrum *= factor if axis == 1 else factor[:, None]
        wave = scipy.fft.ifft(spectrum, axis=axis, overwrite_x=True)
    return wave


def largest_phase_step(phase: Real, *, accelerate: bool = True) -> float:
    """Largest absolute phase difference of neighbouring samples in radians."""
    if accelerate and has_numba():
        from hipct.simulation.fresnel_numba import largest_step

        return float(largest_step(phase))
    steps = [np.abs(np.diff(phase, axis=axis)).max(initial=0) for axis in (0, 1)]
    return float(max(steps))


class SteepPhase(InputError):
    """The phase of a wave changes too fast for its sampling."""


@dataclass(frozen=True, kw_only=True)
class Imaging:
    """The way from projections on fine samples to the detector's pixels.

    Parameters
    ----------
    rows, columns : int
        Of the detector.
    pixel_size_um, distance_m, energy_kev : float
        Effective pixel size (um) and distance (m), photon energy (keV). At distance 0 the image
        is pure absorption.
    oversampling : int
        Fine samples along the edge of a pixel.
    blur_px : float
        Standard deviation of the detector's Gaussian point spread in pixels.

    Raises
    ------
    InputError
        If a number is out of its range.
    """

    rows: int
    columns: int
    pixel_size_um: float
    distance_m: float
    energy_kev: float
    oversampling: int = 4
    blur_px: float = 0.5

    def __post_init__(self) -> None:
        for name in ("rows", "columns", "oversampling"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; give 1 or more.")
        for name, lowest in (("pixel_size_um", "above 0"), ("energy_kev", "above 0")):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"{name} is {value}; it has to be {lowest}.")
        for name in ("distance_m", "blur_px"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise InputError(f"{name} is {value}; it has to be 0 or more.")

    @property
    def pitch_um(self) -> float:
        """Distance of fine samples in um."""
        return self.pixel_size_um / self.oversampling

    @property
    def reach_um(self) -> float:
        """The furthest that sampled light travels sideways, lambda z / 2h, in um."""
        shift_m2 = wavelength_m(self.energy_kev) * self.distance_m
        return 0.5 * shift_m2 / (self.pitch_um * 1e-6) * 1e6

    @property
    def propagation_number(self) -> float:
        """Value of lambda z / p^2: the shift at the pixel's Nyquist frequency in half pixels."""
        return wavelength_m(self.energy_kev) * self.distance_m / (self.pixel_size_um * 1e-6) ** 2

    @cached_property
    def row_samples(self) -> Samples:
        """Heights of the fine samples relative to the middle of the detector, in um."""
        return self._samples(self.rows, (self.rows - 1) / 2)

    def column_samples(self, axis: float) -> Samples:
        """Distances of the fine samples from the rotation axis (a column), in um."""
        return self._samples(self.columns, axis)

    def image(
        self,
        attenuation: Real,
        path_um: Real | None = None,
        *,
        path_per_attenuation_um: float = 0.0,
        accelerate: bool = True,
    ) -> Real:
        """Transmission on the detector.

        Parameters
        ----------
        attenuation : (fine rows, fine columns) float32
            ``mu t`` on :attr:`row_samples` and :meth:`column_samples`.
        path_um : (fine rows, fine columns) float32, optional
            The integral of delta in um. Where it is ``path_per_attenuation_um`` times the
            attenuation, that factor is enough.
        path_per_attenuation_um : float
            Used where ``path_um`` is not given.
        accelerate : bool
            Use the compiled loops where numba is installed.

        Returns
        -------
        (rows, columns) float32
            1 where there is no organ; above 1 in bright fringes.

        Raises
        ------
        InputError
            If the maps have another shape.
        SteepPhase
            If the phase changes too fast for the sampling.
        """
        shape = (self.row_samples.count, self._count(self.columns))
        for name, values in (("attenuation", attenuation), ("path_um", path_um)):
            if values is not None and (values.shape != shape or values.dtype != np.float32):
                raise InputError(
                    f"{name} has shape {values.shape} and dtype {values.dtype}; it has to be "
                    f"{shape} and float32."
                )
        if self.distance_m == 0:
            return self.on_pixels(np.exp(-attenuation))
        path, factor = (attenuation, path_per_attenuation_um) if path_um is None else (path_um, 1.0)
        radians = self._radians_per_um * factor
        step = abs(radians) * largest_phase_step(path, accelerate=accelerate)
        if step >= LARGEST_STEP:
            raise SteepPhase(
                f"The phase changes by {step:.2f} rad between samples {self.pitch_um:g} um apart, "
                f"which cannot carry more than {LARGEST_STEP:.2f}; raise oversampling (now "
                f"{self.oversampling}), or lower delta_beta or the pixel size."
            )
        wave = self._wave(attenuation, path, radians, accelerate)
        pitch = (self.pitch_um, self.pitch_um)
        wave = propagate(
            wave, pitch_um=pitch, distance_m=self.distance_m, energy_kev=self.energy_kev
        )
        # The detector's operators hold zeros outside of their reach.
        return self.on_pixels(wave.real**2 + wave.imag**2)

    def phase_step(
        self, attenuation: Real, path_um: Real | None, path_per_attenuation_um: float
    ) -> float:
        """Largest phase step of a view in radians; see :meth:`image` for the parameters."""
        if path_um is None:
            factor = abs(path_per_attenuation_um)
            return self._radians_per_um * factor * largest_phase_step(attenuation)
        return self._radians_per_um * largest_phase_step(path_um)

    def blank(self) -> Real:
        """Zeros of the shape (fine rows, fine columns) that :meth:`image` takes."""
        return np.zeros((self.row_samples.count, self._count(self.columns)), dtype=np.float32)

    @property
    def _radians_per_um(self) -> float:
        return 2 * math.pi / (wavelength_m(self.energy_kev) * 1e6)

    @cached_property
    def _margin(self) -> tuple[int, int]:
        """Fine samples around the detector, and how many of them fade."""
        blur = math.ceil(BLUR_REACH * self.blur_px * self.oversampling)
        if self.distance_m == 0:
            return blur, 0
        zone_um = math.sqrt(wavelength_m(self.energy_kev) * self.distance_m) * 1e6
        guard = max(SMALLEST_GUARD_SAMPLES, math.ceil(GUARD_ZONES * zone_um / self.pitch_um))
        return blur + math.ceil(self.reach_um / self.pitch_um) + guard, guard

    def _count(self, pixels: int) -> int:
        count = pixels * self.oversampling + 2 * self._margin[0]
        if self.distance_m == 0:
            return count
        longest = math.ceil(4 * self.reach_um / self.pitch_um)
        return int(scipy.fft.next_fast_len(max(count, longest)))

    def _samples(self, pixels: int, origin: float) -> Samples:
        count = self._count(pixels)
        before = self._before(pixels)
        # Pixel i holds the samples i - 1/2 + (k + 1/2) / oversampling.
        first = (0.5 - before) / self.oversampling - 0.5 - origin
        return Samples(first * self.pixel_size_um, self.pitch_um, count)

    def _before(self, pixels: int) -> int:
        return (self._count(pixels) - pixels * self.oversampling) // 2

    def _fade(self, pixels: int) -> Real:
        """Weights that fall to 0 at both ends of the fine samples, over the guard."""
        guard = self._margin[1]
        weights = np.ones(self._count(pixels), dtype=np.float32)
        ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(guard) + 0.5) / guard)
        weights[:guard] = ramp
        weights[-guard:] = ramp[::-1]
        return weights

    @cached_property
    def _fades(self) -> tuple[Real, Real]:
        return self._fade(self.rows), self._fade(self.columns)

    def _wave(self, attenuation: Real, path: Real, radians: float, accelerate: bool) -> Wave:
        row_fade, column_fade = self._fades
        if accelerate and has_numba():
            from hipct.simulation.fresnel_numba import fill_wave

            wave = np.empty(attenuation.shape, dtype=np.complex64)
            turns = radians / (2 * math.pi)
            fill_wave(wave.view(np.float32), attenuation, path, turns, row_fade, column_fade)
            return wave
        wave = object_wave(attenuation, np.float32(-radians) * path)
        faded: Wave = 1 + row_fade[:, None] * column_fade * (wave - 1)
        return faded

    @cached_property
    def _detector(self) -> tuple[Any, Any]:
        return self._to_pixels(self.rows), self._to_pixels(self.columns)

    def _to_pixels(self, pixels: int) -> Any:
        """Blur and summation along one axis: (pixels, fine samples), sparse, rows sum to 1."""
        samples = (np.arange(self._count(pixels)) - self._before(pixels) + 0.5) / self.oversampling
        if self.blur_px == 0:
            pixel = np.floor(samples).astype(int)
            inside = np.flatnonzero((pixel >= 0) & (pixel < pixels))
            share = np.full(inside.size, 1 / self.oversampling, np.float32)
            entries = (share, (pixel[inside], inside))
            return scipy.sparse.csr_array(entries, shape=(pixels, samples.size))
        half = BLUR_REACH * self.blur_px
        lists = []
        for i in range(pixels):
            near = np.flatnonzero(np.abs(samples - i - 0.5) <= half + 0.5)
            ends = (np.array([[i + 1], [i]]) - samples[near]) / self.blur_px
            upper, lower = scipy.special.ndtr(ends)
            weights = upper - lower
            lists.append((near, weights / weights.sum()))
        row = np.repeat(np.arange(pixels), [near.size for near, _ in lists])
        column = np.concatenate([near for near, _ in lists])
        values = np.concatenate([weights for _, weights in lists]).astype(np.float32)
        return scipy.sparse.csr_array((values, (row, column)), shape=(pixels, samples.size))

    def on_pixels(self, intensity: Real) -> Real:
        """Blur values on fine samples and average them over pixels: (rows, columns) float32."""
        on_rows, on_columns = self._detector
        part = on_rows @ intensity
        return np.ascontiguousarray((on_columns @ np.ascontiguousarray(part.T)).T)
