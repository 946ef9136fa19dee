"""Ring removal on sinograms: two published methods behind one name."""

from __future__ import annotations

from typing import Literal

from hipct.core.arrays import Array
from hipct.core.errors import InputError
from hipct.preparation.rings_sorting import SIZE_PX, remove_rings_sorting, sorting_memory_bytes
from hipct.preparation.rings_wavelet import (
    LEVELS,
    ORDER,
    SIGMA,
    remove_rings_wavelet,
    wavelet_memory_bytes,
)


def remove_rings(
    sinograms: Array,
    method: Literal["sorting", "wavelet"] = "sorting",
    *,
    size_px: int = SIZE_PX,
    levels: int = LEVELS,
    sigma: float = SIGMA,
    order: int = ORDER,
    out: Array | None = None,
) -> Array:
    """Remove stripes from sinograms, which would become rings in the slices.

    ``"sorting"`` (Vo, Atwood & Drakopoulos 2018) leaves the object almost untouched and takes
    full stripes up to ``size_px / 2`` wide. ``"wavelet"`` (Muench et al. 2009) also takes wider
    ones and, with a larger sigma, stripes that change along the angle; it costs some of what the
    object has in common over all angles.

    Parameters
    ----------
    sinograms : array, shape (slices, angles, columns)
        Line integrals or transmission; finite. Integers become float32.
    method : {"sorting", "wavelet"}
    size_px : int
        Sorting: width of the median across columns, odd.
    levels, sigma, order : int, float, int
        Wavelet: levels, damped frequencies along the angle, vanishing moments; see
        :func:`hipct.preparation.rings_wavelet.remove_rings_wavelet`.
    out : array, shape of the sinograms, their dtype, optional
        May be the sinograms themselves.

    Returns
    -------
    array, shape (slices, angles, columns), float32 (float64 from float64)

    Raises
    ------
    InputError
        If the method is unknown, a parameter is wrong, or a value is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> sinogram = np.tile(np.linspace(0, 1, 64, dtype=np.float32)[:, None], (1, 128))
    >>> striped = sinogram.copy()
    >>> striped[:, 40] += 0.5
    >>> bool(abs(remove_rings(striped[None])[0] - sinogram).max() < 1e-6)
    True
    """
    if method == "sorting":
        return remove_rings_sorting(sinograms, size_px=size_px, out=out)
    if method == "wavelet":
        return remove_rings_wavelet(sinograms, levels=levels, sigma=sigma, order=order, out=out)
    raise InputError(f"The ring method is {method!r}; it has to be 'sorting' or 'wavelet'.")


def ring_memory_bytes(
    slices: int,
    angles: int,
    columns: int,
    *,
    method: Literal["sorting", "wavelet"] = "sorting",
    size_px: int = SIZE_PX,
    levels: int = LEVELS,
    sigma: float = SIGMA,
    on_device: bool = False,
) -> int:
    """Bytes that :func:`remove_rings` takes at most beside input and output, float32.

    On the host the work spaces of all threads are in it; on a device both arrays are C-contiguous.
    """
    if method == "sorting":
        return sorting_memory_bytes(slices, angles, columns, size_px, on_device=on_device)
    return wavelet_memory_bytes(slices, angles, columns, levels, sigma, on_device=on_device)
