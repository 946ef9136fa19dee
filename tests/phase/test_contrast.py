"""The CTF's filters against waves propagated here, against Paganin's, and against nabu's."""

from __future__ import annotations

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.core.physics import wavelength_m
from hipct.phase import Contrast, ContrastFilter, PaganinFilter, UnsharpMask, ctf, unsharp
from hipct.phase.contrast import MOST_REACH_PX, ContrastResponse, propagation_number

SCAN = {"pixel_size_um": 1.0, "energy_kev": 20.0, "delta_beta": 500.0}
METRE = (SCAN["pixel_size_um"] * 1e-6) ** 2 / wavelength_m(SCAN["energy_kev"])
"""Distance of lambda z / p^2 = 1."""


def smooth(shape, seed, width=1.5):
    """Random structure without edges, symmetric about its borders as the filters continue it."""
    noise = np.random.default_rng(seed).normal(size=shape)
    k = [np.arange(n) / (2 * n) for n in shape]
    import scipy.fft

    low = np.exp(-2 * (np.pi * width) ** 2 * (k[0][:, None] ** 2 + k[1] ** 2))
    found = scipy.fft.idctn(scipy.fft.dctn(noise) * low)
    return found / np.abs(found).max()


def propagated(absorption, phase, number):
    """Intensity behind exp(-absorption + i phase), by FFTs of the image mirrored to twice its size.

    ``number`` is lambda z / p^2.
    """
    wave = np.exp(-absorption + 1j * phase)
    wave = np.concatenate([wave, wave[::-1]])
    wave = np.concatenate([wave, wave[:, ::-1]], axis=1)
    f = [np.fft.fftfreq(n) for n in wave.shape]
    square = f[0][:, None] ** 2 + f[1] ** 2
    there = np.fft.ifft2(np.fft.fft2(wave) * np.exp(-1j * np.pi * number * square))
    return np.abs(there[: absorption.shape[0], : absorption.shape[1]]) ** 2


def lines(transmission):
    return -np.log(transmission)


def relative(found, truth):
    return np.sqrt(np.mean((found - truth) ** 2)) / truth.std()


@pytest.mark.parametrize("number", [0.5, 3.0, 20.0])
def test_one_material_comes_back_where_paganins_filter_fails(number):
    truth = 2e-4 * smooth((64, 80), 0)
    image = propagated(truth / 2, -SCAN["delta_beta"] * truth / 2, number)
    found = lines(ctf(image[None, None], distances_m=[number * METRE], **SCAN)[0])
    plan = PaganinFilter(64, 80, distance_m=number * METRE, dtype=np.float64, **SCAN)
    plain = relative(lines(plan.apply(image[None])[0]), truth)
    error = relative(found, truth)
    assert error < 0.08
    if number > 1:
        assert error < plain / 2


def test_several_distances_tell_phase_from_absorption():
    phase, absorption = 2e-4 * smooth((64, 80), 1), 4e-3 * smooth((64, 80), 2, width=0.8)
    # What the distances tell, not what the regularisation has to say of low frequencies.
    import scipy.fft

    for image in (phase, absorption):
        spectrum = scipy.fft.dctn(image)
        spectrum[:8, :8] = 0
        image[...] = scipy.fft.idctn(spectrum)
    numbers = (4.0, 6.0, 9.0)
    images = np.stack(
        [propagated(absorption / 2, -SCAN["delta_beta"] * phase / 2, n)[None] for n in numbers]
    )
    given = {"distances_m": [n * METRE for n in numbers], "regularisation": 1e-5, **SCAN}
    free = relative(lines(ctf(images, method="ctf", **given)[0]), phase)
    bound = relative(lines(ctf(images, method="ctf_homogeneous", **given)[0]), phase)
    assert free < 0.05
    assert free < bound / 5


@pytest.mark.parametrize("method", ["ctf", "ctf_homogeneous"])
def test_the_level_is_kept_and_low_frequencies_are_paganins(method):
    contrast = Contrast((0.05,), 1000.0, method)
    table = ContrastResponse(contrast).table(64, 48)
    assert table[0, 0] == pytest.approx(1, rel=1e-12)
    k = [np.arange(n) / (2 * n) for n in (64, 48)]
    angle = np.pi * 0.05 * (k[0][:, None] ** 2 + k[1] ** 2)
    assert np.abs(table * (1 + 1000 * angle) - 1).max() < (1e-2 if method == "ctf" else 2e-3)
    several = Contrast((3.0, 5.0, 8.0), 1000.0, method).filters(np.zeros(1))
    assert sum(several)[0] == pytest.approx(1, rel=1e-9)


def test_equals_nabu():
    module = pytest.importorskip("nabu.preproc.ctf")
    z = 1.2 * METRE  # below the first zero, where nothing has to be regularised
    image = 1 + 1e-2 * smooth((48, 40), 3)
    whole = np.concatenate([image, image[::-1]])
    whole = np.concatenate([whole, whole[:, ::-1]], axis=1).astype(np.float64)
    geometry = module.GeoPars(z2=z, pix_size_det=1e-6, wavelength=wavelength_m(SCAN["energy_kev"]))
    theirs = module.CTFPhaseRetrieval(
        whole.shape, geometry, SCAN["delta_beta"], padded_shape=None, lim1=1e-12, lim2=1e-12
    ).retrieve_phase(whole)[:48, :40]
    ours = ctf(image[None, None], distances_m=[z], regularisation=1e-12, **SCAN)[0] - 1
    expected = 2 * theirs / SCAN["delta_beta"]
    expected -= expected.mean() - ours.mean()
    assert np.abs(ours - expected).max() < 2e-4 * np.abs(ours).max()


@pytest.mark.parametrize("padding", ["mirror", "edge"])
def test_every_array_module_gives_the_same(xp, fetch, padding):
    data = np.random.default_rng(0).uniform(0.5, 1.2, (3, 2 * 24, 38)).astype(np.float32)
    mask = UnsharpMask(sigma_px=0.9, strength=1.0, method="log")
    given = {"distances_m": [4 * METRE, 7 * METRE], "padding": padding, **SCAN}
    oracle = ContrastFilter(24, 38, unsharp=mask, dtype=np.float64, **given).apply(
        data.astype(np.float64)
    )
    found = fetch(ContrastFilter(24, 38, unsharp=mask, xp=xp, **given).apply(xp.asarray(data)))
    assert found.dtype == np.float32
    assert np.abs(found - oracle).max() < 3e-5
    if padding == "mirror":
        plain = ContrastFilter(24, 38, dtype=np.float64, **given).apply(data.astype(np.float64))
        masked = unsharp(plain, sigma_px=0.9, strength=1.0, method="log")
        assert np.abs(masked - oracle).max() < 1e-6


@pytest.mark.parametrize("number", [0.3, 5.0])
@pytest.mark.parametrize("method", ["ctf", "ctf_homogeneous"])
def test_a_tile_with_its_halo_sees_no_edge_of_the_data(number, method):
    contrast = Contrast((number,), 200.0, method)
    halo = contrast.reach(1e-4)
    rows = 2 * halo + 40
    step = np.ones((1, rows + halo, 24))
    step[:, rows:] = 0  # the worst edge, just beyond what the tile is given
    given = {
        "distances_m": [number * METRE],
        "method": method,
        "dtype": np.float64,
        **SCAN,
        "delta_beta": 200.0,
    }
    whole = ContrastFilter(rows + halo, 24, **given).apply(step)
    tile = ContrastFilter(rows, 24, **given).apply(step[:, :rows])
    off = np.abs(whole[0, : rows - halo] - tile[0, : rows - halo]).max()
    assert off < 2.5e-4
    assert np.abs(whole[0, rows - 2] - tile[0, rows - 2]).max() > 1e-2


@pytest.mark.parametrize("ratio", [1e-2, 1.0, 1e3])
@pytest.mark.parametrize("number", [2.0, 5.0])
def test_zeros_are_filled_whatever_the_ratio(ratio, number):
    square = np.linspace(0, 0.5, 20001)
    gain = Contrast((number,), ratio).filters(square)[0] * np.sqrt(1 + ratio**2)
    past = np.pi * number * square > np.arctan(ratio) + np.pi / 4
    assert past.any()
    assert np.abs(gain[past]).max() < 1.001 / (2 * np.sqrt(0.03))


@pytest.mark.parametrize("padding", ["mirror", "edge"])
@pytest.mark.parametrize("method", ["ctf", "ctf_homogeneous"])
def test_a_filter_that_reaches_beyond_any_detector_works_on_whole_images(method, padding):
    import scipy.fft

    contrast = Contrast((10.0,), 1e7, method)
    assert contrast.reach(1e-5) == MOST_REACH_PX
    image = np.random.default_rng(0).uniform(0.5, 1.2, (1, 48, 40))
    given = {**SCAN, "delta_beta": 1e7, "distances_m": [10 * METRE], "method": method}
    found = ContrastFilter(48, 40, padding=padding, dtype=np.float64, **given).apply(image)
    if padding == "mirror":
        table = ContrastResponse(contrast).table(48, 40)
        assert np.abs(found - scipy.fft.idctn(scipy.fft.dctn(image[0]) * table)).max() < 1e-12
    # Of a filter so strong nothing is left but the level of what it sees.
    assert np.ptp(found) < 1e-2
    assert 0.5 < found.mean() < 1.2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pixel_size_um": 1e-3}, "light would spread over more pixels .* check the units"),
        ({"distances_m": []}, "give at least one"),
        ({"distances_m": [0.1, 0.1]}, "none twice"),
        ({"distances_m": [-1.0]}, "above 0"),
        ({"regularisation": 1.0}, "regularisation is 1.0"),
        ({"method": "tie"}, "ctf or ctf_homogeneous"),
        ({"delta_beta": 0.0}, "delta_beta is 0.0"),
    ],
)
def test_what_is_wrong_is_said(change, words):
    with pytest.raises(InputError, match=words):
        ContrastFilter(8, 8, **{"distances_m": [0.1], **SCAN, **change})


def test_wrong_blocks_are_refused():
    plan = ContrastFilter(8, 6, distances_m=[0.1, 0.2], **SCAN)
    with pytest.raises(InputError, match="2 images of 8 rows"):
        plan.apply(np.ones((1, 8, 6), np.float32))
    bad = np.ones((2, 16, 6), np.float32)
    bad[1, 12, 3] = np.nan
    with pytest.raises(InputError, match="NaN"):
        plan.apply(bad)
    assert propagation_number(pixel_size_um=1, distance_m=METRE, energy_kev=20) == pytest.approx(1)
