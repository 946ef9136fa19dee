"""Double flat field: what stays at its pixel while the sample turns, or from sub-scan to sub-scan.

Averaged over all angles the sample is smooth and the faults of the detector that its flats miss are
not: the high-pass of the mean ``-log T`` is divided out (Boin & Haibel, Opt. Express 14 (2006)
12071).
Over a series of sub-scans the sample changes and the detector does not: the median of their
normalised mean projections is the general reference of the series, and the median of their frames
at one angle is a frame of a reference scan that nobody took.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError
from hipct.preparation.checks import floating, output, three_axes
from hipct.preparation.lowpass import low_pass
from hipct.preparation.reduction import reduce_frames

SMALLEST = 1e-4
"""Transmission that smaller values are taken for in a logarithm."""


class MeanProjection:
    """Mean over the angles of a scan of its transmission and of its ``-log``, block by block.

    Adds up in float64, so that the order and the length of the blocks matter little.

    Attributes
    ----------
    angles : int
        Frames that were added.
    """

    def __init__(self) -> None:
        self.angles = 0
        self._transmission: Any = None
        self._integral: Any = None

    def add(self, transmission: Array) -> None:
        """Add a block.

        Parameters
        ----------
        transmission : array, shape (angles, rows, columns)
            Finite; counts less dark where the scan has no flats.

        Raises
        ------
        InputError
            If the shape is wrong or differs from that of the blocks before.
        """
        block = floating(three_axes(transmission, "transmission", "angles, rows, columns"))
        xp = namespace(block)
        if self.angles and self._transmission.shape != block.shape[1:]:
            raise InputError(
                f"The block has (rows, columns) {block.shape[1:]}, those before had "
                f"{self._transmission.shape}; add blocks of the same rows."
            )
        if not self.angles:
            self._transmission, self._integral = (xp.zeros(block.shape[1:]) for _ in range(2))
        for frame in block:
            self._transmission += frame
            self._integral -= xp.log(xp.maximum(frame, SMALLEST))
        self.angles += len(block)

    def transmission(self) -> Array:
        """Mean transmission, (rows, columns), float32."""
        return self._mean(self._transmission)

    def line_integral(self) -> Array:
        """Mean of ``-log T``, (rows, columns), float32."""
        return self._mean(self._integral)

    def _mean(self, total: Array) -> Array:
        if self.angles == 0:
            raise InputError("No frame was added, so there is no mean projection; add blocks.")
        return (total / self.angles).astype(np.float32)


def double_flat(mean_line_integral: Array, sigma_px: float) -> Array:
    """Double flat field of one scan, from the mean of its ``-log T``.

    Parameters
    ----------
    mean_line_integral : array, shape (rows, columns)
        :meth:`MeanProjection.line_integral` of all rows, or of a slab with a halo of
        ``4 sigma_px`` rows.
    sigma_px : float
        Standard deviation in pixels of the Gaussian whose complement is the high-pass. Small
        values spare the sample, large ones find wide bands; 10 is common.

    Returns
    -------
    array, shape (rows, columns), float32
        ``exp(-(m - G m))``, to be divided out of the transmission; about 1.

    Raises
    ------
    InputError
        If the shape is wrong or ``sigma_px`` is not above 0.
    """
    mean = _image(mean_line_integral, "mean_line_integral")
    xp = namespace(mean)
    return xp.exp(low_pass(mean, sigma_px) - mean)


def general_reference(means: Array, sigma_px: float | None = None) -> Array:
    """General reference of a series: the median of the normalised means of its sub-scans.

    Parameters
    ----------
    means : array, shape (sub-scans, rows, columns)
        Mean projection of each sub-scan (:meth:`MeanProjection.transmission`): of the transmission,
        or of the counts less dark where there are no flats. Above 0.
    sigma_px : float, optional
        Given, each mean is divided by its Gaussian low-pass, so that the result holds what is fine
        alone: the double flat field of the series. Otherwise by its median: the result is a flat,
        with beam and jar in it.

    Returns
    -------
    array, shape (rows, columns), float32
        To be divided out, about 1.

    Raises
    ------
    InputError
        If the shape is wrong or ``sigma_px`` is not above 0.
    """
    stack = three_axes(means, "means", "sub-scans, rows, columns").astype(np.float32, copy=False)
    xp = namespace(stack)
    # One after the other: a series has up to 200 means.
    normalised = xp.empty_like(stack)
    for place, mean in enumerate(stack):
        level = xp.median(mean) if sigma_px is None else low_pass(mean, sigma_px)
        normalised[place] = mean / level
    return reduce_frames(normalised, "median")


def frames_of_the_series(frames: Array, levels: ArrayLike | None = None) -> Array:
    """Frames of a reference scan that nobody took: the median over sub-scans, angle by angle.

    Parameters
    ----------
    frames : array, shape (sub-scans, angles, rows, columns)
        Counts less dark of the same angles in several sub-scans; 5 or more, spread over the
        organ, so that no place of the sample is in half of them.
    levels : array_like, shape (sub-scans,), optional
        Level of each sub-scan, above 0, divided out before the median and put back as their
        median; those of machine current and of optic darkening.

    Returns
    -------
    array, shape (angles, rows, columns), float32
        To be fed to :class:`hipct.preparation.reference_scan.SmoothReference` and
        :class:`~hipct.preparation.reference_scan.ReferenceFlats`.

    Raises
    ------
    InputError
        If shapes disagree or a level is not above 0.
    """
    if frames.ndim != 4 or 0 in frames.shape:
        raise InputError(
            f"frames has shape {frames.shape}; it needs the four axes (sub-scans, angles, rows, "
            "columns), none of them empty."
        )
    xp = namespace(frames)
    scale = np.ones(len(frames))
    if levels is not None:
        given = np.asarray(levels, dtype=np.float64)
        if given.shape != (len(frames),) or not (np.isfinite(given) & (given > 0)).all():
            raise InputError(
                f"levels is {levels}; it needs one number above 0 for each of the {len(frames)} "
                "sub-scans."
            )
        scale = np.median(given) / given
    result = xp.empty(frames.shape[1:], np.float32)
    for angle in range(frames.shape[1]):
        result[angle] = reduce_frames(frames[:, angle], "median", scale=scale)
    return result


def apply_double_flat(transmission: Array, reference: Array, *, out: Array | None = None) -> Array:
    """Divide a double flat field, or a general reference, out of projections.

    Parameters
    ----------
    transmission : array, shape (angles, rows, columns)
        Integers become float32.
    reference : array, shape (rows, columns)
        Of the same rows. Where it is not finite and above 0, projections stay as they are.
    out : array, shape of the transmission, its dtype, optional
        May be the transmission itself.

    Raises
    ------
    InputError
        If shapes disagree.
    """
    transmission = floating(three_axes(transmission, "transmission", "angles, rows, columns"))
    xp = namespace(transmission, reference)
    if reference.shape != transmission.shape[1:]:
        raise InputError(
            f"reference has shape {reference.shape} and the projections have (rows, columns) "
            f"{transmission.shape[1:]}; give both for the same rows."
        )
    out = output(out, transmission.shape, transmission.dtype, transmission)
    usable = xp.isfinite(reference) & (reference > 0)
    inverse = (1 / xp.where(usable, reference, 1)).astype(transmission.dtype)
    xp.multiply(transmission, inverse, out=out)
    return out


def _image(image: Array, name: str) -> Array:
    if image.ndim != 2 or 0 in image.shape:
        raise InputError(f"{name} has shape {image.shape}; it needs the axes (rows, columns).")
    return image.astype(np.float32, copy=False)
