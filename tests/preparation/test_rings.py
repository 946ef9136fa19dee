"""Ring removal: against the published codes, planted stripes, clean objects, real stripes."""

from __future__ import annotations

import numpy as np
import pytest
import pywt
from hypothesis import given, settings
from hypothesis import strategies as st

from hipct.core.errors import InputError
from hipct.core.threads import set_thread_count
from hipct.preparation import rings_sorting, rings_wavelet
from hipct.preparation.rings import remove_rings
from hipct.preparation.rings_sorting import remove_rings_sorting
from hipct.preparation.rings_wavelet import remove_rings_wavelet

removal = pytest.importorskip("algotom.prep.removal", reason="algotom (a peer) is not installed")


def phantom(angles=361, columns=200):
    """Sinogram of three discs, line integrals up to 0.6, in (1, angles, columns)."""
    angle = np.linspace(0, np.pi, angles, endpoint=False)[:, None]
    column = np.arange(columns) - (columns - 1) / 2
    sinogram = np.zeros((angles, columns))
    for x, y, radius, mu in ((14, -9, 75, 0.003), (30, 10, 20, 0.002), (-25, -35, 12, -0.002)):
        off_centre = column - x * np.cos(angle) - y * np.sin(angle)
        sinogram += 2 * mu * np.sqrt(np.maximum(radius**2 - off_centre**2, 0))
    return sinogram[None].astype(np.float32)


def stripes(columns=200):
    """Gain errors of single columns and of a pair, as line integrals."""
    profile = np.zeros(columns, np.float32)
    profile[[40, 77, 78, 101, 130]] = [0.05, -0.03, -0.04, 0.02, 0.06]
    return profile


@pytest.mark.parametrize("size_px", [1, 5, 21])
def test_sorting_equals_algotom(size_px):
    # Distinct values: where two are equal, the order of sorting is a matter of taste.
    rng = np.random.default_rng(0)
    sinogram = rng.permutation(50 * 64).reshape(1, 50, 64).astype(np.float32) - 900
    expected = removal.remove_stripe_based_sorting(sinogram[0], size_px)
    np.testing.assert_array_equal(remove_rings_sorting(sinogram, size_px=size_px)[0], expected)


@settings(max_examples=20, deadline=None)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 600), st.integers(1, 120)),
    st.integers(0, 2**32 - 1),
    st.data(),
)
def test_sorting_accelerator_equals_plain_code(shape, seed, data):
    columns = shape[2]
    # Each network is compiled by itself; others are the subject of test_networks.
    size_px = data.draw(st.sampled_from([n for n in (1, 3, 21, 65) if n <= columns]))
    rng = np.random.default_rng(seed)
    # Few distinct values, both zeros among them: ties keep the order of the angles.
    sinograms = (rng.integers(-6, 7, shape) * 0.1).astype(np.float32)
    sinograms[rng.random(sinograms.shape) < 0.1] = -0.0
    fused = remove_rings_sorting(sinograms, size_px=size_px)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rings_sorting, "has_numba", lambda: False)
        np.testing.assert_array_equal(fused, remove_rings_sorting(sinograms, size_px=size_px))
    assert remove_rings_sorting(sinograms, size_px=size_px, out=sinograms) is sinograms
    np.testing.assert_array_equal(fused, sinograms)


def test_sorting_in_bands_equals_whole_slices():
    rng = np.random.default_rng(3)
    sinograms = rng.standard_normal((1, 40, 1100)).astype(np.float32)
    try:
        set_thread_count(1)
        whole = remove_rings_sorting(np.repeat(sinograms, 2, axis=0))
        set_thread_count(4)
        bands = remove_rings_sorting(sinograms)
    finally:
        set_thread_count(None)
    np.testing.assert_array_equal(bands[0], whole[0])


def by_pywavelets(sinogram, levels, sigma, wavelet):
    """The paper's filter, step by step, with the continuation of the sinogram as documented."""
    angles, columns = sinogram.shape
    pad = min(150, min(angles, columns) // 10)
    extended = np.pad(sinogram, ((pad, pad), (0, 0)), mode="mean")
    extended = np.pad(extended, ((0, 0), (pad, pad)), mode="edge")
    bands = [list(b) for b in pywt.wavedec2(extended, wavelet, level=levels)]
    for band in bands[1:]:
        frequency = np.fft.fftfreq(len(band[1]), 1 / len(band[1]))
        damping = 1 - np.exp(-(frequency**2) / (2 * sigma**2))
        band[1] = np.fft.ifft(np.fft.fft(band[1], axis=0) * damping[:, None], axis=0).real
    restored = pywt.waverec2(bands, wavelet)
    return restored[pad : pad + angles, pad : pad + columns]


@pytest.mark.parametrize("shape", [(150, 141), (97, 200), (64, 64)])
@pytest.mark.parametrize(
    ("sigma", "order", "levels"), [(1.0, 9, 2), (2.5, 5, 2), (0.3, 1, 2), (40.0, 3, 1)]
)
def test_wavelet_equals_the_filter_of_the_paper(monkeypatch, shape, sigma, order, levels):
    sinogram = np.random.default_rng(5).standard_normal(shape)
    result = remove_rings_wavelet(sinogram[None], levels=levels, sigma=sigma, order=order)[0]
    expected = by_pywavelets(sinogram, levels, sigma, f"db{order}")
    np.testing.assert_allclose(result, expected, atol=1e-12)
    single = sinogram.astype(np.float32)[None]
    for accelerated in (True, False):
        monkeypatch.setattr(rings_wavelet, "has_numba", lambda use=accelerated: use)
        result = remove_rings_wavelet(single, levels=levels, sigma=sigma, order=order)[0]
        np.testing.assert_allclose(result, expected, atol=1e-5)


def test_wavelet_equals_algotom_where_its_window_is_centred():
    # algotom's window misses frequency 0 by one in bands of even height; here both bands are odd.
    sinogram = np.random.default_rng(6).standard_normal((122, 150))
    expected = removal.remove_stripe_based_wavelet_fft(sinogram, level=2, size=1)
    result = remove_rings_wavelet(sinogram[None], levels=2)[0]
    np.testing.assert_allclose(result, expected, atol=1e-11)


@pytest.mark.parametrize(
    ("method", "left", "damage"), [("sorting", 0.32, 0.007), ("wavelet", 0.52, 0.005)]
)
def test_planted_stripes_go_and_the_object_stays(method, left, damage):
    clean = phantom()
    striped = clean + stripes()
    residual = remove_rings(striped, method) - clean
    assert np.linalg.norm(residual.mean(axis=1)) < left * np.linalg.norm(stripes())
    touched = remove_rings(clean, method) - clean
    assert np.sqrt((touched**2).mean()) < damage * clean.max()


@pytest.mark.parametrize("method", ["sorting", "wavelet"])
def test_slices_do_not_see_each_other(method):
    rng = np.random.default_rng(2)
    sinograms = rng.standard_normal((5, 60, 70)).astype(np.float32)
    whole = remove_rings(sinograms, method)
    for place in range(5):
        np.testing.assert_array_equal(
            remove_rings(sinograms[place : place + 1], method)[0], whole[place]
        )
    turned = remove_rings(sinograms[::-1], method)
    np.testing.assert_array_equal(turned, whole[::-1])


@pytest.mark.parametrize("method", ["sorting", "wavelet"])
def test_in_place_and_dtypes(method):
    sinograms = phantom(90, 64) + stripes()[70:134]
    expected = remove_rings(sinograms, method)
    assert expected.dtype == np.float32
    double = remove_rings(sinograms.astype(np.float64), method)
    assert double.dtype == np.float64
    np.testing.assert_allclose(expected, double, atol=3e-6)
    assert remove_rings(sinograms, method, out=sinograms) is sinograms
    np.testing.assert_array_equal(sinograms, expected)


@pytest.mark.parametrize("method", ["sorting", "wavelet"])
def test_fine_real_stripes_of_i12(shared_data, method):
    transmission = np.load(shared_data / "i12_stripes" / "sino_stripe_i12.npy")
    sinogram = -np.log(transmission[:, 230:])[None]  # beside the gap of the detector
    result = remove_rings(sinogram, method)

    def roughness(image):
        """Size of column-to-column jumps that last over all angles."""
        mean = image[0].mean(axis=0)
        return np.std(mean[1:-1] - (mean[2:] + mean[:-2]) / 2)

    assert roughness(result) < 0.5 * roughness(sinogram)


def test_wide_real_stripes_of_i12_need_a_wide_median(shared_data):
    transmission = np.load(shared_data / "i12_stripes" / "sino_stripe_i12.npy")
    sinogram = -np.log(transmission)[None]  # columns 192 to 208 are a gap of the detector

    def depth(image):
        mean = image[0].mean(axis=0)
        return (mean[180:188].mean() + mean[213:221].mean()) / 2 - mean[195:206].mean()

    assert depth(remove_rings(sinogram, size_px=21)) > 0.5 * depth(sinogram)
    assert abs(depth(remove_rings(sinogram, size_px=51))) < 0.15 * depth(sinogram)


@pytest.mark.parametrize("method", ["sorting", "wavelet"])
def test_wrong_input_is_answered_in_sentences(method):
    good = np.ones((1, 40, 40), np.float32)
    for bad in (np.nan, np.inf, -np.inf):
        broken = good.copy()
        broken[0, 3, 5] = bad
        with pytest.raises(InputError, match="NaN or infinite"):
            remove_rings(broken, method)
    with pytest.raises(InputError, match="three axes"):
        remove_rings(good[0], method)
    with pytest.raises(InputError, match="out has shape"):
        remove_rings(good, method, out=np.empty((1, 40, 41), np.float32))


def test_wrong_parameters_are_answered_in_sentences():
    good = np.ones((1, 40, 40), np.float32)
    for size_px in (0, 4, 41, -3):
        with pytest.raises(InputError, match=f"size_px is {size_px}"):
            remove_rings(good, size_px=size_px)
    with pytest.raises(InputError, match="levels is 0"):
        remove_rings(good, "wavelet", levels=0)
    with pytest.raises(InputError, match="sigma is nan"):
        remove_rings(good, "wavelet", sigma=float("nan"))
    with pytest.raises(InputError, match="order is 16"):
        remove_rings(good, "wavelet", order=16)
    with pytest.raises(InputError, match="'fourier'"):
        remove_rings(good, "fourier")
