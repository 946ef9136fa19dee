"""Constants and conversions of the X-ray beam (SI units unless the name says otherwise)."""

from __future__ import annotations

import math

from hipct.core.errors import InputError

PLANCK_TIMES_C_KEV_M = 1.239841984332e-9
"""h*c in keV*m (CODATA 2018, exact by definition of the SI)."""


def wavelength_m(energy_kev: float) -> float:
    """Wavelength in metres of photons of ``energy_kev``.

    Examples
    --------
    >>> round(wavelength_m(12.39841984332) * 1e10, 12)
    1.0
    """
    if not 0 < energy_kev < math.inf:
        raise InputError(f"The energy is {energy_kev} keV; it has to be above 0 and finite.")
    return PLANCK_TIMES_C_KEV_M / energy_kev
