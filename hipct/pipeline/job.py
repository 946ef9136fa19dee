"""A scan and a configuration, resolved into the numbers that the chain needs.

Everything that decides voxel values is settled here, before any frame is read and without a
look at memory: the plan may cut the work differently on another machine, the numbers stay.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.acquisition.scan import Scan, ScanInfo
from hipct.core.errors import ConfigError, MissingMetadata
from hipct.phase.convert import soft_tissue_delta_beta
from hipct.phase.unsharp import unsharp_halo_rows
from hipct.pipeline.config import Config
from hipct.pipeline.distances import DistancesScan, open_others
from hipct.pipeline.phase import PHASE_PURPOSE, Physics, physics_of, retrieval_halo
from hipct.preparation.counts import PixelCounts
from hipct.preparation.current import repair_current
from hipct.preparation.zingers import HALO_ROWS as ZINGER_HALO_ROWS

LAYER = 128
"""Rows of a write layer (one shard) where the plan does not have to take fewer."""

MOST_SAMPLED_ROWS = 16
"""Rows of a frame that tell a scan from another one."""

ROW_STEP = 16
"""Halos are rounded up to this: the rows of a chunk of the scan store, so none is cut."""


@dataclass(frozen=True, eq=False)
class Job:
    """One reconstruction, resolved.

    Attributes
    ----------
    info : ScanInfo
        The scan's metadata with the overrides of the configuration.
    config : Config
        The configuration.
    rows : range
        Detector rows to reconstruct.
    delta_beta : float or None
        Ratio used by phase retrieval; ``None`` without it.
    halo : int
        Rows that a phase tile reads above and below itself (a multiple of 16, or 0).
    tile_rows : int
        Height of a phase tile, anchored at detector row 0.
    notes : tuple of str
        What was assumed, as sentences.
    current, flat_current : ndarray or None
        Machine current of each projection and flat, repaired; ``None``: not normalised by it.
    current_repaired : int
        Readings that were interpolated.
    distances_m : tuple of float
        Distances of the images that phase retrieval takes, that of the scan first; empty without.
    """

    info: ScanInfo
    config: Config
    rows: range
    delta_beta: float | None
    halo: int
    tile_rows: int
    notes: tuple[str, ...] = ()
    current: NDArray[np.float64] | None = None
    flat_current: NDArray[np.float64] | None = None
    current_repaired: int = 0
    distances_m: tuple[float, ...] = ()

    @property
    def half(self) -> bool:
        """Whether the scan is a half-acquisition."""
        return self.info.acquisition == "half"

    @property
    def unit(self) -> str:
        """Unit of the voxel values."""
        return "1/cm" if self.info.pixel_size_um else "1/pixel"

    def physics(self) -> Physics:
        """What phase retrieval needs.

        Raises
        ------
        MissingMetadata
            If the scan lacks one of it.
        """
        return physics_of(self.info, self.delta_beta, self.distances_m)

    @property
    def images(self) -> int:
        """Images of each view that phase retrieval takes: those of all distances."""
        return max(1, len(self.distances_m))

    @property
    def line_angles(self) -> int:
        """Line integrals of each detector pixel: those of all materials, view by view."""
        return self.info.projections * self.config.phase.materials

    def with_halo(self, accuracy: float) -> Job:
        """The same job with the halo of another accuracy, for estimates."""
        halo = _halo(self.info, self.config, self.delta_beta, self.distances_m, accuracy)
        return replace(self, halo=min(self.halo, halo))

    def scouting(self, accuracy: float, *, materials: int) -> Job:
        """The same for an estimate: one pass of a filter instead of many, few materials."""
        phase = self.config.phase
        if phase.method != "nonlinear" and phase.materials <= materials:
            return self.with_halo(accuracy)
        plain = phase.model_copy(
            update={"method": "paganin", "second_delta_beta": None, "splice": None}
        )
        config = self.config.model_copy(update={"phase": plain})
        return replace(self, config=config).with_halo(accuracy)

    def parameters(self, scan: Scan) -> dict[str, Any]:
        """What decides the numbers of the output, as JSON values.

        The scan counts by what it holds: one that was replaced under its name is another one,
        one that was moved is the same.
        """
        info = self.info
        settings = self.config.as_dict()
        # Where and how fast a run computes does not change what it computes.
        settings.pop("compute")
        others = {}
        if self.config.phase.scans:
            opened = open_others(self.config)
            others["distances"] = [fingerprint(other) for other in opened]
            for other in opened:
                other.close()
        return {
            **others,
            "config": settings,
            "scan": {
                "checksum": fingerprint(scan),
                "shape": [info.projections, info.rows, info.columns],
                "acquisition": info.acquisition,
                "pixel_size_um": info.pixel_size_um,
                "distance_m": info.distance_m,
                "energy_kev": info.energy_kev,
                "first_angle_rad": float(info.angles_rad[0]),
                "last_angle_rad": float(info.angles_rad[-1]),
            },
        }


def resolve(scan: Scan, config: Config, *, of_series: bool = False) -> Job:
    """Settle every number that a run needs of a scan, or of a sub-scan of a series.

    The rows that the configuration wants are those of the series, not those of a sub-scan.

    Raises
    ------
    MissingMetadata
        If a step needs energy, distance or pixel size and neither scan nor config has it.
    ConfigError
        If the rows asked for are not in the scan.
    """
    overrides = config.scan
    info = scan.info.with_overrides(
        energy_kev=overrides.energy_kev,
        distance_m=overrides.distance_m,
        pixel_size_um=overrides.pixel_size_um,
        acquisition=None if overrides.acquisition == "auto" else overrides.acquisition,
    )
    notes = list(info.notes)
    first = 0 if of_series else overrides.first_row
    last = info.rows if of_series or overrides.last_row is None else overrides.last_row
    if not first < last <= info.rows:
        raise ConfigError(
            f"scan.first_row {first} and scan.last_row {last} have to enclose "
            f"at least one of the {info.rows} rows of {info.source}; the last row is exclusive."
        )
    delta_beta: float | None = None
    distances: tuple[float, ...] = ()
    if config.phase.method != "none":
        energy_kev, distance_m, _ = info.require(
            "energy_kev", "distance_m", "pixel_size_um", purpose=PHASE_PURPOSE
        )
        if info.distance_m == 0:
            raise MissingMetadata(
                f"{PHASE_PURPOSE} needs a propagation distance above 0 m, and that of "
                f"{info.where} is 0: there is no phase in it; give the distance with --set "
                "scan.distance_m=... if that is wrong."
            )
        distances = scan.distances_m if isinstance(scan, DistancesScan) else (distance_m,)
        delta_beta = config.phase.delta_beta
        if delta_beta is None:
            delta_beta = soft_tissue_delta_beta(energy_kev)
            notes.append(
                f"delta/beta {delta_beta:.0f} is that of soft tissue at {energy_kev:g} keV; "
                "set phase.delta_beta for another."
            )
    counts = PixelCounts()
    current = flat_current = None
    divided = info.flats > 0 and uses_flats(info, config)
    if config.flat.use_current and info.current is not None and divided:
        current, flat_current = repair_current(
            info.current,
            info.flat_current,
            projection_index=info.projection_index,
            flat_index=info.flat_index,
            counts=counts,
        )
    if counts.current_repaired:
        notes.append(
            f"{counts.current_repaired} readings of the machine current were missing or absurd "
            "and are interpolated from their neighbours."
        )
    halo = _halo(info, config, delta_beta, distances, config.phase.halo_accuracy)
    tile_rows = LAYER * max(1, math.ceil(4 * halo / LAYER))
    return Job(
        info=info,
        config=config,
        rows=range(first, last),
        delta_beta=delta_beta,
        halo=halo,
        tile_rows=tile_rows,
        notes=tuple(notes),
        current=current,
        flat_current=flat_current,
        current_repaired=counts.current_repaired,
        distances_m=distances,
    )


def uses_flats(info: ScanInfo, config: Config) -> bool:
    """Whether projections are divided by flats; not where they were before they came here."""
    enabled = config.flat.enabled
    return info.kind == "counts" if enabled is None else enabled


def fingerprint(scan: Scan) -> str:
    """Checksum of a scan's geometry and of a few rows of its frames.

    No two scans have the same noise, so that a few rows tell one from another; whole frames of a
    large scan would take long to read.
    """
    info, chunk = scan.info, max(1, scan.row_chunk)
    digest = hashlib.sha256(f"{info.kind} {info.dtype} {info.flats} {info.darks}".encode())
    for vector in (info.angles_rad, info.projection_index, info.flat_index, info.dark_index):
        digest.update(vector.tobytes())
    for current in (info.current, info.flat_current):
        digest.update(b"" if current is None else current.tobytes())
    first = info.rows // 2 // chunk * chunk
    rows = slice(first, min(first + chunk, info.rows, first + MOST_SAMPLED_ROWS))
    for k in sorted({0, info.projections // 2, info.projections - 1}):
        digest.update(scan.read_projections(slice(k, k + 1), rows).tobytes())
    digest.update(scan.read_flats(rows).tobytes())
    return digest.hexdigest()[:16]


def _halo(
    info: ScanInfo,
    config: Config,
    delta_beta: float | None,
    distances_m: tuple[float, ...],
    accuracy: float,
) -> int:
    rows = 0
    if delta_beta is not None:
        rows += retrieval_halo(config.phase, physics_of(info, delta_beta, distances_m), accuracy)
    if config.unsharp.method != "none":
        rows += unsharp_halo_rows(config.unsharp.sigma_px)
    if config.repair.zinger_threshold > 0:
        rows += ZINGER_HALO_ROWS
    return ROW_STEP * math.ceil(rows / ROW_STEP)
