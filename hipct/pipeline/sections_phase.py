"""The settings of phase retrieval."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

from pydantic import model_validator

from hipct.pipeline.settings import Section, setting

CONTRAST = ("ctf", "ctf_homogeneous")
"""Methods that invert the contrast transfer function."""


class PhaseConfig(Section):
    """Phase retrieval; which method to take is in docs/phase.md."""

    method: Literal[
        "paganin",
        "generalised",
        "ctf",
        "ctf_homogeneous",
        "nonlinear",
        "multi_material",
        "none",
    ] = setting(
        "paganin",
        "Filter: paganin (2002); generalised (Paganin 2020, sharper at fine detail); ctf, "
        "ctf_homogeneous (contrast transfer function, weak samples at long distances); nonlinear "
        "(iterative Fresnel model, slow); multi_material (paganin for two materials, spliced); "
        "or none",
    )
    delta_beta: float | None = setting(
        None,
        "Ratio of refraction to absorption of the sample; it is physical and does not change "
        "with binning",
        null="soft tissue at the scan's energy, 60 to 120 keV",
        gt=0,
        le=1e7,
    )
    padding: Literal["mirror", "edge"] = setting(
        "mirror", "How projections go on beyond their edge; mirror costs a quarter of edge"
    )
    halo_accuracy: float = setting(
        1e-5,
        "Error that a strong edge just outside of the halo rows may leave, relative to its step",
        ge=1e-9,
        le=0.1,
    )
    scans: tuple[Path, ...] = setting(
        (),
        "Scans of the same sample at other distances, on the same grid (ctf, ctf_homogeneous)",
        allowed="a list of scans, empty for one distance",
    )
    regularisation: float | None = setting(
        None,
        "Share of the largest square of the contrast transfer function that is added where it is "
        "small (ctf, ctf_homogeneous), or by which a step is damped (nonlinear); more keeps noise "
        "down",
        null="0.03, nonlinear 0.001",
        gt=0,
        lt=1,
    )
    iterations: int = setting(
        2, "Gauss-Newton steps at each of three scales (nonlinear)", unit="steps", ge=1, le=100
    )
    oversampling: int = setting(
        2,
        "Samples of the wave along the edge of a pixel (nonlinear); a steep phase needs more",
        unit="samples",
        ge=1,
        le=8,
    )
    second_delta_beta: float | None = setting(
        None,
        "Ratio of the differences in delta and beta of a second material to what is around it, "
        "e.g. of bone to tissue (multi_material)",
        null="none",
        gt=0,
        le=1e7,
    )
    splice: tuple[float, float] | None = setting(
        None,
        "Voxel values retrieved with delta_beta from which, and to which, the second material "
        "takes over (multi_material); the second number is below the first for air in tissue",
        unit="1/cm",
        null="none",
        allowed="two numbers that differ, [from, to] (1/cm)",
    )

    @model_validator(mode="after")
    def _scans_are_for_the_ctf(self) -> PhaseConfig:
        if self.scans and self.method not in CONTRAST:
            raise ValueError(
                f"phase.scans names {len(self.scans)} scans at other distances and phase.method is "
                f"{self.method}, which takes one distance; set phase.method=ctf or ctf_homogeneous"
            )
        return self

    @model_validator(mode="after")
    def _second_material_is_whole(self) -> PhaseConfig:
        given = self.second_delta_beta is not None, self.splice is not None
        if self.method == "multi_material":
            if not all(given):
                raise ValueError(
                    "phase.method=multi_material needs phase.second_delta_beta and phase.splice, "
                    "e.g. [0.4, 0.8]: the values in 1/cm between which the second material takes "
                    "over"
                )
        elif any(given):
            raise ValueError(
                "phase.second_delta_beta and phase.splice are for phase.method=multi_material, "
                f"and it is {self.method}"
            )
        if self.splice is not None:
            low, high = self.splice
            if low == high or not (math.isfinite(low) and math.isfinite(high)):
                raise ValueError(
                    f"phase.splice is {[low, high]}; allowed are two numbers that differ"
                )
        return self

    @property
    def materials(self) -> int:
        """Retrievals whose slices are spliced."""
        return 2 if self.method == "multi_material" else 1
