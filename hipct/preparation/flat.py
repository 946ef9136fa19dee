"""Flat field: raw counts to transmission, with flats interpolated in time and machine current.

For every pixel ``T = ((P - D) / I_P) / ((F - D) / I_F)`` with the projection P, the dark D, the
flat F interpolated linearly in frame number between the flats before and after, and the machine
currents I (the definition of the ESRF's tomography pipelines; Seibert, Boone & Lindfors, Proc.
SPIE 3336 (1998) for the flat field itself).
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError
from hipct.core.jit import has_numba
from hipct.preparation.checks import output, per_frame, real_numbers, three_axes
from hipct.preparation.counts import PixelCounts
from hipct.preparation.current import repair_current
from hipct.preparation.flat_passes import compiled, plain
from hipct.preparation.flat_times import InTime, place_in_time, usable_currents
from hipct.preparation.linearise import MINIMUM, check_minimum, check_sinograms, sinograms
from hipct.preparation.reduction import reduce_frames
from hipct.preparation.references import dark_frame, frames_of, groups_in_time, mark_dead

DEAD_SHARE = 0.02
"""A pixel is dead where ``F - D`` is at most this share of the median of its row.

Rows are judged alone, so that the vertical profile of the beam and the height of a slab do not
matter. Stuck pixels read the same in flats and darks, so they are dead too.
"""


@dataclass(frozen=True, eq=False)
class FlatField:
    """References of a range of rows, reduced once and used for any block of angles.

    Made by :meth:`from_frames` (counts with flats) or :meth:`without_flats` (transmission, line
    integrals, or counts that are normalised by air columns afterwards).

    Attributes
    ----------
    dark : array, shape (rows, columns), float32
    references : array, shape (groups, rows, columns), float32
        ``(F - D) / I_F`` of each group of flats, ordered in time; NaN at dead pixels.
    times : ndarray, shape (groups,), float64
        Mean frame number of each group.
    with_current : bool
        Whether the references are divided by the machine current.
    """

    dark: Array
    references: Array
    times: NDArray[np.float64]
    with_current: bool

    @classmethod
    def from_frames(
        cls,
        flats: Array,
        darks: Array | None,
        *,
        flat_index: ArrayLike | None = None,
        flat_current: ArrayLike | None = None,
        reduction: Literal["median", "mean"] = "median",
        dead_share: float = DEAD_SHARE,
    ) -> FlatField:
        """Reduce flats and darks to the references of these rows.

        Flats with consecutive frame numbers form a group, one before the projections, one after,
        or several between. Each group becomes one frame: the median, because a zinger in a flat
        would otherwise print a ring into every slice; with one or two frames, where a median
        means nothing, or on demand, the mean.

        Parameters
        ----------
        flats : array, shape (flats, rows, columns)
        darks : array, shape (darks, rows, columns), or None
            None or no frames: the dark level is 0.
        flat_index : array_like, shape (flats,), optional
            Frame numbers of the flats; without it all flats form one group.
        flat_current : array_like, shape (flats,), optional
            Machine current of each flat, above 0; see
            :func:`hipct.preparation.current.repair_current` for gaps.
        reduction : {"median", "mean"}
            How a group of three frames or more becomes one.
        dead_share : float
            Pixels are dead where ``F - D`` is at most this share of their row's median.

        Raises
        ------
        InputError
            If there are no flats, shapes disagree, or a current is not above 0.
        """
        if reduction not in ("median", "mean"):
            raise InputError(f"reduction is {reduction!r}; it has to be 'median' or 'mean'.")
        if not 0 <= dead_share < 1:
            raise InputError(f"dead_share is {dead_share}; it has to be in [0, 1).")
        flats = real_numbers(flats, "flats")
        if flats.ndim == 3 and len(flats) == 0:
            raise InputError(
                "The scan has no flats, so counts cannot become transmission; give flats "
                "(or a reference scan), or set the kind of the scan to transmission if the "
                "projections are divided by their flats already."
            )
        flats = three_axes(flats, "flats", "flats, rows, columns")
        xp = namespace(flats, darks)
        index = (
            np.zeros(len(flats))
            if flat_index is None
            else per_frame(flat_index, len(flats), "flat_index", f"the {len(flats)} flats")
        )
        current = None
        if flat_current is not None:
            current = usable_currents(flat_current, len(flats), "flat_current", "flats")
        dark = dark_frame(darks, flats)
        groups = groups_in_time(index)
        references = xp.empty((len(groups), *flats.shape[1:]), np.float32)
        for place, members in enumerate(groups):
            scale = None if current is None else 1 / current[members]
            frames = frames_of(members, flats)
            references[place] = reduce_frames(frames, reduction, dark=dark, scale=scale)
        mark_dead(references, dead_share)
        times = np.array([index[members].mean() for members in groups])
        return cls(dark, references, times, current is not None)

    @classmethod
    def without_flats(
        cls, rows: int, columns: int, darks: Array | None = None, *, xp: ModuleType = np
    ) -> FlatField:
        """References of 1: only darks are subtracted and unusable pixels mended.

        Parameters
        ----------
        rows, columns : int
            Size of the detector's part.
        darks : array, shape (darks, rows, columns), optional
        xp : module
            Array namespace of the projections, ``numpy`` or ``cupy``.

        Raises
        ------
        InputError
            If ``rows`` or ``columns`` is below 1 or the darks have other ones.
        """
        if rows < 1 or columns < 1:
            raise InputError(f"rows is {rows} and columns is {columns}; both have to be 1 or more.")
        ones = xp.ones((1, rows, columns), np.float32)
        return cls(dark_frame(darks, ones), ones, np.zeros(1), False)

    @property
    def dead_pixels(self) -> int:
        """Detector pixels of these rows that are dead."""
        xp = namespace(self.references)
        return int(xp.isnan(self.references[0]).sum())

    def apply(
        self,
        projections: Array,
        *,
        projection_index: ArrayLike | None = None,
        current: ArrayLike | None = None,
        nonpositive: Literal["mend", "keep"] = "mend",
        counts: PixelCounts | None = None,
        counted_rows: slice | None = None,
        out: Array | None = None,
    ) -> Array:
        """Transmission of a block of projections, every value finite.

        Dead pixels, NaN, infinite values and counts at or below the dark level are replaced by
        the line between their usable neighbours along the row
        (:func:`hipct.preparation.repair.mend_rows`). A row of a frame without any usable pixel
        becomes 1.

        Parameters
        ----------
        projections : array, shape (angles, rows, columns)
            Raw counts of any real dtype. uint16 is read in one pass, without a copy.
        projection_index : array_like, shape (angles,)
            Frame numbers of these projections; needed if there are two groups of flats or more.
            Outside of the flats the nearest group is used alone.
        current : array_like, shape (angles,)
            Machine current of these projections, above 0; given if and only if the flats had one.
        nonpositive : {"mend", "keep"}
            ``"keep"`` leaves finite values at or below 0 as they are: for objects that let no
            light through (the logarithm then clamps them), and for line integrals.
        counts : PixelCounts, optional
            Takes the numbers of values by kind.
        counted_rows : slice, optional
            Rows of the block that are counted, where others are a halo; all by default.
        out : array, shape of the projections, float32, optional

        Returns
        -------
        array, shape (angles, rows, columns), float32

        Raises
        ------
        InputError
            If shapes disagree, an index or current is missing, or a value is not allowed.
        """
        if nonpositive not in ("mend", "keep"):
            raise InputError(f"nonpositive is {nonpositive!r}; it has to be 'mend' or 'keep'.")
        projections, in_time = self._checked(projections, projection_index, current)
        out = output(out, projections.shape, np.float32, projections)
        keep = nonpositive == "keep"
        if namespace(projections) is not np:
            from hipct.preparation.flat_cuda import flat_field_rows

            found = flat_field_rows(
                projections, self.dark, self.references, in_time, keep=keep, out=out
            )
        elif has_numba():
            every = range(projections.shape[1])
            found = compiled(
                projections, every, self.dark, self.references, in_time, out=out, keep=keep
            )
        else:
            found = plain(projections, self.dark, self.references, in_time, out=out, keep=keep)
        rows = slice(None) if counted_rows is None else counted_rows
        _count(counts, found[rows], projections.shape[0] * projections.shape[2])
        return out

    def sinograms(
        self,
        projections: Array,
        out: Array,
        first: int = 0,
        *,
        projection_index: ArrayLike | None = None,
        current: ArrayLike | None = None,
        rows: slice | None = None,
        minimum: float = MINIMUM,
        counts: PixelCounts | None = None,
    ) -> None:
        """Put the line integrals of a block of projections into sinograms.

        :meth:`apply` and :func:`hipct.preparation.linearise.sinograms`, with the same bits; with
        numba in one pass, so that the transmission never reaches the memory.

        Parameters
        ----------
        projections, projection_index, current
            As in :meth:`apply`.
        out : array, shape (wanted rows, at least first + angles, columns), float32
            Sinograms; other angles than these stay as they are. On a device C-contiguous.
        first : int
            Index in ``out`` of the first of these angles.
        rows : slice, optional
            Rows of the projections that are wanted; all by default.
        minimum : float
            Smallest transmission, see :func:`hipct.preparation.linearise.line_integral`.
        counts : PixelCounts, optional
            Takes the numbers of values of the wanted rows by kind.

        Raises
        ------
        InputError
            As :meth:`apply`, and if ``out``, ``rows`` or ``minimum`` do not fit.
        """
        projections, in_time = self._checked(projections, projection_index, current)
        wanted = range(projections.shape[1])[slice(None) if rows is None else rows]
        check_minimum(minimum)
        check_sinograms(projections.shape, np.dtype(np.float32), wanted, out, first)
        if namespace(projections, out) is not np or not has_numba():
            counted = slice(wanted.start, wanted.stop)
            transmission = self.apply(
                projections,
                projection_index=projection_index,
                current=current,
                counts=counts,
                counted_rows=counted,
            )
            sinograms(transmission, out, first, rows=counted, minimum=minimum, counts=counts)
            return
        part = out[:, first : first + len(projections)].swapaxes(0, 1)
        found = compiled(
            projections, wanted, self.dark, self.references, in_time, out=part, minimum=minimum
        )
        _count(counts, found, len(projections) * projections.shape[2])

    def _checked(
        self, projections: Array, projection_index: ArrayLike | None, current: ArrayLike | None
    ) -> tuple[Array, InTime]:
        projections = three_axes(projections, "projections", "angles, rows, columns")
        if projections.shape[1:] != self.dark.shape:
            raise InputError(
                f"projections have (rows, columns) {projections.shape[1:]} and the references "
                f"{self.dark.shape}; read both for the same rows."
            )
        namespace(projections, self.dark)
        if (current is not None) != self.with_current:
            which = ("flats", "projections") if self.with_current else ("projections", "flats")
            raise InputError(
                f"The machine current of the {which[0]} was given, that of the {which[1]} was "
                "not; give both or neither (repair_current fills what is missing)."
            )
        return projections, place_in_time(self.times, len(projections), projection_index, current)


def _count(counts: PixelCounts | None, found: Array, values_a_row: int) -> None:
    """Add what was found, (rows, kinds), to a tally."""
    if counts is not None:
        kinds = ("dead", "nan", "nonpositive", "empty_row", "clamped")
        numbers = dict(zip(kinds, found.sum(axis=0).tolist()))
        counts.add(values=len(found) * values_a_row, **numbers)


def flat_field(
    projections: Array,
    flats: Array,
    darks: Array | None = None,
    *,
    projection_index: ArrayLike | None = None,
    flat_index: ArrayLike | None = None,
    current: ArrayLike | None = None,
    flat_current: ArrayLike | None = None,
    reduction: Literal["median", "mean"] = "median",
    counts: PixelCounts | None = None,
    out: Array | None = None,
) -> Array:
    """Transmission from raw counts: ``T = ((P - D) / I_P) / ((F - D) / I_F)``.

    One call for projections that fit in memory; for blocks of angles reduce the flats once with
    :meth:`FlatField.from_frames`. Missing or absurd machine currents are filled from their
    neighbours (:func:`hipct.preparation.current.repair_current`), and unusable pixels are mended
    along their row.

    Parameters
    ----------
    projections : array, shape (angles, rows, columns)
        Raw counts.
    flats : array, shape (flats, rows, columns)
    darks : array, shape (darks, rows, columns), optional
    projection_index, flat_index : array_like, optional
        Frame numbers in order of acquisition. Flats with consecutive numbers form a group, and
        the flat is interpolated linearly between groups. Without them all flats form one group.
    current, flat_current : array_like, optional
        Machine current of each projection and flat, any one unit.
    reduction : {"median", "mean"}
        How a group of three frames or more becomes one.
    counts : PixelCounts, optional
        Takes the numbers of replaced values by kind.
    out : array, shape of the projections, float32, optional

    Returns
    -------
    array, shape (angles, rows, columns), float32
        Transmission, every value finite and above 0.

    Raises
    ------
    InputError
        If there are no flats, shapes disagree, or no current is usable.

    Examples
    --------
    >>> import numpy as np
    >>> flats = np.full((3, 1, 4), 1010, np.uint16)
    >>> darks = np.full((3, 1, 4), 10, np.uint16)
    >>> projections = np.array([[[510, 10, 260, 1010]]], np.uint16)
    >>> flat_field(projections, flats, darks).tolist()
    [[[0.5, 0.375, 0.25, 1.0]]]
    """
    if current is not None and flat_index is None and flat_current is not None:
        flat_index = np.zeros(len(flats))
    elif current is None and flat_current is not None:
        raise InputError(
            "flat_current was given without current; give the machine current of the projections "
            "too, or of neither."
        )
    current, flat_current = repair_current(
        current,
        flat_current,
        projection_index=projection_index,
        flat_index=flat_index,
        counts=counts,
    )
    field = FlatField.from_frames(
        flats,
        darks,
        flat_index=flat_index,
        flat_current=flat_current,
        reduction=reduction,
    )
    return field.apply(
        projections,
        projection_index=projection_index,
        current=current,
        counts=counts,
        out=out,
    )
