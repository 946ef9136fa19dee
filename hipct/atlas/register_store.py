"""The place of a zoom, kept: as a JSON file, and in the zoom's own metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hipct.atlas.register import ZoomPlace
from hipct.core.errors import InputError
from hipct.core.files import write_json
from hipct.volume.omezarr import update_attributes
from hipct.volume.open import Volume
from hipct.volume.storage import is_address


def place_record(result: ZoomPlace, zoom: Volume, overview: Volume) -> dict[str, Any]:
    """The place as JSON holds it, with the volumes it is between and an affine transformation.

    The affine has the form of the coordinate transformations that OME-NGFF proposes in RFC 5: three
    rows of four, for (z, y, x, 1) in micrometres, of ``zoom`` into ``overview``.
    """
    place = result.place
    affine = np.column_stack([place.scale * place.rotation, place.translation_um])
    return {
        "zoom": zoom.name,
        "overview": overview.name,
        "transformation": {
            "type": "affine",
            "input": zoom.name,
            "output": overview.name,
            "affine": affine.tolist(),
        },
        **result.describe(),
    }


def write_place(path: Path | str, result: ZoomPlace, zoom: Volume, overview: Volume) -> None:
    """Write :func:`place_record` to a JSON file, whole or not at all.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    write_json(Path(path), place_record(result, zoom, overview))


def store_place(result: ZoomPlace, zoom: Volume, overview: Volume) -> None:
    """Write the place into the zoom's metadata, as ``hipct/placed_in``, whole or not at all.

    Raises
    ------
    InputError
        If the place is uncertain, or the zoom lies on a server.
    OutputError
        If the metadata cannot be written.
    """
    if not result.found:
        raise InputError(
            f"The place of {zoom.address} is uncertain (confidence {result.confidence:.2f}) and "
            "was not written into its metadata; give a start that is nearer, or look at the "
            "picture."
        )
    refuse_remote(zoom)
    update_attributes(zoom.path, {"hipct": {"placed_in": place_record(result, zoom, overview)}})


def refuse_remote(zoom: Volume) -> None:
    """Raise if the place cannot be written into the metadata of a volume.

    Raises
    ------
    InputError
        If the zoom lies on a server.
    """
    if is_address(zoom.address):
        raise InputError(
            f"{zoom.address} lies on a server, where no place is written. Leave out --write: the "
            "place is in the JSON file."
        )
