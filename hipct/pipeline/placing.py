"""Where the sub-scans of a series lie and at which level: measured, adjusted, remembered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.acquisition.scan import Scan
from hipct.core.device import HOST, Device
from hipct.core.progress import Observer
from hipct.pipeline.neighbours import compare_neighbours
from hipct.pipeline.organ import Part
from hipct.pipeline.report import StageClock
from hipct.reconstruction.stitching import refine_positions, smooth_axes
from hipct.reconstruction.stitching_levels import SeriesLevels, match_levels

GIVEN_ERROR_PX = 0.01
"""Standard error of an axis that a person or a polynomial gives."""

LEAST_ERROR_PX = 0.05
"""Of an axis that was found: what its own estimate does not see."""

LEAST_TRUST = 0.05
"""Confidence below which it does not matter how little an axis is trusted."""


@dataclass(frozen=True)
class Placing:
    """Places and levels of all parts, as plain numbers.

    Attributes
    ----------
    offset_px, axis_px : tuple of float
        Organ row of the first detector row, and rotation axis, of each part.
    centre_px : tuple of (float, float)
        How far aside (y, x) the sample stands in each.
    error_px : tuple of (float, float, float, float)
        Standard errors of offset, y, x and axis.
    motor_error_px : tuple of float
        By how much the offsets differ from those of the motors.
    gain, level, slope : tuple of float
        What the line integrals of each are off by (see :class:`SeriesLevels`).
    notes : tuple of str
    """

    offset_px: tuple[float, ...]
    axis_px: tuple[float, ...]
    centre_px: tuple[tuple[float, float], ...]
    error_px: tuple[tuple[float, ...], ...]
    motor_error_px: tuple[float, ...]
    gain: tuple[float, ...]
    level: tuple[float, ...]
    slope: tuple[float, ...]
    notes: tuple[str, ...]

    @classmethod
    def from_dict(cls, known: dict[str, Any]) -> Placing:
        """What :meth:`as_dict` has given, as it comes back from a file."""
        return cls(**{name: _tuples(values) for name, values in known.items()})

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    def parts(self, parts: Sequence[Part]) -> tuple[Part, ...]:
        """The parts put in their places."""
        levels = None
        if any(self.level) or any(self.slope) or any(gain != 1 for gain in self.gain):
            levels = SeriesLevels(
                np.array(self.gain),
                np.array(self.level),
                np.array(self.slope),
                parts[0].job.info.rows,
            )
        return tuple(
            replace(
                part,
                axis=self.axis_px[k],
                offset_px=self.offset_px[k],
                centre_px=self.centre_px[k],
                levels=levels,
            )
            for k, part in enumerate(parts)
        )


def place_parts(
    scans: Sequence[Scan],
    parts: Sequence[Part],
    axes: Sequence[dict[str, Any]],
    clock: StageClock,
    observer: Observer,
    *,
    device: Device = HOST,
) -> Placing:
    """Find places and levels of the sub-scans of a series.

    Parameters
    ----------
    scans : sequence of Scan
    parts : sequence of Part
        By the motors.
    axes : sequence of dict
        ``value`` (``None``: not found), ``uncertainty_px`` and ``confidence`` of each axis.
    clock, observer, device
        As of a run.
    """
    settings = parts[0].job.config.stitching
    motors = np.array([part.offset_px for part in parts])
    axis, error = _axes(motors, axes, settings.axis_degree)
    known = [
        replace(part, axis=float(value) if np.isfinite(value) else None)
        for part, value in zip(parts, axis)
    ]
    angles, pairs = compare_neighbours(scans, known, clock, observer, device=device)
    notes = [note for pair in pairs for note in pair.notes]
    places = refine_positions(
        motors,
        axis,
        angles,
        [pair.shifts if settings.refine else None for pair in pairs],
        offset_error_px=settings.motor_error_px,
        lateral_error_px=settings.motor_error_px,
        axis_error_px=error,
    )
    if settings.refine:
        notes += _named(places.notes, parts)
    # The first part stays where it is: nothing depends on a common shift of all.
    offset = places.offset_px - places.offset_px[0]
    centre = places.lateral_px - places.lateral_px.mean(axis=0)
    count = len(parts)
    rows = parts[0].job.info.rows
    steps = [pair.step for pair in pairs]
    levels = SeriesLevels(np.ones(count), np.zeros(count), np.zeros(count), rows)
    if settings.levels != "none":
        levels = match_levels(steps, rows, slopes=settings.levels != "offset")
    if not settings.refine:
        offset, centre = motors - motors[0], np.zeros((count, 2))
    return Placing(
        offset_px=_floats(offset),
        axis_px=_floats(places.axis_px),
        centre_px=tuple((float(y), float(x)) for y, x in centre),
        error_px=tuple(_floats(row) for row in places.error_px),
        motor_error_px=_floats(places.motor_error_px),
        gain=_floats(levels.gain),
        level=_floats(levels.offset),
        slope=_floats(levels.slope),
        notes=tuple(notes),
    )


def _axes(
    motors: NDArray[np.float64], axes: Sequence[dict[str, Any]], degree: int | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Axes and their standard errors."""
    axis = np.array([found["value"] for found in axes], dtype=np.float64)  # None becomes NaN
    error = np.array([found["uncertainty_px"] for found in axes], dtype=np.float64)
    # An axis that may be the wrong one is off by more than the noise of its peak says.
    trust = np.array([max(found["confidence"], LEAST_TRUST) for found in axes]) ** 2
    error = np.where(np.isfinite(axis), np.maximum(error, LEAST_ERROR_PX) / trust, 1.0)
    if degree is None:
        return axis, error
    found = np.isfinite(axis)
    smooth = np.polynomial.Polynomial.fit(
        motors[found],
        smooth_axes(axis[found], motors[found], degree=degree, error_px=error[found]),
        degree,
    )
    return np.asarray(smooth(motors)), np.full(axis.size, GIVEN_ERROR_PX)


def _named(notes: Sequence[str], parts: Sequence[Part]) -> list[str]:
    """Notes with the names of the sub-scans instead of their numbers."""
    named = []
    for note in notes:
        head, colon, rest = note.partition(":")
        words = [
            parts[int(word)].name if word.isdecimal() and int(word) < len(parts) else word
            for word in head.split(" ")
        ]
        named.append(" ".join(words) + colon + rest)
    return named


def _floats(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _tuples(values: Any) -> Any:
    return tuple(_tuples(value) for value in values) if isinstance(values, list) else values
