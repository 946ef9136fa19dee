"""What an object of one material shows at a distance, with derivatives: Fresnel propagation.

Images and waves go on as their mirror, so that the cosine transform diagonalises propagation (its
factor is even), at a quarter of the samples that a Fourier transform would need.
"""

from __future__ import annotations

import math
from types import ModuleType

import numpy as np

from hipct.core.arrays import Array, fft_module
from hipct.core.errors import InputError

DARK = 1e-3
"""Added to intensities before the root, whose slope stays finite where no light falls."""

STEEP_SHARE = 0.01
"""Share of neighbouring samples whose phases may differ by more than pi."""


class FresnelModel:
    """What an object of one material shows at a distance, with derivatives.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the image.
    number : float
        lambda z / p^2.
    delta_beta : float
    oversampling : int
        Samples of the wave along the edge of a pixel.
    xp : module
    """

    def __init__(
        self,
        shape: tuple[int, int],
        number: float,
        delta_beta: float,
        *,
        oversampling: int,
        xp: ModuleType = np,
    ) -> None:
        self._xp, self._fft = xp, fft_module(xp)
        self._shape, self._samples = shape, oversampling
        self._decay = np.complex64(-(1 + 1j * delta_beta) / 2)
        # |f|^2 in cycles per pixel is the sum of both axes': so is the phase of the propagator.
        factors = [
            np.exp(-1j * math.pi * number * (np.arange(oversampling * size) / (2 * size)) ** 2)
            for size in shape
        ]
        self._down = xp.asarray(factors[0], np.complex64)[:, None]
        self._across = xp.asarray(factors[1], np.complex64)

    def filtered(self, image: Array, factors: Array) -> Array:
        """The image with its cosine coefficients times factors (rows, columns)."""
        fft = self._fft
        return fft.idctn(fft.dctn(image, axes=(0, 1)) * factors, axes=(0, 1))

    def amplitude(self, intensity: Array) -> Array:
        """Root of intensities, of those below 0 (noise) that of 0."""
        return self._xp.sqrt(self._xp.maximum(intensity, 0) + np.float32(DARK))

    def image(self, lines: Array, smooth: Array) -> tuple[Array, Array, Array]:
        """Waves behind the object and at the distance (fine), and the smoothed image (pixels)."""
        object_wave = self._xp.exp(self._decay * self._refined(lines))
        image_wave = self._propagated(object_wave)
        intensity = image_wave.real**2 + image_wave.imag**2
        return object_wave, image_wave, self.filtered(self._binned(intensity), smooth)

    def derivative(
        self, object_wave: Array, image_wave: Array, change: Array, smooth: Array
    ) -> Array:
        """How the smoothed image changes with the line integrals."""
        moved = self._propagated(self._decay * object_wave * self._refined(change))
        rise = 2 * (image_wave.real * moved.real + image_wave.imag * moved.imag)
        return self.filtered(self._binned(rise), smooth)

    def adjoint(
        self, object_wave: Array, image_wave: Array, residual: Array, smooth: Array
    ) -> Array:
        """The transpose of :meth:`derivative`."""
        spread = self._spread(self.filtered(residual, smooth))
        back = self._propagated(image_wave * spread, back=True)
        towards = self._decay * object_wave
        return self._coarsened(2 * (towards.real * back.real + towards.imag * back.imag))

    def refuse_steep(self, lines: Array) -> None:
        """Raise InputError where the samples cannot carry the phase of some line integrals."""
        xp = self._xp
        most = 2 * math.pi * self._samples / abs(2 * float(self._decay.imag))
        for axis in (0, 1):
            steps = xp.abs(xp.diff(lines, axis=axis))
            share = float(xp.mean(steps > most)) if steps.size else 0.0
            if share > STEEP_SHARE:
                raise InputError(
                    f"The phase of {100 * share:.1f} % of neighbouring samples differs by more "
                    f"than pi at an oversampling of {self._samples}: the wave cannot be followed. "
                    "Raise phase.oversampling, or take phase.method=paganin, which needs no wave."
                )

    def _propagated(self, wave: Array, *, back: bool = False) -> Array:
        xp, fft = self._xp, self._fft
        parts = xp.stack([wave.real, wave.imag])
        parts = fft.dctn(parts, axes=(1, 2), overwrite_x=True)
        spectrum = parts[0] + np.complex64(1j) * parts[1]
        spectrum *= self._down.conj() if back else self._down
        spectrum *= self._across.conj() if back else self._across
        parts[0], parts[1] = spectrum.real, spectrum.imag
        parts = fft.idctn(parts, axes=(1, 2), overwrite_x=True)
        return parts[0] + np.complex64(1j) * parts[1]

    def _refined(self, image: Array) -> Array:
        """Band-limited interpolation onto the fine samples."""
        if self._samples == 1:
            return image
        xp, fft, (rows, columns) = self._xp, self._fft, self._shape
        fine = xp.zeros((self._samples * rows, self._samples * columns), np.float32)
        fine[:rows, :columns] = fft.dctn(image, axes=(0, 1), norm="ortho")
        fine[:rows, :columns] *= self._samples
        return fft.idctn(fine, axes=(0, 1), norm="ortho", overwrite_x=True)

    def _coarsened(self, fine: Array) -> Array:
        """The transpose of :meth:`_refined`."""
        if self._samples == 1:
            return fine
        fft, (rows, columns) = self._fft, self._shape
        coarse = fft.dctn(fine, axes=(0, 1), norm="ortho")[:rows, :columns] * self._samples
        return fft.idctn(coarse, axes=(0, 1), norm="ortho")

    def _binned(self, fine: Array) -> Array:
        (rows, columns), samples = self._shape, self._samples
        return fine.reshape(rows, samples, columns, samples).mean(axis=(1, 3))

    def _spread(self, image: Array) -> Array:
        """The transpose of :meth:`_binned`."""
        xp, samples = self._xp, self._samples
        return xp.repeat(xp.repeat(image, samples, axis=0), samples, axis=1) / samples**2
