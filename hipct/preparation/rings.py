"""Ring removal on sinograms: published methods behind one name.

Which one to take
-----------------
- Start with ``"sorting"``: it leaves the object almost untouched and takes full stripes up to half
  of ``size_px`` wide. That is what a scintillator and a camera in good order show.
- Take ``"all"`` where some rings are wide, bright or flicker (dust, dead or saturated pixels,
  scratches): first dead and fluctuating pixels, then large stripes, then ``"sorting"``. It costs
  twice to three times as much. Give ``large_px`` at least twice the widest stripe.
- Take ``"dead"`` or ``"large"`` alone where only those occur, or where sorting takes too much.
- Take ``"wavelet"`` for stripes that come and go along the angle: a larger sigma takes shorter
  pieces. It costs some of what the object has in common over all angles.
- Take ``"regularised"`` for a quick look, or for an object far from the axis: it is many times
  cheaper than all others and takes all that is rough in the mean over the angles, the object's
  own part of it as well.
- What is left after reconstruction, the image-space filter of :mod:`hipct.volume.rings_polar`
  takes, without touching any edge; it is also the only one for slices that come without their
  sinograms. It cannot mend dead or flickering pixels, whose streaks run tangentially: those have
  to go from the sinogram.

:mod:`hipct.volume.ring_score` measures rings before and after; ``python -m benchmarks.rings``
compares all methods on phantoms, edges included.
"""

from __future__ import annotations

from typing import Literal

from hipct.core.arrays import Array
from hipct.core.errors import InputError
from hipct.preparation.rings_dead import (
    all_memory_bytes,
    dead_memory_bytes,
    remove_rings_all,
    remove_rings_dead,
)
from hipct.preparation.rings_detect import SNR
from hipct.preparation.rings_large import (
    LARGE_PX,
    Quantity,
    large_memory_bytes,
    remove_rings_large,
)
from hipct.preparation.rings_sorting import SIZE_PX, remove_rings_sorting, sorting_memory_bytes
from hipct.preparation.rings_titarenko import (
    ALPHA,
    BLOCKS,
    regularised_memory_bytes,
    remove_rings_regularised,
)
from hipct.preparation.rings_wavelet import (
    LEVELS,
    ORDER,
    SIGMA,
    remove_rings_wavelet,
    wavelet_memory_bytes,
)

Method = Literal["sorting", "wavelet", "dead", "large", "all", "regularised"]


def remove_rings(
    sinograms: Array,
    method: Method = "sorting",
    *,
    size_px: int = SIZE_PX,
    large_px: int = LARGE_PX,
    snr: float = SNR,
    quantity: Quantity = "line_integral",
    levels: int = LEVELS,
    sigma: float = SIGMA,
    order: int = ORDER,
    alpha: float = ALPHA,
    blocks: int = BLOCKS,
    out: Array | None = None,
) -> Array:
    """Remove stripes from sinograms, which would become rings in the slices.

    The module says which method to take.

    Parameters
    ----------
    sinograms : array, shape (slices, angles, columns)
        Line integrals or transmission; finite. Integers become float32.
    method : {"sorting", "wavelet", "dead", "large", "all", "regularised"}
        Vo, Atwood & Drakopoulos 2018, algorithm 3; Muench et al. 2009; Vo's algorithm 6, 5, and
        6, 5 and 3 in a row; Titarenko et al. 2010.
    size_px : int
        Sorting, all: width of the median across columns for fine stripes, odd.
    large_px : int
        Dead, large, all: width of the median that stripes are compared with, odd, at least twice
        the widest stripe.
    snr : float
        Dead, large, all: how far a column stands out that is taken for a stripe.
    quantity : {"line_integral", "transmission"}
        Large, all: what the sinograms hold.
    levels, sigma, order : int, float, int
        Wavelet: levels, damped frequencies along the angle, vanishing moments; see
        :func:`hipct.preparation.rings_wavelet.remove_rings_wavelet`.
    alpha, blocks : float, int
        Regularised: smaller takes wider stripes; parts of the angles with stripes of their own.
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
    if method == "dead":
        return remove_rings_dead(sinograms, large_px=large_px, snr=snr, out=out)
    if method == "large":
        return remove_rings_large(sinograms, large_px=large_px, snr=snr, quantity=quantity, out=out)
    if method == "all":
        return remove_rings_all(
            sinograms, size_px=size_px, large_px=large_px, snr=snr, quantity=quantity, out=out
        )
    if method == "regularised":
        return remove_rings_regularised(sinograms, alpha=alpha, blocks=blocks, out=out)
    raise InputError(
        f"The ring method is {method!r}; it has to be 'sorting', 'wavelet', 'dead', 'large', "
        "'all' or 'regularised'."
    )


def ring_memory_bytes(
    slices: int,
    angles: int,
    columns: int,
    *,
    method: Method = "sorting",
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
    if method == "wavelet":
        return wavelet_memory_bytes(slices, angles, columns, levels, sigma, on_device=on_device)
    memory = {
        "dead": dead_memory_bytes,
        "large": large_memory_bytes,
        "all": all_memory_bytes,
        "regularised": regularised_memory_bytes,
    }
    return memory[method](slices, angles, columns, on_device=on_device)
