"""Where a small volume fits into a large one: masked normalised cross-correlation by FFT.

D. Padfield, IEEE Trans. Image Process. 21 (2012) 2706, eqs. 6 to 9. With the image ``f`` on its
mask ``m``, the template ``g`` on its mask ``n``, and ``a * b (p) = sum_x a(x + p) b(x)``:

    N = m * n    F = f * n    G = m * g    F2 = f^2 * n    G2 = m * g^2

    ncc = (f * g - F G / N) / sqrt((F2 - F^2 / N) (G2 - G^2 / N))

It is 1 where the template is the image up to gain and offset, and only voxels that both masks hold
count.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hipct.core.arrays import Array, fft_module, namespace


class Peak(NamedTuple):
    """A place of the template's middle voxel, how well it fits, and which template it is."""

    ncc: float
    position: tuple[int, int, int]
    number: int


class Matcher:
    """An image that templates of one shape and mask are looked for in.

    Parameters
    ----------
    image : array of float32, (z, y, x)
        NumPy or CuPy. The middle of the template goes everywhere but within half a template of the
        edges. Voxels that are not finite do not count.
    template_mask : array of bool, (z, y, x)
        Voxels of the templates that count; odd sizes, so that there is a middle voxel.
    overlap : float
        Part of the template's voxels that have to meet voxels of the image that count.
    """

    def __init__(self, image: Array, template_mask: Array, overlap: float) -> None:
        from scipy.fft import next_fast_len

        xp = namespace(image, template_mask)
        self._fft = fft_module(xp)
        self._kept = tuple(n - m + 1 for n, m in zip(image.shape, template_mask.shape))
        # Shifts that are not asked for may wrap around: nothing is added for them.
        self._size = tuple(next_fast_len(n, real=True) for n in image.shape)
        self._inside = template_mask.astype(np.float32)
        counts = xp.isfinite(image).astype(np.float32)
        values = xp.nan_to_num(image, posinf=0.0, neginf=0.0) * counts
        number = xp.maximum(counts.sum(), np.float32(1))
        values = (values - values.sum() / number) * counts
        self._image = self._spectrum(values)
        self._counts = self._spectrum(counts)
        squares = self._spectrum(values**2)
        of_mask = xp.conj(self._spectrum(self._inside))
        self._n = xp.maximum(xp.rint(self._back(self._counts * of_mask)), np.float32(1))
        self._sum = self._back(self._image * of_mask)
        spread = self._back(squares * of_mask) - self._sum**2 / self._n
        # Below this an empty region would be compared by its rounding errors.
        floor = np.float32(1e-4) * (values**2).sum() / number
        enough = self._n >= np.float32(overlap) * self._inside.sum()
        self._spread = xp.where(enough & (spread > floor * self._n), spread, np.float32(0))

    def ncc(self, template: Array) -> Array:
        """Normalised cross-correlation for every place of the template's middle.

        Parameters
        ----------
        template : array of float32, shape of the template's mask

        Returns
        -------
        array of float32, shape of the image less that of the template plus 1
            Element 0 is where the template begins at the image's first voxel. The value is 0 where
            too little overlaps, or the image does not vary.
        """
        xp = namespace(template)
        mean = (template * self._inside).sum() / self._inside.sum()
        values = (template - mean) * self._inside
        power = (values**2).sum()
        of_values = xp.conj(self._spectrum(values))
        product = self._back(self._image * of_values)
        total = self._back(self._counts * of_values)
        squares = self._back(self._counts * xp.conj(self._spectrum(values**2)))
        product -= self._sum * total / self._n
        spread = (squares - total**2 / self._n) * self._spread
        valid = (self._spread > 0) & (squares > np.float32(1e-3) * power)
        root = xp.sqrt(xp.where(valid & (spread > 0), spread, np.float32(1)))
        return xp.where(valid & (spread > 0), xp.clip(product / root, -1, 1), np.float32(0))

    def _spectrum(self, values: Array) -> Array:
        return self._fft.rfftn(values, s=self._size)

    def _back(self, spectrum: Array) -> Array:
        whole = self._fft.irfftn(spectrum, s=self._size)
        return whole[tuple(slice(0, n) for n in self._kept)]


def matcher_bytes(image: tuple[int, ...]) -> int:
    """Memory that a :class:`Matcher` of an image takes, with one template in work."""
    return int(np.prod([float(n) for n in image]) * 4 * 16)


def highest(best: Array, numbers: Array, count: int, apart: int) -> list[Peak]:
    """The highest places of a map, no two of them within ``apart`` voxels along every axis.

    Parameters
    ----------
    best : array of float32, (z, y, x)
        Normalised cross-correlation.
    numbers : array of int32, (z, y, x)
        Template that it belongs to.
    count : int
        Most peaks; fewer where nothing above 0 is left.
    apart : int
        In voxels.
    """
    xp = namespace(best, numbers)
    values = best if xp is np else best.get()
    which = numbers if xp is np else numbers.get()
    left = np.array(values)
    peaks = []
    for _ in range(count):
        place = np.unravel_index(int(np.argmax(left)), left.shape)
        if left[place] <= 0:
            break
        z, y, x = (int(p) for p in place)
        peaks.append(Peak(float(left[place]), (z, y, x), int(which[place])))
        left[tuple(slice(max(p - apart, 0), p + apart + 1) for p in (z, y, x))] = 0
    return peaks
