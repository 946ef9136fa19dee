"""A scan in memory whose volume is known: two discs that change along z."""

from __future__ import annotations

import numpy as np
import pytest

from hipct.acquisition.scan import Scan, ScanInfo

COUNTS = 40_000.0


class MemoryScan(Scan):
    """Frames held as arrays."""

    row_chunk = 1
    angle_chunk = 8

    def __init__(self, info, frames):
        self.info = info
        self.frames = frames
        self.reads = []

    def _read_into(self, kind, frames, rows, out):
        if kind == "projections":
            self.reads.append((frames, rows))
        out[...] = self.frames[kind][frames, rows]


def disc_scan(*, rows=70, columns=48, angles=60, acquisition="full", axis=None, noise=0.0, **meta):
    """Counts of two discs; the radius of the smaller one grows with z."""
    rng = np.random.default_rng(0)
    half = acquisition == "half"
    axis = (columns - 1) / 2 + 0.4 if axis is None else axis
    theta = np.arange(angles) * (2 * np.pi if half else np.pi) / angles
    u = np.arange(columns) - axis
    reach = max(axis, columns - 1 - axis) if half else min(axis, columns - 1 - axis)
    z = np.arange(rows)[:, None]
    lines = np.empty((angles, rows, columns))
    for k, angle in enumerate(theta):
        body = 2 * np.sqrt(np.maximum((0.85 * reach) ** 2 - u**2, 0))
        small = 0.1 * reach + 0.2 * reach * z / rows
        place = 0.3 * reach * np.cos(angle) + 0.2 * reach * np.sin(angle)
        lines[k] = 0.01 * body + 0.02 * 2 * np.sqrt(np.maximum(small**2 - (u - place) ** 2, 0))
    counts = COUNTS * np.exp(-lines) + 100
    counts += noise * rng.normal(size=counts.shape)
    flats = np.full((4, rows, columns), COUNTS + 100)
    info = ScanInfo(
        projections=angles,
        rows=rows,
        columns=columns,
        dtype=np.dtype(np.uint16),
        angles_rad=theta,
        acquisition=acquisition,
        flat_index=np.array([-4.0, -3.0, -2.0, -1.0]),
        dark_index=np.array([-6.0, -5.0]),
        source="discs",
        format="memory",
        **meta,
    )
    frames = {
        "projections": np.rint(counts).astype(np.uint16),
        "flats": flats.astype(np.uint16),
        "darks": np.full((2, rows, columns), 100, np.uint16),
    }
    return MemoryScan(info, frames)


@pytest.fixture
def discs():
    """Maker of scans (see :func:`disc_scan`)."""
    return disc_scan
