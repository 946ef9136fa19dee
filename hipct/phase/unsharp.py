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

    def response(
        self, row_frequency: NDArray[np.float64], column_frequency: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Factor by which the mask multiplies each frequency (cycles per pixel).

        Returns
        -------
        ndarray of float64, (row frequencies, column frequencies)
            Near ``1 + c (1 - exp(-2 pi^2 s^2 f^2))`` and
            ``1 + c s^2 (2 pi f)^2 exp(-2 pi^2 s^2 f^2)``; exact for the sampled weights.
        """
        gaussian, curvature = self.weights()
        offsets = np.arange(-self.halo, self.halo + 1)
        row_cosines = np.cos(2 * np.pi * np.outer(row_frequency, offsets))
        column_cosines = np.cos(2 * np.pi * np.outer(column_frequency, offsets))
        row_gauss, column_gauss = row_cosines @ gaussian, column_cosines @ gaussian
        if self.method == "gaussian":
            return 1 + self.strength * (1 - np.outer(row_gauss, column_gauss))
        laplacian = np.outer(row_cosines @ curvature, column_gauss)
        laplacian += np.outer(row_gauss, column_cosines @ curvature)
        return 1 - self.strength * laplacian


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
        parallel_for(partial(_sharpen, stack, result, mask), len(stack))
    else:
        _sharpen(stack, result, mask, 0, len(stack))
    return result.reshape(images.shape)


def unsharp_halo_rows(sigma_px: float) -> int:
    """Rows of real data that an unsharp mask needs above and below a tile.

    Beyond them the result does not depend on anything. Adds to the halo of the phase retrieval.

    Examples
    --------
    >>> unsharp_halo_rows(0.8)
    5
    """
    return UnsharpMask(sigma_px=sigma_px, strength=1.0).halo


def _sharpen(stack: Array, result: Array, mask: UnsharpMask, start: int, stop: int) -> None:
    xp = namespace(stack)
    gaussian, curvature = (xp.asarray(weights) for weights in mask.weights())
    for index in range(start, stop):
        image = stack[index]
        if mask.method == "gaussian":
            blurred = _correlate(xp, _correlate(xp, image, gaussian, 0), gaussian, 1)
            result[index] = (1 + mask.strength) * image - mask.strength * blurred
        else:
            laplacian = _correlate(xp, _correlate(xp, image, curvature, 0), gaussian, 1)
            laplacian += _correlate(xp, _correlate(xp, image, gaussian, 0), curvature, 1)
            result[index] = image - mask.strength * laplacian


def _correlate(xp: ModuleType, image: Array, weights: Array, axis: int) -> Any:
    if xp is np:
        from scipy import ndimage
    else:
        from cupyx.scipy import ndimage
    return ndimage.correlate1d(image, weights, axis=axis, mode="reflect")
