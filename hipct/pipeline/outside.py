"""Local tomography in a run: what stands beside the rows of a half-acquisition.

Rows are continued last of all, when levels are matched and rings are gone, and back-projected by
an engine that is made for their new width; the slices keep the size of the measured field.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from numpy.typing import ArrayLike

from hipct.acquisition.scan import ScanInfo
from hipct.core.arrays import Array
from hipct.preparation.outside import continue_outside
from hipct.reconstruction.half import extended_width

REACH = 0.25
"""Part of the field's radius by which rows are continued where nothing else is said: enough for
samples of 1.25 times the field; further costs time, and is no better."""

_WORK_ARRAYS = 4
"""Continued rows of one slice, at most, that its intermediate results take on a device."""


class OutsideSettings(Protocol):
    """What a configuration says about it."""

    @property
    def outside(self) -> str:
        """What stands beside the rows: "padding", or "body"."""

    @property
    def outside_px(self) -> int | None:
        """Columns to add, or None for a quarter of the field's radius."""


@dataclass(frozen=True)
class Outside:
    """How far rows are continued, and where axis and slices lie then.

    Attributes
    ----------
    columns : int
        Of the rows that are back-projected.
    axis : float
        Rotation axis in them.
    size : int or None
        Pixels along each side of the slices; ``None``: as the engine has it, as nothing changes.
    extra_px : int
        Columns that are added; 0: none.
    """

    columns: int
    axis: float
    size: int | None
    extra_px: int
    _measured_axis: float

    @classmethod
    def of(cls, info: ScanInfo, axis: float, settings: OutsideSettings) -> Outside:
        """What the settings mean for a scan; nothing for one that is no half-acquisition.

        Parameters
        ----------
        info : ScanInfo
        axis : float
            Rotation axis in detector columns.
        settings : OutsideSettings
            The section ``half`` of the configuration.
        """
        columns = info.columns
        if settings.outside != "body" or info.acquisition != "half":
            return cls(columns, axis, None, 0, axis)
        reach = max(axis, columns - 1 - axis)
        extra = settings.outside_px
        if extra is None:
            extra = min(2 * columns, math.ceil(REACH * reach))
        left = axis > (columns - 1) / 2
        return cls(
            columns=columns + extra,
            axis=axis + extra if left else axis,
            size=extended_width(columns, axis),
            extra_px=extra,
            _measured_axis=axis,
        )

    def continued(self, lines: Array, angles_rad: ArrayLike) -> Array:
        """Line integrals (slices, angles, columns) with the rest of the sample beside them."""
        if not self.extra_px:
            return lines
        return continue_outside(lines, angles_rad, self._measured_axis, self.extra_px)[0]

    def memory_bytes(self, slices: int, angles: int, *, on_device: bool) -> int:
        """Bytes that it takes beside the line integrals given; the engine's are its own."""
        if not self.extra_px:
            return 0
        row = 4 * angles * self.columns
        return slices * row + (_WORK_ARRAYS * row if on_device else 0)
