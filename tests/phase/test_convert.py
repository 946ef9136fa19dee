"""Conversions against the filters that they stand for."""

from __future__ import annotations

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.core.physics import wavelength_m
from hipct.phase import (
    delta_beta_from_pyhst_length,
    delta_beta_from_tomopy_alpha,
    effective_geometry,
    pyhst_length_from_delta_beta,
    soft_tissue_delta_beta,
    tomopy_alpha_from_delta_beta,
)

FREQUENCY = np.linspace(0, 5e4, 50)  # cycles per metre


def paganin_response(delta_beta):
    return 1 / (1 + np.pi * wavelength_m(70) * 2.0 * delta_beta * FREQUENCY**2)


def test_tomopys_alpha_gives_tomopys_filter():
    alpha = tomopy_alpha_from_delta_beta(800.0)
    theirs = 1 / (wavelength_m(70) * 2.0 * FREQUENCY**2 / (4 * np.pi) + alpha)
    np.testing.assert_allclose(theirs / theirs[0], paganin_response(800.0), rtol=1e-12)
    assert delta_beta_from_tomopy_alpha(alpha) == pytest.approx(800.0, rel=1e-14)


def test_pyhsts_length_gives_pyhsts_filter():
    length = pyhst_length_from_delta_beta(800.0, distance_m=2.0, energy_kev=70.0)
    theirs = 1 / (1 + (length * 1e-6) ** 2 * FREQUENCY**2)
    np.testing.assert_allclose(theirs, paganin_response(800.0), rtol=1e-12)
    back = delta_beta_from_pyhst_length(length, distance_m=2.0, energy_kev=70.0)
    assert back == pytest.approx(800.0, rel=1e-14)


def test_effective_geometry_is_the_fresnel_scaling_theorem():
    # BM18-like: source 177 m in front of the detector, 20 m of propagation.
    distance, pixel = effective_geometry(157.0, 20.0, 10.0)
    assert distance == pytest.approx(157.0 * 20.0 / 177.0)
    assert pixel == pytest.approx(10.0 * 157.0 / 177.0)
    assert effective_geometry(float("inf"), 20.0, 10.0) == (20.0, 10.0)


@pytest.mark.parametrize(
    ("energy", "ratio"),
    [(60, 1900), (75, 1660), (88, 1495), (96, 1409), (110, 1282), (120, 1207)],
)
def test_soft_tissue_meets_its_table(energy, ratio):
    assert soft_tissue_delta_beta(energy) == pytest.approx(ratio, rel=1e-12)


def test_soft_tissue_is_interpolated_in_the_logarithms():
    assert soft_tissue_delta_beta(np.sqrt(60 * 75)) == pytest.approx(np.sqrt(1900 * 1660))
    ratios = [soft_tissue_delta_beta(energy) for energy in np.linspace(60, 120, 61)]
    assert np.all(np.diff(ratios) < 0)


@pytest.mark.parametrize("energy", [59.9, 120.1, float("nan")])
def test_outside_of_the_table_the_value_is_asked_for(energy):
    with pytest.raises(InputError, match="give delta_beta yourself"):
        soft_tissue_delta_beta(energy)


def test_wrong_input_is_named():
    with pytest.raises(InputError, match="source_to_sample_m is -52"):
        effective_geometry(-52.0, 3.5, 10.0)
    with pytest.raises(InputError, match="sample_to_detector_m"):
        effective_geometry(52.0, 0.0, 10.0)
    with pytest.raises(InputError, match="alpha is 0"):
        delta_beta_from_tomopy_alpha(0)
    with pytest.raises(InputError, match="length_um"):
        delta_beta_from_pyhst_length(-1.0, distance_m=1.0, energy_kev=70.0)
    with pytest.raises(InputError, match="distance_m"):
        pyhst_length_from_delta_beta(100.0, distance_m=0.0, energy_kev=70.0)
