"""How many rows beyond a tile the phase retrieval has to see."""

from __future__ import annotations

import math

import numpy as np

from hipct.core.errors import InputError
from hipct.phase.kernel import Method, axis_term, check_method, kernel_length_px

_LONGEST_PX = 1e5


def halo_rows(
    *,
    pixel_size_um: float,
    distance_m: float,
    energy_kev: float,
    delta_beta: float,
    accuracy: float = 1e-5,
    method: Method = "paganin",
) -> int:
    """Rows of real data needed above and below a tile.

    A row of the tile that lies h rows from the end of the data misses what stands beyond: at
    worst an edge of full contrast (transmission 0 to 1) right there, mirrored instead of seen.
    The error is the step response of the filter, about ``exp(-h / a) / 2``, hence
    ``h = a ln(1 / (2 accuracy))``. Where a is no longer large against a pixel, the textbook
    filter of 2002, cut off at the Nyquist frequency, adds a ripple of about ``1 / (pi^4 a^2 h^2)``
    that decays slowly. The halo is read from the step response itself, so that it holds for both.

    Parameters
    ----------
    pixel_size_um, distance_m, energy_kev, delta_beta : float
        As in :func:`hipct.phase.kernel.kernel_length_px`.
    accuracy : float
        Largest error of the transmission that is allowed, above 0 and below 0.5.
    method : {"paganin", "generalised"}
        Filter.

    Returns
    -------
    int
        Rows on each side. The halo of an unsharp mask adds to it
        (:func:`hipct.phase.unsharp.unsharp_halo_rows`).

    Raises
    ------
    InputError
        If a value is out of range.

    Examples
    --------
    >>> scan = dict(pixel_size_um=20, distance_m=3.5, energy_kev=90, delta_beta=1470)
    >>> halo_rows(**scan)
    41
    """
    if not 0 < accuracy < 0.5:
        raise InputError(f"accuracy is {accuracy}; it has to lie between 0 and 0.5, e.g. 1e-5.")
    length = kernel_length_px(
        pixel_size_um=pixel_size_um,
        distance_m=distance_m,
        energy_kev=energy_kev,
        delta_beta=delta_beta,
    )
    return step_reach(length, accuracy, method)


def exponential_reach(length_px: float, accuracy: float) -> int:
    """Pixels after which the smooth part of the step response is below ``accuracy``."""
    return max(0, math.ceil(length_px * math.log(1 / (2 * accuracy))))


def step_reach(length_px: float, accuracy: float, method: Method = "paganin") -> int:
    """Pixels after which the whole step response, ripple included, stays below ``accuracy``.

    Raises
    ------
    InputError
        If the kernel is longer than 100 000 pixels: no detector is.
    """
    check_method(method)
    if length_px > _LONGEST_PX:
        raise InputError(
            f"The kernel of the phase retrieval is {length_px:.3g} pixels long, more than any "
            "detector; check the units of pixel_size_um, distance_m and delta_beta."
        )
    ripple = 1 / (math.pi**2 * max(length_px, 0.05) * math.sqrt(accuracy))
    span = 4 * (exponential_reach(length_px, accuracy / 100) + ripple + 64)
    samples = 1 << math.ceil(math.log2(span))
    frequency = np.arange(samples // 2 + 1) / samples
    kernel = np.fft.irfft(1 / (1 + axis_term(frequency, length_px, method)), samples)
    # What lies farther than h pixels on one side: sum of the kernel from h + 1 to the far end.
    beyond = np.cumsum(kernel[1 : samples // 2][::-1])[::-1]
    too_large = np.flatnonzero(np.abs(beyond) > accuracy)
    return int(too_large[-1]) + 1 if too_large.size else 0
