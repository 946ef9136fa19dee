"""Settings of what several sub-scans make together."""

from __future__ import annotations

from typing import Literal

from hipct.pipeline.settings import Section, setting


class StitchingConfig(Section):
    """Sub-scans of a series: where they lie, and at which level."""

    refine: bool = setting(
        True,
        "Whether the positions by the motors are refined by what neighbours see of each other",
    )
    angles: int = setting(
        12, "Views that neighbours are compared at", unit="projections", ge=3, le=1000
    )
    reach_rows_px: float = setting(
        8.0, "How far off the heights may be", unit="pixels", gt=0, le=500
    )
    reach_columns_px: float = setting(
        12.0,
        "How far views of neighbours may be apart sideways: drift of the axis and of the sample",
        unit="pixels",
        gt=0,
        le=500,
    )
    motor_error_px: float = setting(
        3.0, "Standard error of the motors, vertical and lateral", unit="pixels", gt=0, le=500
    )
    axis_degree: int | None = setting(
        None,
        "Degree of a polynomial in z that replaces the measured axes of the sub-scans, for a stage "
        "that is known to drift evenly",
        null="each sub-scan has its own",
        ge=0,
        le=5,
    )
    levels: Literal["none", "offset", "slope", "gain"] = setting(
        "gain",
        "What is matched of the line integrals where neighbours overlap: an offset, its slope "
        "along z as well, or a gain as well",
    )
    margin_px: int = setting(
        8,
        "Rows at the upper and lower edge of every sub-scan that are not used, 5 or more as the "
        "fraction of a row needs them",
        unit="rows",
        ge=5,
        le=2000,
    )
