"""The ramp and its windows."""

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.reconstruction.filters import FILTERS, filter_response, ramp_kernel


def test_ramp_kernel_is_the_textbook_one_and_sums_to_nearly_nothing():
    kernel = ramp_kernel(4096)
    assert kernel[[0, 1, 2, 3, -1, -3]] == pytest.approx(
        [0.25, -1 / np.pi**2, 0, -1 / (3 * np.pi) ** 2, -1 / np.pi**2, -1 / (3 * np.pi) ** 2]
    )
    # The odd squares add up to pi^2/8, so the infinite kernel has no mean; the tail is 2/(pi^2 n).
    assert kernel.sum() == pytest.approx(2 / np.pi**2 / 4096, rel=1e-3)


@pytest.mark.parametrize("name", FILTERS)
def test_response_is_the_ramp_times_a_window_that_is_one_at_zero(name):
    length = 1000
    response = filter_response(name, length)
    f = np.arange(length // 2 + 1) / length
    f = f[1:]
    window = {
        "ramp": np.ones_like(f),
        "shepp-logan": np.sin(np.pi * f) / (np.pi * f),
        "cosine": np.cos(np.pi * f),
        "hamming": 0.54 + 0.46 * np.cos(2 * np.pi * f),
        "hann": np.cos(np.pi * f) ** 2,
    }[name]
    # The cut of the kernel at +-length/2 leaves 2/(pi^2 length) around |f|.
    tail = 2 / np.pi**2 / length
    assert response[0] == pytest.approx(tail, rel=1e-3)
    assert response[1:] == pytest.approx(f * window, abs=1.01 * tail)


def test_unknown_filter():
    with pytest.raises(InputError, match=r"'ram'.*shepp-logan"):
        filter_response("ram", 64)
