"""Brings a series into a series store, sub-scan by sub-scan; a second attempt goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.acquisition.importing import import_scan
from hipct.acquisition.scan import FrameKind, Scan, ScanInfo
from hipct.acquisition.series import Series, open_series
from hipct.acquisition.series_store import SeriesIndex, SeriesStoreWriter
from hipct.acquisition.store_reader import StoreScan
from hipct.acquisition.store_writer import DEFAULT_MEMORY_BYTES
from hipct.core.errors import FormatError
from hipct.core.progress import Observer, Silent

STAGE = "import series"


def import_series(
    source: Series | str | Path,
    out: str | Path,
    *,
    allow_gaps: bool = False,
    overwrite: bool = False,
    observer: Observer | None = None,
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
) -> Series:
    """Copy all sub-scans of a series into one store, bit for bit.

    Each sub-scan becomes a scan store of its own inside of it. An attempt that was broken off
    leaves the sub-scans that are whole; the next one of the same name keeps those that are the
    same (source, numbers, geometry) and imports the others.

    Parameters
    ----------
    source : Series, str or Path
        An open series, or what :func:`~hipct.acquisition.series.open_series` opens.
    out : str or Path
        The store to make, by habit ``NAME.series.zarr``; it appears under this name when it is
        whole.
    allow_gaps : bool
        As for ``open_series``, where ``source`` is a path.
    overwrite : bool
        Replace an existing series store, once the new one is whole.
    observer : Observer, optional
        Hears of the stage ``import series``, counted in sub-scans, and of each one's ``import``.
    memory_bytes : int
        Bound for the frames held in memory.

    Returns
    -------
    Series
        The new store, open.

    Raises
    ------
    InputError
        If the source cannot be read, or sub-scans do not agree.
    OutputError
        If the store exists, or the disk is full.
    PlanError
        If a few frames do not fit into ``memory_bytes``.
    """
    if not isinstance(source, Series):
        with open_series(source, allow_gaps=allow_gaps) as series:
            return import_series(
                series, out, overwrite=overwrite, observer=observer, memory_bytes=memory_bytes
            )
    observer = observer or Silent()
    names = [_folder_name(member.name) for member in source]
    with SeriesStoreWriter(out, overwrite=overwrite) as writer:
        observer.start(STAGE, len(source))
        for name, member in zip(names, source):
            path = writer.member(name)
            scan = _Named(member.scan, name)
            if path.exists() and _same(path, scan.info):
                observer.say(f"{name} was imported already.")
            else:
                import_scan(
                    scan, path, overwrite=True, observer=observer, memory_bytes=memory_bytes
                ).close()
            observer.advance(STAGE)
        observer.finish(STAGE)
        index = SeriesIndex(
            members=tuple(
                {"name": name, "z_um": member.z_um, "lateral_um": member.lateral_um}
                for name, member in zip(names, source)
            ),
            notes=source.notes,
            source=source.source,
            allow_gaps=bool(source.gaps),
        )
        writer.commit(index)
    return open_series(Path(out))


class _Named(Scan):
    """A scan under the name of its folder in the store."""

    def __init__(self, scan: Scan, name: str) -> None:
        self._scan = scan
        self.info = replace(scan.info, name=name)
        self.row_chunk, self.angle_chunk = scan.row_chunk, scan.angle_chunk

    def _read_into(self, kind: FrameKind, frames: slice, rows: slice, out: NDArray[Any]) -> None:
        self._scan._read_into(kind, frames, rows, out)


def _folder_name(name: str) -> str:
    """A name that any file system takes."""
    kept = "".join(letter if letter.isalnum() or letter in "._-+" else "_" for letter in name)
    return kept.strip(".") or "scan"


def _same(path: Path, info: ScanInfo) -> bool:
    """Whether the store of an earlier attempt was made from this scan."""
    try:
        with StoreScan(path) as scan:
            held, origin = scan.info, scan.origin
    except FormatError:
        return False
    numbers = ("projections", "rows", "columns", "flats", "darks", "dtype", "z_um", "lateral_um")
    return (
        origin == info.source
        and all(getattr(held, name) == getattr(info, name) for name in numbers)
        and held.start_time == info.start_time
        and held.pixel_size_um == info.pixel_size_um
        and np.array_equal(held.angles_rad, info.angles_rad)
    )
