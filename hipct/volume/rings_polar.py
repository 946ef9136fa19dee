"""Ring removal on slices, in polar coordinates.

The way of the organ pipelines (Sijbers & Postnov, "Reduction of ring artefacts in high resolution
micro-CT reconstructions", Phys. Med. Biol. 49 (2004) N247; Prell, Kyriakou & Kalender, "Comparison
of ring artifact correction methods for flat-detector CT", Phys. Med. Biol. 54 (2009) 3881): what
lies above a median along the radius is fine detail; its low-pass along the angle is the rings.

The low-pass is the median of each 15 degrees of a circle, which passes over edges that cross it,
then a Gaussian along the arc. Only the rings are interpolated, never the slice, so that its
resolution stays what it was. Towards the axis, where a ring has few pixels and every structure
looks like one, the correction fades out.
"""

from __future__ import annotations

import numpy as np

from hipct.core.arrays import Array, fft_module, namespace
from hipct.core.errors import InputError
from hipct.core.jit import has_numba
from hipct.core.threads import parallel_for
from hipct.preparation.checks import floating, output, three_axes
from hipct.preparation.stripe_score import PARTS
from hipct.volume.polar import (
    STEPS,
    Polar,
    check_radial_width,
    check_slices,
    radial_detail,
)

WIDTH_PX = 21
"""Width of the median along the radius by default: rings up to 10 pixels wide go."""

ARC_PX = 100.0
"""Width of the Gaussian along the arc by default: an estimate of a ring has 7 % of the noise."""

CENTRE_PX = 20.0
"""Radius that stays untouched by default; full correction starts at twice that."""

ROWS = 16


def remove_rings_polar(
    slices: Array,
    *,
    width_px: int = WIDTH_PX,
    arc_px: float = ARC_PX,
    centre_px: float = CENTRE_PX,
    beside_px: tuple[float, float] = (0.0, 0.0),
    out: Array | None = None,
) -> Array:
    """Subtract rings from slices.

    What is concentric with the rotation axis over some ``arc_px`` and narrower than half of
    ``width_px`` goes, whether it is a ring or not: a thin tube about the axis is lost. Slices do
    not see each other: any slab gives the same numbers. Beyond input and output it needs what
    :func:`polar_memory_bytes` says.

    Parameters
    ----------
    slices : array, shape (slices, n, n)
        Voxels with the rotation axis near the middle, finite. Integers become float32.
    width_px : int
        Width of the median along the radius, odd; twice the widest ring.
    arc_px : float
        Standard deviation of the Gaussian along the arc, 0 or more: shorter follows rings that
        change along the angle (those of a 180-degree scan are half circles, and keep a third of
        their rms at 100), and leaves more noise. A part of 15 degrees is the least.
    centre_px : float
        Radius that stays untouched, 0 or more; the correction is full from twice that.
    beside_px : (float, float)
        How far (y, x) the rotation axis lies beside the middle of the slices, at most an eighth of
        their side: in slices of a sub-scan in which the sample was moved.
    out : array, shape of the slices, their dtype, optional
        May be the slices themselves.

    Returns
    -------
    array, shape (slices, n, n), float32 (float64 from float64)

    Raises
    ------
    InputError
        If shape, dtype or a parameter is wrong, or a value is not finite.
    """
    slices = floating(three_axes(slices, "slices", "slices, rows, columns"))
    polar = check_slices(slices, beside_px)
    check_radial_width(width_px, polar)
    for name, value in (("arc_px", arc_px), ("centre_px", centre_px)):
        if not 0 <= value < np.inf:
            raise InputError(f"{name} is {value}; give 0 pixels or more.")
    xp = namespace(slices)
    fft = fft_module(xp)
    out = output(out, slices.shape, slices.dtype, slices)
    damping = xp.asarray(_damping(polar, arc_px, centre_px).astype(slices.dtype))
    rings = xp.empty((len(slices), polar.radii, PARTS), slices.dtype)
    for place in range(len(slices)):
        _, parts = radial_detail(slices[place], polar, width_px)
        spectrum = fft.rfft(parts, axis=1) * damping
        rings[place] = fft.irfft(spectrum, n=PARTS, axis=1)
    if not bool(xp.isfinite(rings).all()):
        raise InputError(
            "slices hold NaN or infinite values, which would spread along their circles; "
            "replace them first."
        )
    if xp is np and has_numba() and slices.dtype == np.float32:
        from hipct.volume.polar_numba import subtract_rings

        def work(first: int, last: int) -> None:
            subtract_rings(slices, rings, STEPS, polar.pivot, first, last, out)

        parallel_for(work, polar.size, smallest=ROWS)
    else:
        _subtract(slices, rings, polar, out)
    return out


def polar_memory_bytes(slices: int, n: int, *, on_device: bool = False) -> int:
    """Bytes that :func:`remove_rings_polar` takes at most beside input and output, float32.

    On the host three times the polar values of one slice (1.05 n^2 each), whatever the threads; on
    a device (or without numba) what the medians and the places of all pixels take.
    """
    polar = Polar(n)
    rings = 4 * slices * polar.radii * PARTS
    if on_device or not has_numba():
        return rings + 5 * polar.bytes_of_slice + 100 * n * n
    return rings + 3 * polar.bytes_of_slice + 64 * n


def _damping(polar: Polar, arc_px: float, centre_px: float) -> Array:
    """Factors (radii, frequencies) of the rings' frequencies along the angle."""
    radius = polar.radius_px[:, None]
    frequency = np.arange(PARTS // 2 + 1)
    rise = np.clip(radius / max(centre_px, 0.25) - 1, 0, 1)
    fade = rise * rise * (3 - 2 * rise)
    return np.asarray(
        fade * np.exp(-0.5 * (frequency * arc_px / np.maximum(radius, 1 / STEPS)) ** 2)
    )


def _subtract(slices: Array, rings: Array, polar: Polar, out: Array) -> None:
    """Rings, cubic along the radius and linear around, taken from the slices.

    The cubic is that of Keys, "Cubic convolution interpolation", IEEE Trans. ASSP 29 (1981) 1153,
    with a = -1/2.
    """
    xp = namespace(slices)
    down, right = (xp.arange(polar.size) - pivot for pivot in polar.pivot)
    for first in range(0, polar.size, 8 * ROWS):
        rows = slice(first, min(first + 8 * ROWS, polar.size))
        radius = STEPS * xp.hypot(down[rows, None], right)
        turn = xp.arctan2(down[rows, None], right) * (PARTS / (2 * np.pi)) - 0.5
        inner, part = xp.floor(radius).astype(np.int64), xp.floor(turn).astype(np.int64)
        around = (turn - part).astype(slices.dtype)
        along = _cubic_weights(radius - inner)
        ring = xp.zeros((len(slices), *radius.shape), slices.dtype)
        for k in range(4):
            near = inner + (k - 1)
            inside = (near >= 0) & (near < polar.radii)
            weight = (along[k] * inside).astype(slices.dtype)
            near = xp.clip(near, 0, polar.radii - 1)
            here = rings[:, near, part % PARTS]
            there = rings[:, near, (part + 1) % PARTS]
            ring += weight * (here + around * (there - here))
        xp.subtract(slices[:, rows], ring, out=out[:, rows])


def _cubic_weights(share: Array) -> tuple[Array, Array, Array, Array]:
    """Weights of the four samples about a place ``share`` behind the second one."""
    return (
        ((2 - share) * share - 1) * share / 2,
        ((3 * share - 5) * share * share + 2) / 2,
        ((4 - 3 * share) * share + 1) * share / 2,
        (share - 1) * share * share / 2,
    )
