"""Propagation against closed forms, and the way to the pixels against exact integrals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import erf

from hipct.core.errors import InputError
from hipct.core.physics import wavelength_m
from hipct.simulation.anatomy import build_organ
from hipct.simulation.fresnel import (
    Imaging,
    SteepPhase,
    largest_phase_step,
    object_wave,
    propagate,
    transfer_function,
)

ENERGY = 90.0
LAMBDA = wavelength_m(ENERGY)


def propagated(wave, pitch_um, distance_m):
    """Intensity of a periodic wave given as complex128."""
    wave = propagate(
        wave.astype(complex), pitch_um=(pitch_um,) * 2, distance_m=distance_m, energy_kev=ENERGY
    )
    return np.abs(wave) ** 2


def grating(samples, periods, axis):
    x = np.arange(samples) / samples
    line = np.cos(2 * np.pi * periods * x)
    return np.zeros((samples, samples)) + (line if axis == 1 else line[:, None])


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("distance", [0.1, 2.0, 17.0, 60.0])
def test_contrast_of_weak_gratings(axis, distance):
    """Phase: 1 + 2 phi sin(pi lambda z f^2); absorption: 1 - A cos(pi lambda z f^2)."""
    samples, pitch, periods, weak = 64, 2.0, 6, 1e-4
    cosine = weak * grating(samples, periods, axis)
    f = periods / (samples * pitch * 1e-6)
    shift = np.pi * LAMBDA * distance * f**2
    seen = propagated(np.exp(1j * cosine), pitch, distance)
    np.testing.assert_allclose(seen, 1 + 2 * cosine * np.sin(shift), atol=2 * weak**2)
    seen = propagated(np.exp(-cosine / 2), pitch, distance)
    np.testing.assert_allclose(seen, 1 - cosine * np.cos(shift), atol=2 * weak**2)


def test_talbot_self_images_of_a_strong_grating():
    samples, pitch, periods = 128, 1.0, 4
    period = samples * pitch * 1e-6 / periods
    wave = np.exp(-0.3 * (1 + grating(samples, periods, 1)) + 2.5j * grating(samples, periods, 1))
    start = np.abs(wave) ** 2
    talbot = 2 * period**2 / LAMBDA
    np.testing.assert_allclose(propagated(wave, pitch, talbot), start, atol=1e-9)
    half = propagated(wave, pitch, talbot / 2)
    np.testing.assert_allclose(half, np.roll(start, samples // periods // 2, axis=1), atol=1e-9)
    quarter = propagated(wave, pitch, talbot / 4)
    assert np.abs(quarter - start).max() > 0.1


def test_a_gaussian_beam_widens_as_it_should():
    samples, pitch, waist, distance = 256, 1.0, 12e-6, 30.0
    x = (np.arange(samples) - samples / 2) * pitch * 1e-6
    r2 = x**2 + x[:, None] ** 2
    seen = propagated(np.exp(-r2 / waist**2), pitch, distance)
    width2 = waist**2 * (1 + (distance * LAMBDA / (np.pi * waist**2)) ** 2)
    assert width2 > 1.5 * waist**2
    wanted = waist**2 / width2 * np.exp(-2 * r2 / width2)
    np.testing.assert_allclose(seen, wanted, atol=1e-9)


def test_propagation_keeps_the_energy_and_undoes_itself():
    random = np.random.default_rng(0)
    wave = random.normal(size=(30, 35)) + 1j * random.normal(size=(30, 35))
    there = propagate(wave.copy(), pitch_um=(1.0, 2.0), distance_m=5.0, energy_kev=ENERGY)
    assert np.sum(np.abs(there) ** 2) == pytest.approx(np.sum(np.abs(wave) ** 2), rel=1e-12)
    assert np.abs(there - wave).max() > 0.1
    back = propagate(there, pitch_um=(1.0, 2.0), distance_m=-5.0, energy_kev=ENERGY)
    np.testing.assert_allclose(back, wave, atol=1e-12)


def test_single_precision_propagation_is_close_to_double():
    random = np.random.default_rng(1)
    wave = object_wave(
        random.random((40, 48)).astype(np.float32), random.random((40, 48)).astype(np.float32)
    )
    double = propagate(wave.astype(complex), pitch_um=(1.0, 1.0), distance_m=1.0, energy_kev=50)
    single = propagate(wave.copy(), pitch_um=(1.0, 1.0), distance_m=1.0, energy_kev=50)
    assert single.dtype == np.complex64
    np.testing.assert_allclose(single, double, atol=2e-6)


def imaging(**changes):
    values = {
        "rows": 40, "columns": 48, "pixel_size_um": 20.0, "distance_m": 3.5, "energy_kev": ENERGY,
        "oversampling": 4, "blur_px": 0.0,
    }  # fmt: skip
    return Imaging(**(values | changes))


def blob(optics, axis, height=0.05, sigma_um=90.0):
    u, z = optics.column_samples(axis).values, optics.row_samples.values
    r2 = u**2 + z[:, None] ** 2
    return (height * np.exp(-r2 / (2 * sigma_um**2))).astype(np.float32), r2


def test_transport_of_intensity_at_small_distance():
    """I = exp(-A) (1 + z kappa (laplace A - |grad A|^2)) where delta's path is kappa A."""
    distance, sigma, height, kappa = 0.5, 120.0, 0.1, 1e-3
    optics = imaging(distance_m=distance)
    attenuation, r2 = blob(optics, 23.7, height, sigma)
    seen = optics.image(attenuation, path_per_attenuation_um=kappa)
    a = attenuation.astype(float)
    laplace = a * (r2 / sigma**4 - 2 / sigma**2)
    slope2 = a**2 * r2 / sigma**4
    change = distance * 1e6 * kappa * (laplace - slope2)
    wanted = optics.on_pixels((np.exp(-a) * (1 + change)).astype(np.float32))
    assert np.abs(change).max() > 5e-3
    np.testing.assert_allclose(seen, wanted, atol=5e-3 * np.abs(change).max())


@pytest.mark.parametrize("distance", [0.0, 1e-9])
def test_no_distance_is_absorption(distance):
    optics = imaging(distance_m=distance)
    attenuation, _ = blob(optics, 20.0, 1.5)
    seen = optics.image(attenuation, path_per_attenuation_um=4e-5)
    np.testing.assert_allclose(seen, optics.on_pixels(np.exp(-attenuation)), atol=3e-6)


def test_an_empty_field_is_one():
    for optics in (imaging(blur_px=0.6), imaging(distance_m=0, blur_px=0.6), imaging()):
        np.testing.assert_allclose(optics.image(optics.blank()), 1, atol=2e-6)


def test_the_organ_beyond_the_edge_is_seen_and_the_opposite_edge_is_not():
    """A narrow detector sees the same as the middle of a wide one."""
    organ = build_organ(500.0, seed=2).with_delta(3e-7)
    for distance, pixel in ((3.5, 20.0), (15.0, 6.0)):
        wide = imaging(columns=72, rows=60, distance_m=distance, pixel_size_um=pixel, blur_px=0.7)
        narrow = replace(wide, columns=30, rows=20)
        images = []
        for optics, axis in ((wide, 40.3), (narrow, 40.3 - 20)):
            fine = optics.blank()
            organ.add_projection(fine, optics.row_samples, optics.column_samples(axis), 0.4)
            factor = organ.delta_per_mu / 1e-4
            images.append(optics.image(fine, path_per_attenuation_um=factor))
        whole, part = images
        contrast = np.ptp(part)
        assert contrast > 0.02
        assert np.abs(whole[20:40, 20:50] - part).max() < 1e-3 * contrast


def test_finer_sampling_changes_nothing_where_the_sampling_is_fine_enough():
    images = []
    for oversampling in (4, 8):
        optics = imaging(oversampling=oversampling, distance_m=10.0)
        attenuation, _ = blob(optics, 23.5, 0.1, 70.0)
        images.append(optics.image(attenuation, path_per_attenuation_um=6e-4))
    assert np.ptp(images[0]) > 0.05
    np.testing.assert_allclose(images[0], images[1], atol=1e-4)


def test_blur_and_pixels_of_a_straight_edge():
    """A Gaussian point spread and a square pixel make an edge the integral of an erf."""
    sigma = 0.8
    optics = imaging(distance_m=0.0, blur_px=sigma, oversampling=16)
    u = optics.column_samples(0.0).values / 20.0
    edge = 19.5
    values = np.broadcast_to((u > edge).astype(np.float32), optics.blank().shape).copy()
    seen = optics.on_pixels(values)

    def integral(x):
        t = x / (sigma * np.sqrt(2))
        return 0.5 * (x + x * erf(t) + sigma * np.sqrt(2 / np.pi) * np.exp(-(t**2)))

    c = np.arange(48) - edge
    wanted = integral(c + 0.5) - integral(c - 0.5)
    np.testing.assert_allclose(seen[7], wanted, atol=3e-4)


def test_pixels_average_their_samples():
    optics = imaging(distance_m=0.0)
    values = np.random.default_rng(0).random(optics.blank().shape).astype(np.float32)
    wanted = values.reshape(40, 4, 48, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(optics.on_pixels(values), wanted, atol=1e-6)
    samples = optics.column_samples(3.0)
    assert samples.values[:4].mean() == pytest.approx(-3.0 * 20)


def test_compiled_and_array_code_agree():
    optics = imaging()
    attenuation, _ = blob(optics, 23.0, 2.0)
    path = (attenuation * 3e-5).astype(np.float32)
    path[5:] *= -1
    fast = optics.image(attenuation, path)
    plain = optics.image(attenuation, path, accelerate=False)
    np.testing.assert_allclose(fast, plain, atol=5e-6)
    assert largest_phase_step(path) == pytest.approx(
        largest_phase_step(path, accelerate=False), rel=1e-6
    )


def test_two_materials_give_what_their_maps_say():
    """A map of delta that is a multiple of the attenuation is the same as the factor."""
    optics = imaging()
    attenuation, _ = blob(optics, 23.0)
    by_factor = optics.image(attenuation, path_per_attenuation_um=1e-3)
    by_map = optics.image(attenuation, attenuation * np.float32(1e-3))
    np.testing.assert_allclose(by_factor, by_map, atol=1e-6)
    other = optics.image(attenuation, attenuation * np.float32(2e-3))
    assert np.abs(other - by_map).max() > 1e-3


@pytest.mark.parametrize(("pixel", "distance"), [(20.0, 3.5), (2.2, 16.0), (0.65, 1.0)])
def test_the_transfer_function_is_sampled_below_a_quarter_turn(pixel, distance):
    optics = imaging(pixel_size_um=pixel, distance_m=distance)
    for samples in (optics.row_samples, optics.column_samples(0.0)):
        line = transfer_function(samples.count, samples.step, distance, ENERGY)
        ordered = np.fft.fftshift(line)
        assert np.abs(np.angle(ordered[1:] / ordered[:-1])).max() < np.pi / 2
        # Exact: neighbours differ by 2 pi lambda z f df at most.
        df = 1 / (samples.count * samples.step * 1e-6)
        f = 0.5 / (samples.step * 1e-6)
        assert 2 * np.pi * LAMBDA * distance * f * df < np.pi / 2


def test_a_steep_phase_is_refused():
    optics = imaging()
    attenuation, _ = blob(optics, 23.0, 1.0, 30.0)
    with pytest.raises(SteepPhase, match=r"rad between samples 5 um apart.*raise oversampling"):
        optics.image(attenuation, path_per_attenuation_um=1e-3)
    assert optics.phase_step(attenuation, None, 1e-3) > np.pi / 2
    fine = imaging(oversampling=16)
    fine.image(blob(fine, 23.0, 1.0, 30.0)[0], path_per_attenuation_um=1e-4)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rows": 0}, "rows is 0"),
        ({"oversampling": 0}, "oversampling is 0"),
        ({"pixel_size_um": -1.0}, "pixel_size_um is -1.0"),
        ({"energy_kev": np.nan}, "energy_kev is nan"),
        ({"distance_m": -1.0}, "distance_m is -1.0"),
        ({"blur_px": -0.1}, "blur_px is -0.1"),
    ],
)
def test_wrong_optics_are_refused(changes, words):
    with pytest.raises(InputError, match=words):
        imaging(**changes)


def test_maps_of_another_shape_or_type_are_refused():
    optics = imaging()
    with pytest.raises(InputError, match="attenuation has shape"):
        optics.image(optics.blank()[1:])
    with pytest.raises(InputError, match="float32"):
        optics.image(optics.blank(), optics.blank().astype(float))
