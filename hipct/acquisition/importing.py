"""Brings a source into a scan store, as a stream."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hipct.acquisition.open import open_scan
from hipct.acquisition.scan import FrameKind, Scan
from hipct.acquisition.store_reader import StoreScan
from hipct.acquisition.store_writer import DEFAULT_MEMORY_BYTES, ScanStoreWriter
from hipct.core.progress import Observer, Silent

_READ_SHARE = 8


def import_scan(
    source: Scan | str | Path,
    out: str | Path,
    *,
    overwrite: bool = False,
    observer: Observer | None = None,
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
    attributes: Mapping[str, Any] | None = None,
) -> StoreScan:
    """Copy a scan into a scan store, bit for bit.

    Parameters
    ----------
    source : Scan, str or Path
        An open scan, or a path for :func:`~hipct.acquisition.open.open_scan`.
    out : str or Path
        The store to make; it appears under this name when it is whole.
    overwrite : bool
        Replace an existing scan store, once the new one is whole.
    observer : Observer, optional
        Hears of the stage ``import``, counted in frames.
    memory_bytes : int
        Bound for the frames held in memory, whatever the size of the scan.
    attributes : mapping, optional
        More attributes for the store's group.

    Returns
    -------
    StoreScan
        The new store, open.

    Raises
    ------
    InputError
        If the source cannot be read.
    OutputError
        If the store exists, or the disk is full.
    PlanError
        If a few frames do not fit into ``memory_bytes``.
    """
    if not isinstance(source, Scan):
        with open_scan(source) as scan:
            return import_scan(
                scan,
                out,
                overwrite=overwrite,
                observer=observer,
                memory_bytes=memory_bytes,
                attributes=attributes,
            )
    observer = observer or Silent()
    info = source.info
    frame = info.rows * info.columns * info.dtype.itemsize
    read_bytes = max(memory_bytes // _READ_SHARE, frame)
    step = max(1, min(read_bytes // frame, 128))
    if step > source.angle_chunk:
        step -= step % source.angle_chunk
    kinds: tuple[FrameKind, ...] = ("projections", "flats", "darks", "returns")
    with ScanStoreWriter(
        out,
        info,
        overwrite=overwrite,
        memory_bytes=max(memory_bytes - step * frame, 0),
        attributes=attributes,
    ) as writer:
        observer.start("import", sum(getattr(info, kind) for kind in kinds))
        for kind in kinds:
            count: int = getattr(info, kind)
            for first in range(0, count, step):
                last = min(first + step, count)
                writer.write_frames(kind, first, source.read_frames(kind, slice(first, last)))
                observer.advance("import", last - first)
    observer.finish("import")
    return StoreScan(out)
