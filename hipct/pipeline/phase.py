"""The filter of projections that a configuration asks for, and how far it reaches."""

from __future__ import annotations

from types import ModuleType
from typing import NamedTuple, Protocol

from hipct.acquisition.scan import ScanInfo
from hipct.core.arrays import Array
from hipct.phase.contrast import REGULARISATION, Contrast, contrast_numbers, propagation_number
from hipct.phase.distances import ContrastFilter
from hipct.phase.halo import halo_rows
from hipct.phase.nonlinear import REGULARISATION as DAMPING
from hipct.phase.nonlinear import NonlinearFilter, model_reach
from hipct.phase.paganin import PaganinFilter
from hipct.phase.unsharp import UnsharpMask
from hipct.pipeline.sections_phase import PhaseConfig

PHASE_PURPOSE = "Phase retrieval (off with --set phase.method=none)"


WITHIN_FRAMES = ("none", "paganin", "generalised", "multi_material")
"""Methods that on the CPU work within what a plan counts for frames on their way."""


class Physics(NamedTuple):
    """What phase retrieval needs to know."""

    pixel_size_um: float
    distances_m: tuple[float, ...]
    energy_kev: float
    delta_beta: float

    @property
    def distance_m(self) -> float:
        """Distance of the scan."""
        return self.distances_m[0]


class ProjectionFilter(Protocol):
    """Transmission of images of one size in, retrieved transmission of each view out."""

    @property
    def takes_logarithm(self) -> bool:
        """Whether line integrals can be made in the same pass, by ``sinograms``."""

    def apply(self, block: Array, out: Array | None = None) -> Array:
        """Retrieve images (angles, distances * rows, columns), as (angles, rows, columns)."""

    def memory_bytes(self, angles: int) -> int:
        """Peak bytes of a call on so many views, with its result."""


def physics_of(info: ScanInfo, delta_beta: float | None, distances_m: tuple[float, ...]) -> Physics:
    """What phase retrieval needs of a scan.

    Raises
    ------
    MissingMetadata
        If the scan lacks one of it.
    """
    pixel, distance, energy = info.require(
        "pixel_size_um", "distance_m", "energy_kev", purpose=PHASE_PURPOSE
    )
    assert delta_beta is not None
    return Physics(pixel, distances_m or (distance,), energy, delta_beta)


def retrieval_halo(settings: PhaseConfig, physics: Physics, accuracy: float) -> int:
    """Rows of real data that retrieval needs above and below a tile.

    That of the iterative method is the reach of the linear filter that it starts from and is
    preconditioned by, and that of light on its way.
    """
    geometry = {"pixel_size_um": physics.pixel_size_um, "energy_kev": physics.energy_kev}
    distance = physics.distance_m
    method = settings.method
    if method in ("paganin", "generalised", "multi_material"):
        return max(
            halo_rows(
                **geometry,
                distance_m=distance,
                delta_beta=ratio,
                accuracy=accuracy,
                method="generalised" if method == "generalised" else "paganin",
            )
            for ratio in _ratios(settings, physics)
        )
    contrast = Contrast(
        contrast_numbers(physics.distances_m, **geometry),
        physics.delta_beta,
        "ctf" if method == "ctf" else "ctf_homogeneous",
        REGULARISATION
        if settings.regularisation is None or method == "nonlinear"
        else settings.regularisation,
    )
    reach = contrast.reach(accuracy)
    if method == "nonlinear":
        number = propagation_number(distance_m=distance, **geometry)
        reach += model_reach(number, settings.oversampling)
    return reach


def projection_filters(
    settings: PhaseConfig,
    physics: Physics,
    shape: tuple[int, int],
    mask: UnsharpMask | None,
    xp: ModuleType,
) -> list[ProjectionFilter]:
    """Filter for each material, for images (rows, columns).

    Parameters
    ----------
    settings : PhaseConfig
        With a method other than "none".
    physics : Physics
    shape : (int, int)
    mask : UnsharpMask or None
        Applied to what is retrieved.
    xp : module
        Where it is computed.
    """
    pixel, energy = physics.pixel_size_um, physics.energy_kev
    method = settings.method
    if method in {"ctf", "ctf_homogeneous"}:
        return [
            ContrastFilter(
                *shape,
                pixel_size_um=pixel,
                energy_kev=energy,
                distances_m=physics.distances_m,
                delta_beta=physics.delta_beta,
                method="ctf" if method == "ctf" else "ctf_homogeneous",
                regularisation=settings.regularisation or REGULARISATION,
                padding=settings.padding,
                unsharp=mask,
                xp=xp,
            )
        ]
    if method == "nonlinear":
        return [
            NonlinearFilter(
                *shape,
                pixel_size_um=pixel,
                energy_kev=energy,
                distance_m=physics.distance_m,
                delta_beta=physics.delta_beta,
                iterations=settings.iterations,
                oversampling=settings.oversampling,
                regularisation=settings.regularisation or DAMPING,
                padding=settings.padding,
                unsharp=mask,
                xp=xp,
            )
        ]
    return [
        PaganinFilter(
            *shape,
            pixel_size_um=pixel,
            energy_kev=energy,
            distance_m=physics.distance_m,
            delta_beta=ratio,
            method="generalised" if method == "generalised" else "paganin",
            padding=settings.padding,
            unsharp=mask,
            xp=xp,
        )
        for ratio in _ratios(settings, physics)
    ]


def _ratios(settings: PhaseConfig, physics: Physics) -> list[float]:
    """Ratio delta/beta of each material that is retrieved by itself."""
    if settings.second_delta_beta is None:
        return [physics.delta_beta]
    return [physics.delta_beta, settings.second_delta_beta]
