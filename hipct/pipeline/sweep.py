"""One slice over a range of rotation axes, for the eye to judge."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import tifffile
from numpy.typing import NDArray

from hipct.acquisition.scan import Scan
from hipct.core.device import Device
from hipct.core.errors import InputError, MissingMetadata, OutputError
from hipct.core.files import free_bytes, refuse_existing
from hipct.core.memory import format_bytes
from hipct.core.progress import Observer, Silent
from hipct.pipeline.backend import run_device
from hipct.pipeline.config import Config
from hipct.pipeline.corrections_measure import measure_corrections, wants_corrections
from hipct.pipeline.engine import make_reconstructor
from hipct.pipeline.estimates import SCOUT_HALO_ACCURACY, estimate_axis, part_rows
from hipct.pipeline.job import resolve
from hipct.pipeline.organ import Part
from hipct.pipeline.report import StageClock
from hipct.pipeline.slabs import SlabChain
from hipct.pipeline.stations import parts_by_motors, source_jobs
from hipct.pipeline.subject import Subject
from hipct.reconstruction.axis import AxisEstimate
from hipct.volume.pictures import contact_sheet, write_png
from hipct.volume.window import circle

LARGEST_STACK = 4_000_000_000
"""ImageJ reads no larger plain TIFF."""

MOST_VALUES = 201


def find_scan_axis(
    scan: Scan, config: Config | None = None, *, observer: Observer | None = None
) -> AxisEstimate:
    """Rotation axis of a scan, from sparse rows, as a reconstruction would find it.

    A scan without the metadata of phase retrieval is looked at without it, which is said.

    Raises
    ------
    InputError
        If the angles do not allow it, or the scan shows nothing that turns.
    """
    observer, config = observer or Silent(), config or Config()
    with (
        run_device(config, observer) as device,
        _one_part(scan, config, observer, device) as (whole, part),
    ):
        return estimate_axis(whole, part, StageClock(), observer, device=device)


@dataclass(frozen=True)
class AxisSweep:
    """A stack of one slice over axis values.

    Attributes
    ----------
    stack, sheet : Path
        TIFF of one page for each value, and PNG of all of them, small.
    row : int
        Detector row of the slice.
    values : tuple of float
        Rotation axes in detector columns.
    """

    stack: Path
    sheet: Path
    row: int
    values: tuple[float, ...]


def sweep_axis(
    scan: Scan,
    out: str | Path,
    values: Sequence[float],
    config: Config | None = None,
    *,
    row: int | None = None,
    overwrite: bool = False,
    observer: Observer | None = None,
) -> AxisSweep:
    """Reconstruct one slice for each of some axis values.

    Parameters
    ----------
    scan : Scan
        The scan.
    out : path
        TIFF to write, with the values as labels; a PNG stands beside it.
    values : sequence of float
        Rotation axes in detector columns, at most 201.
    config : Config, optional
        Configuration of the run that the axis is for. Where the scan does not hold what phase
        retrieval needs, the slices are made without it.
    row : int, optional
        Detector row; the middle one by default.
    overwrite : bool
        Replace existing files.
    observer : Observer, optional
        Told of the progress.

    Raises
    ------
    InputError
        If a value or the row is not possible, or the stack would be larger than a TIFF can be.
    OutputError
        If a file exists already.
    """
    observer = observer or Silent()
    out, sheet = check_sweep_files(out, overwrite=overwrite)
    if not 1 <= len(values) <= MOST_VALUES:
        raise InputError(f"{len(values)} axis values were given; allowed are 1 to {MOST_VALUES}.")
    config = config or Config()
    small: list[NDArray[np.float32]] = []

    def pages(
        device: Device, whole: Scan, parts: Sequence[Part], row: int, size: int
    ) -> Iterator[NDArray[np.float32]]:
        clock = StageClock()
        scouting = replace(parts[0], job=parts[0].job.with_halo(SCOUT_HALO_ACCURACY))
        lines = part_rows(whole, scouting, range(row, row + 1), clock, device=device)
        observer.start("sweep", len(parts))
        for part in parts:
            chain = SlabChain(part, make_reconstructor(part, size, xp=device.xp), clock)
            with device.lane("reconstruct"):
                page = device.download(chain.slices(lines)[0])
            if config.reconstruction.circle:
                page = page * circle(size, size, part.measured_radius_px)
            small.append(_thumbnail(page))
            observer.advance("sweep")
            yield page

    with (
        run_device(config, observer) as device,
        _one_part(scan, config, observer, device) as (whole, part),
    ):
        rows = part.job.rows
        row = (rows.start + rows.stop) // 2 if row is None else row
        if row not in rows:
            raise InputError(
                f"The row is {row}; the rows of this scan are {rows.start} to {rows.stop - 1}."
            )
        parts = [replace(part, axis=value) for value in values]
        size = max(make_reconstructor(each).size for each in parts)
        if 4 * size * size * len(values) > LARGEST_STACK:
            raise InputError(
                f"{len(values)} slices of {size} x {size} pixels make a TIFF of more than 4 GB, "
                "which ImageJ cannot read; give at most "
                f"{LARGEST_STACK // (4 * size * size)} axis values."
            )
        shape = len(values), size, size
        planes = pages(device, whole, parts, row, size)
        _write_stack(out, planes, shape, values, part.job.info.pixel_size_um)
    observer.finish("sweep")
    write_png(sheet, contact_sheet(small, [f"{value:.2f}" for value in values]))
    return AxisSweep(out, sheet, row, tuple(values))


def check_sweep_files(out: str | Path, *, overwrite: bool = False) -> tuple[Path, Path]:
    """Names of the stack and of its picture, once it is sure that they may be written.

    Raises
    ------
    InputError
        If the name is not that of a TIFF.
    OutputError
        If the folder is missing, or a file exists already.
    """
    out = Path(out)
    if out.suffix.lower() not in (".tif", ".tiff"):
        raise InputError(f"The stack is to be written to {out}; the name has to end in .tif.")
    if not out.parent.is_dir():
        raise OutputError(f"The folder {out.parent} of {out} does not exist; make it first.")
    sheet = out.with_suffix(".png")
    for path in (out, sheet):
        if not overwrite:
            refuse_existing(path)
    return out, sheet


def _write_stack(
    out: Path,
    pages: Iterator[NDArray[np.float32]],
    shape: tuple[int, int, int],
    values: Sequence[float],
    pixel_size_um: float | None,
) -> None:
    resolution = None if pixel_size_um is None else (1 / pixel_size_um, 1 / pixel_size_um)
    metadata = {"axes": "ZYX", "Labels": [f"axis {value:.2f}" for value in values]}
    if pixel_size_um is not None:
        metadata["unit"] = "um"
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        tifffile.imwrite(
            temporary,
            pages,
            shape=shape,
            dtype=np.float32,
            imagej=True,
            resolution=resolution,
            metadata=metadata,
        )
        temporary.replace(out)
    except OSError as error:
        # On a full disk NumPy raises an OSError without a number.
        raise OutputError(
            f"{out} could not be written ({error.strerror or error}); its disk has "
            f"{format_bytes(free_bytes(out.parent))} free."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _one_part(
    scan: Scan, config: Config, observer: Observer, device: Device
) -> Iterator[tuple[Scan, Part]]:
    """The scan as a run would take it, its flats corrected as configured, and its part."""
    subject, clock = Subject.of(scan), StageClock()
    try:
        resolve(scan, config)
    except MissingMetadata as error:
        observer.say(f"The scan is looked at without phase retrieval. {error}")
        config = _without_phase(config)
    with TemporaryDirectory(prefix="hipct-") as folder:
        corrections = None
        if wants_corrections(config):
            jobs = source_jobs(subject, config)
            corrections = measure_corrections(
                subject.scans, jobs, Path(folder), clock, observer, device=device
            )
        scans, parts, _ = parts_by_motors(subject, config, clock, observer, corrections=corrections)
        yield scans[0], parts[0]


def _without_phase(config: Config) -> Config:
    sections = config.model_dump()
    sections["phase"]["method"] = sections["unsharp"]["method"] = "none"
    return Config(**sections)


def _thumbnail(page: NDArray[np.float32], edge: int = 320) -> NDArray[np.float32]:
    """A page reduced by whole-number means to about ``edge`` pixels, so that it does not alias."""
    factor = max(1, page.shape[0] // edge)
    side = page.shape[0] // factor * factor
    blocks = page[:side, :side].reshape(side // factor, factor, side // factor, factor)
    means: NDArray[np.float32] = blocks.mean(axis=(1, 3), dtype=np.float32)
    return means
