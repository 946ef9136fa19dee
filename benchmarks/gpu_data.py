"""What ``benchmarks.gpu`` computes on: a scan of two cylinders, and sinograms of any size."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

PHASE = {"pixel_size_um": 20.0, "distance_m": 3.5, "energy_kev": 90.0, "delta_beta": 1470.0}
DARK = 100


@dataclass(frozen=True)
class Size:
    """Columns of the detector, projections, and rows of the detector (or slices)."""

    columns: int
    angles: int
    rows: int

    @classmethod
    def parse(cls, text: str) -> Size:
        """Read ``2048x3000x32``, for ``argparse``."""
        try:
            columns, angles, rows = (int(part) for part in text.split("x"))
        except ValueError:
            columns = angles = rows = 0
        if columns < 32 or angles < 32 or rows < 1:
            raise argparse.ArgumentTypeError(
                f"{text!r} is no size; give COLUMNSxANGLESxROWS, at least 32x32x1."
            )
        return cls(columns, angles, rows)

    def __str__(self) -> str:
        return f"{self.columns}x{self.angles}x{self.rows}"

    @property
    def heading(self) -> str:
        """How tables name it."""
        return f"{self.columns} / {self.angles}"


@dataclass(frozen=True, eq=False)
class Scan:
    """Counts (angles, rows, columns) uint16 with flats before and after, and darks."""

    counts: NDArray[np.uint16]
    flats: NDArray[np.uint16]
    darks: NDArray[np.uint16]
    index: NDArray[np.int_]
    flat_index: NDArray[np.int_]
    angles: NDArray[np.float64]


def make_scan(size: Size) -> Scan:
    """A scan with noise, weak, dead and bright pixels, over half a turn."""
    rng = np.random.default_rng(3)
    frame = size.rows, size.columns
    angles = np.arange(size.angles) * np.pi / size.angles
    beam = rng.uniform(20_000, 30_000, frame).astype(np.float32)
    beam[:, size.columns // 3] *= 0.2
    profile = 1 + 0.2 * np.sin(np.arange(size.rows, dtype=np.float32) / 7)[:, None]
    counts = np.empty((size.angles, *frame), np.uint16)
    lines = line_integrals(size, angles)
    # One field of noise, looked at in another place for every frame.
    room = 16
    noise = rng.normal(0, 1, (size.rows + room, size.columns + room)).astype(np.float32)
    for number, line in enumerate(lines):
        down, right = rng.integers(0, room, 2)
        seen = beam * np.exp(-profile * line)
        seen += np.sqrt(seen) * noise[down : down + size.rows, right : right + size.columns]
        counts[number] = np.rint(seen) + DARK
        counts[number, rng.integers(size.rows), rng.integers(size.columns)] = 65_000
    drift = np.array([1.0, 1.0, 1.0, 0.97, 0.97, 0.97])[:, None, None]
    flats = (rng.poisson(beam, (6, *frame)) * drift + DARK).astype(np.uint16)
    darks = np.full((3, *frame), DARK, np.uint16)
    for frames in (counts, flats):
        frames[:, size.rows // 2, size.columns // 2] = DARK
    return Scan(
        counts=counts,
        flats=flats,
        darks=darks,
        index=np.arange(3, 3 + size.angles),
        flat_index=np.array([0, 1, 2, 3, 4, 5]) + np.array([0, 0, 0, 1, 1, 1]) * size.angles,
        angles=angles,
    )


def make_sinogram(size: Size, angles: NDArray[np.float64], axis: float | None = None) -> Floats:
    """Line integrals of one slice with noise and stripes: (angles, columns)."""
    rng = np.random.default_rng(4)
    lines = line_integrals(size, angles, axis)
    for number in range(len(angles)):
        lines[number] += rng.standard_normal(size.columns, np.float32) * np.float32(0.01)
    lines += rng.standard_normal(size.columns, np.float32) * np.float32(0.02)
    return lines


def line_integrals(size: Size, angles: NDArray[np.float64], axis: float | None = None) -> Floats:
    """Attenuation along the rays through a large and a small cylinder: (angles, columns).

    Both fit the detector; in a half-acquisition they fit what it sees in a whole turn.
    """
    axis = (size.columns - 1) / 2 if axis is None else axis
    field = max(axis, size.columns - 1 - axis)
    from_axis = (np.arange(size.columns) - axis).astype(np.float32)
    lines = np.empty((len(angles), size.columns), np.float32)
    for number, angle in enumerate(angles):
        large = _chord(from_axis - 0.1 * field * np.cos(angle), 0.8 * field)
        small = _chord(from_axis - 0.5 * field * np.sin(angle), 0.15 * field)
        lines[number] = 2 / field * large + 4 / field * small
    return lines


def _chord(distance: Floats, radius: float) -> Floats:
    """Half the length of a circle's chords."""
    half: Floats = np.sqrt(np.maximum(np.float32(radius**2) - distance**2, np.float32(0)))
    return half
