"""Where something lies and what its value is, in words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from hipct.core.errors import InputError
from hipct.viewing.layers import reads_of, volume_of
from hipct.volume.open import Volume

_AXES = ("z", "y", "x")

UNIT = "hipct unit"
"""Name by which the metadata of a picture that is no volume has the unit of its values."""


def place_words(place: Sequence[float], length_unit: str) -> str:
    """Coordinates with their unit: millimetres, or voxels where the voxel size is not known.

    Parameters
    ----------
    place : sequence of float
        z, y, x in micrometres or voxels.
    length_unit : {"um", "voxel"}

    Examples
    --------
    >>> place_words((40960.0, 12.5, -3000.0), "um")
    'z 40.960   y 0.013   x -3.000 mm'
    >>> place_words((7.2, 0, 3), "voxel")
    'z 7   y 0   x 3 voxel'
    """
    if length_unit == "um":
        return "   ".join(f"{a} {p / 1e3:.3f}" for a, p in zip(_AXES, place)) + " mm"
    return "   ".join(f"{a} {p:.0f}" for a, p in zip(_AXES, place)) + " voxel"


def parse_place(words: str, length_unit: str) -> tuple[float, float, float]:
    """z, y, x in micrometres (or voxels) of coordinates as :func:`place_words` writes them.

    Parameters
    ----------
    words : str
        Three numbers, in millimetres or voxels; names of axes and units may stand beside them.
    length_unit : {"um", "voxel"}

    Raises
    ------
    InputError
        If there are not three numbers.

    Examples
    --------
    >>> parse_place("z 40.960   y 0.013   x -3.000 mm", "um")
    (40960.0, 13.0, -3000.0)
    """
    numbers = re.findall(r"[-+]?\d+(?:\.\d*)?(?:e[-+]?\d+)?", words, re.IGNORECASE)
    if len(numbers) != 3:
        raise InputError(
            f"The place {words!r} has {len(numbers)} numbers; give three: z, y and x in "
            f"{'mm' if length_unit == 'um' else 'voxels'}."
        )
    z, y, x = (float(n) * (1e3 if length_unit == "um" else 1.0) for n in numbers)
    return z, y, x


def value_words(volume: Volume, stored: Any) -> str:
    """A stored value in the volume's unit; as it is stored where that is not known.

    Parameters
    ----------
    volume : Volume
    stored : scalar
        As it stands in the file.
    """
    if volume.labels:
        return f"label {int(stored)}"
    if volume.scale is None or volume.offset is None:
        return f"{float(stored):g} (as stored)"
    value = float(stored) * volume.scale + volume.offset
    return f"{value:.4f} {volume.unit or '(unit unknown)'}"


def read_out(layers: Sequence[Any], world: Sequence[float]) -> str:
    """What the uppermost visible volume or picture says of a place, as far as it has been read.

    Parameters
    ----------
    layers : sequence of napari.layers.Layer
        Of a window, the uppermost last.
    world : sequence of float
        z, y, x in the window.

    Returns
    -------
    str
        Value, the voxel size of the level where it comes from a coarser one, and the volume's name;
        empty where no volume lies there.
    """
    for layer in reversed(list(layers)):
        if not layer.visible:
            continue
        unit = layer.metadata.get(UNIT)
        if unit is not None:
            index = np.rint(layer.world_to_data(tuple(world)[-layer.ndim :])).astype(int)
            if np.all((index >= 0) & (index < layer.data.shape)):
                return f"{float(layer.data[tuple(index)]):.4f} {unit} in {layer.name}"
            continue
        reads, volume = reads_of(layer), volume_of(layer)
        if reads is None or volume is None:
            continue
        scale, first = reads.places[0]
        index = np.asarray(layer.world_to_data(tuple(world)[-3:]))
        known = reads.known(tuple(index * scale + first))
        if known is not None:
            stored, level = known
            size = max(reads.places[level][0])
            unit = "um" if volume.length_unit == "um" else "voxels"
            coarse = f", mean over {size:g} {unit}" if level else ""
            return f"{value_words(volume, stored)}{coarse} in {volume.name}"
    return ""
