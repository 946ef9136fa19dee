"""The wide Gaussian, against SciPy's sampled one and in parts."""

from __future__ import annotations

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.preparation.lowpass import LowPass, low_pass


@pytest.mark.parametrize("sigma_px", [1.0, 4.0, 30.0, 200.0])
def test_it_is_the_gaussian_of_the_mirrored_frame(xp, fetch, sigma_px):
    ndimage = pytest.importorskip("scipy.ndimage")
    frames = np.random.default_rng(1).uniform(0, 1, (2, 37, 52)).astype(np.float32)
    expected = [
        ndimage.gaussian_filter(frame.astype(float), sigma_px, mode="reflect", truncate=8)
        for frame in frames
    ]
    result = fetch(low_pass(xp.asarray(frames), sigma_px))
    # A sampled Gaussian of 1 px misses the continuous one by its aliases.
    np.testing.assert_allclose(result, expected, atol=2e-3 if sigma_px == 1 else 2e-6)


def test_rows_add_up_and_come_alone(xp, fetch):
    frame = xp.asarray(np.random.default_rng(2).uniform(0, 1, (40, 33)).astype(np.float32))
    smooth = LowPass.create(40, 33, 7.0, xp=xp)
    whole = smooth.coefficients(frame)
    parts = sum(smooth.coefficients(frame[a:b], slice(a, b)) for a, b in ((0, 11), (11, 40)))
    np.testing.assert_allclose(fetch(parts), fetch(whole), atol=2e-6)
    rows = fetch(smooth.frame(whole, slice(9, 21)))
    np.testing.assert_allclose(rows, fetch(low_pass(frame, 7.0))[9:21], atol=1e-6)


def test_wrong_sizes_are_refused():
    with pytest.raises(InputError, match="sigma_px is 0"):
        LowPass.create(4, 4, 0)
    with pytest.raises(InputError, match="rows is 0"):
        LowPass.create(0, 4, 1)
    with pytest.raises(InputError, match="frames has shape"):
        low_pass(np.zeros(3), 1)
