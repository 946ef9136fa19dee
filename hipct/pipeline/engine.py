"""The engine of a part, and the volume that its slices make."""

from __future__ import annotations

import math
from types import ModuleType

import numpy as np

from hipct.core.errors import ConfigError
from hipct.pipeline.cut import Files
from hipct.pipeline.organ import Organ, Part
from hipct.pipeline.outside import Outside
from hipct.reconstruction.half import extended_width
from hipct.reconstruction.reconstructor import Reconstructor
from hipct.volume.layout import PyramidSpec


def make_reconstructor(
    part: Part, size: int | None = None, *, xp: ModuleType = np
) -> Reconstructor:
    """The engine of a part, with slices of ``size`` if it is given.

    While the axis is not known, it is the one that makes slices as wide as they can get.
    """
    job, config = part.job, part.job.config
    # Views of a turned sample are those of the sample at other angles.
    turn = math.radians(config.volume.rotation_deg)
    (y, x), (sin, cos) = part.centre_px, (math.sin(turn), math.cos(turn))
    outside = Outside.of(job.info, part.known_axis, config.half)
    return Reconstructor(
        job.info.angles_rad + turn,
        outside.columns,
        outside.axis,
        pixel_size_um=job.info.pixel_size_um,
        engine=config.reconstruction.engine,
        filter=config.reconstruction.filter,
        acquisition=job.info.acquisition,
        padding=config.reconstruction.padding,
        size=outside.size if size is None else size,
        centre_px=(x * sin + y * cos, x * cos - y * sin),
        xp=xp,
    )


def slice_size(organ: Organ) -> int:
    """Pixels along each side of the slices of all parts, before they are cropped."""
    # As the engine has it; making one for each part takes as long as its tables do.
    return max(
        extended_width(part.job.info.columns, part.known_axis)
        if part.job.half
        else part.job.info.columns
        for part in organ.parts
    )


def crop_window(organ: Organ, size: int) -> tuple[slice, slice]:
    """Rows and columns of the slices that are kept.

    Raises
    ------
    ConfigError
        If the configuration wants what slices of ``size`` pixels a side do not have.
    """
    settings = organ.job.config.volume
    windows = []
    for name, wanted in (("crop_y", settings.crop_y), ("crop_x", settings.crop_x)):
        first, stop = (0, size) if wanted is None else wanted
        if stop > size:
            raise ConfigError(
                f"volume.{name} is {first} to {stop}, and the slices have {size} pixels along each "
                "side; the second number is exclusive."
            )
        windows.append(slice(first, stop))
    return windows[0], windows[1]


def volume_spec(organ: Organ, size: int, files: Files) -> PyramidSpec:
    """The volume of an organ, for slices of ``size`` pixels a side before they are cropped."""
    job = organ.job
    settings, voxel = job.config.volume, job.info.pixel_size_um
    rows, columns = crop_window(organ, size)
    return PyramidSpec(
        shape=(len(organ.rows), rows.stop - rows.start, columns.stop - columns.start),
        voxel_size_um=None if voxel is None else (voxel, voxel, voxel),
        chunk=settings.chunk,
        layer=files.layer_rows,
        shard_plane=files.shard_plane,
        unit=job.unit,
        version=settings.ome_zarr,
    )
