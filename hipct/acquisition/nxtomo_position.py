"""Where an NXtomo entry stands in its series: translations of the sample, name and time.

Two systems of axes are met. Files that say ``NeXus_Coordinate_System = McStas`` have the vertical
in ``y_translation`` and the direction across the beam in ``x_translation``; all others follow the
ESRF's older habit of ``z_translation`` and ``y_translation``. A sample that moves up shows the
detector its lower parts: rows count downwards, so z grows with the translation.
"""

from __future__ import annotations

from dataclasses import dataclass

import h5py
import numpy as np
from numpy.typing import NDArray

from hipct.acquisition import hdf5
from hipct.acquisition.units import factor
from hipct.core.errors import FormatError

_SMALLEST_HELIX_UM = 2.0


@dataclass(frozen=True)
class Position:
    """Fields of ScanInfo of the same names."""

    z_um: float | None = None
    lateral_um: float | None = None
    projection_z_um: NDArray[np.float64] | None = None


def read_position(
    entry: h5py.Group,
    sample: h5py.Group | None,
    *,
    projections: NDArray[np.intp],
    frames: int,
    pixel_size_um: float | None,
    notes: list[str],
) -> Position:
    """Read the translations of an entry; decisions are appended to ``notes``.

    Parameters
    ----------
    entry, sample : h5py.Group
        The NXtomo entry and its sample.
    projections : (projections,) int
        Numbers of the frames that are projections.
    frames : int
        Number of all frames.
    pixel_size_um : float or None
        Effective pixel size: more motion in z than half of it during the scan is a helix.
    notes : list of str
        What was decided.

    Raises
    ------
    FormatError
        If a link leads nowhere or a value is no number.
    """
    if sample is None:
        return Position()
    system = hdf5.text(entry.attrs.get("NeXus_Coordinate_System"))
    upright, across = "z_translation", "y_translation"
    if system == "McStas" or (
        system is None and "z_translation" not in sample and "y_translation" in sample
    ):
        upright, across = "y_translation", "x_translation"
    z = _translation_um(sample, upright, projections, frames, notes)
    lateral = _translation_um(sample, across, projections, frames, notes)
    side = None if lateral is None else float(np.median(lateral))
    if z is None:
        return Position(lateral_um=side)
    notes.append(f"z is sample/{upright}; rows count downwards as the sample moves up.")
    smallest = max(_SMALLEST_HELIX_UM, 0.5 * (pixel_size_um or 0.0))
    if np.ptp(z) <= smallest:
        return Position(float(np.median(z)), side)
    notes.append(f"z moves by {np.ptp(z):.6g} um during the scan: a helical scan.")
    return Position(float(z.mean()), side, z)


def _translation_um(
    sample: h5py.Group,
    name: str,
    projections: NDArray[np.intp],
    frames: int,
    notes: list[str],
) -> NDArray[np.float64] | None:
    """Translation at each projection in um; ``None`` if the file does not say."""
    dataset = hdf5.find_dataset(sample, name)
    if dataset is None or dataset.size == 0:
        return None
    values = hdf5.vector(dataset)
    unit = hdf5.unit_of(dataset)
    if unit is None:
        notes.append(f"{dataset.name} has no unit and was left out.")
        return None
    try:
        values = values * factor(unit, "length") * 1e6
    except FormatError:
        notes.append(f"{dataset.name} has the unknown unit {unit[:40]!r} and was left out.")
        return None
    if values.size == frames:
        values = values[projections]
    elif values.size == 1:
        values = np.full(projections.size, values[0])
    elif values.size != projections.size:
        notes.append(f"{dataset.name} has {values.size} values for {frames} frames: left out.")
        return None
    if not np.isfinite(values).all():
        notes.append(f"{dataset.name} is not a finite number everywhere and was left out.")
        return None
    return values
