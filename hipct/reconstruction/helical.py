"""Helical scans: the sample moves along the axis while it turns, many times.

In a parallel beam every ray stays in the plane of its organ row, so a helical scan needs no cone
geometry: for each organ row it is a matter of finding the projections that saw it, at which
detector row they did, and of counting each direction once. A row is seen in as many turns as the
detector is taller than the pitch, at a place on the detector that falls (or rises) from turn to
turn. The turns are averaged with weights that fall smoothly to 0 towards the upper and lower edge
of the detector, divided by their sum over all turns that saw the row from that direction: what
the turns differ by then goes over from one to the other without a line in the slice.

The result is a sinogram of one turn for each organ row, all with the same angles, so that one plan
of the reconstruction serves the whole organ. Where turns do not repeat their angles they are
interpolated, linearly between two neighbouring projections.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError
from hipct.core.resampling import REACH, sample
from hipct.core.threads import parallel_for
from hipct.reconstruction.weights import check_angles

Acquisition = Literal["full", "half"]
Float = NDArray[np.float64]

_TAPER_SHARE = 0.25
"""Share of the detector's height over which weights rise from either edge."""
_SAME = 1e-3
"""Angles closer than this share of a step count as the same."""
_FINEST = 1024
"""Offsets are whole multiples of 1/1024 px: differences of rows are exact, whatever the slab."""


@dataclass(frozen=True, eq=False)
class Helix:
    """The path of a helical scan, and which organ rows it covers.

    Parameters
    ----------
    angles : array_like, shape (projections,)
        Radians in the order of the scan, rising or falling throughout; wrapped or not.
    offset_px : array_like, shape (projections,)
        Organ row of detector row 0 in each projection, in pixels.
    rows : int
        Height of the detector.
    acquisition : {"half", "full"}
        Half: each row needs 360 degrees; full: 180, of which a full turn holds two.
    border_rows : int
        Rows at the upper and lower edge of the detector that are not used.

    Attributes
    ----------
    turn : ndarray of float64, (angles,)
        The angles of the sinograms, one turn: give them to the reconstruction.
    organ_rows : range
        The longest run of organ rows that are seen from all directions.

    Raises
    ------
    InputError
        If numbers are missing or not finite, the angles turn back or cover less than they have to,
        or no organ row is seen from all directions.

    Examples
    --------
    >>> import numpy as np
    >>> number = np.arange(1000)
    >>> helix = Helix(number * 2 * np.pi / 100, number * 0.12, 32)
    >>> helix.turn.size, helix.organ_rows
    (100, range(12, 140))
    """

    angles: ArrayLike
    offset_px: ArrayLike
    rows: int
    acquisition: Acquisition = "half"
    border_rows: int = 0
    turn: Float = field(init=False, repr=False)
    organ_rows: range = field(init=False)
    _samples: _Samples = field(init=False, repr=False)

    def __post_init__(self) -> None:
        angles = np.unwrap(check_angles(self.angles))
        offset = np.asarray(self.offset_px, dtype=np.float64)
        if offset.shape != angles.shape or not np.isfinite(offset).all():
            raise InputError(
                f"offset_px has the shape {offset.shape}; give a finite number of pixels for each "
                f"of the {angles.size} projections."
            )
        if self.acquisition not in ("half", "full"):
            raise InputError(
                f"The acquisition is {self.acquisition!r}; it has to be 'full' or 'half'."
            )
        if not 0 <= 2 * self.border_rows < self.rows:
            raise InputError(
                f"Borders of {self.border_rows} rows leave nothing of the {self.rows} rows of the "
                "detector; give 0 or more, and less than half of the rows."
            )
        samples = _Samples.of(angles, offset, self.acquisition)
        put = object.__setattr__
        put(self, "_samples", samples)
        step = 2 * np.pi / samples.turn * np.sign(angles[-1] - angles[0])
        put(self, "turn", angles[0] + step * np.arange(samples.turn))
        lowest, highest = self.border_rows, self.rows - 1 - self.border_rows
        put(self, "organ_rows", _covered(samples, lowest, highest))

    def slab(self, rows: range, angles: range | None = None) -> HelicalSlab:
        """What some organ rows need: their projections and weights.

        Parameters
        ----------
        rows : range
            Organ rows, of :attr:`organ_rows`.
        angles : range, optional
            Angles of the turn that are wanted, by their number; all by default. Those of others are
            neither read nor weighed.

        Raises
        ------
        InputError
            If the rows are not all covered, or the turn has no such angles.
        """
        covered = self.organ_rows
        if not (len(rows) and rows.step == 1 and rows[0] in covered and rows[-1] in covered):
            raise InputError(
                f"The organ rows {rows.start} to {rows.stop} (exclusive) are not all seen from all "
                f"directions; give rows between {covered.start} and {covered.stop}."
            )
        samples = self._samples
        angles = range(samples.turn) if angles is None else angles
        if not (len(angles) and angles.step == 1 and 0 <= angles[0] <= angles[-1] < samples.turn):
            raise InputError(
                f"The angles {angles.start} to {angles.stop} (exclusive) are not all of the turn; "
                f"give numbers between 0 and {samples.turn}."
            )
        lowest, highest = self.border_rows, self.rows - 1 - self.border_rows
        numbers = samples.looking_as(angles)
        offsets = samples.offset[numbers]
        seen = numbers[(offsets + lowest <= rows[-1]) & (offsets + highest >= rows[0])]
        place = np.arange(rows.start, rows.stop)[:, None] - samples.offset[seen]
        taper = max(1.0, _TAPER_SHARE * (highest - lowest + 1))
        inward = np.minimum(place - lowest, highest - place)
        weight = np.sin(0.5 * np.pi * np.clip((inward + 0.5) / taper, 0.0, 1.0)) ** 2
        weight[inward < -1e-9] = 0.0
        total = np.zeros((samples.groups, len(rows)))
        np.add.at(total, seen % samples.groups, weight.T)
        # Rows of all directions count 1 in the mean: 2 for one that stands for its opposite too.
        weight *= samples.turn / samples.groups / total.T[:, seen % samples.groups]
        number = seen % samples.turn
        used = weight.any(axis=0) & (number >= angles.start) & (number < angles.stop)
        return HelicalSlab(rows, angles, self.rows, samples, seen[used], weight[:, used])


@dataclass(frozen=True, eq=False)
class HelicalSlab:
    """Sinograms of some organ rows, gathered from blocks of projections.

    Made by :meth:`Helix.slab`. For each range of :meth:`blocks`, read the :meth:`detector_rows`
    of these projections, take their line integrals, and :meth:`add` them to sinograms that begin
    as zeros.
    """

    rows: range
    turn: range
    """Angles of the turn that it has."""
    detector: int
    samples: _Samples = field(repr=False)
    used: NDArray[np.intp] = field(repr=False)
    weight: Float = field(repr=False)

    @property
    def angles(self) -> int:
        """Angles of the sinograms."""
        return len(self.turn)

    def blocks(self, size: int) -> list[range]:
        """Ranges of projections, of at most ``size`` (2 or more), that hold all that is needed.

        They overlap by one where projections are interpolated. Between turns of which some angles
        alone are wanted, what nobody needs is left out.
        """
        samples = self.samples
        overlap, last = samples.overlap, len(samples.offset_of) - 1
        before = samples.before[self.used]
        needed = np.zeros(last + 1, np.int8)
        needed[before] = needed[np.minimum(before + overlap, last)] = 1
        edges = np.flatnonzero(np.diff(needed, prepend=0, append=0))
        return [
            range(start, min(start + size, int(stop)))
            for first, stop in zip(edges[::2], edges[1::2])
            for start in range(int(first), int(stop), max(1, size - overlap))
            if start == first or start + overlap < stop
        ]

    def detector_rows(self, projections: range) -> range:
        """Detector rows of these projections that are needed, with those that interpolate."""
        offsets = self.samples.offset_of[projections.start : projections.stop]
        first = math.floor(self.rows[0] - float(offsets.max())) - REACH + 1
        last = math.floor(self.rows[-1] - float(offsets.min())) + REACH
        first, last = max(0, first), min(self.detector - 1, last)
        return range(min(first, self.detector - 1), max(last, 0) + 1)

    def add(
        self, projections: Array, block: range, out: Array, *, first_detector_row: int = 0
    ) -> None:
        """Add what a block of projections knows of the organ rows.

        Parameters
        ----------
        projections : array, shape (len(block), detector rows, columns)
            Line integrals, float32 or float64, of these projections of the scan.
        block : range
            One of :meth:`blocks`.
        out : array, shape (organ rows, angles, columns), dtype of the projections
            Zeros before the first block.
        first_detector_row : int
            Which row of the detector the first one of ``projections`` is.

        Raises
        ------
        InputError
            If shapes or dtypes do not fit.
        """
        xp = namespace(projections, out)
        self._check(projections, block, out)
        chosen, weight, groups = self._of(block)
        weight = xp.asarray(weight.astype(out.dtype))
        # Samples of one angle in several turns go to the same place: one thread takes them all.
        bounds = np.flatnonzero(np.diff(groups, prepend=-1, append=-1))

        def work(start: int, stop: int) -> None:
            for k in range(int(bounds[start]), int(bounds[stop])):
                values = self._values(projections, int(chosen[k]), block, first_detector_row)
                values *= weight[:, k : k + 1]
                out[:, int(groups[k])] += values

        if xp is np:
            parallel_for(work, len(bounds) - 1)
        elif len(bounds) > 1:
            work(0, len(bounds) - 1)

    def _of(self, block: range) -> tuple[NDArray[np.intp], Float, NDArray[np.intp]]:
        """Samples of a block, their weights and their angles, by angle."""
        samples = self.samples
        before = samples.before[self.used]
        stop = block.stop - samples.overlap
        # The last projection of the scan has no next block.
        inside = (before >= block.start) & (
            (before < stop) | (before == len(samples.offset_of) - 1)
        )
        chosen = np.flatnonzero(inside & (before < block.stop))
        groups = self.used[chosen] % samples.turn - self.turn.start
        order = np.argsort(groups, kind="stable")
        chosen = chosen[order]
        return self.used[chosen], self.weight[:, chosen], groups[order]

    def _values(self, projections: Array, k: int, block: range, first_row: int) -> Array:
        """Values of a sample in the organ rows: (organ rows, columns)."""
        samples = self.samples
        number, share = int(samples.before[k]), float(samples.share[k])
        values = self._rows_of(projections, number, block, first_row)
        if share > 0:
            values *= 1.0 - share
            values += share * self._rows_of(projections, number + 1, block, first_row)
        return values

    def _rows_of(self, projections: Array, number: int, block: range, first_row: int) -> Array:
        start = self.rows[0] - float(self.samples.offset_of[number]) - first_row
        return sample(projections[number - block.start], start, len(self.rows), axis=0)

    def _check(self, projections: Array, block: range, out: Array) -> None:
        if projections.ndim != 3 or projections.shape[0] != len(block):
            raise InputError(
                f"The projections have the shape {projections.shape}; (projections, detector rows, "
                f"columns) with the {len(block)} projections of the block is needed."
            )
        shape = (len(self.rows), self.angles, projections.shape[2])
        if out.shape != shape or out.dtype != projections.dtype or out.dtype.kind != "f":
            raise InputError(
                f"The sinograms are {out.dtype} of the shape {out.shape}, the projections "
                f"{projections.dtype}; both have to be of one floating dtype, and the sinograms of "
                f"the shape {shape}."
            )


@dataclass(frozen=True, eq=False)
class _Samples:
    """The scan at evenly spaced angles, a whole number a turn."""

    turn: int
    """Samples a turn."""
    groups: int
    """Directions that have to be seen: samples of a turn, or of half a turn."""
    before: NDArray[np.intp]
    """Projection at or before each sample."""
    share: Float
    """Share of the next projection."""
    offset: Float
    """Organ row of detector row 0 at each sample."""
    offset_of: Float
    """The same at each projection."""

    @property
    def overlap(self) -> int:
        """Projections that neighbouring blocks have to share."""
        return int((self.share > 0).any())

    def looking_as(self, angles: range) -> NDArray[np.intp]:
        """Samples of all turns from the directions of some angles, opposite ones among them."""
        wanted = np.zeros(self.groups, bool)
        wanted[np.arange(angles.start, angles.stop) % self.groups] = True
        every = np.arange(self.offset.size)
        return every[wanted[every % self.groups]]

    @classmethod
    def of(cls, angles: Float, offset: Float, acquisition: Acquisition) -> _Samples:
        steps = np.diff(angles)
        if angles.size < 3 or not ((steps > 0).all() or (steps < 0).all()):
            raise InputError(
                "The angles of the helical scan turn back or stand still; they have to rise, or "
                "fall, from each projection to the next."
            )
        turned = np.abs(angles - angles[0])
        offset = np.round(offset * _FINEST) / _FINEST
        step = turned[-1] / (angles.size - 1)
        turn = 2 * round(math.pi / step) if acquisition == "full" else round(2 * math.pi / step)
        needed = math.pi if acquisition == "full" else 2 * math.pi
        if turned[-1] < needed - 2 * step:
            raise InputError(
                f"The angles of the helical scan cover {math.degrees(turned[-1]):.1f} degrees; a "
                f"{acquisition} acquisition needs {math.degrees(needed):.0f} for each organ row."
            )
        pitch = 2 * math.pi / turn
        count = math.floor(turned[-1] / pitch + _SAME) + 1
        place = np.interp(np.arange(count) * pitch, turned, np.arange(angles.size))
        before = np.floor(place + _SAME).astype(np.intp)
        share = np.where(place - before < _SAME, 0.0, place - before)
        return cls(
            turn=turn,
            groups=turn // 2 if acquisition == "full" else turn,
            before=before,
            share=share,
            offset=np.round(np.interp(place, np.arange(angles.size), offset) * _FINEST) / _FINEST,
            offset_of=offset,
        )


def _covered(samples: _Samples, lowest: int, highest: int) -> range:
    """The longest run of organ rows that every direction has seen."""
    first = math.ceil(float(samples.offset.min()) + lowest)
    length = math.floor(float(samples.offset.max()) + highest) - first + 1
    gaps = np.zeros(max(length, 0) + 1, np.int64)
    turns = -(-samples.offset.size // samples.groups)
    padded = np.full(turns * samples.groups, np.inf)
    padded[: samples.offset.size] = samples.offset
    offsets = np.sort(padded.reshape(turns, samples.groups), axis=0)
    seen_until = np.full(samples.groups, first - 1, np.int64)
    # Rows that no turn so far has seen, and the next one begins below: one direction each.
    for offset in (*offsets, np.full(samples.groups, np.inf)):
        begin = np.ceil(np.minimum(offset + lowest, first + length) - 1e-9).astype(np.int64)
        end = np.floor(np.minimum(offset + highest, first + length) + 1e-9).astype(np.int64)
        hole = begin > seen_until + 1
        np.add.at(gaps, seen_until[hole] + 1 - first, 1)
        np.add.at(gaps, begin[hole] - first, -1)
        seen_until = np.maximum(seen_until, end)
    return _longest_run(np.cumsum(gaps)[:length] == 0, first)


def _longest_run(good: Sequence[Any] | NDArray[np.bool_], first: int) -> range:
    edges = np.flatnonzero(np.diff(np.asarray(good, np.int8), prepend=0, append=0))
    if not edges.size:
        raise InputError(
            "No organ row of the helical scan is seen from all directions; the sample moves by "
            "more than the height of the detector in a turn: look at offset_px and the angles."
        )
    starts, stops = edges[::2], edges[1::2]
    best = int(np.argmax(stops - starts))
    return range(first + int(starts[best]), first + int(stops[best]))
