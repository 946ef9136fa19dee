"""One frame for pictures of one place whose slices differ in size.

Slices of a half-acquisition are as wide as the axis lets them be, with the axis in their middle. To
lie beside or above one another, those of different axes are put into the frame of one of them, by
whole voxels: what is missing is 0, and places differ by half a voxel where one size is odd and the
other even.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hipct.core.errors import InputError
from hipct.live.scan import Region


class Frame:
    """Where a region of a frame lies in slices of another size.

    Parameters
    ----------
    frame : (int, int)
        Rows and columns of the frame, of level 0.
    own : (int, int)
        Rows and columns of the slices, of level 0.
    level : int
        Level at which both are looked at.
    region : (slice, slice), optional
        Rows and columns of the frame at that level, step 1; all by default.

    Raises
    ------
    InputError
        If the region is empty or not inside of the frame.

    Examples
    --------
    >>> frame = Frame((6, 6), (4, 4), 0, (slice(0, 3), slice(2, 6)))
    >>> frame.own
    (slice(0, 2, None), slice(1, 4, None))
    >>> frame.placed(np.ones((2, 3), np.float32))
    array([[0., 0., 0., 0.],
           [1., 1., 1., 0.],
           [1., 1., 1., 0.]], dtype=float32)
    """

    def __init__(
        self,
        frame: tuple[int, int],
        own: tuple[int, int],
        level: int,
        region: Region | None = None,
    ) -> None:
        sizes = [-(-side // 2**level) for side in frame]
        wanted = region or (slice(0, sizes[0]), slice(0, sizes[1]))
        ranges = []
        pads = []
        for side, size, full, part in zip(frame, own, sizes, wanted):
            first = 0 if part.start is None else part.start
            stop = full if part.stop is None else part.stop
            if not 0 <= first < stop <= full or part.step not in (None, 1):
                raise InputError(
                    f"The region takes voxels {first} to {stop}, and the slices have {full} at "
                    f"level {level}; the last one is exclusive."
                )
            shift = round((side - size) / 2 / 2**level)
            here = -(-size // 2**level)
            begin = min(max(first - shift, 0), here)
            end = max(begin, min(stop - shift, here))
            ranges.append(slice(begin, end))
            before = min(max(begin - (first - shift), 0), stop - first)
            pads.append((before, stop - first - before - (end - begin)))
        self.own: Region = (ranges[0], ranges[1])
        self._pads = pads

    def placed(self, picture: NDArray[np.generic]) -> NDArray[np.generic]:
        """A region of the frame, from the part of a slice that :attr:`own` says."""
        if not any(map(any, self._pads)):
            return picture
        return np.pad(picture, self._pads)
