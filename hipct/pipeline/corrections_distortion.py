"""The distortion of a detector as it is configured, and the rows around a tile that it needs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.core.errors import ConfigError
from hipct.pipeline.sections_flats import DistortionConfig
from hipct.preparation.distortion import displacement_of_maps, radial_displacement

_NEIGHBOURS = 2
"""Rows on either side of a place between pixels that a cubic looks at."""

_SAMPLES = 129
"""Rows and columns at which a polynomial is looked at for a plan."""


def fill_displacement(settings: DistortionConfig, out: NDArray[Any]) -> None:
    """Fill ``out`` (rows, columns, 2) with the displacement of every corrected pixel.

    Raises
    ------
    ConfigError
        If a file of maps cannot be used.
    """
    shape = out.shape[0], out.shape[1]
    if settings.map_file is not None:
        out[...] = displacement_of_maps(*_maps(settings.map_file, shape))
        return
    assert settings.coefficients is not None
    assert settings.centre_px is not None
    out[...] = radial_displacement(*shape, settings.centre_px, settings.coefficients)


def halo_rows(displacement: NDArray[Any]) -> int:
    """Rows above and below that a displacement along the rows, in pixels, looks at, at most."""
    return math.ceil(float(np.abs(displacement).max())) + _NEIGHBOURS


def planned_halo_rows(settings: DistortionConfig, shape: tuple[int, int]) -> int:
    """:func:`halo_rows` for a detector (rows, columns), a row more where it is a polynomial."""
    if settings.map_file is not None:
        map_rows, _ = _maps(settings.map_file, shape)
        return halo_rows(map_rows - np.arange(shape[0])[:, None])
    assert settings.coefficients is not None
    assert settings.centre_px is not None
    row, column = (
        np.linspace(0, size - 1, min(size, _SAMPLES)) - centre
        for size, centre in zip(shape, settings.centre_px)
    )
    radius = np.hypot(row[:, None], column)
    first, *others = settings.coefficients
    stretch = np.polynomial.polynomial.polyval(radius, [first - 1, *others])
    return halo_rows(row[:, None] * stretch) + 1


def _maps(path: Path, shape: tuple[int, int]) -> list[NDArray[Any]]:
    """The two maps of a file."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            maps = [stored["map_rows"], stored["map_columns"]]
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"distortion.map_file is {path}, which does not hold the arrays map_rows and "
            f"map_columns as numpy.savez writes them ({error})."
        ) from error
    for values in maps:
        if values.shape != shape:
            raise ConfigError(
                f"distortion.map_file is {path}, with a map of shape {values.shape}; the detector "
                f"has {shape}."
            )
    return maps
