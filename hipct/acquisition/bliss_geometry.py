"""Geometry and motors of a BLISS sequence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from hipct.acquisition import hdf5
from hipct.acquisition.scan import Acquisition
from hipct.acquisition.units import (
    PLAUSIBLE_DISTANCE_M,
    PLAUSIBLE_ENERGY_KEV,
    PLAUSIBLE_PIXEL_M,
    Quantity,
    factor,
)
from hipct.core.errors import FormatError

Motor = Literal["rotation", "translation_y", "translation_z", "current"]

# Older files have no technique/tomoconfig that names the motors.
_MOTORS: dict[Motor, tuple[str, ...]] = {
    "rotation": ("rotm", "mhsrot", "hsrot", "mrsrot", "hrsrot", "srot", "srot_eh2", "diffrz"),
    "translation_y": ("yrot", "diffty", "hry"),
    "translation_z": ("sz", "difftz", "hrz", "pz", "ntz", "samtz", "mrsz"),
    "current": ("current",),
}
# BLISS writes positions in the units of the motors where it writes no unit: mm and degrees; the
# current of the machine in mA.
_PLACES = ("measurement", "instrument/positioners", "instrument/machine", "")


@dataclass(frozen=True)
class BlissGeometry:
    """What :func:`read_bliss_geometry` found; ``None`` where the file does not say."""

    acquisition: Acquisition
    pixel_size_um: float | None
    distance_m: float | None
    energy_kev: float | None
    lateral_um: float | None
    start_time: str | None


def read_bliss_geometry(first: h5py.Group, detector: str, notes: list[str]) -> BlissGeometry:
    """Read the geometry of a sequence from the entry that begins it.

    Raises
    ------
    FormatError
        If a link leads nowhere or a value is no number.
    """
    source = _value(
        first, ("technique/scan/source_sample_distance",), ("length", "mm"), notes,
        PLAUSIBLE_DISTANCE_M,
    )  # fmt: skip
    behind = _value(
        first, ("technique/scan/sample_detector_distance",), ("length", "mm"), notes,
        PLAUSIBLE_DISTANCE_M,
    )  # fmt: skip
    distance = _value(
        first,
        ("technique/scan/effective_propagation_distance", "technique/scan/propagation_distance"),
        ("length", "mm"), notes, PLAUSIBLE_DISTANCE_M,
    )  # fmt: skip
    magnification = 1.0
    if source is not None and behind is not None:
        magnification = (abs(source) + abs(behind)) / abs(source)
    if distance is None and behind is not None:
        distance = abs(behind) / magnification
        notes.append(f"Distance: the detector's, divided by {magnification:.6g}.")
    pixel = _value(
        first, ("technique/optic/sample_pixel_size",), ("length", "mm"), notes, PLAUSIBLE_PIXEL_M
    )
    if pixel is None:
        pixel = _value(
            first,
            (
                "technique/optic/optics_pixel_size",
                "technique/scan/detector_pixel_size",
                f"technique/detector/{detector}/pixel_size",
                "technique/detector/pixel_size",
            ),
            ("length", "mm"), notes, PLAUSIBLE_PIXEL_M,
        )  # fmt: skip
        if pixel is not None:
            pixel /= magnification
            notes.append(f"Pixel size: the detector's, divided by {magnification:.6g}.")
    energy = _value(
        first, ("technique/scan/energy",), ("energy", "keV"), notes, PLAUSIBLE_ENERGY_KEV
    )
    lateral = motor_values(first, first, "translation_y", None, notes)
    start = hdf5.find_dataset(first, "start_time")
    return BlissGeometry(
        acquisition=_acquisition(first),
        pixel_size_um=None if pixel is None else abs(pixel) * 1e6,
        distance_m=None if distance is None else abs(distance),
        energy_kev=energy,
        lateral_um=None if lateral is None else float(np.median(lateral)),
        start_time=None if start is None else hdf5.text(start),
    )


def motor_values(
    entry: h5py.Group, first: h5py.Group, motor: Motor, count: int | None, notes: list[str]
) -> NDArray[np.float64] | None:
    """Values of a motor (or of the machine's current) in an entry.

    Parameters
    ----------
    entry, first : h5py.Group
        The entry, and the one that begins its sequence and names the motors.
    motor : str
        Which.
    count : int or None
        How many values there have to be (a single one is repeated); ``None``: any number.
    notes : list of str
        What was decided.

    Returns
    -------
    (count,) float64 or None
        Radians, um, or mA; ``None`` if the entry does not say.
    """
    names = [*_named(first, motor), *_MOTORS[motor]]
    for place in _PLACES:
        for name in names:
            dataset = hdf5.find_dataset(entry, f"{place}/{name}".strip("/"))
            if dataset is None or dataset.size == 0 or dataset.dtype.kind not in "uif":
                continue
            values = hdf5.vector(dataset)
            if values.size == 1 and count is not None:
                values = np.full(count, values[0])
            if count is not None and values.size != count:
                continue
            return values * _factor(dataset, motor, notes)
    return None


def _factor(dataset: h5py.Dataset, motor: Motor, notes: list[str]) -> float:
    unit = hdf5.unit_of(dataset)
    if motor == "current":
        return 1e3 if unit in ("A", "ampere") else 1.0
    if unit is None:
        unit = "deg" if motor == "rotation" else "mm"
        note = f"{motor} has no unit; BLISS's {unit} was taken."
        if note not in notes:
            notes.append(note)
    return factor(unit, "angle") if motor == "rotation" else factor(unit, "length") * 1e6


def _named(first: h5py.Group, motor: Motor) -> list[str]:
    dataset = hdf5.find_dataset(first, f"technique/tomoconfig/{motor}")
    if dataset is None:
        return []
    return [text for value in np.atleast_1d(dataset[()]) if (text := hdf5.text(value))]


def _acquisition(first: h5py.Group) -> Acquisition:
    flag = hdf5.find_dataset(first, "technique/scan/half_acquisition")
    if flag is not None and flag.size == 1 and flag.dtype.kind in "uifb":
        return "half" if bool(hdf5.vector(flag)[0]) else "full"
    view = hdf5.find_dataset(first, "technique/scan/field_of_view")
    said = "" if view is None else (hdf5.text(view) or "")
    return "half" if said.lower() == "half" else "full"


def _value(
    first: h5py.Group,
    paths: tuple[str, ...],
    unit: tuple[Quantity, str],
    notes: list[str],
    plausible: tuple[float, float],
) -> float | None:
    """One number in metre or keV; where no unit is written BLISS's own is taken."""
    kind, usual = unit
    for path in paths:
        dataset = hdf5.find_dataset(first, path)
        if dataset is None or dataset.size == 0 or dataset.dtype.kind not in "uif":
            continue
        values = hdf5.vector(dataset)
        written = hdf5.unit_of(dataset)
        if written is None:
            notes.append(f"{path} has no unit; BLISS's {usual} was taken.")
        try:
            value = float(values[0]) * factor(written or usual, kind)
        except FormatError:
            notes.append(f"{path} has the unknown unit {str(written)[:40]!r} and was left out.")
            continue
        if plausible[0] <= abs(value) <= plausible[1]:
            return value
        if value:
            notes.append(f"{path} = {values[0]:.6g} is not plausible and was left out.")
    return None
