"""The halo keeps its promise on the worst edge, and no more rows than needed are read."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.core.physics import wavelength_m
from hipct.phase import (
    UnsharpMask,
    halo_rows,
    kernel_length_px,
    paganin,
    unsharp,
    unsharp_halo_rows,
)
from hipct.phase.halo import step_reach


def scan(length_px):
    """Parameters that give the kernel length wanted."""
    pixel = 10e-6
    delta_beta = (length_px * pixel) ** 2 * 4 * np.pi / (wavelength_m(80) * 2.0)
    return {"pixel_size_um": 10.0, "distance_m": 2.0, "energy_kev": 80.0, "delta_beta": delta_beta}


def test_kernel_length_by_hand():
    # lambda = 0.1377602 A at 90 keV: sqrt(1.377602e-11 * 3.5 * 1470 / (4 pi)) / 20 um
    length = kernel_length_px(pixel_size_um=20, distance_m=3.5, energy_kev=90, delta_beta=1470)
    assert length == pytest.approx(75.1009e-6 / 20e-6, rel=1e-4)
    assert kernel_length_px(**scan(11.8)) == pytest.approx(11.8, rel=1e-12)


@pytest.mark.parametrize("method", ["paganin", "generalised"])
@pytest.mark.parametrize("length", [0.4, 1.0, 2.5, 6.0, 11.8])
@pytest.mark.parametrize("accuracy", [1e-3, 1e-5])
def test_the_bound_holds_and_is_tight_at_a_hard_edge_just_outside(method, length, accuracy):
    parameters = scan(length)
    halo = halo_rows(accuracy=accuracy, method=method, **parameters)
    # 0 inside, 1 from the first row outside the halo on; the tile sees only zeros.
    for missing, holds in ((0, True), (2, False)):
        seen = halo - missing
        far = 40 * math.ceil(length) + 400
        image = np.zeros((1, far + seen + far, 1))
        image[:, far + seen :] = 1.0
        error = np.abs(paganin(image, method=method, **parameters)[0, :far, 0]).max()
        if holds:
            assert error <= accuracy * (1 + 1e-6)
        elif halo > 2:
            assert error > accuracy


@pytest.mark.parametrize("length", [4.0, 11.8, 75.0])
def test_long_kernels_follow_the_exponential_law(length):
    assert abs(step_reach(length, 1e-5) - length * math.log(1 / 2e-5)) <= 1.5


@pytest.mark.parametrize("mask", [None, UnsharpMask(sigma_px=0.8, strength=3.0, method="log")])
def test_tiles_with_their_halo_equal_the_whole_within_the_bound(mask):
    parameters = scan(3.0)
    accuracy = 1e-4
    image = np.where(np.random.default_rng(1).random((2, 300, 24)) < 0.5, 0.0, 1.0)
    halo = halo_rows(accuracy=accuracy, **parameters)

    def retrieve(block):
        result = paganin(block, **parameters)
        if mask is None:
            return result
        return unsharp(result, sigma_px=mask.sigma_px, strength=mask.strength, method=mask.method)

    gain = 1.0
    if mask is not None:
        halo += unsharp_halo_rows(mask.sigma_px)
        gain = 1 + mask.strength * np.abs(mask.weights()[1]).sum() * 2
    whole = retrieve(image)
    for first in range(0, 300, 100):
        low, high = max(0, first - halo), min(300, first + 100 + halo)
        tile = retrieve(image[:, low:high])[:, first - low : first - low + 100]
        assert np.abs(tile - whole[:, first : first + 100]).max() <= accuracy * gain
    short = retrieve(image[:, 92:208])[:, 8:108]
    assert np.abs(short - whole[:, 100:200]).max() > 10 * accuracy / gain


def test_wrong_input_is_named():
    with pytest.raises(InputError, match=r"accuracy is 0\.7"):
        halo_rows(accuracy=0.7, **scan(3.0))
    with pytest.raises(InputError, match="units"):
        halo_rows(**scan(1e6))
    with pytest.raises(InputError, match="pixel_size_um is 0"):
        halo_rows(**scan(3.0) | {"pixel_size_um": 0})
    with pytest.raises(InputError, match="ctf"):
        halo_rows(method="ctf", **scan(3.0))
