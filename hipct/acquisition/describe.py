"""What a scan or a series is, in words and numbers, for ``hipct inspect``."""

from __future__ import annotations

import math
from typing import Any

from hipct.acquisition.scan import Scan
from hipct.acquisition.series import Series


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
        "name": info.name or None,
        "start_time": info.start_time,
        "z_um": info.z_um,
        "lateral_um": info.lateral_um,
        "helical": info.projection_z_um is not None,
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


def describe_series(series: Series) -> dict[str, Any]:
    """Describe a series: its common geometry, its extent, and every sub-scan's place.

    Parameters
    ----------
    series : Series
        Any open series.

    Returns
    -------
    dict
        JSON types only, in the order to show. ``members`` has a row a sub-scan, by z;
        ``gaps`` and ``skipped`` hold sentences; the other keys are those of :func:`describe`.
    """
    common = describe(series.members[0].scan)
    rows = [station[0].info.rows for station in series.stations]
    overlaps = [
        float(above + height - below)
        for above, height, below in zip(series.offsets_px, rows, series.offsets_px[1:])
    ]
    pixel = series.info.pixel_size_um
    shared = (
        "kind", "rows", "columns", "dtype", "projections", "angular_range_deg", "energy_kev",
        "pixel_size_um", "distance_m", "field_width_mm",
    )  # fmt: skip
    return {
        "source": series.source,
        "format": f"series of {common['format']}",
        "acquisition": series.acquisition,
        "helical": series.helical,
        "sub_scans": len(series),
        "stations": len(series.stations),
        "common_rows": series.rows,
        "height_mm": None if pixel is None else series.rows * pixel / 1e3,
        "overlap_rows": [round(overlap, 3) for overlap in overlaps],
        "size_gb": round(sum(member.info.nbytes for member in series) / 1e9, 6),
        **{name: common[name] for name in shared},
        "members": [
            {
                "name": member.name,
                "z_um": member.z_um,
                "lateral_um": member.lateral_um,
                "first_row": round(member.offset_px, 3),
                "rotation_axis_px": member.info.rotation_axis_px,
                "flats": member.info.flats,
                "darks": member.info.darks,
                "start_time": member.info.start_time,
            }
            for member in series
        ],
        "gaps": [str(gap) for gap in series.gaps],
        "skipped": [f"{name}: {why}" for name, why in series.skipped.items()],
        "missing": common["missing"],
        "notes": list(series.notes),
    }
