"""Settings of what corrects the flats: reference scans, drifting beams, darkening, distortion."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import model_validator

from hipct.pipeline.settings import Section, setting


class ReferenceConfig(Section):
    """Flats from a scan of the jar without the sample, or from the series itself, by angle."""

    path: Path | None = setting(
        None,
        "Scan of the jar with its medium alone, moved in the same way, whose frames become the "
        "flats, for every angle its own",
        null="the scan's own flats",
        allowed="a scan, as a store or in any format that can be read",
    )
    from_series: bool = setting(
        False,
        "Whether the flats are made of the sub-scans themselves: for every angle the median over "
        "sub-scans that are spread over the series; for series without flats. What most of them "
        "show at one place, such as the bulk of a large organ, is divided out with the beam",
    )
    sub_scans: int = setting(
        15, "Sub-scans whose median makes the flats of from_series", unit="sub-scans", ge=5, le=101
    )
    wide: int | None = setting(
        None,
        "Window of angles over which the fine part of the flats (dust, scintillator) is averaged",
        unit="frames of the reference",
        null="100 to 1000 of 6000 frames a turn, by the pixel size",
        ge=2,
        le=100_000,
    )
    narrow: int | None = setting(
        None,
        "Window of angles over which the smooth part of the flats (beam, shadow of the jar) is "
        "averaged",
        unit="frames of the reference",
        null="200 to 500 of 6000 frames a turn, by the pixel size",
        ge=2,
        le=100_000,
    )
    sigma_px: float | None = setting(
        None,
        "Standard deviation of the Gaussian that divides the flats into smooth and fine",
        unit="pixels",
        null="50 to 400, by the pixel size",
        gt=0,
        le=10_000,
    )
    off_axis: bool = setting(
        False,
        "Whether the field lies off the axis of the jar, whose shadow then moves faster; chooses "
        "between the windows that go by the pixel size",
    )
    reduction: Literal["mean", "median"] = setting(
        "mean", "How frames of a window become one: mean, or median where bubbles pass"
    )

    @model_validator(mode="after")
    def _one_source(self) -> ReferenceConfig:
        if self.path is not None and self.from_series:
            raise ValueError(
                f"reference.path is {self.path} and reference.from_series is true; the flats have "
                "one source: give one of the two"
            )
        return self


class DynamicFlatConfig(Section):
    """Flats that follow a drifting beam, frame by frame, by their principal components."""

    enabled: bool = setting(False, "Whether each projection gets a flat of its own")
    components: int | None = setting(
        None,
        "Principal components of the flats that are followed",
        null="those above the noise of the flats, 10 at most",
        ge=1,
        le=50,
    )
    left_columns: int = setting(
        0,
        "Outer columns on the left that no sample ever covers and the components are fitted to; "
        "0 on both sides: fitted everywhere by the least total variation, which is slow",
        unit="columns",
        ge=0,
        le=4096,
    )
    right_columns: int = setting(0, "The same on the right", unit="columns", ge=0, le=4096)


class DarkeningConfig(Section):
    """Optics that darken under the beam, between sub-scans and within each."""

    enabled: bool = setting(
        False,
        "Whether the level of each sub-scan is measured in outer columns, as a straight line in "
        "time, and divided out",
    )
    left_columns: int = setting(
        0,
        "Outer columns on the left that see air, or the jar alone, at every angle",
        unit="columns",
        ge=0,
        le=4096,
    )
    right_columns: int = setting(0, "The same on the right", unit="columns", ge=0, le=4096)
    target: Literal["one", "median"] = setting(
        "one",
        "Level that the columns are brought to: one for air, or for a jar whose reference scan is "
        "divided out; median (of the series) for a jar that the flats do not hold",
    )
    tolerance: float = setting(
        0.05,
        "Share by which levels may differ from one another, or from one where that is the target, "
        "before they are corrected; 0 corrects always",
        ge=0,
        lt=1,
    )

    @model_validator(mode="after")
    def _has_columns(self) -> DarkeningConfig:
        if self.enabled and not self.left_columns + self.right_columns:
            raise ValueError(
                "darkening.enabled is true and both darkening.left_columns and "
                "darkening.right_columns are 0; give the outer columns that see no sample, on one "
                "side at least"
            )
        return self


class DoubleFlatConfig(Section):
    """Double flat field: what stays at its pixel while the sample turns."""

    enabled: bool = setting(
        False,
        "Whether the fine part of the mean projection is divided out; it costs one more pass "
        "over the scans",
    )
    sigma_px: float = setting(
        10.0,
        "Standard deviation of the Gaussian that the fine part is what remains of; less spares "
        "the sample, more finds wide bands",
        unit="pixels",
        gt=0,
        le=1000,
    )
    scope: Literal["scan", "series"] = setting(
        "series",
        "Whether each sub-scan has its own, or all have the median of the series, in which the "
        "sample is lost and the detector stays",
    )
    projections: int | None = setting(
        None,
        "Projections that are averaged of each sub-scan, in blocks spread over all of them; few "
        "are read faster and leave noise of their own",
        null="all",
        ge=1,
    )


class DistortionConfig(Section):
    """Distortion of the detector's optics."""

    centre_px: tuple[float, float] | None = setting(
        None,
        "Centre of the radial distortion",
        unit="pixels",
        null="none",
        allowed="two numbers, [row, column]",
    )
    coefficients: tuple[float, ...] | None = setting(
        None,
        "Backward radial polynomial: a corrected pixel at radius r is found at "
        "r (k0 + k1 r + k2 r^2 + ...) in the raw frame; discorpy and algotom use the same",
        null="none",
        allowed="a list of numbers, [k0, k1, ...]",
    )
    map_file: Path | None = setting(
        None,
        "Places in the raw frame of all corrected pixels, instead of a polynomial",
        null="none",
        allowed="an .npz file with the arrays map_rows and map_columns, (rows, columns) each",
    )
    interpolation: Literal["cubic", "linear"] = setting(
        "cubic", "cubic keeps the fine detail that linear smooths, at three times its cost"
    )

    @property
    def enabled(self) -> bool:
        """Whether there is a distortion to correct."""
        return self.coefficients is not None or self.map_file is not None

    @model_validator(mode="after")
    def _one_source(self) -> DistortionConfig:
        if (self.centre_px is None) != (self.coefficients is None):
            raise ValueError(
                f"distortion.centre_px is {self.centre_px} and distortion.coefficients is "
                f"{self.coefficients}; a radial distortion needs both"
            )
        if self.coefficients == ():
            raise ValueError("distortion.coefficients is empty; give [k0, k1, ...]")
        if self.coefficients is not None and self.map_file is not None:
            raise ValueError(
                f"distortion.coefficients and distortion.map_file ({self.map_file}) are given; "
                "the distortion has one source: give one of the two"
            )
        return self
