"""What a scan is, in words and numbers, for ``hipct inspect``."""

from __future__ import annotations

import math
from typing import Any

from hipct.acquisition.scan import Scan


def describe(scan: Scan) -> dict[str, Any]:
    """Describe a scan: geometry, units, sizes, what is missing.

    Parameters
    ----------
    scan : Scan
        Any open scan.

    Returns
    -------
    dict
        JSON types only, in the order to show; units in the names. ``missing`` lists the values
        that no metadata gave, ``notes`` what the reader found.
    """
    info = scan.info
    angles = info.angles_rad
    missing = [
        name
        for name in ("energy_kev", "pixel_size_um", "distance_m", "rotation_axis_px")
        if getattr(info, name) is None
    ]
    if info.kind == "counts":
        missing += [name for name in ("flats", "darks") if getattr(info, name) == 0]
    notes = list(info.notes)
    if info.suggests_half_acquisition:
        notes.append(
            "The angles cover a whole turn and the scan counts as full: if the rotation axis lies "
            "near a detector edge, give --set scan.acquisition=half."
        )
    width_mm = None if info.pixel_size_um is None else info.columns * info.pixel_size_um / 1e3
    height_mm = None if info.pixel_size_um is None else info.rows * info.pixel_size_um / 1e3
    return {
        "source": info.source,
        "format": info.format,
        "kind": info.kind,
        "acquisition": info.acquisition,
        "projections": info.projections,
        "rows": info.rows,
        "columns": info.columns,
        "dtype": info.dtype.name,
        "size_gb": round(info.nbytes / 1e9, 6),
        "flats": info.flats,
        "darks": info.darks,
        "first_angle_deg": round(math.degrees(float(angles[0])), 6),
        "last_angle_deg": round(math.degrees(float(angles[-1])), 6),
        "angular_range_deg": round(math.degrees(info.angular_range_rad), 6),
        "angular_step_deg": round(math.degrees(info.angular_step_rad), 6),
        "energy_kev": info.energy_kev,
        "pixel_size_um": info.pixel_size_um,
        "distance_m": info.distance_m,
        "rotation_axis_px": info.rotation_axis_px,
        "field_width_mm": width_mm,
        "field_height_mm": height_mm,
        "subframes": info.subframes,
        "current": info.current is not None,
        "current_unit": info.current_unit,
        "read_rows_in_multiples_of": scan.row_chunk,
        "read_angles_in_multiples_of": scan.angle_chunk,
        "missing": missing,
        "notes": notes,
    }
