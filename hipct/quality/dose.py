"""Dose that a scan leaves in water, as the noise of its flats tells it: an estimate.

    D = N n E (mu_en / rho) / p^2

with N photons a pixel and view, n views, E their energy, mu_en the energy absorption coefficient of
water and p the edge of a pixel: the dose where the beam enters, of N photons that reach the sample.
N is not measured but taken from noise: a detector that does not count all makes it too small, and
one whose blur averages noise makes it too large. It is no bound, and no air, jar or medium before
the sample is taken into account.

mu_en/rho of water: Hubbell & Seltzer, NISTIR 5632 (1995), https://doi.org/10.18434/T4D01F.
"""

from __future__ import annotations

import numpy as np

from hipct.core.errors import InputError

JOULE_OF_KEV = 1.602176634e-16
_KEV = (10, 15, 20, 30, 40, 50, 60, 80, 100, 150, 200, 300)
_CM2_G = (
    4.944, 1.374, 0.5503, 0.1557, 0.06947, 0.04223, 0.03190, 0.02597, 0.02546, 0.02764, 0.02967,
    0.03192,
)  # fmt: skip


def water_absorption_cm2_g(energy_kev: float) -> float:
    """mu_en/rho of water, between the values of the table as a power of the energy.

    Raises
    ------
    InputError
        If the energy is outside of the table.

    Examples
    --------
    >>> water_absorption_cm2_g(80)
    0.02597
    """
    if not _KEV[0] <= energy_kev <= _KEV[-1]:
        raise InputError(
            f"The energy is {energy_kev:g} keV; absorption is known from {_KEV[0]} to {_KEV[-1]}."
        )
    logarithm = np.interp(np.log(energy_kev), np.log(_KEV), np.log(_CM2_G))
    return round(float(np.exp(logarithm)), 6)


def dose_gy(quanta: float, *, projections: int, pixel_size_um: float, energy_kev: float) -> float:
    """Dose in water at the entrance, in gray.

    Parameters
    ----------
    quanta : float
        Photons a pixel and view.
    projections : int
    pixel_size_um, energy_kev : float

    Examples
    --------
    >>> dose = dose_gy(1000, projections=6000, pixel_size_um=20, energy_kev=80)
    >>> round(dose, 2)
    0.5
    """
    fluence_cm2 = quanta * projections / (pixel_size_um * 1e-4) ** 2
    joule_g = fluence_cm2 * energy_kev * JOULE_OF_KEV * water_absorption_cm2_g(energy_kev)
    return 1000 * joule_g
