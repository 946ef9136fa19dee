"""Geometry of an NXtomo entry: sizes, distances, acquisition, rotation axis.

Magnification by a diverging beam is applied once: ``sample/x_pixel_size`` and
``sample/propagation_distance`` are effective already, the detector's values are not. With the
source at z1 and the detector at z2 behind the sample, M = (z1 + z2) / z1, p_eff = p / M and
z_eff = z2 / M.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import h5py
import numpy as np

from hipct.acquisition import hdf5
from hipct.acquisition.scan import Acquisition
from hipct.acquisition.units import (
    PLAUSIBLE_DISTANCE_M,
    PLAUSIBLE_ENERGY_KEV,
    PLAUSIBLE_PIXEL_M,
    Quantity,
)

_SUBFRAMES = ("number_of_cycles", "acc_nb_frames")
_MOST_SUBFRAMES = 10_000


@dataclass(frozen=True)
class Geometry:
    """What :func:`read_geometry` found; ``None`` where the file does not say."""

    acquisition: Acquisition
    pixel_size_um: float | None
    distance_m: float | None
    energy_kev: float | None
    rotation_axis_px: float | None
    subframes: int


class Groups(Protocol):
    """The NeXus groups of an entry."""

    detector: h5py.Group | None
    sample: h5py.Group | None
    source: h5py.Group | None
    beam: h5py.Group | None
    monochromator: h5py.Group | None


def read_geometry(groups: Groups, columns: int, notes: list[str]) -> Geometry:
    """Read the geometry of an entry; decisions are appended to ``notes``.

    Raises
    ------
    FormatError
        If a link leads nowhere or a value is no number.
    """
    acquisition = _acquisition(groups.detector, notes)
    pixel_m, distance_m = _effective(groups, notes)
    energy = _value(groups.beam, "incident_energy", "energy", PLAUSIBLE_ENERGY_KEV, notes)
    if energy is None:
        energy = _value(groups.monochromator, "energy", "energy", PLAUSIBLE_ENERGY_KEV, notes)
    return Geometry(
        acquisition=acquisition,
        pixel_size_um=None if pixel_m is None else pixel_m * 1e6,
        distance_m=distance_m,
        energy_kev=energy,
        rotation_axis_px=_rotation_axis(groups.detector, columns, acquisition, notes),
        subframes=_subframes(groups.detector, notes),
    )


def _acquisition(detector: h5py.Group | None, notes: list[str]) -> Acquisition:
    view = _dataset(detector, "field_of_view")
    said = (hdf5.text(view) or "").lower() if view is not None else ""
    flag = _dataset(detector, "half_acquisition")
    half = None if flag is None or flag.size != 1 else bool(hdf5.vector(flag)[0])
    if said == "half":
        if half is False:
            # nxtomo 2.1 writes half_acquisition False beside field_of_view Half.
            notes.append("field_of_view is Half beside half_acquisition False; Half was taken.")
        return "half"
    if half:
        if said:
            notes.append(
                f"half_acquisition is True beside field_of_view {said[:20]!r}; half was taken."
            )
        return "half"
    if said not in ("", "full"):
        notes.append(f"field_of_view is {said[:20]!r}, neither Full nor Half; Full was taken.")
    return "full"


def _effective(groups: Groups, notes: list[str]) -> tuple[float | None, float | None]:
    """Effective pixel size and propagation distance in metres."""
    pixel = _length(groups.sample, "x_pixel_size", PLAUSIBLE_PIXEL_M, notes)
    distance = _length(groups.sample, "propagation_distance", PLAUSIBLE_DISTANCE_M, notes)
    detector_pixel = None
    for name in ("x_magnified_pixel_size", "x_pixel_size"):
        if detector_pixel is None:
            detector_pixel = _length(groups.detector, name, PLAUSIBLE_PIXEL_M, notes)
    detector_distance = _length(groups.detector, "distance", PLAUSIBLE_DISTANCE_M, notes)
    source = _length(groups.source, "distance", PLAUSIBLE_DISTANCE_M, notes)
    magnification = 1.0
    if source is not None and detector_distance is not None:
        magnification = (source + detector_distance) / source
    how = (
        f"divided by the magnification {magnification:.6g} of a source at {source:.6g} m"
        if source is not None and detector_distance is not None
        else "without magnification, since no source distance is recorded"
        if source is None
        else "without magnification, since no detector distance is recorded"
    )
    if pixel is not None:
        notes.append("Pixel size: sample/x_pixel_size, effective as it stands.")
    elif detector_pixel is not None:
        pixel = detector_pixel / magnification
        notes.append(f"Pixel size: the detector's x_pixel_size, {how}.")
    if distance is not None:
        notes.append("Distance: sample/propagation_distance, effective as it stands.")
    elif detector_distance is not None:
        distance = detector_distance / magnification
        notes.append(f"Distance: the detector's distance, {how}.")
    _check_square(groups, notes)
    return pixel, distance


def _check_square(groups: Groups, notes: list[str]) -> None:
    for group in (groups.sample, groups.detector):
        x, y = _dataset(group, "x_pixel_size"), _dataset(group, "y_pixel_size")
        if x is None or y is None or x.size != 1 or y.size != 1:
            continue
        width, height = hdf5.vector(x)[0], hdf5.vector(y)[0]
        same_unit = hdf5.unit_of(x) == hdf5.unit_of(y)
        if same_unit and abs(width - height) > 1e-3 * abs(width):
            notes.append(
                f"The pixels of {x.parent.name} are {width:.6g} wide and {height:.6g} high; hipct "
                "takes them as square, of that width: heights in z will be off by that ratio."
            )


def _rotation_axis(
    detector: h5py.Group | None, columns: int, acquisition: Acquisition, notes: list[str]
) -> float | None:
    for name in ("x_rotation_axis_pixel_position", "estimated_cor_from_motor"):
        dataset = _dataset(detector, name)
        if dataset is None or dataset.size != 1:
            continue
        value = float(hdf5.vector(dataset)[0])
        if not np.isfinite(value):
            continue
        # Documented as absolute, written by nxtomomill and read by nabu relative to the centre.
        axis = (columns - 1) / 2 + value
        if 0 <= axis <= columns - 1:
            return axis
        if acquisition == "full" or not -columns <= axis <= 2 * columns:
            notes.append(
                f"{name} = {value:.6g} puts the rotation axis at column {axis:.6g}, off the "
                f"{columns} columns of the detector, and was left out."
            )
            return None
        notes.append(
            f"{name} = {value:.6g} puts the rotation axis at column {axis:.6g}, off the detector: "
            "a disc in the centre was not measured."
        )
        return axis
    return None


def _subframes(detector: h5py.Group | None, notes: list[str]) -> int:
    for name in _SUBFRAMES:
        dataset = _dataset(detector, name)
        if dataset is None or dataset.dtype.kind not in "uif" or dataset.size == 0:
            continue
        values = hdf5.vector(dataset)
        count = values[0]
        if (values == count).all() and 1 <= count <= _MOST_SUBFRAMES and count == int(count):
            if count > 1:
                notes.append(f"Each frame is the sum of {int(count)} camera frames ({name}).")
            return int(count)
    return 1


def _length(
    group: h5py.Group | None, name: str, plausible: tuple[float, float], notes: list[str]
) -> float | None:
    value = _value(group, name, "length", plausible, notes)
    # Distances against the beam carry a minus sign (the source stands at -52 m).
    return None if value is None else abs(value)


def _value(
    group: h5py.Group | None,
    name: str,
    kind: Quantity,
    plausible: tuple[float, float],
    notes: list[str],
) -> float | None:
    dataset = _dataset(group, name)
    if dataset is None:
        return None
    value, found = hdf5.quantity(dataset, kind, plausible)
    notes += found
    return value


def _dataset(group: h5py.Group | None, name: str) -> h5py.Dataset | None:
    return None if group is None else hdf5.find_dataset(group, name)
