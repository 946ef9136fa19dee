"""Slices of even and of odd views, and what they have in common.

The views are dealt by their angle. With the mean of a half slice removed, one half is a = s + n and
the other b = s + m, with independent noise of equal power: the covariance of both is the variance
of the sample, half the variance of their difference that of the noise, and the slice of all views,
(a + b)/2, has half of that noise power, so that

    SNR = sqrt( cov(a, b) / (var(a - b) / 4) )

(the ratio of Frank & Al-Ali, Nature 256 (1975) 376, as an amplitude). What is fixed to the
detector, as rings are, is in both halves and counts as sample.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hipct.core.arrays import Array
from hipct.core.device import Device
from hipct.pipeline.engine import make_reconstructor
from hipct.pipeline.organ import Part
from hipct.pipeline.report import StageClock
from hipct.pipeline.slabs import SlabChain
from hipct.quality.correlation import SMALLEST_PX, FourierCorrelation, Resolution

LARGEST_CROP_PX = 256
MOST_CROPS = 6
"""Crops of a slice: those that show the most."""

PIECE_PX, PIECE_STEP_PX = 96, 32
"""Side of the piece that is looked at closely, and how far apart pieces are."""

FIVE_FROM_PX = 110.0
LEAST_VIEWS = 16

Region = tuple[slice, slice]


@dataclass(frozen=True, eq=False)
class Halves:
    """What both halves have in common.

    Attributes
    ----------
    resolution : Resolution or None
    snr : float or None
        Infinite where the halves do not differ.
    busiest : (slice, slice)
        The square of 96 pixels, in the crops of the middle slice, that shows the most.
    """

    resolution: Resolution | None
    snr: float | None
    busiest: Region


def compare_halves(part: Part, lines: Array, device: Device, reasons: dict[str, str]) -> Halves:
    """Reconstruct line integrals of a part twice, of half of its views each.

    Parameters
    ----------
    part : Part
        With its axis, of one material.
    lines : array, (rows, angles, columns)
        On the device.
    device : Device
        Where it is computed.
    reasons : dict
        Told why there is no resolution, if so.
    """
    order = np.argsort(part.job.info.angles_rad, kind="stable")
    size = make_reconstructor(part).size
    radius = min(part.measured_radius_px, size / 2)
    crops = inner_crops(size, radius)
    whole = slice(0, size), slice(0, size)
    if order.size < LEAST_VIEWS or not crops:
        reasons["resolution"] = (
            f"{order.size} views that have all seen a circle of {radius:.0f} pixels around the "
            f"axis are too few to compare; {LEAST_VIEWS} views and {SMALLEST_PX} pixels are needed."
        )
        return Halves(None, None, whole)
    side = crops[0][0].stop - crops[0][0].start
    correlation, busiest = FourierCorrelation(side), whole
    common = differing = 0.0
    dealt = order[0::2], order[1::2]
    chains = [_chain(part, views, size, device) for views in dealt]
    numbers = [device.xp.asarray(views) for views in dealt]
    # All rows at a time: the engine takes as long for one of them.
    pair = [
        device.download(chain.slices(device.xp.ascontiguousarray(lines[:, views])))
        for chain, views in zip(chains, numbers)
    ]
    for row, (even, odd) in enumerate(zip(*pair)):
        shown = _busiest(even, odd, crops)
        if row == len(lines) // 2:
            busiest = _busiest(even, odd, _pieces(shown[0]))[0]
        for crop in shown:
            one, other = (image[crop].astype(np.float64) for image in (even, odd))
            correlation.add(one, other)
            common += float(np.mean((one - one.mean()) * (other - other.mean())))
            differing += float(np.var(one - other)) / 4
    snr = math.sqrt(max(common, 0) / differing) if differing else math.inf
    return Halves(correlation.resolution(), snr, busiest)


def inner_crops(size: int, radius: float) -> list[Region]:
    """Square crops beside each other that lie in a circle about the middle of a slice.

    Examples
    --------
    >>> len(inner_crops(600, 290)), len(inner_crops(100, 40)), inner_crops(60, 15)
    (5, 1, [])
    """
    # Five where they are not too small, else the one in the middle.
    side = min(LARGEST_CROP_PX, int(radius * (0.6 if radius > FIVE_FROM_PX else 1.4)) // 2 * 2)
    if side < SMALLEST_PX:
        return []
    reach = math.ceil(radius / side)
    found = []
    middle = (size - 1) / 2
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            far = math.hypot(abs(down) + 0.5, abs(right) + 0.5) * side
            if far <= radius:
                top, left = (int(middle + (k - 0.5) * side) for k in (down, right))
                found.append((slice(top, top + side), slice(left, left + side)))
    return found


def _chain(part: Part, views: NDArray[np.intp], size: int, device: Device) -> SlabChain:
    """The chain of some views of a part."""
    info = part.job.info
    some = replace(
        info,
        projections=views.size,
        angles_rad=info.angles_rad[views],
        projection_index=info.projection_index[views],
        current=None,
        projection_z_um=None,
    )
    half = replace(part, job=replace(part.job, info=some, current=None))
    return SlabChain(half, make_reconstructor(half, size, xp=device.xp), StageClock())


def _pieces(crop: Region) -> list[Region]:
    """Squares in a crop; the crop itself where it is smaller."""
    rows, columns = (
        [
            slice(first, min(first + PIECE_PX, side.stop))
            for first in range(side.start, max(side.stop - PIECE_PX, side.start) + 1, PIECE_STEP_PX)
        ]
        for side in crop
    )
    return [(row, column) for row in rows for column in columns]


def _busiest(
    even: NDArray[np.float32], odd: NDArray[np.float32], crops: list[Region]
) -> list[Region]:
    ranked = sorted(crops, key=lambda crop: -float(np.var(even[crop] + odd[crop])))
    return ranked[:MOST_CROPS]
