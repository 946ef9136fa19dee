"""Unsharp mask: brings back the contrast of small features that phase retrieval has smoothed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError
from hipct.core.threads import parallel_for
from hipct.phase.kernel import require_positive

UnsharpMethod = Literal["gaussian", "log"]

# A Gaussian is cut where it has fallen to 1e-7 of its peak: below float32's resolution.
_REACH_SIGMAS = math.sqrt(2 * math.log(1e7))
# Images that a device filters at a time: enough to keep it busy, few beside its memory.
_DEVICE_BATCH_BYTES = 2**26


@dataclass(frozen=True, kw_only=True)
class UnsharpMask:
    """An unsharp mask: what :func:`unsharp` applies, or a Paganin filter takes along for free.

    Attributes
    ----------
    sigma_px : float
        Standard deviation s of the Gaussian in pixels.
    strength : float
        Coefficient c; 0 leaves the image as it is.
    method : {"gaussian", "log"}
        ``(1 + c) I - c G_s I``, or ``I - c s^2 (nabla^2 G_s * I)`` (Laplacian of Gaussian; the
        minus sign sharpens, because the Laplacian is negative on a bright feature). Both keep
        the mean.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    sigma_px: float
    strength: float
    method: UnsharpMethod = "gaussian"

    def __post_init__(self) -> None:
        require_positive("sigma_px", self.sigma_px)
        if not (math.isfinite(self.strength) and self.strength >= 0):
            raise InputError(
                f"strength is {self.strength}; it has to be a finite number of 0 or more."
            )
        if self.method not in get_args(UnsharpMethod):
            raise InputError(
                f"method is {self.method!r}; the unsharp masks are "
                f"{' and '.join(get_args(UnsharpMethod))}."
            )

    @property
    def halo(self) -> int:
        """Pixels that the mask reaches on each side."""
        return math.ceil(_REACH_SIGMAS * self.sigma_px)

    def weights(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Sampled Gaussian and its second derivative times s^2, from -halo to halo.

        The sums are exactly 1 and 0 and the second moment of the derivative is 2 s^2: sampling
        alone misses that by 3e-4 at s = 0.8, which would shift the mean.
        """
        x = np.arange(-self.halo, self.halo + 1) / self.sigma_px
        gaussian = np.exp(-(x**2) / 2)
        gaussian /= gaussian.sum()
        curvature = (x**2 - 1) * gaussian
        curvature -= curvature.sum() * gaussian
        curvature *= 2 / np.sum(x**2 * curvature)
        return gaussian, curvature

    @property
    def level(self) -> float:
        """What the products of :meth:`factors` are taken from."""
        return 1 + self.strength if self.method == "gaussian" else 1.0

    def factors(self, frequency: NDArray[np.float64]) -> NDArray[np.float64]:
        """Factors p and q of an axis at some frequencies (cycles per pixel).

        The mask multiplies the frequency (k, l) by ``level - p[k] q[l] - q[k] p[l]``, with p and
        q of the rows at k and of the columns at l.

        Returns
        -------
        ndarray of float64, (2, frequencies)
            The response is near ``1 + c (1 - exp(-2 pi^2 s^2 f^2))`` and
            ``1 + c s^2 (2 pi f)^2 exp(-2 pi^2 s^2 f^2)``, exactly that of the sampled weights.
        """
        gaussian, curvature = self.weights()
        offsets = np.arange(-self.halo, self.halo + 1)
        cosines = np.cos(2 * np.pi * np.outer(frequency, offsets))
        smooth = cosines @ gaussian
        bent = smooth / 2 if self.method == "gaussian" else cosines @ curvature
        return np.stack([self.strength * bent, smooth])


def unsharp(
    images: Array, *, sigma_px: float, strength: float, method: UnsharpMethod = "gaussian"
) -> Array:
    """Sharpen images by an unsharp mask, mirrored at their edges.

    Parameters
    ----------
    images : ndarray, (..., rows, columns)
        float32 or float64 (other types become float32), e.g. retrieved transmission.
    sigma_px : float
        Standard deviation of the Gaussian, in pixels.
    strength : float
        Coefficient c, 0 or more.
    method : {"gaussian", "log"}
        See :class:`UnsharpMask`. ESRF's usual setting for HiP-CT is ``"log"``, 0.8 px, 3.

    Returns
    -------
    ndarray
        Same shape.

    Raises
    ------
    InputError
        If a parameter is out of range, or an image has fewer than 2 dimensions.

    Notes
    -----
    The edge pixel is repeated by the mirror (d c b a | a b c d), as in
    :func:`hipct.phase.paganin.paganin` with ``padding="mirror"``: a mask given to
    :class:`~hipct.phase.paganin.PaganinFilter` gives the same numbers at no cost.

    Examples
    --------
    >>> import numpy as np
    >>> step = np.zeros((1, 8), np.float32)
    >>> step[:, 4:] = 1
    >>> unsharp(step, sigma_px=1, strength=1)[0, 3:5].round(2)
    array([-0.3,  1.3], dtype=float32)
    """
    mask = UnsharpMask(sigma_px=sigma_px, strength=strength, method=method)
    xp = namespace(images)
    if images.ndim < 2:
        raise InputError(
            f"images has the shape {images.shape}; (..., rows, columns) is needed, at least 2-D."
        )
    dtype = xp.float64 if images.dtype == xp.float64 else xp.float32
    stack = images.reshape((-1, *images.shape[-2:])).astype(dtype, copy=False)
    result = xp.empty_like(stack)
    if xp is np:
        # One image at a time, so that its passes meet a warm cache.
        parallel_for(partial(_sharpen, stack, result, mask, batch=1), len(stack))
    else:
        batch = max(1, _DEVICE_BATCH_BYTES // max(1, stack[:1].nbytes))
        _sharpen(stack, result, mask, 0, len(stack), batch=batch)
    return result.reshape(images.shape)


def unsharp_work_bytes(images: int, image_bytes: int) -> int:
    """Peak bytes that :func:`unsharp` takes on a device beside images and result."""
    return 4 * min(images * image_bytes, max(image_bytes, _DEVICE_BATCH_BYTES))


def unsharp_halo_rows(sigma_px: float) -> int:
    """Rows of real data that an unsharp mask needs above and below a tile.

    Beyond them the result does not depend on anything. Adds to the halo of the phase retrieval.

    Examples
    --------
    >>> unsharp_halo_rows(0.8)
    5
    """
    return UnsharpMask(sigma_px=sigma_px, strength=1.0).halo


def _sharpen(
    stack: Array, result: Array, mask: UnsharpMask, start: int, stop: int, *, batch: int
) -> None:
    xp = namespace(stack)
    gaussian, curvature = (xp.asarray(weights) for weights in mask.weights())
    for first in range(start, stop, batch):
        part = slice(first, min(first + batch, stop))
        images = stack[part]
        if mask.method == "gaussian":
            blurred = _correlate(xp, _correlate(xp, images, gaussian, 1), gaussian, 2)
            result[part] = (1 + mask.strength) * images - mask.strength * blurred
        else:
            laplacian = _correlate(xp, _correlate(xp, images, curvature, 1), gaussian, 2)
            laplacian += _correlate(xp, _correlate(xp, images, gaussian, 1), curvature, 2)
            result[part] = images - mask.strength * laplacian


def _correlate(xp: ModuleType, images: Array, weights: Array, axis: int) -> Any:
    if xp is np:
        from scipy import ndimage
    else:
        from cupyx.scipy import ndimage
    return ndimage.correlate1d(images, weights, axis=axis, mode="reflect")
