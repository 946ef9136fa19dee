"""The plan: what a run will do and need, known before it starts.

A job that cannot run inside its memory is refused here, with the stage that is too large.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hipct.acquisition.open import open_scan
from hipct.acquisition.scan import Scan
from hipct.core.errors import PlanError
from hipct.core.memory import format_bytes
from hipct.pipeline.config import Config
from hipct.pipeline.cut import Cut, Files, cuts, memory_by_stage, peak_bytes
from hipct.pipeline.job import Job, resolve
from hipct.reconstruction.reconstructor import Reconstructor
from hipct.volume.layout import PyramidSpec


@dataclass(frozen=True)
class Plan:
    """What a run will do and need.

    Attributes
    ----------
    job : Job
        The resolved job.
    spec : PyramidSpec
        The volume to write.
    cut : Cut
        How the work is cut.
    memory : dict
        Peak bytes by stage.
    peak_bytes, budget_bytes : int
        Peak of the whole run, and what it may use.
    scratch_bytes : int
        Scratch file space.
    axis : float or None
        Rotation axis in detector columns; ``None`` if it is still to be found, in which case
        a half-acquisition is planned with the largest width that it can have.
    """

    job: Job
    spec: PyramidSpec
    cut: Cut
    memory: dict[str, int]
    peak_bytes: int
    budget_bytes: int
    scratch_bytes: int
    axis: float | None

    @property
    def read_rows(self) -> int:
        """Detector rows read for all tiles, halo rows counted each time that they are read."""
        job = self.job
        return sum(
            min(job.info.rows, tile.prepared.stop + job.halo)
            - max(0, tile.prepared.start - job.halo)
            for tile in tiles(job)
        )

    def as_dict(self) -> dict[str, Any]:
        """The plan as JSON values."""
        return {
            "rows": [self.job.rows.start, self.job.rows.stop],
            "halo_rows": self.job.halo,
            "tile_rows": self.job.tile_rows,
            "layer_rows": self.spec.layer,
            "read_rows": self.read_rows,
            "axis_px": self.axis,
            "volume_shape": list(self.spec.shape),
            "levels": len(self.spec.levels),
            "cut": asdict(self.cut),
            "memory_bytes": self.memory,
            "peak_bytes": self.peak_bytes,
            "budget_bytes": self.budget_bytes,
            "scratch_bytes": self.scratch_bytes,
            "output_bytes": self.spec.nbytes,
        }

    def text(self) -> str:
        """The plan as a page of text."""
        job, cut, info = self.job, self.cut, self.job.info
        rows = len(job.rows)
        again = self.read_rows / rows - 1
        depth, height, width = self.spec.shape
        axis = (
            f"rotation axis at column {self.axis:.2f}"
            if self.axis is not None
            else "rotation axis found at the start"
            + (" (planned for the widest half-acquisition)" if job.half else "")
        )
        lines = [
            f"scan     {info.projections} projections of {info.rows} x {info.columns} pixels, "
            f"{info.acquisition} acquisition, {axis}",
            f"volume   {depth} x {height} x {width} voxels (z, y, x) in {len(self.spec.levels)} "
            f"levels, {format_bytes(self.spec.nbytes)} before compression",
            f"tiles    {job.tile_rows} rows of phase retrieval with a halo of {job.halo}: "
            f"{100 * again:.0f} % more rows are read than "
            "written",
            f"slabs    {cut.slab_rows} slices reconstructed at a time, {cut.angle_block} "
            "projections prepared at a time",
            f"layers   {self.spec.layer} rows written at a time"
            + (
                ""
                if self.spec.layer == self.spec.chunk
                else ", in thinner chunks than asked for,"
                " because whole ones fit neither memory nor the scratch disk"
            ),
        ]
        if cut.stage_tile or cut.stage_layer:
            what = [
                name
                for name, staged in (
                    ("line integrals of a tile", cut.stage_tile),
                    ("voxels of a layer", cut.stage_layer),
                )
                if staged
            ]
            lines.append(
                f"scratch  {format_bytes(self.scratch_bytes)} for the {' and the '.join(what)}, "
                "which do not fit into memory; removed afterwards"
            )
        lines += ["", f"{'memory by stage':<28}{'peak':>10}"]
        lines += [f"  {name:<26}{format_bytes(size):>10}" for name, size in self.memory.items()]
        lines.append(
            f"{'peak of the run':<28}{format_bytes(self.peak_bytes):>10} of "
            f"{format_bytes(self.budget_bytes)}"
        )
        lines += [f"note     {note}" for note in job.notes]
        return "\n".join(lines)


def make_plan(
    scan: Scan | str | Path, config: Config | None = None, *, axis: float | None = None
) -> Plan:
    """Plan a reconstruction without running it.

    Parameters
    ----------
    scan : Scan or path
        A scan, its store or its source file.
    config : Config, optional
        Configuration; the defaults otherwise.
    axis : float, optional
        Rotation axis in detector columns, where it is known better than by config and metadata.

    Raises
    ------
    PlanError
        If the job cannot run inside the memory budget, naming the stage that is too large.
    MissingMetadata
        If a step needs a value that neither scan nor config has.
    """
    if not isinstance(scan, Scan):
        with open_scan(scan) as opened:
            return make_plan(opened, config, axis=axis)
    job = resolve(scan, config or Config())
    if axis is None:
        axis = job.config.axis.value
    return plan_job(job, axis, scan)


def plan_job(
    job: Job,
    axis: float | None,
    scan: Scan,
    *,
    files: Files | None = None,
    scratch_free: int | None = None,
) -> Plan:
    """Plan a resolved job (see :func:`make_plan`).

    ``files`` is what an earlier run has begun the volume with; a cut whose scratch file is larger
    than ``scratch_free`` bytes is not taken.
    """
    budget = job.config.memory_bytes()
    reconstructor = make_reconstructor(job, widest_axis(job) if axis is None else axis)
    best: tuple[int, Cut, PyramidSpec, dict[str, int]] | None = None
    for cut in cuts(job, reconstructor.batch, scan.angle_chunk, files):
        spec = volume_spec(job, reconstructor.size, cut.files)
        if scratch_free is not None and cut.scratch_bytes(job, spec) > scratch_free:
            continue
        memory = memory_by_stage(job, spec, cut, reconstructor)
        peak = peak_bytes(memory, cut)
        if best is None or peak < best[0]:
            best = peak, cut, spec, memory
        if peak <= budget:
            break
    assert best is not None
    peak, cut, spec, memory = best
    if peak > budget:
        worst = max((name for name in memory if name != "process"), key=memory.__getitem__)
        raise PlanError(
            f"The job needs {format_bytes(peak)} even when it is cut as finely as possible, and "
            f"may use {format_bytes(budget)}; {format_bytes(memory['process'])} of it are the "
            f"program itself, and the largest stage is '{worst}' with "
            f"{format_bytes(memory[worst])}. Give more with --memory, or lower volume.chunk."
        )
    return Plan(
        job=job,
        spec=spec,
        cut=cut,
        memory=memory,
        peak_bytes=peak,
        budget_bytes=budget,
        scratch_bytes=cut.scratch_bytes(job, spec),
        axis=axis,
    )


def make_reconstructor(job: Job, axis: float, size: int | None = None) -> Reconstructor:
    """The engine of a job for one rotation axis, with slices of ``size`` if it is given."""
    settings = job.config.reconstruction
    return Reconstructor(
        job.info.angles_rad,
        job.info.columns,
        axis,
        pixel_size_um=job.info.pixel_size_um,
        engine=settings.engine,
        filter=settings.filter,
        acquisition=job.info.acquisition,
        padding=settings.padding,
        size=size,
    )


def widest_axis(job: Job) -> float:
    """The axis that makes the slices as wide as they can get."""
    return 0.0 if job.half else (job.info.columns - 1) / 2


def volume_spec(job: Job, size: int, files: Files) -> PyramidSpec:
    """The volume that a job writes, for slices of ``size`` pixels a side."""
    settings, voxel = job.config.volume, job.info.pixel_size_um
    return PyramidSpec(
        shape=(len(job.rows), size, size),
        voxel_size_um=None if voxel is None else (voxel, voxel, voxel),
        chunk=settings.chunk,
        layer=files.layer_rows,
        shard_plane=files.shard_plane,
        unit=job.unit,
    )


@dataclass(frozen=True)
class Tile:
    """A phase tile: the rows that are wanted of it, and the rows that are prepared for them."""

    rows: range
    prepared: range


def tiles(job: Job) -> list[Tile]:
    """Phase tiles of a job, anchored at detector row 0.

    Where phase retrieval has a halo, a tile is prepared whole even if only some of its rows are
    wanted, so that a crop has the numbers of the whole volume.
    """
    height = job.tile_rows
    found = []
    for t in range(job.rows.start // height, math.ceil(job.rows.stop / height)):
        whole = range(t * height, min((t + 1) * height, job.info.rows))
        rows = range(max(whole.start, job.rows.start), min(whole.stop, job.rows.stop))
        found.append(Tile(rows, whole if job.halo else rows))
    return found
