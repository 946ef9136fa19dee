"""The mean edge of a picture, and what its shape tells of blur and halo.

Paganin's filter with a ratio delta/beta that is r times too small leaves

    (1 + r L^2 k^2) / (1 + L^2 k^2) = r + (1 - r) / (1 + L^2 k^2)

of every structure, with L the decay length of its kernel and k in radians per pixel (see
:mod:`hipct.phase.kernel`). Across a straight edge the second part is the kernel exp(-|x|/L) / 2L,
so that a step from 0 to 1 at x = 0 becomes a step with a rim that dies out on both sides,

    e(x) = step(x) + h sign(x) exp(-|x|/L),    h = (r - 1)/2.

Fringes that are left are a positive h, over-smoothing is a negative one: the halo. With the blur
of everything else, a Gaussian of standard deviation s, this is the model that :func:`fit_edge`
fits to the mean profile of the edges that :func:`mean_edge` finds.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hipct.core.errors import InputError

Float = NDArray[np.float64]

STEP_PX = 0.5
"""Distance between the samples of a profile."""

SCALE_PX = 3.0
"""Standard deviation of the Gaussian under which gradients are looked for: at 10 % noise of a step,
1.5 pixels would pick what noise has sharpened, and find half of the blur."""

TILE_PX = 24
"""Of each square of this side the steepest edge takes part, so that all of the picture does."""

LEAST_EDGES = 6
"""Fewer edges have no mean worth a figure."""

STEP_IN_NOISE = 4.0
"""An edge counts where its step is at least this many times the noise."""

_BLURS_PX = np.geomspace(0.2, 10, 80)


class EdgeProfile(NamedTuple):
    """The mean edge of a picture.

    Attributes
    ----------
    place_px : ndarray of float64, (n,)
        Distance from the edge along its normal, from the lower side to the higher one.
    value : ndarray of float64, (n,)
        Median over the edges, each scaled so that its flanks are 0 and 1.
    edges : int
        How many there are.
    """

    place_px: Float
    value: Float
    edges: int


class EdgeFit(NamedTuple):
    """What the mean edge is made of.

    Attributes
    ----------
    blur_px : float
        Standard deviation s of the Gaussian blur.
    halo : float
        Height h of the rim, in units of the step.
    residual : float
        rms difference between profile and model, in units of the step.
    """

    blur_px: float
    halo: float
    residual: float


def mean_edge(
    picture: Float, inside: NDArray[np.bool_], *, reach_px: float, noise: float
) -> EdgeProfile | None:
    """Median profile of the edges of a picture, across them.

    An edge is a pixel whose gradient is the largest along its own direction and within a square
    of 24 pixels. It counts if its flanks, the outer halves of its profile, differ by four times
    the noise.

    Parameters
    ----------
    picture : ndarray of float64, (rows, columns)
        Finite.
    inside : ndarray of bool, (rows, columns)
        The pixels that count: a profile lies wholly among them.
    reach_px : float
        Length of the profile on either side.
    noise : float
        Standard deviation of the noise.

    Returns
    -------
    EdgeProfile or None
        None where fewer than six edges stand out.
    """
    from scipy import ndimage

    gradient = np.stack(
        [ndimage.gaussian_filter(picture, SCALE_PX, order=order) for order in ((1, 0), (0, 1))]
    )
    steepness = np.hypot(*gradient)
    places = _steepest(steepness, _whole_profiles(inside, reach_px))
    slope = steepness[tuple(places)]
    normals = gradient[:, *places] / np.maximum(slope, np.finfo(float).tiny)
    beside = [
        ndimage.map_coordinates(steepness, places + side * normals, order=1) for side in (-1, 1)
    ]
    ridge = (slope > beside[0]) & (slope >= beside[1])
    places, normals, slope = places[:, ridge], normals[:, ridge], slope[ridge]
    before, after = beside[0][ridge], beside[1][ridge]
    # The top of the parabola through three samples of the gradient is where the edge lies.
    centres = places + normals * ((after - before) / (2 * (2 * slope - before - after)))
    at_px = np.arange(-reach_px, reach_px + STEP_PX / 2, STEP_PX)
    points = centres[:, :, np.newaxis] + normals[:, :, np.newaxis] * at_px
    profiles = ndimage.map_coordinates(picture, points, order=3, mode="nearest")
    flanks = np.abs(at_px) >= reach_px / 2
    low = np.median(profiles[:, flanks & (at_px < 0)], axis=1)
    step = np.median(profiles[:, flanks & (at_px > 0)], axis=1) - low
    counts = step > STEP_IN_NOISE * noise
    if np.count_nonzero(counts) < LEAST_EDGES:
        return None
    scaled = (profiles[counts] - low[counts, np.newaxis]) / step[counts, np.newaxis]
    return EdgeProfile(at_px, np.median(scaled, axis=0), int(np.count_nonzero(counts)))


def fit_edge(profile: EdgeProfile, kernel_px: float) -> EdgeFit:
    """Blur and halo of a mean edge, by least squares.

    Parameters
    ----------
    profile : EdgeProfile
        From :func:`mean_edge`.
    kernel_px : float
        Decay length L of the kernel of phase retrieval.

    Raises
    ------
    InputError
        If the length is not above 0.

    Examples
    --------
    >>> place = np.arange(-12, 12.5, 0.5)
    >>> edge = edge_model(place, 1.2, 0.25, 4.0)
    >>> fit = fit_edge(EdgeProfile(place, 3 * edge + 2, 10), 4.0)
    >>> round(fit.blur_px, 2), round(fit.halo, 3)
    (1.2, 0.25)
    """
    if not 0 < kernel_px < math.inf:
        raise InputError(f"The kernel length is {kernel_px} pixels; give a number above 0.")
    fits = [_with_blur(profile, blur, kernel_px) for blur in _BLURS_PX]
    best = int(np.argmin([fit.residual for fit in fits]))
    low, high = _BLURS_PX[max(0, best - 1)], _BLURS_PX[min(len(fits) - 1, best + 1)]
    fine = [_with_blur(profile, blur, kernel_px) for blur in np.geomspace(low, high, 41)]
    return min([*fine, fits[best]], key=lambda fit: fit.residual)


def edge_model(place_px: Float, blur_px: float, halo: float, kernel_px: float) -> Float:
    """A step from 0 to 1 with a rim, blurred: e(x) of this module.

    Parameters
    ----------
    place_px : ndarray of float64
        x.
    blur_px, halo, kernel_px : float
        s, h and L.
    """
    step, rim = _parts(place_px, blur_px, kernel_px)
    return step + halo * rim


def _parts(place: Float, blur: float, length: float) -> tuple[Float, Float]:
    """The blurred step, and the blurred rim of height 1."""
    from scipy.special import erfc, erfcx

    scaled, ratio = place / (math.sqrt(2) * blur), blur / (math.sqrt(2) * length)
    gauss = np.exp(-(scaled**2))
    # erfcx(u) = exp(u^2) erfc(u) overflows where u is far below 0; there erfc is 2.
    sides = [
        np.where(
            ratio + side * scaled > -5,
            gauss * erfcx(np.maximum(ratio + side * scaled, -5)),
            2 * np.exp(np.minimum(ratio**2 + 2 * side * ratio * scaled, 0)),
        )
        for side in (-1, 1)
    ]
    return erfc(-scaled) / 2, (sides[0] - sides[1]) / 2


def _with_blur(profile: EdgeProfile, blur: float, length: float) -> EdgeFit:
    """The best level, step and rim for a given blur: a linear problem."""
    step, rim = _parts(profile.place_px, float(blur), length)
    system = np.stack([np.ones_like(step), step, rim], axis=1)
    factors, *_ = np.linalg.lstsq(system, profile.value, rcond=None)
    height = factors[1] if factors[1] > 0 else math.inf
    wrong = profile.value - system @ factors
    residual = float(np.sqrt(np.mean(wrong**2)) / abs(height)) if height < math.inf else math.inf
    return EdgeFit(float(blur), float(factors[2] / height), residual)


def _whole_profiles(inside: NDArray[np.bool_], reach_px: float) -> NDArray[np.bool_]:
    """Pixels whose surroundings lie inside as far as a profile reaches."""
    from scipy import ndimage

    framed = np.pad(inside, 1)
    distance = ndimage.distance_transform_edt(framed)[1:-1, 1:-1]
    return np.asarray(distance > reach_px + 1)


def _steepest(steepness: Float, allowed: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Places (2, n) of the steepest allowed pixel of each square."""
    rows, columns = steepness.shape
    padded = np.full([TILE_PX * math.ceil(side / TILE_PX) for side in (rows, columns)], -1.0)
    padded[:rows, :columns] = np.where(allowed, steepness, -1)
    down, across = (side // TILE_PX for side in padded.shape)
    tiles = padded.reshape(down, TILE_PX, across, TILE_PX).swapaxes(1, 2)
    flat = tiles.reshape(down, across, TILE_PX * TILE_PX)
    within = np.stack(np.unravel_index(flat.argmax(axis=2), (TILE_PX, TILE_PX)))
    corner = np.stack(np.meshgrid(np.arange(down), np.arange(across), indexing="ij")) * TILE_PX
    return np.asarray((within + corner)[:, flat.max(axis=2) > 0])
