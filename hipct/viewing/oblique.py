"""Slices that lie across the axes, as fine as they are shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hipct.atlas.resampled import ResampledLevel, SourceLevel
from hipct.core.errors import InputError
from hipct.viewing.reads import PyramidReads
from hipct.viewing.reads_lazy import LazyLevel

Matrix = NDArray[np.float64]
_ROWS = 64
"""Rows of a picture that are made at a time: who turns on is heard between them."""


@dataclass(frozen=True)
class Oblique:
    """A square picture across a volume.

    The plane is one across z, tilted about the x axis (``tilt_deg``) and then turned about the z
    axis (``turn_deg``), counter-clockwise in a picture whose rows run down; ``turn_deg`` 0 and
    ``tilt_deg`` 90 give a plane across y.

    Attributes
    ----------
    centre : z, y, x of the middle of the picture, in the unit of the volume's places
    tilt_deg, turn_deg : degrees
    pixel : distance between pixels
    pixels : rows, and columns
    """

    centre: tuple[float, float, float]
    tilt_deg: float
    turn_deg: float
    pixel: float
    pixels: int

    def __post_init__(self) -> None:
        values = (*self.centre, self.tilt_deg, self.turn_deg, self.pixel)
        if not np.isfinite(values).all() or self.pixel <= 0 or self.pixels < 1:
            raise InputError(
                f"An oblique plane of {self.pixels} pixels of {self.pixel} about {self.centre} "
                f"({self.tilt_deg}, {self.turn_deg} degrees) cannot be shown; give finite numbers "
                "and pixels above 0."
            )

    @property
    def axes(self) -> Matrix:
        """(3, 3): unit vectors (z, y, x) of the normal, of the rows' way down, of the columns'."""
        tilt, turn = np.radians([self.tilt_deg, self.turn_deg])
        ct, st, cu, su = np.cos(tilt), np.sin(tilt), np.cos(turn), np.sin(turn)
        right = np.array([0.0, -su, cu])
        down = np.array([st, ct * cu, ct * su])
        normal = np.array([ct, -st * cu, -st * su])
        return np.stack([normal, down, right])

    def moved(self, along_normal: float) -> tuple[float, float, float]:
        """Its centre, moved along its normal."""
        z, y, x = np.asarray(self.centre) + along_normal * self.axes[0]
        return float(z), float(y), float(x)


def cut(
    reads: PyramidReads, plane: Oblique, cancelled: Callable[[], bool] = lambda: False
) -> NDArray[np.float32]:
    """Stored values on a plane, interpolated between voxels of about the size of a pixel.

    Parameters
    ----------
    reads : PyramidReads
        A volume of three axes; its chunks are kept in its cache.
    plane : Oblique
    cancelled : callable
        Asked between two chunks.

    Returns
    -------
    ndarray of float32, (pixels, pixels)
        NaN outside of the volume.

    Raises
    ------
    InterruptedError
        If ``cancelled`` says so.
    HipctError
        If a chunk cannot be read.
    """
    number = level_for(reads, plane.pixel)
    scale, first = (np.asarray(v, float) for v in reads.places[number])
    matrix = np.eye(4)
    matrix[:3, :3] = plane.axes * scale
    matrix[:3, 3] = plane.axes @ (first - np.asarray(plane.centre))
    source = SourceLevel(_waited_for(reads, number, cancelled), matrix)
    half = (plane.pixels - 1) / 2 * plane.pixel
    level = ResampledLevel(
        source,
        (1, plane.pixels, plane.pixels),
        (plane.pixel,) * 3,
        (0.0, -half, -half),
    )
    picture = np.empty((plane.pixels, plane.pixels), np.float32)
    for start in range(0, plane.pixels, _ROWS):
        stop = min(start + _ROWS, plane.pixels)
        box = (slice(0, 1), slice(start, stop), slice(0, plane.pixels))
        picture[start:stop] = level.read(box)[0]
    return picture


def level_for(reads: PyramidReads, pixel: float) -> int:
    """The coarsest level whose voxels are no larger than a pixel; the finest where none is."""
    fitting = [
        number for number, (scale, _) in enumerate(reads.places) if max(scale) <= pixel * 1.01
    ]
    return max(fitting, default=0)


def _waited_for(reads: PyramidReads, number: int, cancelled: Callable[[], bool]) -> LazyLevel:
    class Waiting:
        def given(self, level: int, bounds: tuple[tuple[int, int], ...]) -> NDArray[np.generic]:
            return reads.read(level, bounds, cancelled)

    level = reads.levels[number]
    return LazyLevel(Waiting(), number, level.shape, level.chunks, level.dtype)
