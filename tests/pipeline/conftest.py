"""Scans in memory whose volume is known: discs that change along z, balls in a jar."""

from __future__ import annotations

import numpy as np
import pytest

from hipct.acquisition.scan import Scan, ScanInfo
from hipct.simulation.detector import machine_current

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


def jar_scan(detector, angles, bodies, *, shadow=None, flats=0, groups=3, darks=6, **meta):
    """A scan through a simulated detector of balls, in the shadow of a jar.

    Parameters
    ----------
    detector : Detector
    angles : (n,) float64
    bodies : list of (z, y, x, radius, mu)
        In pixels from the middle of the detector, and per pixel.
    shadow : callable, optional
        Transmission (rows, columns) of the jar at an angle.
    flats, groups : int
        Flats of a group, and groups evenly over the time of the scan.

    Returns
    -------
    MemoryScan
        Its ``truth`` is the transmission (angles, rows, columns) of the bodies alone.
    """
    angles = np.asarray(angles, dtype=np.float64)
    place = np.arange(detector.rows)[:, None] - (detector.rows - 1) / 2
    column = np.arange(detector.columns) - (detector.columns - 1) / 2
    truth = np.empty((angles.size, detector.rows, detector.columns))
    for k, angle in enumerate(angles):
        lines = np.zeros(truth.shape[1:])
        for z, y, x, radius, mu in bodies:
            u = column - x * np.cos(angle) - y * np.sin(angle)
            lines += 2 * mu * np.sqrt(np.maximum(radius**2 - (place - z) ** 2 - u**2, 0))
        truth[k] = np.exp(-lines)
    times = np.linspace(0, 1, angles.size)
    flat_times = np.repeat(np.linspace(0, 1, groups), flats)
    seen = truth if shadow is None else truth * np.stack([shadow(angle) for angle in angles])

    def exposed(transmissions, times):
        currents = machine_current(times, detector.run)
        frames = [
            detector.expose(transmission, time=time, current_ma=current, number=k)
            for k, (transmission, time, current) in enumerate(zip(transmissions, times, currents))
        ]
        return np.array(frames, np.uint16).reshape(-1, detector.rows, detector.columns)

    frames = {
        "projections": exposed(seen.astype(np.float32), times),
        "flats": exposed([None] * len(flat_times), flat_times),
        "darks": np.stack([detector.dark(k) for k in range(darks)]),
    }
    # A flat has a frame number between those of its neighbours in time; groups are apart.
    index = flat_times * angles.size + np.tile(np.arange(flats) * 1e-3, groups)
    info = ScanInfo(
        projections=angles.size,
        rows=detector.rows,
        columns=detector.columns,
        dtype=np.dtype(np.uint16),
        angles_rad=angles,
        flat_index=index,
        dark_index=np.arange(darks) - 1000.0,
        projection_index=times * angles.size,
        current=machine_current(times, detector.run),
        flat_current=machine_current(flat_times, detector.run) if flats else None,
        current_unit="mA",
        source=f"run {detector.run}",
        format="memory",
        **meta,
    )
    scan = MemoryScan(info, frames)
    scan.truth = truth
    return scan


@pytest.fixture(scope="session")
def jar_scans():
    """Maker of scans (see :func:`jar_scan`)."""
    return jar_scan
