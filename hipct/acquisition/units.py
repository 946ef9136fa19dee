"""Units as scan files write them: followed always, assumed never."""

from __future__ import annotations

import math
from typing import Literal

from hipct.core.errors import FormatError

Quantity = Literal["length", "energy", "angle"]

# Values outside of these are typing errors or wrong units (a storage ring's GeV, pixels in m).
PLAUSIBLE_ENERGY_KEV = (1.0, 1000.0)
PLAUSIBLE_PIXEL_M = (1e-9, 1e-2)
PLAUSIBLE_DISTANCE_M = (1e-6, 1000.0)

# Factors to metre, keV and radian.
_LENGTH_M = {
    "m": 1.0,
    "meter": 1.0,
    "metre": 1.0,
    "cm": 1e-2,
    "centimeter": 1e-2,
    "centimetre": 1e-2,
    "mm": 1e-3,
    "millimeter": 1e-3,
    "millimetre": 1e-3,
    "um": 1e-6,
    "micron": 1e-6,
    "micrometer": 1e-6,
    "micrometre": 1e-6,
    "nm": 1e-9,
    "nanometer": 1e-9,
    "nanometre": 1e-9,
    "angstrom": 1e-10,
}
_ENERGY_KEV = {
    "eV": 1e-3,
    "ev": 1e-3,
    "electronvolt": 1e-3,
    "keV": 1.0,
    "kev": 1.0,
    "kiloelectronvolt": 1.0,
    "MeV": 1e3,
    "GeV": 1e6,
    "J": 1.0 / 1.602176634e-16,
    "joule": 1.0 / 1.602176634e-16,
}
_ANGLE_RAD = {
    "rad": 1.0,
    "radian": 1.0,
    "mrad": 1e-3,
    "milliradian": 1e-3,
    "deg": math.pi / 180,
    "degree": math.pi / 180,
    "°": math.pi / 180,
}
_TABLES: dict[Quantity, dict[str, float]] = {
    "length": _LENGTH_M,
    "energy": _ENERGY_KEV,
    "angle": _ANGLE_RAD,
}
_BASE: dict[Quantity, str] = {"length": "metre", "energy": "keV", "angle": "radian"}


def normalise_unit(unit: str | bytes) -> str:
    r"""Spell a unit plainly: both micro signs become ``u``, plural and blanks go.

    Latin-1 bytes, and UTF-8 that was read as Latin-1, are understood too: both are met in files
    written by instrument software.

    Examples
    --------
    >>> normalise_unit("\u00b5m"), normalise_unit("\u03bcm"), normalise_unit(b"\xb5m")
    ('um', 'um', 'um')
    >>> normalise_unit(" Degrees ")
    'degree'
    """
    if isinstance(unit, bytes):
        unit = unit.decode("utf-8", "surrogateescape")
    text = unit
    if any("\udc80" <= letter <= "\udcff" for letter in text):
        # Undecodable bytes come as surrogates, from h5py too: they are Latin-1.
        text = text.encode("utf-8", "surrogateescape").decode("latin-1")
    text = text.strip().strip("\0").replace("Â", "")
    text = text.replace("\u00b5", "u").replace("\u03bc", "u")
    if any(text in table for table in _TABLES.values()):
        return text
    # Long names are written in any case; short ones are not touched, since M and m differ.
    word = text.lower() if len(text) > 2 else text
    if len(word) > 3 and word.endswith("s"):
        word = word[:-1]
    if any(word in table for table in _TABLES.values()):
        return word
    return text


def factor(unit: str | bytes, quantity: Quantity) -> float:
    """Factor from ``unit`` to metre, keV or radian.

    Parameters
    ----------
    unit : str or bytes
        As the file spells it, e.g. ``"um"``, ``"µm"``, ``"keV"``, ``"deg"``.
    quantity : {"length", "energy", "angle"}
        What is measured.

    Raises
    ------
    FormatError
        If the unit is not one of that quantity.

    Examples
    --------
    >>> factor("mm", "length"), factor("eV", "energy"), factor("rad", "angle")
    (0.001, 0.001, 1.0)
    """
    name = normalise_unit(unit)
    table = _TABLES[quantity]
    if name not in table:
        raise FormatError(
            f"The unit {name[:40]!r} is no unit of {quantity} that hipct knows; "
            f"known are {', '.join(table)} (all become {_BASE[quantity]})."
        )
    return table[name]
