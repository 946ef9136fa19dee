"""What lies beside the field of a half-acquisition, guessed from the shape of what lies in it.

The ramp filter needs whole rows. Where the sample is larger than the field, something has to stand
beside them; a row continued by its edge value for ever is a sample without end, and the slice
pays with a level that is too low and falls towards the rim (a quarter of it at 1.1 times the
field). Once the jar's level is divided out, or in air, rows do end: with the sample. Rows of a
body of elliptic outline and even density are chords,

    p(t)^2 = A^2 (s^2 - (t - t0)^2),

so the square of a row is a parabola. That is the continuation used here: the square goes on with
its own value and slope at the edge and with the curvature of the whole row, down to 0, which
it does not leave again. For ellipses of any place, tilt and density it is exact. Hsieh et al.,
Med. Phys. 31 (2004) 2385, do this with circles of water; here the curvature is measured,
and the other half of the row comes from the opposite projection.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError
from hipct.core.threads import parallel_for
from hipct.preparation.checks import floating, output, three_axes
from hipct.preparation.opposite import Opposites, Strip

_EDGE_SHARE = 16
"""The slope at the edge is that of this fraction of the columns: long against noise and detail."""
_FEWEST_EDGE_COLUMNS = 4
_BLOCK = 64


def continue_outside(
    sinograms: Array,
    angles: ArrayLike,
    axis: float,
    extra_px: int,
    *,
    out: Array | None = None,
) -> tuple[Array, float]:
    """Rows of a half-acquisition with the rest of the sample beside their outer edge.

    For samples up to about 1.25 times the field on a ground of zero (air, or the jar's level
    divided out), where it brings the level back to within a per cent. A sample that ends within
    the field stays as it is: its rows end at zero, and so does what continues them.

    Parameters
    ----------
    sinograms : array, shape (slices, angles, columns)
        Line integrals of a half-acquisition, finite. Integers become float32.
    angles : array_like, shape (angles,)
        Radians over about 360 degrees or more, in any order.
    axis : float
        Rotation axis in columns.
    extra_px : int
        Columns to add: how far the sample reaches beyond the field, or a little more.
    out : array, shape (slices, angles, columns + extra_px), the sinograms' dtype, optional

    Returns
    -------
    rows : array, shape (slices, angles, columns + extra_px), float32 (float64 from float64)
    axis : float
        The axis in their columns. Reconstruct them with the size of the measured field,
        ``extended_width(columns, axis)`` of the detector; what lies further out is a guess.

    Raises
    ------
    InputError
        If a shape or dtype is wrong, an angle is not finite, there are fewer than 16 columns, or
        ``extra_px`` is not between 1 and twice the columns.

    Examples
    --------
    >>> import numpy as np
    >>> angles = np.arange(6) * np.pi / 3
    >>> chord = lambda t: 2 * np.sqrt(np.maximum(40.0**2 - t**2, 0))
    >>> rows = np.tile(chord(np.arange(40) - 35.0), (1, 6, 1))
    >>> wide, wide_axis = continue_outside(rows, angles, 35.0, 10)
    >>> wide_axis, bool(abs(wide - chord(np.arange(50) - wide_axis)).max() < 1e-4)
    (45.0, True)
    """
    sinograms = floating(three_axes(sinograms, "sinograms", "slices, angles, columns"))
    xp = namespace(sinograms)
    slices, count, columns = sinograms.shape
    strip = Strip(columns, axis)
    if columns < 4 * _FEWEST_EDGE_COLUMNS:
        raise InputError(
            f"The rows have {columns} columns; {4 * _FEWEST_EDGE_COLUMNS} or more are needed to "
            "tell how they go on."
        )
    if not 1 <= extra_px <= 2 * columns:
        raise InputError(
            f"extra_px is {extra_px}; it has to lie between 1 and {2 * columns}, twice the columns."
        )
    opposites = Opposites.of(angles, count)
    fit = _Parabola(strip, opposites, sinograms.dtype, xp)
    out = output(out, (slices, count, columns + extra_px), sinograms.dtype, sinograms)
    left = strip.outer_is_left
    parts = _parts(xp, count)

    def work(start: int, stop: int) -> None:
        for k in range(start, stop):
            bend = fit.bend(sinograms[k])
            for part in parts:
                rows = sinograms[k, part]
                beyond = fit.beyond(rows, bend[part], extra_px)
                if left:
                    out[k, part, extra_px:] = rows
                    out[k, part, :extra_px] = beyond[:, ::-1]
                else:
                    out[k, part, :columns] = rows
                    out[k, part, columns:] = beyond

    if xp is np:
        parallel_for(work, slices)
    else:
        work(0, slices)
    return out, axis + extra_px if left else axis


class _Parabola:
    """Squares of rows as parabolas of the distance from the axis, in units of the field's radius.

    All that depends on the geometry alone is worked out once, as vectors that rows are multiplied
    with.
    """

    def __init__(self, strip: Strip, opposites: Opposites, dtype: Any, xp: Any) -> None:
        columns = strip.columns
        outward = np.arange(columns) - strip.axis
        if strip.outer_is_left:
            outward = -outward
        self._reach = float(outward.max())
        weight = strip.counts_once()
        powers = (outward / self._reach) ** np.arange(3)[:, None]
        # The opposite's columns stand at -v: odd moments change their sign.
        mirror = np.array([1.0, -1.0, 1.0])
        gram = (powers * weight) @ powers.T
        gram += gram * np.outer(mirror, mirror)
        curvature = np.linalg.inv(gram)[2]
        edge = max(_FEWEST_EDGE_COLUMNS, columns // _EDGE_SHARE)
        inward = np.arange(edge)
        line = np.linalg.pinv(np.stack([np.ones(edge), -1.0 * inward], axis=1))
        self._left = strip.outer_is_left
        self._edge = slice(0, edge) if self._left else slice(columns - edge, columns)
        self._opposites = opposites

        def on_device(values: NDArray[np.float64]) -> Array:
            return xp.asarray(np.ascontiguousarray(values).astype(dtype))

        both = np.stack([curvature, mirror * curvature], axis=1)
        self._moments = on_device((powers * weight).T @ both)
        self._line = on_device((line if self._left else line[:, ::-1]).T)
        self._bend = line @ (inward**2)

    def bend(self, rows: Array) -> Array:
        """Curvature of the squares in 1/column^2, (angles, columns) to (angles,).

        From the row's own columns, and those of the opposite row where it has the sample's rest.
        """
        xp = namespace(rows)
        found = xp.empty((len(rows), 2), rows.dtype)
        for part in _parts(xp, len(rows)):
            found[part] = _square(rows[part]) @ self._moments
        return (found[:, 0] + self._opposites.take(found[None, :, 1])[0]) / self._reach**2

    def beyond(self, rows: Array, bend: Array, extra: int) -> Array:
        """Values at 1, 2, ... columns beyond the outer edge: (angles, columns) to (angles, extra).

        Parameters
        ----------
        rows : array, shape (angles, columns)
        bend : array, shape (angles,)
            What :meth:`bend` found for them.
        extra : int
            Number of columns.
        """
        xp = namespace(rows)
        line = _square(rows[:, self._edge]) @ self._line
        start = line[:, 0] - bend * float(self._bend[0])
        slope = line[:, 1] - bend * float(self._bend[1])
        # A body bends its rows towards zero, a hole in the ground (negative) the other way.
        sign = -xp.sign(bend)
        start, slope = sign * start, sign * slope
        # It has to end with the columns added, however flat it is.
        bend = xp.minimum(-xp.abs(bend), -(start + slope * extra) / extra**2)
        distance = xp.arange(1, extra + 1, dtype=rows.dtype)
        square = start[:, None] + slope[:, None] * distance + bend[:, None] * distance**2
        # What has ended before the edge has no rest.
        inside = (square > 0) & (start > 0)[:, None]
        return sign[:, None] * xp.sqrt(xp.where(inside, square, 0))


def _square(rows: Array) -> Array:
    """Squares, which keep their sign."""
    xp = namespace(rows)
    return rows * xp.abs(rows)


def _parts(xp: Any, angles: int) -> list[slice]:
    """Rows of a sinogram that stay in the cache together; on a device all of them."""
    step = _BLOCK if xp is np else angles
    return [slice(k, min(k + step, angles)) for k in range(0, angles, step)]
