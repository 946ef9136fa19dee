"""How far two images of the same thing are apart, in fractions of a pixel.

The two overlap in part: neighbouring sub-scans, the annuli of a quarter-acquisition, a view before
and after a drift. So their correlation is not circular: at every shift it is taken, and normalised,
over the pixels that both have (Padfield, IEEE Trans. Image Process. 21 (2012) 2706), here with
weights that fall to 0 towards the borders. Before that both pass a band-pass, a difference of two
Gaussians. Its coarse end takes out level, slope and slow differences of the flat fields, its fine
end most of the noise, and what remains is band-limited, so that the correlation between whole
pixels follows from its spectrum without interpolation (Guizar-Sicairos et al., Opt. Lett. 33
(2008) 156).

What belongs to the detector, and not to the sample, does not move: left in both images it makes a
peak at shift 0, sharp and often higher than that of the sample. Of several views, the mean is what
is static, and is subtracted.
"""

from __future__ import annotations

import math

import numpy as np

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError
from hipct.core.interpolation import between_samples
from hipct.preparation.checks import real_numbers
from hipct.preparation.registration_peak import Pixels, Shift
from hipct.preparation.registration_search import Band, Search, filtered, gaussian

__all__ = ["Shift", "measure_shift", "measure_shifts"]

_ROUNDS = 3

_STRIPES_PX = 6.0

_TAPS, _TAPS_BAND = 6, 0.28
"""The fine end of the band-pass leaves little beyond 0.28 cycles per pixel."""


def measure_shift(
    reference: Array,
    moving: Array,
    *,
    reach_px: Pixels,
    expected_px: Pixels = (0.0, 0.0),
    fine_px: float = 1.5,
    coarse_px: float = 12.0,
    remove_static: bool = True,
) -> Shift:
    """Measure the one shift between two images, or between two stacks of views.

    Parameters
    ----------
    reference, moving : array, shape (rows, columns) or (images, rows, columns)
        Transmission or line integrals, finite; NumPy or CuPy. The two may differ in size, image k
        of one belongs to image k of the other. A stack has one likelihood: its images share the
        shift.
    reach_px : tuple of float
        How far from the expected shift it is searched, along rows and columns, 0 or more.
    expected_px : tuple of float
        The expected shift (rows, columns), from motors for instance; only what can overlap is
        looked at.
    fine_px, coarse_px : float
        Standard deviations in pixels of the Gaussians of the band-pass. Noise asks for a larger
        ``fine_px``; the coarse one shrinks by itself where the overlap is narrow.
    remove_static : bool
        Subtract from each stack of 2 images or more its mean, as what belongs to the detector. Of
        stacks that show one view again and again this would leave noise: give False.

    Returns
    -------
    Shift

    Raises
    ------
    InputError
        If shapes, dtypes or numbers are wrong, the images overlap by less than 8 pixels at the
        expected shift, or they hold values that are not finite.

    Examples
    --------
    >>> scene = np.random.default_rng(0).random((60, 90))
    >>> shift = measure_shift(scene[10:], scene[:50, 3:], reach_px=(12, 5))
    >>> round(shift.rows, 2), round(shift.columns, 2), shift.confidence > 0.99
    (10.0, -3.0, True)
    """
    search = _search(reference, moving, reach_px, expected_px, (fine_px, coarse_px))
    return _measured(search, *_stacks(reference, moving, remove_static))


def measure_shifts(
    reference: Array,
    moving: Array,
    *,
    reach_px: Pixels,
    expected_px: Pixels = (0.0, 0.0),
    fine_px: float = 1.5,
    coarse_px: float = 12.0,
    remove_static: bool = True,
) -> tuple[Shift, ...]:
    """Measure a shift for each image of two stacks, (images, rows, columns).

    For views that do not share their shift, such as those of a sample that moved sideways, in which
    it depends on the angle. Parameters and errors as of :func:`measure_shift`, but that views whose
    shifts differ have means that differ by more than a shift: of the mean, only what is finer than
    6 pixels is taken for static, and it is removed where the search includes the shift 0 alone, at
    which what is static coincides.
    """
    search = _search(reference, moving, reach_px, expected_px, (fine_px, coarse_px))
    first, second = _stacks(reference, moving, remove_static=False)
    if remove_static and all(abs(e) <= r for e, r in zip(expected_px, reach_px)):
        first, second = (_without_stripes(stack) for stack in (first, second))
    pairs = ((first[k : k + 1], second[k : k + 1]) for k in range(len(first)))
    return tuple(_measured(search, *pair) for pair in pairs)


def _measured(search: Search, first: Array, second: Array) -> Shift:
    """Search, then compare what both show of the same scene, the moving stack shifted back.

    What a filter makes of the borders of a cut-out stays in place when the scene moves, and so
    pulls the shift towards 0. It is the same in two cut-outs of the same scene: each round leaves
    a small share of the error of the one before.
    """
    shift = search.measure(first, second)
    for _ in range(_ROUNDS):
        cuts = [
            _same_scene(size, other, value)
            for size, other, value in zip(
                first.shape[1:], second.shape[1:], (shift.rows, shift.columns)
            )
        ]
        if shift.confidence == 0 or min(one.stop - one.start for one, _, _ in cuts) < 8:
            return shift
        (rows, lower, down), (columns, left, right) = cuts
        scene = second[:, lower, left]
        for axis, fraction in ((1, down), (2, right)):
            scene = between_samples(scene, fraction, axis=axis, count=_TAPS, band=_TAPS_BAND)
        part = first[:, rows, columns]
        rest = Search.create(part.shape, scene.shape, (1, 1), (0, 0), search.band).measure(
            part, scene
        )
        shift = Shift(
            shift.rows + rest.rows, shift.columns + rest.columns, shift.confidence, rest.error_px
        )
    return shift


def _same_scene(first: int, second: int, shift: float) -> tuple[slice, slice, float]:
    """Cut of the reference, cut of the moving image with the halo of taps, fraction to go on."""
    whole = math.floor(shift)
    before, after = _TAPS // 2 - 1, _TAPS // 2
    start = max(0, before - whole)
    stop = min(first, second - after - whole)
    return (
        slice(start, stop),
        slice(start + whole - before, stop + whole + after),
        shift - whole,
    )


def _search(
    reference: Array, moving: Array, reach_px: Pixels, expected_px: Pixels, band: Band
) -> Search:
    namespace(reference, moving)
    _check(reference, moving, reach_px, expected_px)
    if not 0 < band[0] < band[1] < math.inf:
        raise InputError(
            f"The band-pass of the registration goes from {band[0]} to {band[1]} px; give two "
            "lengths above 0, fine_px below coarse_px."
        )
    return Search.create(reference.shape, moving.shape, reach_px, expected_px, band)


def _check(reference: Array, moving: Array, reach_px: Pixels, expected_px: Pixels) -> None:
    for name, array in (("reference", reference), ("moving", moving)):
        if real_numbers(array, name).ndim not in (2, 3) or 0 in array.shape:
            raise InputError(
                f"{name} has shape {array.shape}; give (rows, columns) or (images, rows, columns)."
            )
    if reference.ndim != moving.ndim or reference.shape[:-2] != moving.shape[:-2]:
        raise InputError(
            f"reference has shape {reference.shape} and moving {moving.shape}; give as many "
            "images in one as in the other."
        )
    for name, pair in (("reach_px", reach_px), ("expected_px", expected_px)):
        if len(pair) != 2 or not all(map(math.isfinite, pair)) or (
            name == "reach_px" and min(pair) < 0
        ):  # fmt: skip
            raise InputError(
                f"{name} is {pair}; give two finite numbers of pixels (rows, columns)"
                f"{', 0 or more' if name == 'reach_px' else ''}."
            )


def _without_stripes(stack: Array) -> Array:
    """A stack without the fine part of its mean."""
    if len(stack) < 2:
        return stack
    mean = stack.mean(axis=0, dtype=np.float64).astype(np.float32)
    margin = math.ceil(3 * _STRIPES_PX)
    return stack - filtered(mean, lambda shape: 1 - gaussian(shape, _STRIPES_PX), margin)


def _stacks(reference: Array, moving: Array, remove_static: bool) -> list[Array]:
    """Both as stacks in float32, without what is the same in all images of one."""
    stacks = []
    for array in (reference, moving):
        stack = array if array.ndim == 3 else array[None]
        stack = stack.astype(np.float32, copy=False)
        if remove_static and len(stack) > 1:
            stack = stack - stack.mean(axis=0, dtype=np.float64).astype(np.float32)
        stacks.append(stack)
    return stacks
