"""Detector distortion: projections resampled to where their pixels would be behind ideal optics.

The map is that of a corrected pixel to the place in the raw frame where its value is found (the
backward direction), as displacements in pixels. It comes from a radial polynomial or as a field:

- ``r_raw = r (k_0 + k_1 r + k_2 r^2 + ...)`` around a centre, the backward model of Vo, Atwood &
  Drakopoulos, Opt. Express 23 (2015) 32859; the coefficients that discorpy finds and algotom and
  httomolibgpu take (:func:`radial_displacement`);
- the maps ``map_z`` and ``map_x`` of nabu are places: subtract the pixels' own
  (:func:`displacement_of_maps`).

Values are interpolated, not redistributed: a constant stays that constant. It serves transmission,
whose faulty pixels are mended, or raw frames, all of them: projections, flats and darks alike.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError
from hipct.core.jit import has_numba
from hipct.core.threads import parallel_for
from hipct.preparation.checks import output, three_axes

Interpolation = Literal["linear", "cubic"]


def radial_displacement(
    rows: int, columns: int, centre_px: tuple[float, float], coefficients: ArrayLike
) -> NDArray[np.float64]:
    """Displacement field of a radial polynomial around a centre.

    Parameters
    ----------
    rows, columns : int
        Size of the whole detector.
    centre_px : (float, float)
        Centre of the distortion, (row, column). discorpy and algotom say x (column) first.
    coefficients : array_like, shape (terms,)
        k_0, k_1, k_2 ... of the backward model, per pixel to the power of the term; ``[1]`` is no
        distortion.

    Returns
    -------
    ndarray, shape (rows, columns, 2), float64
        Rows and columns to add to a corrected pixel's place.

    Raises
    ------
    InputError
        If a number is not finite or there is no coefficient.

    Examples
    --------
    >>> radial_displacement(3, 5, (1, 2), [1.0, 0.01])[1, :, 1].tolist()
    [-0.04, -0.01, 0.0, 0.01, 0.04]
    """
    factors = np.asarray(coefficients, dtype=np.float64)
    if factors.ndim != 1 or not factors.size or not np.isfinite([*factors, *centre_px]).all():
        raise InputError(
            f"The distortion has the centre {centre_px} and coefficients {factors.tolist()}; give "
            "the centre (row, column) and one finite coefficient or more."
        )
    row = np.arange(rows)[:, None] - centre_px[0]
    column = np.arange(columns)[None, :] - centre_px[1]
    radius = np.hypot(row, column)
    # k_0 - 1 first, so that no digits are lost in the difference of two large numbers.
    stretch = np.polynomial.polynomial.polyval(radius, [factors[0] - 1, *factors[1:]])
    return np.stack([row * stretch, column * stretch], axis=2)


def displacement_of_maps(map_rows: ArrayLike, map_columns: ArrayLike) -> NDArray[np.float64]:
    """Displacement field of two maps of places in the raw frame, (rows, columns) each.

    Raises
    ------
    InputError
        If the maps differ in shape.
    """
    places = [np.asarray(part, dtype=np.float64) for part in (map_rows, map_columns)]
    if places[0].ndim != 2 or places[0].shape != places[1].shape:
        raise InputError(
            f"The maps have shapes {places[0].shape} and {places[1].shape}; both need "
            "(rows, columns)."
        )
    field: NDArray[np.float64] = np.stack(places, axis=2) - np.moveaxis(
        np.indices(places[0].shape), 0, 2
    )
    return field


class Undistortion:
    """Resampling of some rows of frames.

    Parameters
    ----------
    displacement : array_like, shape (detector rows, columns, 2)
        Rows and columns from a corrected pixel to its place in the raw frame; host. Places beyond
        the detector take the value of its border.
    rows : slice
        Corrected rows that are wanted; all by default.
    interpolation : {"cubic", "linear"}
        Cubic (Keys, IEEE Trans. Acoust. Speech Signal Process. 29 (1981) 1153, a = -1/2) keeps
        fine detail that linear smooths, at three times the cost; both look at few neighbours, so
        that slabs give the numbers of the whole.

    Attributes
    ----------
    source : slice
        Detector rows that have to be read for them: the rows and their halo.

    Raises
    ------
    InputError
        If the displacement has another shape or values that are not finite.
    """

    def __init__(
        self,
        displacement: ArrayLike,
        rows: slice = slice(None),
        *,
        interpolation: Interpolation = "cubic",
    ) -> None:
        field = np.asarray(displacement, dtype=np.float64)
        if field.ndim != 3 or field.shape[2] != 2 or not np.isfinite(field).all():
            raise InputError(
                f"displacement has shape {field.shape}, or values that are not finite; it needs "
                "finite (rows, columns, 2)."
            )
        if interpolation not in ("linear", "cubic"):
            raise InputError(f"interpolation is {interpolation!r}; give 'linear' or 'cubic'.")
        wanted = range(field.shape[0])[rows]
        if len(wanted) == 0 or wanted.step != 1:
            raise InputError(f"rows is {rows}; give rows of the detector that follow one another.")
        part = field[wanted.start : wanted.stop]
        places = [
            np.arange(wanted.start, wanted.stop)[:, None] + part[..., 0],
            np.arange(field.shape[1])[None, :] + part[..., 1],
        ]
        taps = [
            _taps(place, size, interpolation)
            for place, size in zip(places, field.shape[:2], strict=True)
        ]
        read = taps[0][0]
        self._first = int(read.min())
        self.source = slice(self._first, int(read.max()) + 1)
        self._shape = (len(wanted), field.shape[1])
        self._taps = taps
        self._on: dict[str, Any] = {}

    def apply(self, frames: Array, *, out: Array | None = None) -> Array:
        """Corrected rows of frames.

        Parameters
        ----------
        frames : array, shape (frames, source rows, columns)
            Projections, flats or darks of any real dtype, the rows :attr:`source`.
        out : array, shape (frames, rows, columns), float32, optional
            Other memory than the frames.

        Returns
        -------
        array, shape (frames, rows, columns), float32

        Raises
        ------
        InputError
            If the shape is wrong.
        """
        frames = three_axes(frames, "frames", "frames, rows, columns")
        size = (self.source.stop - self.source.start, self._shape[1])
        if frames.shape[1:] != size:
            raise InputError(
                f"frames have (rows, columns) {frames.shape[1:]}; the detector rows "
                f"{self.source.start} to {self.source.stop - 1} with {size[1]} columns are needed."
            )
        xp = namespace(frames)
        out = output(out, (len(frames), *self._shape), np.float32, frames)
        if xp is np and has_numba():
            self._fused(frames, out)
            return out
        taps = self._gather(xp)
        for frame, target in zip(frames, out):
            values = frame.astype(np.float32).ravel()
            target[...] = 0
            for place, weight in taps:
                xp.add(target, values[place] * weight, out=target)
        return out

    def _fused(self, frames: NDArray[Any], out: NDArray[np.float32]) -> None:
        from hipct.preparation.distortion_numba import cubic_rows, linear_rows

        if "numba" not in self._on:
            (row, row_weight), (column, column_weight) = self._taps
            before = len(row) // 2 - 1
            self._on["numba"] = (
                row[before] - np.int32(self._first),
                row_weight,
                column[before],
                column_weight,
            )
        geometry = self._on["numba"]
        loop = cubic_rows if len(geometry[1]) == 4 else linear_rows
        native = frames.astype(frames.dtype.newbyteorder("="), copy=False)

        def work(start: int, stop: int) -> None:
            loop(native, *geometry, start, stop, out)

        parallel_for(work, self._shape[0])

    def _gather(self, xp: Any) -> list[tuple[Array, Array]]:
        """Index among the source's pixels and weight of each neighbour, made once a side."""
        if xp.__name__ not in self._on:
            (row, row_weight), (column, column_weight) = self._taps
            self._on[xp.__name__] = [
                (
                    xp.asarray((row[i] - self._first) * self._shape[1] + column[j]),
                    xp.asarray(row_weight[i] * column_weight[j]),
                )
                for i in range(len(row))
                for j in range(len(column))
            ]
        found: list[tuple[Array, Array]] = self._on[xp.__name__]
        return found


def undistort(
    frames: Array, displacement: ArrayLike, *, interpolation: Interpolation = "cubic"
) -> Array:
    """Corrected whole frames; see :class:`Undistortion`, which serves slabs.

    Examples
    --------
    >>> frame = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    >>> undistort(frame, np.full((3, 4, 2), [1.0, 0.5]), interpolation="linear")[0, 0].tolist()
    [4.5, 5.5, 6.5, 7.0]
    """
    resampling = Undistortion(displacement, interpolation=interpolation)
    return resampling.apply(frames[:, resampling.source])


def _taps(
    places: NDArray[np.float64], size: int, interpolation: Interpolation
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Neighbours of places along an axis, (neighbours, rows, columns), and their weights."""
    inside = np.clip(places, 0, size - 1)
    base = np.minimum(np.floor(inside), max(size - 2, 0)).astype(np.int32)
    t = inside - base
    if interpolation == "linear":
        weights = np.stack([1 - t, t])
        offsets = range(2)
    else:
        weights = np.stack(
            [
                t * (-0.5 + t * (1 - 0.5 * t)),
                1 + t * t * (-2.5 + 1.5 * t),
                t * (0.5 + t * (2 - 1.5 * t)),
                t * t * (-0.5 + 0.5 * t),
            ]
        )
        offsets = range(-1, 3)
    index = np.stack([np.clip(base + offset, 0, size - 1) for offset in offsets])
    return index, weights.astype(np.float32)
