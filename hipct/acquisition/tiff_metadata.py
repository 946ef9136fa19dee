"""What lies beside the images of a TIFF folder: ``scan.json`` and ``angles.txt``/``.csv``.

TIFF series carry no geometry. ``scan.json`` holds it under the names of
:class:`~hipct.acquisition.scan.ScanInfo`, units in the names; a text file holds the angles, one
a line, in degrees unless it says ``rad``.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.acquisition.foreign import reading
from hipct.core.errors import FormatError

SCAN_JSON = "scan.json"
ANGLE_FILES = tuple(
    f"{stem}.{suffix}" for stem in ("angles", "theta") for suffix in ("txt", "csv", "dat")
)
_NUMBERS = ("energy_kev", "distance_m", "pixel_size_um", "rotation_axis_px", "subframes")
_WORDS = ("acquisition", "kind", "current_unit")
_LISTS = ("projection_index", "flat_index", "dark_index", "current", "flat_current")
_ANGLES = ("angles_deg", "angles_rad")
_LARGEST_FILE = 100 << 20
_ANGLE_COLUMN = re.compile(r"angle|theta|rotation|phi", re.IGNORECASE)


def read_scan_json(folder: Path) -> dict[str, Any]:
    """Values of ``scan.json``, by the names of ScanInfo; empty if there is no such file.

    Raises
    ------
    FormatError
        If it is no JSON object, or a key or a value of it is not allowed.
    """
    path = folder / SCAN_JSON
    if not path.is_file():
        return {}
    with reading(path, "JSON"):
        content = json.loads(_read_text(path))
    if not isinstance(content, dict):
        raise FormatError(f"{path} has to hold one JSON object of keys and values.")
    allowed = (*_ANGLES, *_NUMBERS, *_WORDS, *_LISTS)
    for key in content:
        if key not in allowed:
            raise FormatError(
                f"{path} holds the unknown key {key[:60]!r}; known are {', '.join(allowed)}."
            )
    if "angles_deg" in content and "angles_rad" in content:
        raise FormatError(f"{path} holds both angles_deg and angles_rad; keep one of them.")
    values = {key: value for key, value in content.items() if value is not None}
    for key in (*_LISTS, *_ANGLES):
        if key in values:
            values[key] = _list_of_numbers(path, key, values[key])
    if "angles_deg" in values:
        values["angles_rad"] = np.radians(values.pop("angles_deg"))
    return values


def read_angle_file(folder: Path) -> tuple[NDArray[np.float64] | None, list[str]]:
    """Angles in radians from a text file in the folder, and what had to be decided.

    Raises
    ------
    FormatError
        If there are several such files, or a line of it is no number.
    """
    found = [folder / name for name in ANGLE_FILES if (folder / name).is_file()]
    if not found:
        return None, []
    if len(found) > 1:
        raise FormatError(
            f"{folder} holds several files of angles ({', '.join(f.name for f in found)}); keep "
            "one of them."
        )
    path = found[0]
    with reading(path, "text"):
        lines = _read_text(path).splitlines()
    comments = " ".join(line for line in lines if line.lstrip().startswith("#"))
    rows = [
        [cell.strip().strip('"') for cell in re.split(r"[,;\t ]+", line.strip())]
        for line in lines
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not rows:
        raise FormatError(f"{path} is empty; it has to hold one angle a line.")
    header: list[str] = []
    if not _is_number(rows[0][0]):
        header, rows = rows[0], rows[1:]
    column = _angle_column(path, header, rows)
    values = []
    for number, row in enumerate(rows, start=1):
        if column >= len(row) or not _is_number(row[column]):
            raise FormatError(
                f"{path}: line {number} of the angles is {' '.join(row)[:60]!r}; it has to be a "
                "number."
            )
        values.append(float(row[column]))
    said = (header[column] if header else "") + " " + comments
    angles = np.array(values, dtype=np.float64)
    if re.search(r"rad", said, re.IGNORECASE):
        return angles, []
    if re.search(r"deg|°", said, re.IGNORECASE):
        return np.radians(angles), []
    return np.radians(angles), [f"{path.name} names no unit; its angles were taken as degrees."]


def _angle_column(path: Path, header: list[str], rows: list[list[str]]) -> int:
    columns = len(header) if header else max((len(row) for row in rows), default=1)
    if columns == 1:
        return 0
    named = [i for i, name in enumerate(header) if _ANGLE_COLUMN.search(name)]
    if len(named) != 1:
        raise FormatError(
            f"{path} has {columns} columns; name one of them angle_deg or angle_rad in a first "
            "line."
        )
    return named[0]


def _list_of_numbers(path: Path, key: str, value: object) -> NDArray[np.float64]:
    try:
        numbers = np.array(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise FormatError(f"{path}: {key} has to be a list of numbers ({error}).") from error
    if numbers.ndim != 1:
        raise FormatError(f"{path}: {key} has to be a list of numbers.")
    return numbers


def _read_text(path: Path) -> str:
    if path.stat().st_size > _LARGEST_FILE:
        raise FormatError(
            f"{path} is larger than {_LARGEST_FILE >> 20} MB, too large for this purpose."
        )
    return path.read_text(encoding="utf-8-sig", errors="replace")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
