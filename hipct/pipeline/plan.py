"""The plan: what a run will do and need, known before it starts.

A job that cannot run inside its memory is refused here, with the stage that is too large.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from hipct.acquisition.open_any import open_any
from hipct.acquisition.scan import Scan
from hipct.acquisition.series import Series
from hipct.core.device import HOST, Device
from hipct.core.errors import PlanError
from hipct.core.memory import format_bytes
from hipct.core.progress import Observer, Silent
from hipct.pipeline.backend import gpus_to_use, run_device
from hipct.pipeline.config import Config
from hipct.pipeline.corrections_measure import planned_corrections
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
from hipct.pipeline.engine import make_reconstructor, slice_size, volume_spec
from hipct.pipeline.job import Job
from hipct.pipeline.organ import Organ
from hipct.pipeline.phase import WITHIN_FRAMES, ProjectionFilter
from hipct.pipeline.plan_text import plan_text
from hipct.pipeline.preparation import phase_filters, phase_rows, unsharp_mask
from hipct.pipeline.report import StageClock
from hipct.pipeline.stations import parts_by_motors
from hipct.pipeline.subject import Subject
from hipct.pipeline.tiles import tiles
from hipct.volume.layout import PyramidSpec


@dataclass(frozen=True)
class Plan:
    """What a run will do and need.

    Attributes
    ----------
    organ : Organ
        The scan, or the sub-scans of a series, and the rows to make.
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
    size : int
        Pixels along each side of a slice before it is cropped; where an axis is still to be found,
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

    organ: Organ
    spec: PyramidSpec
    cut: Cut
    memory: dict[str, int]
    peak_bytes: int
    budget_bytes: int
    scratch_bytes: int
    size: int
    device: str = "CPU"
    device_memory: dict[str, int] = field(default_factory=dict)
    device_budget_bytes: int = 0
    processes: int = 1

    @property
    def job(self) -> Job:
        """The job of the scan; of a series that of its first sub-scan."""
        return self.organ.job

    @property
    def axis(self) -> float | None:
        """Rotation axis in detector columns, of the first sub-scan; ``None``: not known yet."""
        return self.organ.parts[0].axis

    @property
    def device_peak_bytes(self) -> int:
        """Peak of the whole run in the memory of a GPU."""
        return sum(self.device_memory.values())

    @property
    def read_rows(self) -> int:
        """Detector rows read for all tiles, halo rows counted each time that they are read."""
        parts = self.organ.parts
        return sum(len(phase_rows(parts[tile.part], tile.prepared)) for tile in tiles(self.organ))

    def as_dict(self) -> dict[str, Any]:
        """The plan as JSON values."""
        return {
            "rows": [self.organ.rows.start, self.organ.rows.stop],
            "sub_scans": len(self.organ.parts),
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
        return plan_text(self)


def make_plan(
    scan: Scan | Series | str | Path | Sequence[str | Path],
    config: Config | None = None,
    *,
    axis: float | None = None,
    observer: Observer | None = None,
) -> Plan:
    """Plan a reconstruction without running it.

    The sub-scans of a series are where the motors have them.

    Parameters
    ----------
    scan : Scan, Series, path, or sequence of paths
        A scan, its store or its source file; a series, its store, or its sub-scans.
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
    if not isinstance(scan, (Scan, Series)):
        with open_any(scan) as opened:
            return make_plan(opened, config, axis=axis, observer=observer)
    config, observer = config or Config(), observer or Silent()
    subject = Subject.of(scan)
    scans, parts, _ = parts_by_motors(subject, config, StageClock(), observer)
    parts = [
        # Of a virtual scan they are in what reading it takes.
        replace(part, corrections=planned_corrections(part.job.config, part.job.info))
        for part in parts
    ]
    if axis is None:
        axis = config.axis.value
    parts = [replace(part, axis=axis) for part in parts]
    organ = (
        Organ.of_series(tuple(parts), config.stitching.margin_px)
        if subject.of_series
        else Organ(tuple(parts), parts[0].job.rows)
    )
    with run_device(config, observer) as device:
        processes = gpus_to_use(device, config.compute.gpus, scans, observer)
        return plan_organ(organ, scans, device=device, processes=processes)


def plan_organ(
    organ: Organ,
    scans: Sequence[Scan],
    *,
    files: Files | None = None,
    scratch_free: int | None = None,
    device: Device = HOST,
    processes: int = 1,
) -> Plan:
    """Plan a resolved organ (see :func:`make_plan`) for a device, by the scans of its parts.

    ``files`` is what an earlier run has begun the volume with; a cut whose scratch files are larger
    than ``scratch_free`` bytes is not taken. So many ``processes``, one a GPU, share memory and
    scratch space, beside the one that has started them.
    """
    job = organ.largest
    budget = job.config.memory_bytes()
    if processes > 1:
        budget = max(0, budget - PROCESS_BYTES - CUDA_BYTES) // processes
    if scratch_free is not None:
        scratch_free //= processes
    size = slice_size(organ)
    largest = next(part for part in organ.parts if part.job is job)
    reconstructor = make_reconstructor(largest, size, xp=device.xp)
    phases: list[ProjectionFilter] = []
    if device.on_gpu or job.config.phase.method not in WITHIN_FRAMES:
        with device.lane("read"):
            rows = frame_pixels(organ) // job.info.columns
            phases = phase_filters(job, rows, unsharp_mask(job), device.xp)
    angle_chunk = max(scan.angle_chunk for scan in scans)

    def reading(angles: int, rows: int) -> int:
        return max(scan.work_bytes(angles, rows) for scan in scans)

    best: Plan | None = None
    for cut in cuts(organ, reconstructor.batch, angle_chunk, files, on_gpu=device.on_gpu):
        spec = volume_spec(organ, size, cut.files)
        if scratch_free is not None and cut.scratch_bytes(organ, spec) > scratch_free:
            continue
        on_device: dict[str, int] = {}
        if device.on_gpu:
            memory = host_memory_by_stage(organ, spec, cut, reading)
            on_device = device_memory_by_stage(organ, cut, reconstructor, phases)
        else:
            memory = memory_by_stage(organ, spec, cut, reconstructor, reading, phases=phases)
        plan = Plan(
            organ=organ,
            spec=spec,
            cut=cut,
            memory=memory,
            peak_bytes=peak_bytes(memory, cut),
            budget_bytes=budget,
            scratch_bytes=cut.scratch_bytes(organ, spec),
            size=size,
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
