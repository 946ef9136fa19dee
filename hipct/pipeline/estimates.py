"""What a run has to find out first: the rotation axis and the 16-bit window.

Both come from sparse rows, read as they will be read later but with nothing kept: the axis from
line integrals, the window from whole slices. Rows that cannot be read are left out, and told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

import numpy as np

from hipct.acquisition.scan import Scan
from hipct.core.arrays import Array
from hipct.core.device import HOST, Device
from hipct.core.errors import FormatError, InputError
from hipct.core.progress import Observer
from hipct.pipeline.assembly import Assembly
from hipct.pipeline.job import Job
from hipct.pipeline.organ import Part
from hipct.pipeline.plan import Plan
from hipct.pipeline.preparation import TilePreparation, angle_blocks
from hipct.pipeline.report import StageClock
from hipct.preparation.counts import PixelCounts
from hipct.reconstruction.axis import AxisEstimate, find_axis
from hipct.volume.window import GreyHistogram, Window, window_from_histogram

SCOUT_HALO_ACCURACY = 1e-2
"""A window needs no more than this of a slice; the halo shrinks to a third."""

Read = TypeVar("Read")

AXIS_BYTES = 400_000_000
"""Line integrals that the search for the axis looks at."""


def estimate_axis(
    scan: Scan, part: Part, clock: StageClock, observer: Observer, *, device: Device = HOST
) -> AxisEstimate:
    """Rotation axis of the scan of a part, from sparse rows prepared on a device.

    Raises
    ------
    InputError
        If the angles do not allow it, or the scan shows nothing that turns.
    FormatError
        If none of the rows can be read.
    """
    job = part.job
    settings, info = job.config.axis, job.info
    hint, reach = info.rotation_axis_px, None
    if settings.search_px is not None:
        low, high = settings.search_px
        hint, reach = (low + high) / 2, (high - low) / 2
    # Phase retrieval takes the noise away that hides the structure of weakly absorbing samples.
    retrieved = replace(part, job=job.scouting(SCOUT_HALO_ACCURACY, materials=1), offset_px=0.0)
    affordable = max(1, AXIS_BYTES // (4 * info.projections * info.columns))
    count = min(settings.rows, affordable, len(job.rows))
    # Neighbouring rows cost little more to read than one: a chunk of a scan has many.
    depth = min(2, count)
    places = sparse_rows(range(job.rows.start, job.rows.stop - depth + 1), count // depth)
    observer.start("axis", len(places))
    lines = np.empty((info.projections, depth * len(places), info.columns), np.float32)
    read = 0

    def rows_at(row: int) -> Array:
        return part_rows(scan, retrieved, range(row, row + depth), clock, device=device)

    for some in _where_it_can_be_read(places, rows_at, observer, "axis"):
        lines[:, read : read + depth] = device.download(some).transpose(1, 0, 2)
        read += depth
    lines = lines[:, :read]
    with clock.stage("axis", lines.nbytes):
        estimate = find_axis(
            lines,
            info.angles_rad,
            acquisition=info.acquisition,
            method=settings.method,
            hint=hint,
            search=reach,
        )
    observer.finish("axis")
    return estimate


def estimate_window(
    scans: Sequence[Scan],
    plan: Plan,
    assembly: Assembly,
    clock: StageClock,
    observer: Observer,
    *,
    device: Device = HOST,
) -> Window:
    """The one 16-bit window of a volume, from sparse slices over all of its parts.

    Each is made of the part that has most of it, from its nearest detector row.

    Raises
    ------
    InputError
        If the slices hold one value only.
    FormatError
        If none of the slices can be read.
    """
    settings, organ = plan.job.config.volume, plan.organ
    rows = sparse_rows(organ.rows, settings.scout_slices)
    observer.start("window", len(rows))
    histogram = GreyHistogram()

    def lines_at(row: int) -> tuple[int, Array | None]:
        weights = organ.weights(range(row, row + 1))[:, 0]
        number = int(weights.argmax())
        if weights[number] <= 0:
            return number, None
        part = organ.parts[number].on_whole_rows()
        part = replace(part, job=part.job.scouting(SCOUT_HALO_ACCURACY, materials=2))
        own = part.own(range(row, row + 1))
        return number, part_rows(scans[number], part, own, clock, device=device)

    for number, lines in _where_it_can_be_read(rows, lines_at, observer, "window"):
        if lines is not None:
            with device.lane("reconstruct"):
                slices = assembly.chain(number).slices(lines)
                with clock.stage("quantise"):
                    histogram.add(slices, radius_px=assembly.radius_px)
    observer.finish("window")
    return window_from_histogram(histogram, settings.percentiles)


def prepared_rows(
    scan: Scan, job: Job, rows: range, clock: StageClock, *, device: Device = HOST
) -> Array:
    """Line integrals (rows, angles, columns) of a few detector rows of a scan, on the device."""
    return part_rows(scan, Part(job), rows, clock, device=device)


def part_rows(
    scan: Scan, part: Part, own: range, clock: StageClock, *, device: Device = HOST
) -> Array:
    """Line integrals (rows, angles, columns) of a few own rows of a part, on the device."""
    info = part.job.info
    with device.lane("prepare"):
        preparation = TilePreparation(scan, part, own, clock, PixelCounts(), device=device)
        lines = device.xp.empty((len(own), part.job.line_angles, info.columns), np.float32)
        blocks = angle_blocks(info.projections, max(scan.angle_chunk, 64))
        # A few rows are read no faster than they are prepared: the next come meanwhile.
        with ThreadPoolExecutor(1, thread_name_prefix="hipct-read") as reader:
            coming = reader.submit(preparation.read, blocks[0])
            for block, after in zip(blocks, [*blocks[1:], None]):
                raw = coming.result()
                if after is not None:
                    coming = reader.submit(preparation.read, after)
                preparation.line_integrals(raw, block, lines, block.start)
    return lines


def _where_it_can_be_read(
    rows: Sequence[int], read: Callable[[int], Read], observer: Observer, stage: str
) -> Iterator[Read]:
    """What is read of some rows, one after the other, without those that cannot be read."""
    faults = []
    for row in rows:
        try:
            found = read(row)
        except FormatError as error:
            faults.append(error)
        else:
            yield found
        observer.advance(stage)
    if len(faults) == len(rows):
        raise faults[0]
    if faults:
        observer.say(
            f"The {stage} is found without {len(faults)} of the {len(rows)} places that are looked "
            f"at for it: {faults[0]}"
        )


def sparse_rows(rows: range, count: int) -> list[int]:
    """``count`` rows (fewer if there are not as many) evenly inside of a range.

    Examples
    --------
    >>> sparse_rows(range(0, 100), 4)
    [12, 37, 62, 87]
    >>> sparse_rows(range(3, 5), 8)
    [3, 4]
    """
    if len(rows) == 0:
        raise InputError("there are no rows to choose from.")
    count = min(count, len(rows))
    return [rows.start + int((k + 0.5) * len(rows) / count) for k in range(count)]
