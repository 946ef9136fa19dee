"""Where rows lie, how they are padded, weighted and filtered: what both engines share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.core.arrays import Array, fft_module, namespace
from hipct.core.errors import InputError
from hipct.reconstruction.filters import Filter, filter_response
from hipct.reconstruction.half import extended_width, lateral_weights, overlap_width
from hipct.reconstruction.lengths import fast_length
from hipct.reconstruction.weights import angular_weights, check_angles, largest_gap

Acquisition = Literal["full", "half"]
Padding = Literal["edge", "zero"]

LARGEST_HALF_GAP_RAD = np.pi / 2
"""A half-acquisition with a larger gap in its turn leaves rays that no projection measured."""


@dataclass(frozen=True, eq=False)
class Geometry:
    """One parallel-beam scan, validated, with the padded row worked out.

    A padded row has ``length`` samples, periodic; sample j holds the detector column
    ``source[j]`` times ``lateral[j]`` and stands at the column j (or j - length). The slice is::

        f(x, y) = sum_k weight[k] q_k(axis + x cos a_k + y sin a_k)

    where q_k is the padded row filtered with ``response`` and (x, y) is measured from the axis. The
    middle of the slice lies at ``centre_px``.

    Parameters
    ----------
    angles : array_like, shape (angles,)
        Radians.
    columns : int
        Width of the detector.
    axis : float, optional
        Rotation axis in columns (pixel centres at integers); (columns - 1) / 2 by default.
    acquisition, filter, padding, pixel_size_um, size, centre_px
        As in :func:`hipct.reconstruction.fbp`.

    Raises
    ------
    InputError
        If a value is out of its range.
    """

    angles: NDArray[np.float64]
    columns: int
    axis: float
    acquisition: Acquisition
    filter: Filter
    padding: Padding
    size: int
    weight: NDArray[np.float64] = field(repr=False)
    length: int
    source: NDArray[np.intp] = field(repr=False)
    lateral: NDArray[np.float32] = field(repr=False)
    response: NDArray[np.float64] = field(repr=False)
    reach: float
    """Radius in pixels of the circle that the detector sweeps; outside of it the slice is 0."""
    hole: float
    """Radius in pixels of the disc around the axis that no projection measured (0: none)."""
    centre_px: tuple[float, float] = (0.0, 0.0)
    """Middle of the slice (y, x) from the axis."""

    @classmethod
    def create(
        cls,
        angles: ArrayLike,
        columns: int,
        axis: float | None = None,
        *,
        acquisition: Acquisition = "full",
        filter: Filter = "ramp",
        padding: Padding = "edge",
        pixel_size_um: float | None = None,
        size: int | None = None,
        centre_px: tuple[float, float] = (0.0, 0.0),
    ) -> Geometry:
        """Validate a scan and work out its padded row (parameters as of the class)."""
        values = check_angles(angles)
        if columns < 2:
            raise InputError(f"The projections have {columns} columns; at least 2 are needed.")
        axis = (columns - 1) / 2 if axis is None else float(axis)
        _check_options(acquisition, padding, pixel_size_um)
        _check_axis(axis, columns, acquisition)
        half = acquisition == "half"
        period = 2 * np.pi if half else np.pi
        if half and (gap := largest_gap(values, period=period)) > LARGEST_HALF_GAP_RAD:
            raise InputError(
                f"The angles of this half-acquisition leave a gap of {np.rad2deg(gap):.1f} degrees "
                "in the turn, and at most 90 are allowed; give angles over 360 degrees, or "
                "acquisition='full' for a scan over 180."
            )
        width = extended_width(columns, axis)
        if size is None:
            size = width if half else columns
        if size < 1:
            raise InputError(f"The size of the slice is {size} pixels; give 1 or more.")
        length = _padded_length(2 * width if half else max(2 * columns, columns + width))
        source, lateral = _padded_row(columns, axis, length, half, padding)
        scale = 1.0 if pixel_size_um is None else 1e4 / pixel_size_um
        return cls(
            angles=values,
            columns=columns,
            axis=axis,
            acquisition=acquisition,
            filter=filter,
            padding=padding,
            size=int(size),
            weight=angular_weights(values, period=period, total=period) * scale,
            length=length,
            source=source,
            lateral=lateral,
            response=filter_response(filter, length),
            reach=max(axis, columns - 1 - axis) + 0.5,
            hole=max(0.0, -0.5 * overlap_width(columns, axis)) if half else 0.0,
            centre_px=_checked_centre(centre_px),
        )

    @property
    def pivot(self) -> tuple[float, float]:
        """Row and column of the slice, in pixels, where the axis stands."""
        middle = (self.size - 1) / 2
        return middle - self.centre_px[0], middle - self.centre_px[1]

    def pad(self, sinograms: Array) -> Array:
        """Padded and weighted rows: (slices, angles, columns) to (angles, length, slices)."""
        xp = namespace(sinograms)
        rows = xp.take(sinograms, xp.asarray(self.source), axis=2).astype(xp.float32, copy=False)
        rows *= xp.asarray(self.lateral)
        return xp.ascontiguousarray(xp.moveaxis(rows, 0, 2))

    def filtered_rows(self, sinograms: Array, angles: slice) -> Array:
        """Filtered rows of some angles: (slices, angles, columns) to (angles, length, slices)."""
        xp = namespace(sinograms)
        fft = fft_module(xp)
        spectra = fft.rfft(self.pad(sinograms[:, angles]), axis=1)
        check_finite(spectra)
        spectra *= xp.asarray(self.response.astype(np.float32))[:, None]
        return fft.irfft(spectra, n=self.length, axis=1)


def check_finite(spectra: Array) -> None:
    """Raise if a row held NaN or infinity; its sum, the element of frequency 0, tells."""
    xp = namespace(spectra)
    if not bool(xp.isfinite(spectra[:, 0]).all()):
        refuse_not_finite()


def refuse_not_finite() -> NoReturn:
    """Raise what :func:`check_finite` does, for those that have found out otherwise."""
    raise InputError(
        "The sinograms hold values that are not finite, or too large for float32; repair them "
        "before the reconstruction (hipct.preparation does so before the logarithm)."
    )


def inside_reach(geometry: Geometry, rows: slice = slice(None)) -> NDArray[np.bool_]:
    """Pixels that at least some projections see, for some rows of the slice: (rows, size)."""
    row, column = geometry.pivot
    pixels = np.arange(geometry.size)
    return (pixels[rows, None] - row) ** 2 + (pixels - column) ** 2 <= geometry.reach**2


def _check_options(acquisition: str, padding: str, pixel_size_um: float | None) -> None:
    if acquisition not in ("full", "half"):
        raise InputError(f"The acquisition is {acquisition!r}; it has to be 'full' or 'half'.")
    if padding not in ("edge", "zero"):
        raise InputError(f"The padding is {padding!r}; it has to be 'edge' or 'zero'.")
    if pixel_size_um is not None and not 0 < pixel_size_um < np.inf:
        raise InputError(
            f"The pixel size is {pixel_size_um} um; give a number above 0, or None for values "
            "per pixel."
        )


def _checked_centre(centre_px: tuple[float, float]) -> tuple[float, float]:
    try:
        y, x = (float(value) for value in centre_px)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"The centre of the slice is {centre_px!r}; give two numbers (y, x) in pixels from "
            "the axis."
        ) from error
    if not (np.isfinite(y) and np.isfinite(x)):
        raise InputError(f"The centre of the slice is {(y, x)}; its numbers have to be finite.")
    return y, x


def _check_axis(axis: float, columns: int, acquisition: str) -> None:
    if acquisition == "full" and not 0 <= axis <= columns - 1:
        raise InputError(
            f"The rotation axis is {axis}, off the detector's columns 0 to {columns - 1}, which a "
            "full scan cannot have; correct the axis, or give acquisition='half' if the scan "
            "covers 360 degrees."
        )
    if not -columns < axis < 2 * columns - 1:
        raise InputError(
            f"The rotation axis is {axis}; for {columns} columns it may lie at most one width of "
            "the detector outside of it."
        )


def _padded_length(at_least: int) -> int:
    """Smallest even length of small prime factors."""
    return 2 * fast_length((at_least + 1) // 2)


def _padded_row(
    columns: int, axis: float, length: int, half: bool, padding: Padding
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Detector column and weight of each sample of a padded row."""
    first = int(np.floor(axis)) - length // 2 if half else -((length - columns) // 2)
    index = np.arange(length)
    position = (index - first) % length + first
    source = np.clip(position, 0, columns - 1)
    weight = np.ones(length)
    if half:
        weight = lateral_weights(position, columns, axis)
    if padding == "zero":
        left_is_outer = axis > (columns - 1) / 2
        outside = (position < 0) | (position > columns - 1)
        if half:
            outside = position < 0 if left_is_outer else position > columns - 1
        weight[outside] = 0.0
    return source, weight.astype(np.float32)
