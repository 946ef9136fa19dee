"""The settings of motion: how the drift of the sample is measured and taken out."""

from __future__ import annotations

from typing import Literal

from hipct.pipeline.settings import Section, setting


class MotionConfig(Section):
    """Motion of the sample within a scan or sub-scan."""

    method: Literal["none", "auto", "returns", "pairs"] = setting(
        "none",
        "What its slow drift is measured from, to take it out of every projection: none (it is "
        "left in), returns (views taken again at the end), pairs (repeated and opposite views of "
        "the scan itself), or auto (all that there is)",
    )
    degree: int | None = setting(
        None,
        "Degree of the drift as a polynomial in time",
        null="what the measured shifts ask for",
        ge=1,
        le=4,
    )
    reach_px: float = setting(8.0, "Largest drift that is looked for", unit="pixels", gt=0, le=100)
    flag: bool = setting(
        False,
        "Whether sudden motion and bubbles are looked for, which are told and not taken out",
    )
