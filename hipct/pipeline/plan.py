"""The plan: what a run will do and need, known before it starts.

A job that cannot run inside its memory is refused here, with the stage that is too large.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from hipct.acquisition.open import open_scan
from hipct.acquisition.scan import Scan
from hipct.core.device import HOST, Device
from hipct.core.errors import PlanError
from hipct.core.memory import format_bytes
from hipct.core.progress import Observer, Silent
from hipct.pipeline.backend import gpus_to_use, run_device
from hipct.pipeline.config import Config
from hipct.pipeline.cut import (
    CUDA_BYTES,
    PROCESS_BYTES,
    Cut,
    Files,
    cuts,
    device_memory_by_stage,
    frame_pixels,
    host_memory_by_stage,
    memory_by_stage,
    peak_bytes,
)
from hipct.pipeline.job import Job, resolve
from hipct.pipeline.preparation import phase_filter, unsharp_mask
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
    device : str
        What computes.
    device_memory : dict
        Peak bytes by stage in the memory of a GPU; empty on the CPU.
    device_budget_bytes : int
        What the run may use of it.
    processes : int
        Processes that share the work, one a GPU; the bytes are those of each.
    """

    job: Job
    spec: PyramidSpec
    cut: Cut
    memory: dict[str, int]
    peak_bytes: int
    budget_bytes: int
    scratch_bytes: int
    axis: float | None
    device: str = "CPU"
    device_memory: dict[str, int] = field(default_factory=dict)
    device_budget_bytes: int = 0
    processes: int = 1

    @property
    def device_peak_bytes(self) -> int:
        """Peak of the whole run in the memory of a GPU."""
        return sum(self.device_memory.values())

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
            "device": self.device,
            "processes": self.processes,
            "device_memory_bytes": self.device_memory,
            "device_peak_bytes": self.device_peak_bytes,
            "device_budget_bytes": self.device_budget_bytes,
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
        lines.append(
            "device   "
            + (f"{self.processes} x " if self.processes > 1 else "")
            + self.device
            + (", which keeps the line integrals of a tile" if cut.tile_on_device else "")
        )
        each = " of each process" if self.processes > 1 else ""
        lines += _table(f"memory by stage{each}", self.memory, self.peak_bytes, self.budget_bytes)
        if self.device_memory:
            lines += _table(
                f"device memory by stage{' of each' if each else ''}",
                self.device_memory,
                self.device_peak_bytes,
                self.device_budget_bytes,
            )
        lines += [f"note     {note}" for note in job.notes]
        return "\n".join(lines)


def _table(title: str, memory: dict[str, int], peak: int, budget: int) -> list[str]:
    return [
        "",
        f"{title:<32}{'peak':>10}",
        *(f"  {name:<30}{format_bytes(size):>10}" for name, size in memory.items()),
        f"{'peak of the run':<32}{format_bytes(peak):>10} of {format_bytes(budget)}",
    ]


def make_plan(
    scan: Scan | str | Path,
    config: Config | None = None,
    *,
    axis: float | None = None,
    observer: Observer | None = None,
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
    observer : Observer, optional
        Told why a run would take the CPU.

    Raises
    ------
    DeviceError, MissingExtra
        If a GPU is asked for and cannot be used.
    PlanError
        If the job cannot run inside the memory budget, naming the stage that is too large.
    MissingMetadata
        If a step needs a value that neither scan nor config has.
    """
    if not isinstance(scan, Scan):
        with open_scan(scan) as opened:
            return make_plan(opened, config, axis=axis, observer=observer)
    job = resolve(scan, config or Config())
    if axis is None:
        axis = job.config.axis.value
    observer = observer or Silent()
    with run_device(job.config, observer) as device:
        processes = gpus_to_use(device, job.config.compute.gpus, scan, observer)
        return plan_job(job, axis, scan, device=device, processes=processes)


def plan_job(
    job: Job,
    axis: float | None,
    scan: Scan,
    *,
    files: Files | None = None,
    scratch_free: int | None = None,
    device: Device = HOST,
    processes: int = 1,
) -> Plan:
    """Plan a resolved job (see :func:`make_plan`) for a device.

    ``files`` is what an earlier run has begun the volume with; a cut whose scratch files are larger
    than ``scratch_free`` bytes is not taken. So many ``processes``, one a GPU, share memory and
    scratch space, beside the one that has started them.
    """
    budget = job.config.memory_bytes()
    if processes > 1:
        budget = max(0, budget - PROCESS_BYTES - CUDA_BYTES) // processes
    if scratch_free is not None:
        scratch_free //= processes
    axis_or_widest = widest_axis(job) if axis is None else axis
    reconstructor = make_reconstructor(job, axis_or_widest, xp=device.xp)
    phase = None
    if device.on_gpu:
        with device.lane("read"):
            phase = phase_filter(
                job, frame_pixels(job) // job.info.columns, unsharp_mask(job), device.xp
            )
    best: Plan | None = None
    for cut in cuts(job, reconstructor.batch, scan.angle_chunk, files, on_gpu=device.on_gpu):
        spec = volume_spec(job, reconstructor.size, cut.files)
        if scratch_free is not None and cut.scratch_bytes(job, spec) > scratch_free:
            continue
        on_device: dict[str, int] = {}
        if device.on_gpu:
            memory = host_memory_by_stage(job, spec, cut)
            on_device = device_memory_by_stage(job, cut, reconstructor, phase)
        else:
            memory = memory_by_stage(job, spec, cut, reconstructor)
        plan = Plan(
            job=job,
            spec=spec,
            cut=cut,
            memory=memory,
            peak_bytes=peak_bytes(memory, cut),
            budget_bytes=budget,
            scratch_bytes=cut.scratch_bytes(job, spec),
            axis=axis,
            device=device.name,
            device_memory=on_device,
            device_budget_bytes=device.budget_bytes,
            processes=processes,
        )
        if best is None or _excess(plan) < _excess(best):
            best = plan
        if _excess(plan) == 0:
            break
    assert best is not None
    _refuse_too_large(best)
    return best


def _excess(plan: Plan) -> int:
    """Bytes by which a plan exceeds its budgets."""
    return max(0, plan.peak_bytes - plan.budget_bytes) + max(
        0, plan.device_peak_bytes - plan.device_budget_bytes
    )


def _refuse_too_large(plan: Plan) -> None:
    words = "The job needs {} even when it is cut as finely as possible, and may use {}; "
    if plan.peak_bytes > plan.budget_bytes:
        memory = plan.memory
        worst = max((name for name in memory if name != "process"), key=memory.__getitem__)
        raise PlanError(
            words.format(format_bytes(plan.peak_bytes), format_bytes(plan.budget_bytes))
            + f"{format_bytes(memory['process'])} of it are the "
            f"program itself, and the largest stage is '{worst}' with "
            f"{format_bytes(memory[worst])}. Give more with --memory, or lower volume.chunk."
        )
    if plan.device_peak_bytes > plan.device_budget_bytes:
        memory = plan.device_memory
        worst = max(memory, key=memory.__getitem__)
        raise PlanError(
            words.format(
                f"{format_bytes(plan.device_peak_bytes)} of {plan.device}'s memory",
                format_bytes(plan.device_budget_bytes),
            )
            + f"the largest stage is '{worst}' with {format_bytes(memory[worst])}. Give more with "
            "--device-memory, or compute on the CPU with --backend numpy."
        )


def make_reconstructor(
    job: Job, axis: float, size: int | None = None, *, xp: ModuleType = np
) -> Reconstructor:
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
        xp=xp,
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
