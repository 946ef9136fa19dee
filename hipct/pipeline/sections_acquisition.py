"""Settings of scans that are made of more than one turn of one field: annuli and helices."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from hipct.pipeline.settings import Section, setting


def _lengths(pair: tuple[float, float]) -> tuple[float, float]:
    if min(pair) < 0:
        raise ValueError("both numbers have to be 0 or more")
    return pair


Lengths = Annotated[tuple[float, float], AfterValidator(_lengths)]


class QuarterConfig(Section):
    """Quarter-acquisitions: two annuli joined into one wide half-acquisition."""

    offset_px: tuple[float, float] | None = setting(
        None,
        "Row and column of the inner annulus at which pixel (0, 0) of the outer one lies; the "
        "column is below 0 where the outer annulus goes on to the left",
        unit="pixels",
        null="from the motors, refined",
        allowed="two numbers, [row, column] (pixels)",
    )
    refine: bool = setting(
        True,
        "Whether the offset by the motors is refined by what both annuli see of the columns that "
        "they have in common",
    )
    reach_px: Lengths = setting(
        (4.0, 16.0),
        "How far off the motors may be, along rows and columns",
        unit="pixels",
        allowed="two numbers, [rows, columns], 0 or more (pixels)",
    )
    border_px: int = setting(
        4,
        "Columns at the meeting edges of both annuli that are not used",
        unit="columns",
        ge=0,
        le=500,
    )


class HelicalConfig(Section):
    """Helical scans: the turns that saw an organ row combined into one."""

    border_rows: int = setting(
        0,
        "Rows at the upper and lower edge of the detector that are not used",
        unit="rows",
        ge=0,
        le=2000,
    )
