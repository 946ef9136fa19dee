"""What was measured of a scan before it is streamed, for its frames to be corrected by.

Made by :func:`hipct.pipeline.corrections_measure.measure_corrections` and applied by
:class:`hipct.pipeline.transmission.Transmission`. It holds vectors of one number a projection, and
the paths of files whose rows are opened where they are needed, so that it is small, can be sent to
other processes, and does not keep the frames of 196 sub-scans in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.core.arrays import Array
from hipct.core.device import Device
from hipct.preparation.distortion import Interpolation, Undistortion
from hipct.preparation.double_flat import apply_double_flat
from hipct.preparation.dynamic_flats import EigenFlats

Vector = NDArray[np.float64]

_TAP_BYTES = 16 * 12
"""Bytes a pixel of an undistortion by array code: index and weight of sixteen neighbours."""


@dataclass(frozen=True, eq=False)
class MatchedFlats:
    """Flats of a reference scan at some of its angles, between which the flat is linear.

    Attributes
    ----------
    path : Path
        The flats (knots, rows, columns), float32: less their dark, over the machine current where
        ``current`` is given; NaN at dead pixels.
    dark : Path
        Dark level (rows, columns), float32, of the reference: for scans without darks.
    knots : ndarray, shape (knots,)
        Their places among the frames of the reference.
    positions : ndarray, shape (projections,)
        Places of the projections (:func:`hipct.preparation.reference_windows.match_angles`).
    current : ndarray, shape (projections,), or None
        Machine current of the projections, in the unit of the reference's.
    """

    path: Path
    dark: Path
    knots: Vector
    positions: Vector
    current: Vector | None

    def runs(self, angles: slice) -> Iterator[tuple[slice, int]]:
        """Runs of projections between the same two knots, and the number of the first of these.

        The runs count from the first of the ``angles``; so no more than two flats are held,
        whatever the order of the projections.
        """
        places = self.positions[angles]
        after = np.searchsorted(self.knots, places, side="right")
        before = np.clip(after, 1, len(self.knots) - 1) - 1
        ends = [*(np.flatnonzero(np.diff(before)) + 1).tolist(), len(before)]
        first = 0
        for end in ends:
            yield slice(first, end), int(before[first])
            first = end

    def flats(self, knot: int, rows: slice) -> NDArray[np.float32]:
        """The flats at a knot and at the next one, (2, rows, columns)."""
        return np.array(np.load(self.path, mmap_mode="r")[knot : knot + 2, rows])


@dataclass(frozen=True, eq=False)
class BeamDrift:
    """How the flats of a scan differ, and how much of it is in each projection.

    Attributes
    ----------
    mixing, levels : ndarray, shapes (components, flats) and (flats,)
        Of :class:`hipct.preparation.dynamic_flats.EigenFlats`.
    coefficients : ndarray, shape (projections, 1 + components), float32
        Level and weights of the components in each projection.
    """

    mixing: Vector
    levels: Vector
    coefficients: NDArray[np.float32]

    def eigen_flats(self, flats: Array, darks: Array) -> EigenFlats:
        """The eigen flats of some rows, from their flats and darks."""
        nothing = np.empty((0, 0), np.float32)
        return EigenFlats(nothing, nothing[None], self.mixing, self.levels).of_rows(flats, darks)


@dataclass(frozen=True, eq=False)
class Corrections:
    """Corrections of one scan; each ``None`` where it is off.

    Attributes
    ----------
    flats : MatchedFlats or None
        Flats instead of the scan's own.
    drift : BeamDrift or None
        Flats that follow the beam.
    levels : ndarray, shape (projections,), or None
        Level of each projection, to be divided out: optic darkening.
    double_flat : Path or None
        File of a double flat field (rows, columns), float32, to be divided out.
    displacement : Path or None
        File of a distortion (rows, columns, 2), float64, as
        :class:`hipct.preparation.distortion.Undistortion` takes it.
    interpolation : {"cubic", "linear"}
        How the distortion is resampled.
    halo_rows : int
        Rows above and below that the distortion looks at, at most.
    notes : tuple of str
        What was found, as sentences.
    """

    flats: MatchedFlats | None = None
    drift: BeamDrift | None = None
    levels: Vector | None = None
    double_flat: Path | None = None
    displacement: Path | None = None
    interpolation: Interpolation = "cubic"
    halo_rows: int = 0
    notes: tuple[str, ...] = ()

    def work_bytes(self, rows: int, columns: int, angles: int) -> int:
        """Bytes that correcting blocks of so many angles of some rows takes, beside the blocks.

        Where flats are in :class:`~hipct.preparation.flat.FlatField` their own are not counted.
        """
        pixels, halo = rows * columns, 2 * self.halo_rows * columns
        size = 0
        if self.flats is not None:
            # Two flats, on their way to the device, and less than two of the array code.
            size += 6 * 4 * (pixels + halo)
        if self.drift is not None:
            components, flats = self.drift.mixing.shape
            # The counts and relative flats while the eigen flats are made of them.
            size += 4 * (components + 3 * flats + 4) * (pixels + halo)
        if self.double_flat is not None:
            # Itself, and what its inverse is made of.
            size += 6 * 4 * (pixels + halo)
        if self.displacement is not None:
            size += (_TAP_BYTES + 64) * pixels
            # The raw and the transmission of the halo, and the resampled block beside the other.
            size += angles * (8 * halo + 4 * pixels)
        return size

    def undistortion(self, rows: range) -> Undistortion | None:
        """The resampling that gives some rows, if there is a distortion."""
        if self.displacement is None:
            return None
        field: Any = np.load(self.displacement, mmap_mode="r")
        return Undistortion(field, slice(rows.start, rows.stop), interpolation=self.interpolation)


class PixelCorrections:
    """The corrections of some rows that follow the flat field, up to the zingers.

    Parameters
    ----------
    corrections : Corrections
        Of the scan.
    rows : slice
        Detector rows.
    eigen : EigenFlats or None
        The eigen flats of these rows, where the beam is followed.
    device : Device
        Where it is computed.
    """

    def __init__(
        self, corrections: Corrections, rows: slice, eigen: EigenFlats | None, device: Device
    ) -> None:
        self._drift, self._eigen, self._levels = corrections.drift, eigen, corrections.levels
        self._xp = device.xp
        self._double: Array | None = None
        if corrections.double_flat is not None:
            part = np.array(np.load(corrections.double_flat, mmap_mode="r")[rows])
            self._double = device.upload(part)

    @property
    def given(self) -> bool:
        """Whether there is anything to correct."""
        return any(one is not None for one in (self._drift, self._levels, self._double))

    def apply(self, transmission: Array, angles: slice) -> None:
        """Correct projections (angles, rows, columns), float32, in place."""
        if self._drift is not None and self._eigen is not None:
            self._eigen.apply(transmission, self._drift.coefficients[angles], out=transmission)
        if self._levels is not None:
            factors = self._xp.asarray(1 / self._levels[angles], np.float32)
            transmission *= factors[:, None, None]
        if self._double is not None:
            apply_double_flat(transmission, self._double, out=transmission)
