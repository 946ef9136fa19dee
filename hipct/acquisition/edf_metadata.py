"""What EDF images say of themselves, and the ``.info`` or ``.xml`` file beside them."""

from __future__ import annotations

import re
import xml.etree.ElementTree as Xml
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hipct.acquisition.foreign import reading
from hipct.core.errors import FormatError
from hipct.core.extras import require

PARAMETERS = ("tomo_n", "scanrange", "dark_n", "pixelsize", "distance", "energy")
_CURRENTS = ("srcur", "srcurrent", "machinecurrent")
_LARGEST_FILE = 10 << 20
_HEADER_BLOCK = 4096
_LARGEST_HEADER = 1 << 20


@dataclass(frozen=True)
class EdfHeader:
    """The header of one image.

    Attributes
    ----------
    path : Path
        The file.
    shape : (int, int)
        Rows and columns.
    dtype : numpy.dtype
        Of the pixels, in the byte order of this machine.
    motors : dict of str to float
        Positions by their mnemonics, in the motors' units (mm and degrees).
    current_ma : float
        Machine current; NaN where it is not written.
    time : str or None
        When it was taken, as written.
    """

    path: Path
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    motors: dict[str, float] = field(default_factory=dict)
    current_ma: float = float("nan")
    time: str | None = None


def open_image(path: Path) -> Any:
    """Open an EDF image through fabio; a context manager.

    Raises
    ------
    MissingExtra
        If fabio is not installed.
    """
    return require("fabio", "edf", f"Reading the EDF image {path}").open(str(path))


def read_header(path: Path) -> EdfHeader:
    """Header of an EDF image; its pixels are not read.

    Raises
    ------
    FormatError
        If it is none, or holds several images.
    """
    with reading(path, "EDF"), open_image(path) as image:
        if image.nframes != 1:
            raise FormatError(
                f"{path} holds {image.nframes} images; hipct reads EDF files of one image each."
            )
        values = {str(key).lower(): str(value) for key, value in image.header.items()}
        rows, columns = (int(size) for size in image.shape)
        dtype = np.dtype(image.dtype).newbyteorder("=")
    if values.get("compression", "none").lower() == "none":
        _refuse_truncated(path, rows * columns * dtype.itemsize)
    motors = _pairs(values, "motor_mne", "motor_pos")
    counters = _pairs(values, "counter_mne", "counter_pos")
    current = float("nan")
    for name in _CURRENTS:
        if name in counters:
            current = counters[name]
        elif _number(values.get(name)) is not None:
            current = float(values[name])
    return EdfHeader(
        path, (rows, columns), dtype, motors, current, values.get("date") or values.get("time")
    )


def _refuse_truncated(path: Path, pixels: int) -> None:
    # fabio fills up what is missing of an image with zeros.
    held, block = b"", b""
    with path.open("rb") as file:
        while b"}" not in block and len(held) < _LARGEST_HEADER:
            block = file.read(_HEADER_BLOCK)
            held += block
            if not block:
                break
    end = held.find(b"}") + 1
    size = path.stat().st_size
    if end and size < end + pixels:
        raise FormatError(
            f"{path} is truncated: it has {size} bytes, and {pixels} of pixels and {end} of a "
            "header are announced; copy it again from its source."
        )


def read_parameters(folder: Path) -> dict[str, float]:
    """Numbers of ``NAME.info``, and of ``NAME.xml`` where that does not say, by lower-case name.

    Raises
    ------
    FormatError
        If the XML file is damaged.
    """
    found: dict[str, float] = {}
    for path in _beside(folder, ".xml"):
        with reading(path, "XML"):
            text = _text(path)
            if "<!ENTITY" in text:
                raise FormatError(f"{path} defines entities, which no scan's XML file needs.")
            root = Xml.fromstring(text)
        for element in root.iter():
            value = _number(element.text)
            name = element.tag.lower()
            # ESRF's writers put -1 where nothing is known.
            if name in PARAMETERS and value is not None and value != -1:
                found[name] = value
    for path in _beside(folder, ".info"):
        with reading(path, "text"):
            lines = _text(path).splitlines()
        for line in lines:
            name, _, given = line.partition("=")
            value = _number(given.split("#")[0])
            if name.strip().lower() in PARAMETERS and value is not None:
                found[name.strip().lower()] = value
    for name in ("pixelsize", "distance", "energy"):
        if found.get(name, 1.0) <= 0:
            del found[name]
    return found


def _beside(folder: Path, suffix: str) -> list[Path]:
    named = folder / (folder.name + suffix)
    if named.is_file():
        return [named]
    return sorted(path for path in folder.glob(f"*{suffix}") if path.is_file())[:1]


def _text(path: Path) -> str:
    if path.stat().st_size > _LARGEST_FILE:
        raise FormatError(f"{path} is larger than {_LARGEST_FILE >> 20} MB: no file of parameters.")
    return path.read_text(encoding="utf-8", errors="replace")


def _pairs(values: dict[str, str], names: str, numbers: str) -> dict[str, float]:
    keys = values.get(names, "").split()
    positions = [_number(text) for text in values.get(numbers, "").split()]
    return {key.lower(): value for key, value in zip(keys, positions) if value is not None}


def _number(text: str | None) -> float | None:
    match = re.match(r"\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)", text or "")
    try:
        value = float(match.group(1)) if match else None
    except ValueError:
        return None
    return value if value is not None and np.isfinite(value) else None
