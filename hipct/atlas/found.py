"""Places of zooms that ``hipct register`` found, as it writes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hipct.atlas.catalogue import Catalogue, known_as
from hipct.atlas.own import places_in
from hipct.atlas.transform import Transform
from hipct.core.errors import FormatError


@dataclass(frozen=True)
class FoundPlace:
    """A place that ``hipct register`` found.

    Attributes
    ----------
    zoom, overview : names of the volumes
    found : False if it is uncertain
    transform : points (z, y, x) of the zoom to points of the overview, in micrometres
    """

    zoom: str
    overview: str
    found: bool
    transform: Transform


def read_place(record: Mapping[str, Any], what: str) -> FoundPlace:
    """A place as ``hipct register`` writes it; ``what`` begins the sentence of an error.

    Raises
    ------
    FormatError
        If it is none.
    """
    try:
        transform = Transform(record["scale"], record["rotation"], record["translation"])
        return FoundPlace(
            str(record["zoom"]), str(record["overview"]), record["result"] == "found", transform
        )
    except (LookupError, TypeError, ValueError) as error:
        raise FormatError(
            f"{what} is no place of hipct register ({type(error).__name__}: {error})."
        ) from error


def read_place_file(file: Path | str) -> FoundPlace:
    """The place in a JSON file of ``hipct register``.

    Raises
    ------
    FormatError
        If it cannot be read, or is none.
    """
    try:
        record = json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FormatError(
            f"{file} is no place of hipct register ({type(error).__name__}: {error})."
        ) from error
    return read_place(record, str(file))


def find_places(
    catalogue: Catalogue, sources: Iterable[Path | str], notes: list[str]
) -> list[Path]:
    """Files of certain places between known sets, in folders and beside volumes.

    Parameters
    ----------
    catalogue : mapping
    sources : iterable of path or str
        As :func:`hipct.atlas.catalogue.load_catalogue` takes them.
    notes : list of str
        Why others were left out, as sentences.
    """
    files = []
    for file in dict.fromkeys(one for source in sources for one in places_in(source)):
        place = read_place_file(file)
        unknown = [n for n in (place.zoom, place.overview) if known_as(catalogue, n) is None]
        if not place.found:
            notes.append(f"The place in {file} is uncertain; it was left out.")
        elif unknown:
            notes.append(
                f"{file} is of {' and '.join(unknown)}, which is not among the data sets; it was "
                "left out."
            )
        else:
            files.append(file)
    return files
