"""The one number that decides Paganin's filter: its kernel length in pixels.

With a = sqrt(lambda z (delta/beta) / (4 pi)) / p the filters read, per cycle/pixel f,

- Paganin 2002:      H = 1 / (1 + (2 pi a)^2 (fx^2 + fy^2))
- generalised 2020:  H = 1 / (1 + a^2 (4 - 2 cos 2 pi fx - 2 cos 2 pi fy))

so that both denominators are 1 plus a sum of one term for each axis. In space the kernel decays
like exp(-r / a).
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hipct.core.errors import InputError
from hipct.core.physics import wavelength_m

Method = Literal["paganin", "generalised"]


def kernel_length_px(
    *, pixel_size_um: float, distance_m: float, energy_kev: float, delta_beta: float
) -> float:
    """Decay length a of Paganin's kernel in pixels.

    Parameters
    ----------
    pixel_size_um, distance_m : float
        Effective pixel size and propagation distance (magnification already applied, see
        :func:`hipct.phase.convert.effective_geometry`).
    energy_kev : float
        Mean photon energy.
    delta_beta : float
        Ratio delta/beta of the refractive index 1 - delta + i beta. It belongs to the material
        and the energy; binning does not change it.

    Returns
    -------
    float
        a = sqrt(lambda z (delta/beta) / (4 pi)) / p.

    Raises
    ------
    InputError
        If a value is not a finite number above 0.

    Examples
    --------
    >>> a = kernel_length_px(pixel_size_um=20, distance_m=3.5, energy_kev=90, delta_beta=1470)
    >>> round(a, 2)
    3.76
    """
    values = {
        "pixel_size_um": pixel_size_um,
        "distance_m": distance_m,
        "energy_kev": energy_kev,
        "delta_beta": delta_beta,
    }
    for name, value in values.items():
        require_positive(name, value)
    area_m2 = wavelength_m(energy_kev) * distance_m * delta_beta / (4 * math.pi)
    return math.sqrt(area_m2) / (pixel_size_um * 1e-6)


def axis_term(
    frequency: NDArray[np.float64], length_px: float, method: Method
) -> NDArray[np.float64]:
    """One axis' term in the denominator of the filter.

    Parameters
    ----------
    frequency : ndarray of float64
        Frequencies in cycles per pixel.
    length_px : float
        Kernel length a in pixels.
    method : {"paganin", "generalised"}
        Continuous (Paganin et al., J. Microsc. 206 (2002) 33, eq. 10) or discrete Laplacian
        (Paganin et al., J. Opt. 22 (2020) 115607).
    """
    check_method(method)
    if method == "paganin":
        return (2 * math.pi * length_px * frequency) ** 2
    # 2 - 2 cos(2 x) = 4 sin(x)^2 keeps all digits at low frequencies.
    return (2 * length_px * np.sin(math.pi * frequency)) ** 2


def require_positive(name: str, value: float) -> None:
    """Raise InputError unless ``value`` is a finite number above 0."""
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"{name} is {value}; it has to be a finite number above 0.")


def check_method(method: str) -> None:
    """Raise InputError unless ``method`` names a filter."""
    if method not in get_args(Method):
        raise InputError(
            f"method is {method!r}; the phase retrieval filters are "
            f"{' and '.join(get_args(Method))}."
        )
