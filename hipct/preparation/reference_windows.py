"""Reference scans: which of their frames make the flat of an angle.

The jar is wider than the beam, so a flat without it is useless. A scan of a jar with the medium
alone, moved in the same way, has a frame for every angle; what is fixed to the detector (dust,
scintillator) may be averaged over a wide window of angles, while the beam and the shadow of the
jar, which are smooth, need a narrow one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.core.errors import InputError

GROUPS = 10
"""Groups of frames in a window.

Frames of a group are summed, and windows end in a group by interpolation: an angle gets its window
mean with both ends softened over a tenth of the window. Windows of :data:`GROUPS` frames or fewer
are exact. A median is taken over the means of the groups, which a bubble spoils one or two of.
"""

_ZOOMS = {
    False: ((1.4, (600, 200, 400)), (3.5, (600, 200, 200)), (11.0, (1000, 500, 100))),
    True: ((1.4, (600, 200, 400)), (3.5, (600, 200, 200)), (11.0, (100, 400, 100))),
}
_OVERVIEWS = {False: (1000, 200, 50), True: (600, 200, 50)}


@dataclass(frozen=True, kw_only=True)
class ReferenceWindows:
    """Windows of angles of a reference scan, and what divides smooth from fine.

    Attributes
    ----------
    wide : int
        Frames of the window of the high-pass part (dust, scintillator), 2 or more.
    narrow : int
        Frames of the window of the low-pass part (beam, shadow of the jar), 2 or more.
    sigma_px : float
        Standard deviation in pixels of the Gaussian that is the low-pass.
    reduction : {"mean", "median"}
        The median where bubbles pass in the reference scan.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    wide: int = 1000
    narrow: int = 200
    sigma_px: float = 50.0
    reduction: Literal["mean", "median"] = "mean"

    def __post_init__(self) -> None:
        for name in ("wide", "narrow"):
            if getattr(self, name) < 2:
                raise InputError(
                    f"The {name} window of the reference scan is {getattr(self, name)} frames; "
                    "give 2 or more."
                )
        if not 0 < self.sigma_px < math.inf:
            raise InputError(f"sigma_px is {self.sigma_px}; it has to be a number above 0.")
        if self.reduction not in ("mean", "median"):
            raise InputError(
                f"reduction is {self.reduction!r}; it has to be 'mean', or 'median' where "
                "bubbles pass."
            )

    @classmethod
    def preset(
        cls,
        voxel_size_um: float,
        *,
        off_axis: bool = False,
        reduction: Literal["mean", "median"] = "mean",
    ) -> ReferenceWindows:
        """Windows that the beamline uses at some voxel size.

        Overviews (above 11 um), and zooms of nominally 6, 2 and 1 um, divided at the geometric
        means; the numbers of frames belong to about 6000 projections over 360 degrees.

        Parameters
        ----------
        voxel_size_um : float
        off_axis : bool
            Whether the field of view is off the axis of the jar: its shadow then moves faster.
        reduction : {"mean", "median"}

        Raises
        ------
        InputError
            If ``voxel_size_um`` is not above 0.

        Examples
        --------
        >>> ReferenceWindows.preset(20.0)
        ReferenceWindows(wide=1000, narrow=200, sigma_px=50.0, reduction='mean')
        >>> ReferenceWindows.preset(6.5, off_axis=True).wide
        100
        """
        if not 0 < voxel_size_um < math.inf:
            raise InputError(f"voxel_size_um is {voxel_size_um}; it has to be above 0.")
        wide, narrow, sigma_px = _OVERVIEWS[off_axis]
        for below_um, values in reversed(_ZOOMS[off_axis]):
            if voxel_size_um < below_um:
                wide, narrow, sigma_px = values
        return cls(wide=wide, narrow=narrow, sigma_px=float(sigma_px), reduction=reduction)


class AngleMatch(NamedTuple):
    """Where the angles of a scan lie among the frames of its reference scan."""

    positions: NDArray[np.float64]
    """Frame number in the reference scan of each projection, between frames a fraction."""
    frames: int
    """Frames of the reference scan that count: those of its first full turn, or all."""
    closed: bool
    """Whether these frames are a full turn, so that windows wrap around."""


def match_angles(angles_rad: ArrayLike, reference_angles_rad: ArrayLike) -> AngleMatch:
    """Place the angles of a scan among those of a reference scan.

    Parameters
    ----------
    angles_rad : array_like, shape (projections,)
        Any order and range.
    reference_angles_rad : array_like, shape (frames,)
        Even steps, rising or falling, over a turn or less (more is left out).

    Returns
    -------
    AngleMatch

    Raises
    ------
    InputError
        If the reference angles are not even, or an angle lies outside of a reference scan of less
        than a turn.

    Examples
    --------
    >>> turn = np.arange(8) * np.pi / 4
    >>> match_angles([0.0, np.pi, -np.pi / 8], turn).positions.round(6).tolist()
    [0.0, 4.0, -0.5]
    """
    angles, reference = _angles(angles_rad, "angles"), _angles(reference_angles_rad, "reference")
    if len(reference) < 2:
        raise InputError("The reference scan has a single frame; use it as a flat.")
    step = (reference[-1] - reference[0]) / (len(reference) - 1)
    uneven = np.abs(reference - reference[0] - step * np.arange(len(reference))).max()
    if step == 0 or uneven > max(0.5 * abs(step), 1e-6):
        raise InputError(
            f"The angles of the reference scan depart by {uneven:.3g} rad from even steps of "
            f"{step:.3g} rad; give a reference scan that turns evenly."
        )
    turn = 2 * np.pi / abs(step)
    offsets = (angles - reference[0]) / step
    if len(reference) >= 0.99 * turn:
        frames = min(round(turn), len(reference))
        return AngleMatch((offsets / turn * frames + 0.5) % frames - 0.5, frames, True)
    before = (turn - len(reference)) / 2 + 0.5
    positions = (offsets + before) % turn - before
    outside = (positions < -0.5 - 1e-6) | (positions > len(reference) - 0.5 + 1e-6)
    if outside.any():
        raise InputError(
            f"The projection at {np.degrees(angles[outside][0]):.2f} degrees lies outside of the "
            f"reference scan, which spans {np.degrees(abs(step) * (len(reference) - 1)):.2f} "
            "degrees; give one over 360 degrees, or over the range of the scan."
        )
    return AngleMatch(np.clip(positions, -0.5, len(reference) - 0.5), len(reference), False)


@dataclass(frozen=True, eq=False)
class Grouping:
    """Frames of a reference scan in groups; windows are runs of groups around a knot.

    A knot lies between two groups. The mean over a window of so many groups around knots k and
    k + 1, interpolated linearly between them, is the mean over a window around any place between
    the two whose outermost groups count in part.
    """

    borders: NDArray[np.intp]
    """First frame of each group, and the number of frames."""
    half: int
    """Groups of a window on either side of its knot."""
    closed: bool

    @classmethod
    def create(cls, frames: int, window: int, *, closed: bool) -> Grouping:
        """Divide frames such that a window holds about :data:`GROUPS` groups."""
        size = max(1.0, window / GROUPS)
        groups = max(2, min(frames, round(frames / size)))
        half = max(1, round(window * groups / (2 * frames)))
        borders = np.round(np.linspace(0, frames, groups + 1)).astype(np.intp)
        return cls(borders, min(half, groups // 2), closed)

    @property
    def groups(self) -> int:
        """How many there are."""
        return len(self.borders) - 1

    @property
    def knots(self) -> NDArray[np.float64]:
        """Places of the knots, in frames: between the last frame of a group and the next."""
        knots: NDArray[np.float64] = self.borders.astype(np.float64) - 0.5
        return knots

    def members(self, knot: int) -> list[int]:
        """Groups of the window around a knot."""
        window = range(knot - self.half, knot + self.half)
        if self.closed:
            return [group % self.groups for group in window]
        return [group for group in window if 0 <= group < self.groups]

    def around(self, place: float) -> list[tuple[int, float]]:
        """Knots on both sides of a place, and their weights."""
        after = int(np.searchsorted(self.knots, place, side="right"))
        before = min(max(after - 1, 0), self.groups - 1)
        start, stop = self.knots[before], self.knots[before + 1]
        share = min(max(float((place - start) / (stop - start)), 0.0), 1.0)
        parts = [(before, 1 - share), (before + 1, share)]
        return [(knot, weight) for knot, weight in parts if weight > 0]

    def parts(self, first: int, count: int) -> list[tuple[int, int, int]]:
        """Runs of frames inside one group: (group, first frame, last frame + 1)."""
        found = []
        frame, last = first, first + count
        while frame < last:
            group = int(np.searchsorted(self.borders, frame, side="right")) - 1
            end = min(last, int(self.borders[group + 1]))
            found.append((group, frame, end))
            frame = end
        return found


def _angles(values: ArrayLike, name: str) -> NDArray[np.float64]:
    angles = np.asarray(values, dtype=np.float64)
    if angles.ndim != 1 or len(angles) == 0 or not np.isfinite(angles).all():
        raise InputError(
            f"{name} has shape {angles.shape}, or values that are not finite; give the angle of "
            "each frame in radians."
        )
    return angles
