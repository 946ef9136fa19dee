"""Dynamic flats: a beam whose stripes drift, followed frame by frame through its principal parts.

The stripes of a multilayer monochromator move by fractions of a pixel, and flats of another moment
leave them in every projection. The flats of a scan differ along few directions, their principal
components (eigen flats), and each projection gets its own flat ``F (1 + sum_k w_k e_k)`` (Van
Nieuwenhove et al., Opt. Express 23 (2015) 27975). Here e_k are relative to the mean flat F, so that
what is left to do after an ordinary flat field with the mean flat is a division by
``1 + sum_k w_k e_k``: darks, dead pixels and machine current are settled by then.

The coefficients of a projection belong to its whole frame. They are found once, on all rows (or on
a tall band of them), and applied to any rows of any slab, whose eigen flats are the same
combinations (:attr:`EigenFlats.mixing`) of their flats.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError
from hipct.core.threads import parallel_for
from hipct.preparation.checks import floating, output, three_axes
from hipct.preparation.dynamic_fit import fit_background, fit_variation
from hipct.preparation.references import dark_frame

MOST_COMPONENTS = 10
"""Components that are kept at most."""

_ABOVE_NOISE = 2.0
"""Times the noise's eigenvalue from which on a component counts.

White noise over many more pixels than flats has eigenvalues that are all alike, to a few per cent
(Marchenko & Pastur, 1967), so that parallel analysis needs no random numbers here.
"""


@dataclass(frozen=True, eq=False)
class EigenFlats:
    """Mean flat and relative eigen flats of some rows.

    Attributes
    ----------
    mean : array, shape (rows, columns), float32
        Mean of the flats less dark, each divided by its level; NaN at dead pixels.
    eigen : array, shape (components, rows, columns), float32
        Principal components of the flats divided by the mean, minus 1; their mean square is 1
        over the rows that the mixing was found on. 0 at dead pixels.
    mixing : ndarray, shape (components, flats), float64
        The combinations of the flats that are the eigen flats.
    levels : ndarray, shape (flats,), float64
        Level of each flat, divided out first: what makes a flat brighter is no component.
    """

    mean: Array
    eigen: Array
    mixing: NDArray[np.float64]
    levels: NDArray[np.float64]

    @classmethod
    def from_frames(
        cls, flats: Array, darks: Array | None = None, *, components: int | None = None
    ) -> EigenFlats:
        """Find the eigen flats.

        Parameters
        ----------
        flats : array, shape (flats, rows, columns)
            Raw counts; ten or more, taken over the time of the scan. All rows of the detector,
            or a band of them that all that drifts passes through.
        darks : array, shape (darks, rows, columns), optional
        components : int, optional
            How many; by default those above the noise of the flats, at most
            :data:`MOST_COMPONENTS`, and possibly none.

        Raises
        ------
        InputError
            If there are fewer than 3 flats, or more components are wanted than flats less 1.
        """
        flats = three_axes(flats, "flats", "flats, rows, columns")
        count = len(flats)
        if count < 3 or not 0 <= (components or 0) < count:
            raise InputError(
                f"There are {count} flats, and {components} components are wanted; eigen flats "
                "need 3 flats or more, and fewer components than flats."
            )
        relative, mean, levels = _relative(flats, dark_frame(darks, flats), None)
        xp = namespace(relative)
        pixels = relative.reshape(count, -1)
        # The one transfer to the host: as many numbers as pairs of flats.
        gram = _on_host(xp.matmul(pixels, pixels.T).astype(np.float64)) / pixels.shape[1]
        values, vectors = np.linalg.eigh(gram)
        kept = _above_noise(values) if components is None else components
        order = np.argsort(values)[::-1][:kept]
        mixing = vectors[:, order].T / np.sqrt(np.maximum(values[order], 1e-30))[:, None]
        return cls(mean, _mixed(relative, mixing), mixing, levels)

    def of_rows(self, flats: Array, darks: Array | None = None) -> EigenFlats:
        """The same eigen flats on other rows or pixels of the same flats.

        Parameters
        ----------
        flats : array, shape (flats, rows, columns)
            The flats that these were found with, in the same order; rows of a slab.
        darks : array, shape (darks, rows, columns), optional

        Raises
        ------
        InputError
            If the number of flats is another one.
        """
        flats = three_axes(flats, "flats", "flats, rows, columns")
        if len(flats) != len(self.levels):
            raise InputError(
                f"There are {len(flats)} flats; the eigen flats were found with "
                f"{len(self.levels)}. Give the same."
            )
        relative, mean, _ = _relative(flats, dark_frame(darks, flats), self.levels)
        return EigenFlats(mean, _mixed(relative, self.mixing), self.mixing, self.levels)

    def follow(self, transmission: Array, *, background: ArrayLike | Array | None = None) -> Array:
        """Coefficients of some projections.

        Parameters
        ----------
        transmission : array, shape (angles, rows, columns)
            Projections divided by the mean flat (FlatField with the median or mean of all flats
            as one group), of the rows of these eigen flats.
        background : array of bool, shape (rows, columns), optional
            Pixels that see no sample in any projection. Given, the coefficients are the least
            squares of these pixels against 1, and the level is fitted too; fast and exact.
            Otherwise they minimise the total variation of the corrected ``-log T``
            (:func:`~.dynamic_fit.fit_variation`): slow, a band of 128 rows is enough.

        Returns
        -------
        array, shape (angles, 1 + components), float32
            Level of each projection (1 without a background), and its w_k; on the device where
            the projections are.

        Raises
        ------
        InputError
            If shapes disagree, or the background has fewer pixels than unknowns.
        """
        frames = self._frames(transmission).astype(np.float32, copy=False)
        if background is None:
            return fit_variation(frames, self.eigen)
        return fit_background(frames, self.eigen, background)

    def apply(
        self, transmission: Array, coefficients: ArrayLike | Array, *, out: Array | None = None
    ) -> Array:
        """Divide the changes of the flat out of projections.

        Parameters
        ----------
        transmission : array, shape (angles, rows, columns)
            Divided by the mean flat, of the rows of these eigen flats. Integers become float32.
        coefficients : array, shape (angles, 1 + components)
            What :meth:`follow` gave for these projections; on either side.
        out : array, shape of the transmission, its dtype, optional
            May be the transmission itself.

        Returns
        -------
        array, shape (angles, rows, columns), float32 (float64 from float64)

        Raises
        ------
        InputError
            If shapes disagree.
        """
        frames = self._frames(transmission)
        xp = namespace(frames, self.eigen)
        numbers = xp.asarray(coefficients, np.float32)
        if numbers.shape != (len(frames), 1 + len(self.eigen)):
            raise InputError(
                f"coefficients has shape {numbers.shape}; it needs "
                f"{(len(frames), 1 + len(self.eigen))}, as follow() gives them."
            )
        out = output(out, frames.shape, frames.dtype, frames)

        def work(start: int, stop: int) -> None:
            flat, share = (xp.empty(self.mean.shape, np.float32) for _ in range(2))
            for frame, of_frame, target in zip(
                frames[start:stop], numbers[start:stop], out[start:stop]
            ):
                flat[...] = 1
                # A product of matrices costs several times this sum where BLAS has few cores.
                for weight, component in zip(of_frame[1:], self.eigen):
                    xp.multiply(component, weight, out=share)
                    flat += share
                # Twenty times darker than the mean is no drift of the beam.
                xp.maximum(flat, 0.05, out=flat)
                flat *= of_frame[0]
                xp.divide(frame, flat, out=target)

        if xp is np:
            parallel_for(work, len(frames))
        else:
            work(0, len(frames))
        return out

    def _frames(self, transmission: Array) -> Array:
        frames = floating(three_axes(transmission, "transmission", "angles, rows, columns"))
        if frames.shape[1:] != self.mean.shape:
            raise InputError(
                f"transmission has (rows, columns) {frames.shape[1:]} and the eigen flats "
                f"{self.mean.shape}; give both for the same rows."
            )
        return frames


def _relative(
    flats: Array, dark: Array, levels: NDArray[np.float64] | None
) -> tuple[Array, Array, NDArray[np.float64]]:
    """Flats over their level and mean, minus 1 (0 where dead); the mean; the levels."""
    xp = namespace(flats, dark)
    counts = flats.astype(np.float32) - dark
    if levels is None:
        levels = _on_host(xp.median(counts.reshape(len(counts), -1), axis=1)).astype(np.float64)
        if not (levels > 0).all():
            raise InputError(
                f"Flat {int(np.argmin(levels))} has the level {levels.min()} above its dark; leave "
                "out flats without beam."
            )
    counts /= xp.asarray(levels, np.float32)[:, None, None]
    mean = counts.mean(axis=0)
    alive = xp.isfinite(mean) & (mean > 0.02)
    mean = xp.where(alive, mean, np.nan)
    relative = xp.where(alive, counts / xp.where(alive, mean, 1) - 1, 0)
    return relative.astype(np.float32), mean, levels


def _mixed(relative: Array, mixing: NDArray[np.float64]) -> Array:
    xp = namespace(relative)
    weights = xp.asarray(mixing, np.float32)
    eigen = weights @ relative.reshape(len(relative), -1)
    return eigen.reshape(len(mixing), *relative.shape[1:])


def _above_noise(values: NDArray[np.float64]) -> int:
    """How many eigenvalues stand out; the smallest is 0, for the mean was subtracted."""
    noise = float(np.median(np.sort(values)[1:]))
    found = int((values > _ABOVE_NOISE * noise).sum())
    return min(found, MOST_COMPONENTS, len(values) - 1)


def _on_host(array: Array) -> Any:
    return array if namespace(array) is np else array.get()
