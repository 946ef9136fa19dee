"""Constants against their definitions."""

from __future__ import annotations

import pytest
from scipy import constants

from hipct.core.errors import InputError
from hipct.core.physics import PLANCK_TIMES_C_KEV_M, wavelength_m


def test_planck_times_c_is_the_si_value():
    exact = constants.h * constants.c / constants.e / 1e3
    assert pytest.approx(exact, rel=1e-12) == PLANCK_TIMES_C_KEV_M


def test_wavelength_of_copper_k_alpha():
    # Hoelzer et al. 1997: Cu K alpha 1 at 8.047837 keV and 1.5405929 angstrom.
    assert wavelength_m(8.04782) == pytest.approx(1.540593e-10, rel=1e-5)


@pytest.mark.parametrize("energy", [0.0, -60.0, float("nan")])
def test_an_energy_that_is_not_above_zero_is_refused(energy):
    with pytest.raises(InputError, match="has to be above 0"):
        wavelength_m(energy)


def test_an_infinite_energy_is_refused():
    with pytest.raises(InputError, match="inf"):
        wavelength_m(float("inf"))
