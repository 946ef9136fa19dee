"""Units of other packages, effective geometry, and delta/beta of soft tissue."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from hipct.core.errors import InputError
from hipct.core.physics import wavelength_m
from hipct.phase.kernel import require_positive

_TISSUE_ENERGY_KEV = (60.0, 75.0, 88.0, 96.0, 110.0, 120.0)
_TISSUE_DELTA_BETA = (1900.0, 1660.0, 1495.0, 1409.0, 1282.0, 1207.0)


class EffectiveGeometry(NamedTuple):
    """Geometry of the equivalent parallel beam: what every function of hipct takes."""

    distance_m: float
    pixel_size_um: float


def effective_geometry(
    source_to_sample_m: float, sample_to_detector_m: float, detector_pixel_um: float
) -> EffectiveGeometry:
    """Demagnify a cone-beam geometry, once.

    With the magnification M = (z1 + z2) / z1 the Fresnel scaling theorem gives the equivalent
    parallel beam: distance z2 / M and pixel p / M (Paganin, Coherent X-Ray Optics, 2006, ch. 4).
    Apply it to values of the detector plane only: metadata such as
    ``sample/x_pixel_size`` or ``effective_propagation_distance`` hold its result already.

    Parameters
    ----------
    source_to_sample_m : float
        z1; infinity stands for a parallel beam.
    sample_to_detector_m : float
        z2.
    detector_pixel_um : float
        Pixel in the plane of the detector.

    Raises
    ------
    InputError
        If a value is not above 0.

    Examples
    --------
    >>> geometry = effective_geometry(145.0, 30.0, 7.25)
    >>> round(geometry.distance_m, 3), round(geometry.pixel_size_um, 3)
    (24.857, 6.007)
    """
    if not source_to_sample_m > 0:
        raise InputError(
            f"source_to_sample_m is {source_to_sample_m}; it has to be above 0 "
            "(files often store it as a negative position: give its magnitude)."
        )
    require_positive("sample_to_detector_m", sample_to_detector_m)
    require_positive("detector_pixel_um", detector_pixel_um)
    magnification = 1 + sample_to_detector_m / source_to_sample_m
    return EffectiveGeometry(
        sample_to_detector_m / magnification, detector_pixel_um / magnification
    )


def delta_beta_from_tomopy_alpha(alpha: float) -> float:
    """delta/beta that acts like the ``alpha`` of tomopy and tomocupy: 1 / (4 pi^2 alpha).

    Examples
    --------
    >>> round(delta_beta_from_tomopy_alpha(1e-3), 3)
    25.33
    """
    require_positive("alpha", alpha)
    return 1 / (4 * math.pi**2 * alpha)


def tomopy_alpha_from_delta_beta(delta_beta: float) -> float:
    """``alpha`` of tomopy and tomocupy that acts like delta/beta: 1 / (4 pi^2 delta/beta).

    Their filter, normalised to 1 at zero frequency, is 1 / (1 + lambda z f^2 / (4 pi alpha)).
    """
    require_positive("delta_beta", delta_beta)
    return 1 / (4 * math.pi**2 * delta_beta)


def delta_beta_from_pyhst_length(
    length_um: float, *, distance_m: float, energy_kev: float
) -> float:
    """delta/beta that acts like PyHST2's ``PAGANIN_Lmicron``.

    PyHST2's filter is 1 / (1 + L^2 f^2), hence L^2 = pi lambda z delta/beta.

    Parameters
    ----------
    length_um : float
        L in micrometres.
    distance_m, energy_kev : float
        Effective propagation distance and mean energy.
    """
    require_positive("length_um", length_um)
    require_positive("distance_m", distance_m)
    return (length_um * 1e-6) ** 2 / (math.pi * wavelength_m(energy_kev) * distance_m)


def pyhst_length_from_delta_beta(
    delta_beta: float, *, distance_m: float, energy_kev: float
) -> float:
    """PyHST2's ``PAGANIN_Lmicron`` in micrometres: sqrt(pi lambda z delta/beta).

    Examples
    --------
    >>> length = pyhst_length_from_delta_beta(1470, distance_m=3.5, energy_kev=90)
    >>> round(length, 1)
    471.9
    """
    require_positive("delta_beta", delta_beta)
    require_positive("distance_m", distance_m)
    return math.sqrt(math.pi * wavelength_m(energy_kev) * distance_m * delta_beta) * 1e6


def soft_tissue_delta_beta(energy_kev: float) -> float:
    """delta/beta of soft tissue (water) at 60 to 120 keV.

    Interpolated linearly in the logarithms of energy and ratio.

    Raises
    ------
    InputError
        Outside 60 to 120 keV.

    Examples
    --------
    >>> round(soft_tissue_delta_beta(88))
    1495
    """
    low, high = _TISSUE_ENERGY_KEV[0], _TISSUE_ENERGY_KEV[-1]
    if not low <= energy_kev <= high:
        raise InputError(
            f"delta/beta of soft tissue is tabulated from {low:g} to {high:g} keV and the energy "
            f"is {energy_kev:g} keV; give delta_beta yourself."
        )
    logarithm = np.interp(
        math.log(energy_kev), np.log(_TISSUE_ENERGY_KEV), np.log(_TISSUE_DELTA_BETA)
    )
    return math.exp(logarithm)
