"""A slice of a raw scan twice, of half of its views each: noise, its power, and resolution.

Even and odd views are two scans of one thing with independent noise. Half the difference of their
slices has the noise of the slice of all views; their Fourier ring correlation tells up to which
frequency both hold the same (:mod:`hipct.quality.correlation`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hipct.core.errors import InputError
from hipct.live.lines import line_integrals
from hipct.live.scan import LiveScan
from hipct.quality.correlation import SMALLEST_PX, FourierCorrelation, Resolution
from hipct.quality.halves import LEAST_VIEWS, inner_crops
from hipct.reconstruction.reconstructor import fbp
from hipct.volume.noise_power import NoisePower, noise_power


@dataclass(frozen=True, eq=False)
class LiveHalves:
    """What the slices of even and of odd views have in common, and what not.

    Attributes
    ----------
    even, odd : ndarray of float32, (rows, columns)
        In the unit of the scan.
    noise : float
        Standard deviation of the noise of the slice of all views, in that unit.
    power : NoisePower
        Its spectrum; frequencies in 1/um (1/pixel where the size of a pixel is not known).
    resolution : Resolution
        Fourier ring correlation.
    period_um : float or None
        Period of the finest detail, in um (pixels where their size is not known); None where
        nothing is resolved.
    """

    even: NDArray[np.float32]
    odd: NDArray[np.float32]
    noise: float
    power: NoisePower
    resolution: Resolution
    period_um: float | None


def halves(live: LiveScan, z: int) -> LiveHalves:
    """Compare the slices of even and of odd views, on squares inside of the measured circle.

    Parameters
    ----------
    live : LiveScan
        Of a single scan, not of a series. Rings are not removed: they are in both halves.
    z : int
        Slice of level 0.

    Raises
    ------
    InputError
        If it is a series, its slices are made of two materials, there is no such slice, or there
        are too few views or pixels.
    HipctError
        If the scan lacks what its configuration needs.
    """
    settled = live.settle()
    part, pixel_um = settled.organ.parts[0], live.voxel_size_um
    info = part.job.info
    if len(settled.organ.parts) > 1:
        raise InputError(
            f"The scan is a series of {len(settled.organ.parts)}; open one of its sub-scans."
        )
    if part.job.line_angles != info.projections:
        raise InputError(
            f"phase.method is {live.config.phase.method}, which makes every slice of two; take a "
            "method of one material to compare views."
        )
    if not 0 <= z < live.shape[0]:
        raise InputError(f"Slice {z} was asked for; there are 0 to {live.shape[0] - 1}.")
    at = settled.organ.rows.start + z
    lines = line_integrals(settled.scans[0], part, part.own(range(at, at + 1)))
    order = np.argsort(info.angles_rad, kind="stable")
    even, odd = (
        fbp(
            lines[:, views],
            info.angles_rad[views],
            part.known_axis,
            filter=live.config.reconstruction.filter,
            acquisition=info.acquisition,
            pixel_size_um=pixel_um,
        )[0]
        for views in (order[0::2], order[1::2])
    )
    crops = inner_crops(len(even), min(part.measured_radius_px, len(even) / 2))
    if order.size < LEAST_VIEWS or not crops:
        raise InputError(
            f"{order.size} views that have all seen {part.measured_radius_px:.0f} pixels around "
            f"the axis are too few to compare; {LEAST_VIEWS} views and {SMALLEST_PX} pixels are "
            "needed."
        )
    pairs = [(even[crop], odd[crop]) for crop in crops]
    both = FourierCorrelation(len(pairs[0][0]))
    for one, other in pairs:
        both.add(one, other)
    resolution = both.resolution()
    noise = np.stack([(one.astype(np.float64) - other) / 2 for one, other in pairs])
    length = pixel_um or 1.0
    return LiveHalves(
        even,
        odd,
        float(noise.std()),
        noise_power(noise, pixel_size=length),
        resolution,
        None if resolution.pixels is None else resolution.pixels * length,
    )
