"""Iterative phase retrieval from one distance, with Fresnel propagation as its model.

Linear filters hold while the phase changes little over the way that light goes sideways. Beyond,
the image is compared with what a trial object would show: of one material, with line integrals x
of mu,

    u(x) = exp(-(1 + i g) x / 2),  I(x) = |P u(x)|^2,  P = C^-1 exp(-i pi lambda z |f|^2) C,

g = delta/beta, and C the cosine transform, whose images go on as their mirror. The misfit

    E(x) = 1/2 || sqrt(I(x)) - sqrt(T) ||^2

is the likelihood of photon noise to first order (Mohan et al., arXiv 2305.00334). Its Gauss-Newton
steps are damped by r g^2 m with m = min(1, 2 lambda z |f|^2)^2, which leaves level and
coarse structure to the images, and solved by conjugate gradients, preconditioned by the inverse of
the problem linearised in empty space,

    1 / (w^2 s^2 / 4 + r g^2 m),    w = cos(pi lambda z |f|^2) + g sin(pi lambda z |f|^2)

with the factor s of the smoothing below. The model is that of Huhn et al., Opt. Express 30 (2022)
32871 (arXiv 2205.01099), a CTF without its linearisation. The problem is that of Mirone et al.,
J. Synchrotron Rad. 32 (2025) 1291 (arXiv 2311.14745), near-field images of strong gradients from
one distance, which they solve for rays (eikonals) instead of waves; their faster scheme (arXiv
2601.22793) is preconditioned by Paganin's filter as this one is by the CTF.

The misfit has many minima where light goes several pixels astray. So both images are smoothed and
made sharper in steps, from two Fresnel zones sqrt(lambda z) down to a half: structure that is found
coarsely guides the finer one, and fringes finer than half a zone, by which a wrong guess is fitted
rather than mended, are not asked for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError
from hipct.core.threads import parallel_for, thread_count
from hipct.phase.contrast import propagation_number
from hipct.phase.distances import ContrastFilter
from hipct.phase.extent import Padding, check_padding, extend, plan_extent
from hipct.phase.filter import check_size, refuse_bad
from hipct.phase.unsharp import UnsharpMask, unsharp
from hipct.phase.wave import FresnelModel

REGULARISATION = 1e-3
"""Default damping of a Gauss-Newton step, as a share of the largest square of the CTF."""

ZONES = (2.0, 1.0, 0.5)
"""Smoothing of the images (standard deviation) in Fresnel zones, in turns."""

CONJUGATE_STEPS = 6
HALVINGS = 5
SMALLEST_START = 1e-3
"""The start's transmission is raised to this."""

_FINE_BYTES, _COARSE_BYTES = 72, 64
"""Work space of an image for each of its fine samples and pixels (measured)."""


@dataclass(frozen=True)
class Scale:
    """Factors of one smoothing, (rows, columns): its own, and those of the preconditioner."""

    smooth: Array
    inverse: Array
    damping: Array


class NonlinearFilter:
    """Iterative retrieval of images of one size.

    Parameters
    ----------
    rows, columns : int
        Size of the images.
    pixel_size_um, distance_m, energy_kev, delta_beta
        As in :class:`hipct.phase.paganin.PaganinFilter`.
    iterations : int
        Gauss-Newton steps at each of the three scales.
    oversampling : int
        Samples of the wave along the edge of a pixel. Neighbouring samples must differ by less
        than pi in phase, and the pixel averages over them.
    regularisation : float
        r: damping of a step, which is relative to where it starts.
    padding : {"mirror", "edge"}
        Continuation of the image beyond its edges.
    unsharp : UnsharpMask, optional
        A mask applied to the retrieved transmission.
    xp : module
        ``numpy`` or ``cupy``: where it is computed, in float32.

    Raises
    ------
    InputError
        If a value is out of range.

    Notes
    -----
    Images are computed one by one, on the host one a thread: an image gives the same bits
    whatever the block. The step lengths are those of an image as a whole, so that tiles agree to
    the accuracy to which the iteration has converged, not to the last bit.
    """

    takes_logarithm = False

    def __init__(
        self,
        rows: int,
        columns: int,
        *,
        pixel_size_um: float,
        distance_m: float,
        energy_kev: float,
        delta_beta: float,
        iterations: int = 2,
        oversampling: int = 2,
        regularisation: float = REGULARISATION,
        padding: Padding = "mirror",
        unsharp: UnsharpMask | None = None,
        xp: Any = np,
    ) -> None:
        check_size(rows, columns)
        check_padding(padding)
        for name, value in (("iterations", iterations), ("oversampling", oversampling)):
            if value != value // 1 or value < 1:
                raise InputError(f"{name} is {value}; it has to be a whole number of 1 or more.")
        if not 0 < regularisation < 1:
            raise InputError(
                f"regularisation is {regularisation}; it has to lie between 0 and 1, e.g. "
                f"{REGULARISATION}."
            )
        self._number = propagation_number(
            pixel_size_um=pixel_size_um, distance_m=distance_m, energy_kev=energy_kev
        )
        self._ratio, self._damping = delta_beta, regularisation
        self._iterations, self._fine = iterations, oversampling
        self._xp, self._mask, self._padding = xp, unsharp, padding
        self.shape = (rows, columns)
        far = 0 if padding == "mirror" else model_reach(self._number, oversampling)
        self._rows, self._columns = (
            plan_extent(size, min(far, size), padding, exact=True, xp=xp) for size in self.shape
        )
        self._total = self._rows.total, self._columns.total
        self._start = ContrastFilter(
            *self._total,
            pixel_size_um=pixel_size_um,
            energy_kev=energy_kev,
            distances_m=[distance_m],
            delta_beta=delta_beta,
            xp=xp,
        )
        self._model = FresnelModel(
            self._total, self._number, delta_beta, oversampling=oversampling, xp=xp
        )

    @cached_property
    def _scales(self) -> list[Scale]:
        xp = self._xp
        down, across = (np.arange(size) / (2 * size) for size in self._total)
        square = down[:, None] ** 2 + across**2
        angle = math.pi * self._number * square
        weight = np.cos(angle) + self._ratio * np.sin(angle)
        # At the frequency 0 the images alone decide.
        damping = self._damping * self._ratio**2 * np.minimum(1, angle / (np.pi / 2)) ** 2
        scales = []
        for zones in ZONES:
            smooth = np.exp(-2 * np.pi**2 * zones**2 * self._number * square)
            # A quarter: amplitudes change by half of what intensities do.
            inverse = 1 / ((weight * smooth) ** 2 / 4 + damping)
            scales.append(
                Scale(*(xp.asarray(one, np.float32) for one in (smooth, inverse, damping)))
            )
        return scales

    def apply(self, block: Array, out: Array | None = None) -> Array:
        """Retrieve a block of images.

        Parameters
        ----------
        block : ndarray, (angles, rows, columns)
            Transmission, any real type, finite.
        out : ndarray of float32, optional
            Where the result goes, same shape; may be ``block`` itself.

        Returns
        -------
        ndarray of float32, (angles, rows, columns)
            Transmission exp(-x) of the material alone.

        Raises
        ------
        InputError
            If the shapes do not fit, an image holds NaN or infinite values, or the phase is too
            steep for the samples of the wave.
        """
        xp = self._xp
        if block.ndim != 3 or block.shape[1:] != self.shape:
            raise InputError(
                f"The block has the shape {block.shape}; this filter takes "
                f"(angles, {self.shape[0]}, {self.shape[1]}) (a single image as image[None])."
            )
        if namespace(block, out) is not xp:
            raise InputError(
                f"The block is an array of {namespace(block).__name__} and the filter is kept "
                f"by {xp.__name__}; make the filter with xp={namespace(block).__name__}."
            )
        if out is None:
            out = xp.empty(block.shape, np.float32)
        elif out.shape != block.shape or out.dtype != np.float32:
            raise InputError(f"out is {out.dtype} {out.shape}; it has to be float32 {block.shape}.")
        refuse_bad(xp.flatnonzero(~xp.isfinite(block.reshape(len(block), -1).sum(axis=1))))
        work = partial(self._range, block, out)
        if xp is np:
            parallel_for(work, len(block))
        else:
            work(0, len(block))
        return out

    def memory_bytes(self, angles: int) -> int:
        """Peak bytes of a call on ``angles`` images: factors, result, work space of each thread."""
        pixels = self._total[0] * self._total[1]
        at_once = min(angles, thread_count()) if self._xp is np else min(angles, 1)
        kept = 4 * pixels * (3 * len(ZONES) + 1)
        result = 4 * angles * self.shape[0] * self.shape[1]
        work = pixels * (_FINE_BYTES * self._fine**2 + _COARSE_BYTES)
        return kept + result + at_once * work + self._start.memory_bytes(1)

    def _range(self, block: Array, out: Array, start: int, stop: int) -> None:
        xp = self._xp
        for number in range(start, stop):
            image = block[number : number + 1].astype(np.float32, copy=False)
            image = extend(xp, image, self._rows, self._columns, self._padding)
            first = xp.maximum(self._start.apply(image), SMALLEST_START)
            found = self._retrieve(image[0], -xp.log(first[0]))
            retrieved = xp.exp(-found)[self._rows.inner, self._columns.inner]
            if self._mask:
                mask = self._mask
                retrieved = unsharp(
                    retrieved, sigma_px=mask.sigma_px, strength=mask.strength, method=mask.method
                )
            out[number] = retrieved

    def _retrieve(self, image: Array, found: Array) -> Array:
        model = self._model
        model.refuse_steep(found)
        for scale in self._scales:
            wanted = model.amplitude(model.filtered(image, scale.smooth))
            for _ in range(self._iterations):
                found = self._step(wanted, found, scale)
        return found

    def _step(self, wanted: Array, found: Array, scale: Scale) -> Array:
        """One Gauss-Newton step, shortened until it makes the misfit smaller."""
        model = self._model
        object_wave, image_wave, shown = model.image(found, scale.smooth)
        shown = model.amplitude(shown)
        slope = 0.5 / shown
        misfit = _dot(wanted - shown, wanted - shown)

        def forward(change: Array) -> Array:
            return slope * model.derivative(object_wave, image_wave, change, scale.smooth)

        def back(residual: Array) -> Array:
            return model.adjoint(object_wave, image_wave, slope * residual, scale.smooth)

        left = back(wanted - shown)
        change = self._xp.zeros_like(found)
        towards = ahead = model.filtered(left, scale.inverse)
        size = _dot(left, ahead)
        for _ in range(CONJUGATE_STEPS):
            bent = back(forward(towards)) + model.filtered(towards, scale.damping)
            along = _dot(towards, bent)
            if not (size > 0 and along > 0):
                break
            change = change + size / along * towards
            left = left - size / along * bent
            ahead = model.filtered(left, scale.inverse)
            size, before = _dot(left, ahead), size
            towards = ahead + size / before * towards
        for _ in range(HALVINGS):
            tried = found + change
            rest = wanted - model.amplitude(model.image(tried, scale.smooth)[2])
            if _dot(rest, rest) < misfit:
                return tried
            change = change / 2
        return found


def model_reach(number: float, oversampling: int) -> int:
    """Pixels that light goes there and back again, and that the coarsest smoothing reaches."""
    return math.ceil(number * oversampling + 4.5 * ZONES[0] * math.sqrt(number))


def _dot(one: Array, other: Array) -> float:
    return float((one * other).sum(dtype=np.float64))
