"""A level of a volume, or a part of it, as an OME-Zarr pyramid of its own, in its old place."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.core.errors import InputError
from hipct.core.progress import Observer
from hipct.exchange.export_bands import Source, cells
from hipct.exchange.source_files import fingerprint_of
from hipct.volume.layout import OmeZarr
from hipct.volume.omezarr import omero, update_attributes
from hipct.volume.pyramid_build import build_pyramid
from hipct.volume.pyramid_plan import Projection
from hipct.volume.pyramid_source import WHOLE, VolumeSource
from hipct.volume.storage import is_address

_OF_THE_SOURCE = ("window", "version", "source", "reduction", "export")
"""What the copy says for itself, or beneath ``export``."""


class RegionSource(VolumeSource):
    """A region of a level as the source of a pyramid: exported values, where they lie.

    Parameters
    ----------
    source : Source
    """

    def __init__(self, source: Source) -> None:
        view, grey = source.view, source.grey
        self._source = source
        self.name = view.volume.address
        self.format = f"OME-Zarr {view.volume.version}"
        self.shape = source.shape
        self.dtype = grey.dtype
        self.origin_um = source.origin
        if view.volume.length_unit == "um":
            self.voxel_size_um = view.voxel
        if grey.scale is not None and grey.offset is not None:
            self.value = (grey.scale, grey.offset)
            self.unit = grey.unit or "1"
        self.rows_together = view.chunk[1]
        self.notes = view.volume.notes

    def read(self, z: slice, y: slice = WHOLE) -> NDArray[Any]:
        """Exported values of slices and rows of the region."""
        source, (planes, rows, columns) = self._source, self._source.region
        shape = (len(range(*z.indices(self.shape[0]))), len(range(*y.indices(self.shape[1]))))
        values = np.empty((*shape, self.shape[2]), self.dtype)
        # A row of chunks along x one by one, and converted plane by plane: what the decoder holds,
        # and what is between the two types, stays small.
        for cell in cells(columns, source.view.chunk[2]):
            stored = source.view.read((_within(planes, z), _within(rows, y), cell))
            into = slice(cell.start - columns.start, cell.stop - columns.start)
            for number, plane in enumerate(stored):
                values[number, :, into] = source.grey.convert(plane)
        return values

    def fingerprint(self) -> str:
        """Names, sizes and times of the files, and what is made of them; of a server nothing."""
        view, grey = self._source.view, self._source.grey
        if is_address(view.volume.address):
            return ""
        made = {
            "files": fingerprint_of([view.volume.path / view.level.path]),
            "region": [[each.start, each.stop] for each in self._source.region],
            "dtype": grey.dtype.name,
            "window": grey.window,
        }
        return hashlib.sha256(json.dumps(made).encode()).hexdigest()


def write_omezarr(
    source: Source,
    out: Path,
    facts: dict[str, Any],
    *,
    version: OmeZarr,
    consolidated: bool,
    restart: bool,
    overwrite: bool,
    observer: Observer,
) -> None:
    """Write a region as an OME-Zarr pyramid: its place, its meaning and its window are kept.

    The attributes keep what the volume says of its making; beneath ``export`` stands what was cut
    out of what.

    Parameters
    ----------
    source : Source
    out : path
    facts : dict
        Of :func:`hipct.exchange.export_facts.source_facts`.
    version, consolidated, restart, overwrite
        As of :func:`hipct.volume.pyramid_build.build_pyramid`.
    observer : Observer

    Raises
    ------
    InputError
        If the values are neither 8 nor 16 bit (labels: nor 32).
    OutputError
        If the output exists already, cannot be written, or an unfinished export was another one.
    PlanError
        If the memory is too small.
    """
    volume, grey = source.view.volume, source.grey
    if grey.dtype.kind != "u":
        raise InputError(
            f"OME-Zarr volumes of hipct hold uint8 and uint16, not {grey.dtype}; leave --dtype "
            "out to keep 16 bits, whose scale and offset give the physical values."
        )
    made = volume.provenance.get("reduction")
    projection: Projection | None = made if made in ("min", "max") else None
    earlier = volume.provenance.get("export")
    kept = {k: v for k, v in volume.provenance.items() if k not in _OF_THE_SOURCE}
    told = {key: value for key, value in facts.items() if key != "provenance"}
    told |= {} if earlier is None else {"earlier": earlier}
    with RegionSource(source) as region:
        plan = build_pyramid(
            region,
            out,
            kind="labels" if volume.labels else "image",
            projection=projection,
            version=version,
            consolidated=consolidated,
            attributes={**kept, "export": told},
            memory_bytes=source.memory_bytes,
            observer=observer,
            restart=restart,
            overwrite=overwrite,
        )
    shown = volume.display if grey.window is None else (0, 255)
    if shown is not None and not volume.labels:
        top = int(np.iinfo(grey.dtype).max)
        window = omero(plan.spec.name, top, round(shown[0]), round(shown[1]))
        update_attributes(out, {"ome": {"omero": window}})


def _within(whole: slice, part: slice) -> slice:
    """A part of a range that counts from its beginning, as a range of the level."""
    start, stop, _ = part.indices(whole.stop - whole.start)
    return slice(whole.start + start, whole.start + stop)
