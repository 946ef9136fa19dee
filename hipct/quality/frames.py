"""What the projections tell: of a few rows in the middle of a part, all of its views.

The rows are read, prepared and reconstructed as the run does it, with all that it has found; only
the halo of phase retrieval is shorter (an error of a tenth of a strong edge just outside, which
changes nothing of noise and detail), and iterative or two-material retrievals are replaced by
Paganin's. Each slice is made of every second view, twice: what both have in common is the sample.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hipct.acquisition.scan import Scan
from hipct.core.arrays import Array
from hipct.core.device import HOST, Device
from hipct.core.errors import HipctError, InputError
from hipct.core.progress import Observer, Silent
from hipct.pipeline.engine import make_reconstructor
from hipct.pipeline.organ import Part
from hipct.pipeline.outside import Outside
from hipct.pipeline.preparation import TilePreparation, angle_blocks, phase_rows
from hipct.pipeline.report import StageClock
from hipct.pipeline.slabs import SlabChain
from hipct.preparation.counts import PixelCounts
from hipct.quality.correlation import Resolution
from hipct.quality.halves import PIECE_PX, compare_halves
from hipct.quality.references import References, look_at_references
from hipct.quality.shrink import shrunk
from hipct.reconstruction.axis import find_axis

ROWS = 4
"""Rows that are looked at: all are read in the chunks of one, and four slices tell enough."""

MOST_BYTES = 256_000_000
"""Line integrals of these rows."""

HALO_ACCURACY = 0.1
SWEEP_PX = (-4.0, -1.0, 0.0, 1.0, 4.0)
"""Axes of the sweep, relative to the one that was used."""

PICTURE_PX = 420
STAGE = "report"

Picture = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FrameLook:
    """What was seen.

    Attributes
    ----------
    name : str
        Of the sub-scan; empty for a single scan.
    row : int
        Detector row of the pictures.
    raw, lines : ndarray (angles, columns), float32
        Its sinogram as it was read, and as it is back-projected, shrunk by whole means.
    axis_px : float
        The axis that was used.
    axis_again_px, axis_again_error_px : float or None
        The axis as these rows alone have it, and its standard error.
    sweep : tuple of (float, ndarray)
        A piece of the slice at several axes.
    resolution : Resolution or None
        Of slices of even and odd views.
    snr : float or None
        Standard deviation of the sample over that of the noise, by the same slices.
    references : References or None
        Flats and what they say of the exposure.
    current : (float, float, str) or None
        Machine current at the first and at the last view, and its unit.
    directions : float
        Views within half a turn that differ in direction; two of a half-acquisition make one.
    subframes : int
        Camera frames summed into a view.
    seconds : float
        What looking has taken.
    reasons : mapping
        Why something is not there, as a sentence, by its name.
    """

    name: str
    row: int
    raw: Picture
    lines: Picture
    axis_px: float
    axis_again_px: float | None
    axis_again_error_px: float | None
    sweep: tuple[tuple[float, Picture], ...]
    resolution: Resolution | None
    snr: float | None
    references: References | None
    current: tuple[float, float, str] | None
    directions: float
    subframes: int
    seconds: float
    reasons: Mapping[str, str]


def look_at_frames(
    scan: Scan, part: Part, *, device: Device = HOST, observer: Observer | None = None
) -> FrameLook:
    """Look at the projections of a part.

    Parameters
    ----------
    scan : Scan
        As the run reads it: joined from annuli or turns where it is.
    part : Part
        With its axis, and all that was measured of it.
    device : Device
        Where it is computed.
    observer : Observer, optional
        Told of the progress.

    Raises
    ------
    InputError
        If the axis of the part is not known.
    FormatError
        If projections cannot be read.
    """
    if part.axis is None:
        raise InputError("The rotation axis of the part is not known; find it first.")
    observer, began = observer or Silent(), time.perf_counter()
    observer.start(STAGE, 4)
    part = replace(part, job=part.job.scouting(HALO_ACCURACY, materials=1), offset_px=0.0)
    own = _middle(part)
    lines, raw = _read(scan, part, own, device)
    observer.advance(STAGE)
    reasons: dict[str, str] = {}
    again, error = _axis_again(part, device.download(lines), reasons)
    observer.advance(STAGE)
    clock, middle = StageClock(), len(own) // 2
    chain = SlabChain(part, make_reconstructor(part, xp=device.xp), clock)
    with device.lane("reconstruct"):
        corrected = chain.corrected(lines[middle : middle + 1])
        halves = compare_halves(part, lines, device, reasons)
        observer.advance(STAGE)
        sweep = _sweep(part, corrected, halves.busiest, device)
        shown = shrunk(device.download(corrected[0]), PICTURE_PX)
    observer.advance(STAGE)
    references = None
    try:
        references = look_at_references(scan, part.job)
    except HipctError as failure:
        reasons["references"] = str(failure)
    observer.finish(STAGE)
    return FrameLook(
        name=part.name,
        row=own[middle],
        raw=shrunk(raw, PICTURE_PX),
        lines=shown,
        axis_px=part.known_axis,
        axis_again_px=again,
        axis_again_error_px=error,
        sweep=sweep,
        resolution=halves.resolution,
        snr=halves.snr,
        references=references,
        current=_current(part),
        directions=_directions(part),
        subframes=part.job.info.subframes,
        seconds=time.perf_counter() - began,
        reasons=reasons,
    )


def _current(part: Part) -> tuple[float, float, str] | None:
    info = part.job.info
    if info.current is None or not np.isfinite(info.current).any():
        return None
    known = info.current[np.isfinite(info.current)]
    return float(known[0]), float(known[-1]), info.current_unit or ""


def _directions(part: Part) -> float:
    info = part.job.info
    turns = (info.angular_range_rad + info.angular_step_rad) / (2 * np.pi)
    return info.projections / max(2 * turns, 1)


def _middle(part: Part) -> range:
    """Own rows in the middle of those that are reconstructed."""
    info, rows = part.job.info, part.job.rows
    count = min(ROWS, len(rows), max(1, MOST_BYTES // (4 * info.projections * info.columns)))
    first = (rows.start + rows.stop - count) // 2
    return range(first, first + count)


def _read(
    scan: Scan, part: Part, own: range, device: Device
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Line integrals (rows, angles, columns) on the device, and what was read of their middle."""
    info = part.job.info
    lines = device.xp.empty((len(own), part.job.line_angles, info.columns), np.float32)
    seen = np.empty((info.projections, info.columns), np.float32)
    around = phase_rows(part, own)
    share = (own[len(own) // 2] - around.start + 0.5) / len(around)
    with device.lane("prepare"):
        preparation = TilePreparation(scan, part, own, StageClock(), PixelCounts(), device=device)
        for block in angle_blocks(info.projections, max(scan.angle_chunk, 64)):
            raw = preparation.read(block)
            seen[block] = device.download(raw[:, int(share * raw.shape[1])])
            preparation.line_integrals(raw, block, lines, block.start)
    return lines, seen


def _axis_again(
    part: Part, lines: NDArray[np.float32], reasons: dict[str, str]
) -> tuple[float | None, float | None]:
    info, settings = part.job.info, part.job.config.axis
    try:
        found = find_axis(
            np.ascontiguousarray(lines.transpose(1, 0, 2)),
            info.angles_rad,
            acquisition=info.acquisition,
            method=settings.method,
        )
    except InputError as error:
        reasons["axis"] = f"The axis could not be looked for again. {error}"
        return None, None
    if found.confidence < 0.5:
        reasons["axis"] = (
            f"The axis as these rows have it, column {found.value:.2f}, is not sure (confidence "
            f"{found.confidence:.2f}) and is compared with nothing."
        )
        return None, None
    return float(found.value), float(found.uncertainty_px)


def _sweep(
    part: Part, lines: Array, region: tuple[slice, slice], device: Device
) -> tuple[tuple[float, Picture], ...]:
    """A piece of a slice, of line integrals as they are back-projected, at axes about the one used.

    Straight onto the piece, which costs nothing beside a whole slice.
    """
    size = make_reconstructor(part).size
    top, left = (each.start for each in region)
    shape = [min(each.stop - each.start, PIECE_PX) for each in region]
    pictures = []
    for offset in SWEEP_PX:
        moved = replace(part, axis=part.known_axis + offset)
        outside = Outside.of(part.job.info, moved.known_axis, part.job.config.half)
        whole = outside.continued(lines, part.job.info.angles_rad) if outside.extra_px else lines
        engine = make_reconstructor(moved, size, xp=device.xp)
        piece = engine.plane(whole, (0, top, left), (0, 1, 0), (0, 0, 1), shape)
        pictures.append((moved.known_axis, device.download(piece)))
    return tuple(pictures)
