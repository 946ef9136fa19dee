"""Flats from a reference scan: for every angle its own, fine part and smooth part apart.

    F(angle) = mean over the wide window of (R - G R) + mean over the narrow window of G R,

R the dark-subtracted frames of a reference scan (a jar with the mounting medium alone), G a wide
Gaussian; the mean becomes a median where bubbles pass. This is how HiP-CT flats are made at the
ESRF's BM05 and BM18 (Walsh et al., Nature Methods 18 (2021) 1532; windows as in
:mod:`hipct.preparation.reference_windows`).

Two passes over the reference scan, neither of which holds more than a few frames:

1. :class:`SmoothReference` takes all rows of all frames and keeps their low-pass parts, some 80 by
   80 numbers for a group of frames (:mod:`hipct.preparation.lowpass`).
2. :class:`ReferenceFlats` slides over the angles of some rows and keeps the groups of frames of the
   wide window. It gives a :class:`~hipct.preparation.flat.FlatField` for a block of angles, whose
   groups of flats are the knots around the block, with the place among the frames of the
   reference scan as their time.

Rows need no halo, blocks of any length and any order give the same numbers.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError
from hipct.preparation.checks import per_frame, three_axes
from hipct.preparation.flat import DEAD_SHARE, FlatField
from hipct.preparation.flat_times import usable_currents
from hipct.preparation.lowpass import LowPass
from hipct.preparation.reduction import reduce_frames
from hipct.preparation.reference_windows import Grouping, ReferenceWindows
from hipct.preparation.references import mark_dead

_AT_A_TIME = 16
"""Frames whose sum is added to that of the others, so that float32 is enough for thousands."""


class SmoothReference:
    """Low-pass parts of a whole reference scan, in groups of frames.

    Parameters
    ----------
    frames : int
        Frames of the reference scan that count (:func:`~.reference_windows.match_angles`).
    rows, columns : int
        Size of the whole detector.
    windows : ReferenceWindows
    closed : bool
        Whether the frames are a full turn, so that windows wrap around.
    xp : module
        Array namespace of the frames, ``numpy`` or ``cupy``.

    Raises
    ------
    InputError
        If there are fewer than 2 frames, or the size is below 1.
    """

    def __init__(
        self,
        frames: int,
        rows: int,
        columns: int,
        windows: ReferenceWindows,
        *,
        closed: bool = True,
        xp: ModuleType = np,
    ) -> None:
        if frames < 2:
            raise InputError(f"The reference scan has {frames} frames; 2 or more are needed.")
        self.frames, self.rows, self.columns, self.windows = frames, rows, columns, windows
        self.wide = Grouping.create(frames, windows.wide, closed=closed)
        self.narrow = Grouping.create(frames, windows.narrow, closed=closed)
        self._low_pass = LowPass.create(rows, columns, windows.sigma_px, xp=xp)
        size = (self._low_pass.along_rows.shape[1], self._low_pass.along_columns.shape[1])
        self._sums = {
            grouping: xp.zeros((grouping.groups, *size), np.float32)
            for grouping in (self.wide, self.narrow)
        }
        self._values = np.zeros(frames, np.int64)

    def feed(
        self,
        frames: Array,
        first: int,
        *,
        dark: Array | None = None,
        current: ArrayLike | None = None,
        rows: slice = slice(None),
    ) -> None:
        """Take some rows of some frames; each row of each frame once, in any order.

        Parameters
        ----------
        frames : array, shape (frames, rows, columns)
            Raw counts of any real dtype; values that are not finite count as 0.
        first : int
            Number of the first of them in the reference scan.
        dark : array, shape (rows, columns), float32, optional
            Dark level of these rows (:func:`hipct.preparation.references.dark_frame`).
        current : array_like, shape (frames,), optional
            Machine current of these frames, above 0.
        rows : slice
            Which rows of the detector these are.

        Raises
        ------
        InputError
            If frames or rows do not fit the reference scan.
        """
        frames = three_axes(frames, "frames", "frames, rows, columns")
        size = (len(range(self.rows)[rows]), self.columns)
        _fits(frames, first, self.frames, size)
        scale = _scale(current, len(frames))
        borders = np.union1d(self.wide.borders, self.narrow.borders)
        cuts = [first, *borders[(borders > first) & (borders < first + len(frames))].tolist()]
        for start, stop in zip(cuts, [*cuts[1:], first + len(frames)]):
            part = slice(start - first, stop - first)
            total = _sum(frames[part], scale[part], dark, keep_unknown=False)
            added = self._low_pass.coefficients(total, rows)
            for grouping, sums in self._sums.items():
                sums[grouping.parts(start, 1)[0][0]] += added
        self._values[first : first + len(frames)] += size[0]

    def check(self) -> None:
        """Raise :class:`InputError` unless every row of every frame was fed, once."""
        wrong = np.flatnonzero(self._values != self.rows)
        if wrong.size:
            raise InputError(
                f"Frame {wrong[0]} of the reference scan was fed with {self._values[wrong[0]]} "
                f"rows; every frame needs its {self.rows} rows, each once."
            )

    def group(self, grouping: Grouping, members: list[int], rows: slice) -> Array:
        """Low-pass frames of groups, (members, rows, columns), or of their mean as the one frame.

        With a median wanted the members stay apart.
        """
        xp = namespace(self._sums[grouping])
        sizes = np.diff(grouping.borders)[members]
        picked = xp.stack([self._sums[grouping][group] for group in members])
        means = picked / xp.asarray(sizes, np.float32)[:, None, None]
        if self.windows.reduction == "mean":
            means = means.mean(axis=0, keepdims=True)
        return self._low_pass.frame(means, rows)


class ReferenceFlats:
    """Flats of some rows, from a reference scan, for blocks of angles.

    ``for part in flats.missing(positions)`` read and :meth:`feed` these frames, then
    ``flats.flat_field(positions).apply(projections, projection_index=positions)``. From block to
    block only the groups of frames of the windows are kept, in float32: about
    ``GROUPS (1 + angles of a block / wide) + 1`` frames of the rows.

    Parameters
    ----------
    smooth : SmoothReference
        Fed with the whole reference scan.
    rows : slice
        The rows of the detector.
    dark : array, shape (rows, columns), float32, optional
        Their dark level in the reference scan (:func:`~.references.dark_frame`).
    projection_dark : array, shape (rows, columns), float32, optional
        Their dark level in the scan that is divided; that of the reference scan by default.
    dead_share : float
        As of :meth:`hipct.preparation.flat.FlatField.from_frames`.

    Raises
    ------
    InputError
        If not all of the reference scan was fed to ``smooth``, or shapes disagree.
    """

    def __init__(
        self,
        smooth: SmoothReference,
        rows: slice = slice(None),
        *,
        dark: Array | None = None,
        projection_dark: Array | None = None,
        dead_share: float = DEAD_SHARE,
    ) -> None:
        smooth.check()
        self._smooth, self._rows, self._dead_share = smooth, rows, dead_share
        self._size = (len(range(smooth.rows)[rows]), smooth.columns)
        for name, frame in (("dark", dark), ("projection_dark", projection_dark)):
            if frame is not None and frame.shape != self._size:
                raise InputError(
                    f"{name} has shape {frame.shape}; the rows have the size {self._size}."
                )
        self._dark = dark
        self._projection_dark = dark if projection_dark is None else projection_dark
        self._sums: dict[int, Array] = {}
        self._fed: dict[int, int] = {}
        self._with_current: bool | None = None

    def missing(self, positions: ArrayLike) -> list[range]:
        """Frames of the reference scan to feed before the flats of these positions.

        Groups that these positions do not need are forgotten.

        Parameters
        ----------
        positions : array_like, shape (angles,)
            Places among the frames (:func:`~.reference_windows.match_angles`).

        Returns
        -------
        list of range
            Whole groups, neighbours joined; may be read and fed in smaller parts.
        """
        needed = self._needed(self._knots(positions))
        self._sums = {group: held for group, held in self._sums.items() if group in needed}
        self._fed = {group: fed for group, fed in self._fed.items() if group in needed}
        borders = self._smooth.wide.borders
        runs: list[range] = []
        for group in sorted(needed - set(self._sums)):
            start, stop = int(borders[group]), int(borders[group + 1])
            if runs and runs[-1].stop == start:
                runs[-1] = range(runs[-1].start, stop)
            else:
                runs.append(range(start, stop))
        return runs

    def feed(self, frames: Array, first: int, *, current: ArrayLike | None = None) -> None:
        """Take some of the frames that :meth:`missing` asked for, these rows of them.

        Parameters
        ----------
        frames : array, shape (frames, rows, columns)
            Raw counts of any real dtype.
        first : int
            Number of the first of them in the reference scan.
        current : array_like, shape (frames,), optional
            Machine current of these frames, above 0; for all frames or for none.

        Raises
        ------
        InputError
            If shapes or currents do not fit.
        """
        frames = three_axes(frames, "frames", "frames, rows, columns")
        _fits(frames, first, self._smooth.frames, self._size)
        if self._with_current not in (None, current is not None):
            raise InputError(
                "Some frames of the reference scan came with a machine current and some without; "
                "give it for all or for none."
            )
        self._with_current = current is not None
        scale = _scale(current, len(frames))
        for group, start, stop in self._smooth.wide.parts(first, len(frames)):
            part = slice(start - first, stop - first)
            total = _sum(frames[part], scale[part], self._dark, keep_unknown=True)
            held = self._sums.get(group)
            self._sums[group] = total if held is None else held + total
            self._fed[group] = self._fed.get(group, 0) + stop - start

    def flat_field(self, positions: ArrayLike) -> FlatField:
        """Flats for projections at some positions among the frames of the reference scan.

        Returns
        -------
        FlatField
            To be applied with ``projection_index=positions``.

        Raises
        ------
        InputError
            If frames that :meth:`missing` named were not fed.
        """
        knots = self._knots(positions)
        self._check_fed(self._needed(knots))
        fine: dict[int, Array] = {}
        xp = namespace(next(iter(self._sums.values())))
        references = xp.empty((len(knots), *self._size), np.float32)
        for place, knot in enumerate(knots):
            references[place] = self._reference(knot, fine)
            mark_dead(references[place : place + 1], self._dead_share)
        dark = self._projection_dark
        dark = xp.zeros(self._size, np.float32) if dark is None else dark
        return FlatField(dark, references, knots, bool(self._with_current))

    def _reference(self, knot: float, fine: dict[int, Array]) -> Array:
        """The flat at a knot; ``fine`` keeps the high-pass parts of the knots of the block."""
        total: Array = 0
        for wide, weight in self._smooth.wide.around(knot):
            if wide not in fine:
                fine[wide] = self._high_pass(wide)
            total = total + np.float32(weight) * fine[wide]
        for narrow, weight in self._smooth.narrow.around(knot):
            members = self._smooth.narrow.members(narrow)
            smooth = self._smooth.group(self._smooth.narrow, members, self._rows)
            total = total + np.float32(weight) * self._reduced(smooth)
        return total

    def _high_pass(self, knot: int) -> Array:
        """Fine part of the flat around a knot of the wide windows."""
        wide = self._smooth.wide
        members = wide.members(knot)
        smooth = self._smooth.group(wide, members, self._rows)
        if self._smooth.windows.reduction == "mean":
            total = -smooth[0]
            for group in members:
                total += self._sums[group] * np.float32(1 / (self._fed[group] * len(members)))
            return total
        means = [self._sums[group] * np.float32(1 / self._fed[group]) for group in members]
        return self._reduced(namespace(smooth).stack(means) - smooth)

    def _reduced(self, frames: Array) -> Array:
        if len(frames) == 1:
            return frames[0]
        return reduce_frames(frames, self._smooth.windows.reduction)

    def _knots(self, positions: ArrayLike) -> NDArray[np.float64]:
        """Places between which the flat is linear and that enclose the positions."""
        places = np.atleast_1d(np.asarray(positions, dtype=np.float64))
        places = per_frame(places, len(places), "positions", "the projections")
        knots = np.union1d(self._smooth.wide.knots, self._smooth.narrow.knots)
        if len(places) == 0 or places.min() < knots[0] or places.max() > knots[-1]:
            raise InputError(
                f"positions has {len(places)} values outside of {knots[0]} to {knots[-1]} or none; "
                "match_angles gives them."
            )
        after = np.clip(np.searchsorted(knots, places, side="right"), 1, len(knots) - 1)
        picked: NDArray[np.float64] = knots[np.unique([after - 1, after])]
        return picked

    def _needed(self, knots: NDArray[np.float64]) -> set[int]:
        """Groups of frames that the high-pass parts at some knots are made of."""
        wide = self._smooth.wide
        around = {knot for place in knots for knot, _ in wide.around(float(place))}
        return {group for knot in around for group in wide.members(knot)}

    def _check_fed(self, needed: set[int]) -> None:
        borders = self._smooth.wide.borders
        for group in sorted(needed):
            start, stop = int(borders[group]), int(borders[group + 1])
            if self._fed.get(group, 0) != stop - start:
                raise InputError(
                    f"Of the frames {start} to {stop - 1} of the reference scan "
                    f"{self._fed.get(group, 0)} were fed; feed each that missing() names once."
                )


def _fits(frames: Array, first: int, count: int, size: tuple[int, int]) -> None:
    if frames.shape[1:] != size:
        raise InputError(
            f"frames have (rows, columns) {frames.shape[1:]}; these rows of the detector have "
            f"{size}."
        )
    if first < 0 or first + len(frames) > count:
        raise InputError(
            f"frames are the numbers {first} to {first + len(frames) - 1}; the reference scan has "
            f"{count} that count."
        )


def _scale(current: ArrayLike | None, count: int) -> NDArray[np.float64]:
    if current is None:
        return np.ones(count)
    return 1 / usable_currents(current, count, "current", "frames of the reference scan")


def _sum(
    frames: Array, scale: NDArray[np.float64], dark: Array | None, *, keep_unknown: bool
) -> Array:
    """Sum of ``(frame - dark) * scale``, (rows, columns), float32; NaN stays or becomes 0."""
    xp = namespace(frames, dark)
    total = xp.zeros(frames.shape[1:], np.float32)
    few, scaled = xp.empty_like(total), xp.empty_like(total)
    factors = xp.asarray(scale, np.float32)
    unknown = frames.dtype.kind == "f" and not keep_unknown
    for first in range(0, len(frames), _AT_A_TIME):
        part = slice(first, first + _AT_A_TIME)
        few[...] = 0
        for frame, factor in zip(frames[part], factors[part]):
            xp.multiply(
                xp.where(xp.isfinite(frame), frame, 0) if unknown else frame, factor, out=scaled
            )
            few += scaled
        total += few
    return total if dark is None else total - dark * np.float32(scale.sum())
