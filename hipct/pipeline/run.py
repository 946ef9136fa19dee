"""The main job: a raw scan in, an organ pyramid out."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hipct.acquisition.open_any import open_any
from hipct.acquisition.scan import Scan
from hipct.acquisition.series import Series
from hipct.core.device import Device
from hipct.core.errors import ConfigError, InputError, OutputError
from hipct.core.files import free_bytes, write_json
from hipct.core.progress import Observer, Silent
from hipct.core.threads import set_thread_count, thread_count
from hipct.pipeline.assembly import Assembly
from hipct.pipeline.backend import failures_told, gpus_to_use, run_device
from hipct.pipeline.config import Config
from hipct.pipeline.cut import Files
from hipct.pipeline.findings import Findings, with_axes
from hipct.pipeline.gpus import deal, run_on_gpus
from hipct.pipeline.job import Job, resolve
from hipct.pipeline.ledger import Ledger
from hipct.pipeline.organ import Organ
from hipct.pipeline.plan import plan_organ
from hipct.pipeline.provenance import counts, package_version, parameters, provenance
from hipct.pipeline.report import MemoryWatch, RunReport, StageClock
from hipct.pipeline.seams import score_seams
from hipct.pipeline.stream import Stream
from hipct.pipeline.subject import Subject
from hipct.volume.omezarr import write_metadata
from hipct.volume.preview import orthogonal_preview
from hipct.volume.publish import publish, refuse_other_than_volume
from hipct.volume.window import Window
from hipct.volume.writer import create_pyramid

LESS_DEVICE_MEMORY = (
    "give the run less to plan with, by a smaller --device-memory (compute.device_memory), and "
    "repeat the command: it goes on where it stood"
)
"""What to do where a device runs out of memory in the middle of a run."""


@dataclass(frozen=True)
class RunResult:
    """What a run made.

    Attributes
    ----------
    path : Path
        The OME-Zarr volume.
    preview, report_path : Path
        A PNG of three orthogonal slices and the report as JSON, beside the volume.
    axis : float
        Rotation axis used, in detector columns; of a series that of the first sub-scan.
    window : Window
        The 16-bit window, in ``unit``.
    unit : str
        ``"1/cm"``, or ``"1/pixel"`` where the pixel size is unknown.
    report : RunReport
        Where the time went.
    provenance : dict
        What the volume's attributes say about how it was made.
    """

    path: Path
    preview: Path
    report_path: Path
    axis: float
    window: Window
    unit: str
    report: RunReport
    provenance: dict[str, Any]


def reconstruct(
    scan: Scan | Series | str | Path | Sequence[str | Path],
    out: str | Path,
    config: Config | None = None,
    *,
    allow_gaps: bool = False,
    overwrite: bool = False,
    restart: bool = False,
    observer: Observer | None = None,
) -> RunResult:
    """Reconstruct a scan, or a series of sub-scans, into one 16-bit OME-Zarr pyramid.

    Streamed in slabs: the sub-scans of a series are put in their places and joined on the way,
    without a volume of each. A run that was killed goes on where it stood when it is called again
    with the same parameters; until the volume is whole it grows in ``<out>.run`` and ``out`` does
    not exist.

    Parameters
    ----------
    scan : Scan, Series, path, or sequence of paths
        A scan, its store, or its source file; a series, its store, a folder of its sub-scans, or a
        list of them.
    out : path
        The volume to write, by convention ``NAME.ome.zarr``.
    config : Config, optional
        Configuration; the defaults otherwise.
    allow_gaps : bool
        Of a series: leave out sub-scans that cannot be used, and store rows that no sub-scan has
        seen as 0; the volume says so.
    overwrite : bool
        Replace an existing volume (nothing but a volume), once the new one is whole.
    restart : bool
        Throw away an unfinished run with other parameters.
    observer : Observer, optional
        Told of the progress.

    Raises
    ------
    InputError
        If a scan cannot be used, or sub-scans leave rows that none covers, without ``allow_gaps``.
    OutputError
        If the output exists, is being written by another process, or the disk is full.
    PlanError
        If the job cannot run inside its memory budget.
    MissingMetadata
        If a step needs a value that neither scan nor config has.
    """
    if not isinstance(scan, (Scan, Series)):
        with open_any(scan, allow_gaps=allow_gaps) as opened:
            return reconstruct(
                opened,
                out,
                config,
                allow_gaps=allow_gaps,
                overwrite=overwrite,
                restart=restart,
                observer=observer,
            )
    config = config or Config()
    out = Path(out)
    observer = observer or Silent()
    refuse_other_than_volume(out, overwrite)
    subject = Subject.of(scan)
    jobs = [resolve(each, config, of_series=subject.of_series) for each in subject.scans]
    with run_device(config, observer, LESS_DEVICE_MEMORY) as device:
        return _reconstruct(
            subject,
            jobs,
            out,
            device,
            # Of a series that was opened with gaps they are known.
            allow_gaps=allow_gaps or bool(subject.facts and subject.facts["gaps"]),
            overwrite=overwrite,
            restart=restart,
            observer=observer,
        )


def _reconstruct(
    subject: Subject,
    jobs: list[Job],
    out: Path,
    device: Device,
    *,
    allow_gaps: bool,
    overwrite: bool,
    restart: bool,
    observer: Observer,
) -> RunResult:
    ledger = Ledger(out.with_name(out.name + ".run"))
    threads, threads_before = jobs[0].config.compute.threads, thread_count()
    if threads is not None:
        set_thread_count(threads)
    try:
        # GPU and CPU round differently: one volume is made by one of them.
        made_by = {"hipct": package_version("hipct"), "backend": device.xp.__name__}
        ledger.open(parameters(subject, jobs) | made_by, restart=restart)
        with MemoryWatch() as memory:
            run = _Run(
                subject, jobs[0].config, out, ledger, observer, device=device, allow_gaps=allow_gaps
            )
            run.stream()
            return run.deliver(memory.peak_bytes, overwrite)
    except (InputError, ConfigError):
        # With this scan and these settings it will not work the next time either.
        if not ledger.has_layers():
            ledger.remove()
        raise
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OutputError(
            f"The disk of {out.parent} is full; make room and run the same command again: "
            "it goes on where it stood."
        ) from error
    finally:
        ledger.close()
        if threads is not None:
            set_thread_count(threads_before)


class _Run:
    """One process's work on a run: findings, then the stream, then delivery."""

    def __init__(
        self,
        subject: Subject,
        config: Config,
        out: Path,
        ledger: Ledger,
        observer: Observer,
        *,
        device: Device,
        allow_gaps: bool,
    ) -> None:
        self._out, self._ledger, self._observer, self._device = out, ledger, observer, device
        self._clock = StageClock()
        self._voxels = self._gpu_peak = 0
        for note in subject.notes:
            observer.say(note)
        findings = Findings(ledger, self._clock, observer, device)
        with failures_told(device):
            self._scans, parts = findings.parts(subject, config)
        for note in dict.fromkeys(note for part in parts for note in part.job.notes):
            observer.say(note)
        axes = findings.axes(self._scans, parts)
        parts, axes = findings.motion(self._scans, parts, axes)
        placing = None
        if subject.of_series:
            placing = findings.placing(self._scans, parts, axes)
            organ = Organ.of_series(placing.parts(parts), config.stitching.margin_px)
            if not allow_gaps:
                organ.refuse_gaps()
        else:
            organ = Organ(with_axes(parts, axes), parts[0].job.rows)
        self._scratch = Path(config.compute.scratch or ledger.scratch)
        begun = ledger.state().get("files")
        self._gpus = gpus_to_use(device, config.compute.gpus, self._scans, observer)
        plan = plan_organ(
            organ,
            self._scans,
            files=Files(*begun) if begun else None,
            scratch_free=free_bytes(self._scratch),
            device=device,
            processes=self._gpus,
        )
        ledger.remember(files=list(plan.cut.files))
        self._assembly = Assembly(organ, plan.size, self._clock, xp=device.xp)
        self._window = findings.window(self._scans, plan, self._assembly)
        self._plan = replace(
            plan, spec=replace(plan.spec, window=self._window, name=_stem(self._out))
        )
        self._provenance = provenance(
            self._plan, config, axes, device, placing=placing, series=subject.facts
        )

    def stream(self) -> None:
        """Reconstruct and write every layer that is not done yet."""
        ledger, spec = self._ledger, self._plan.spec
        if not ledger.volume.exists():
            create_pyramid(ledger.volume, spec, self._provenance)
        done = {layer for level, layer in ledger.done() if level == 0}
        shares = deal(self._plan, done, self._gpus) if self._gpus > 1 else []
        # What is left of a resumed run, or a thin volume, may be too little to share.
        self._gpus = max(1, len(shares))
        if self._gpus > 1:
            # The workers need the memory that the estimates have taken on the first GPU.
            self._device.give_back()
            self._voxels, self._gpu_peak = run_on_gpus(
                self._scans,
                self._plan,
                self._window,
                ledger,
                self._scratch,
                shares=shares,
                clock=self._clock,
                observer=self._observer,
            )
        stream = Stream(
            self._scans,
            self._plan,
            self._assembly.with_window(self._window),
            ledger,
            self._clock,
            self._observer,
            self._scratch,
            self._device,
        )
        self._voxels += stream.run()
        self._provenance |= {"counts": counts(ledger, self._plan)}
        if len(self._plan.organ.parts) > 1:
            self._provenance["series"]["seams"] = score_seams(ledger.volume, self._plan.organ)
        write_metadata(ledger.volume, spec, self._provenance)

    def deliver(self, peak_bytes: int, overwrite: bool) -> RunResult:
        """Give the whole volume its name, with a picture and the report beside it."""
        out, stem = self._out, _stem(self._out)
        device = self._device.name
        report = self._clock.report(
            voxels=self._voxels,
            peak_bytes=peak_bytes,
            device=device if self._gpus == 1 else f"{self._gpus} x {device}",
            device_peak_bytes=max(self._device.peak_bytes, self._gpu_peak),
        )
        preview = out.with_name(f"{stem}.preview.png")
        report_path = out.with_name(f"{stem}.report.json")
        # The volume gets its name last: what fails before can be done again.
        orthogonal_preview(self._ledger.volume, preview)
        document = {"volume": out.name, **report.as_dict(), "plan": self._plan.as_dict()}
        write_json(report_path, document | self._provenance)
        publish(self._ledger.volume, out, overwrite=overwrite)
        self._ledger.remove()
        return RunResult(
            path=out,
            preview=preview,
            report_path=report_path,
            axis=self._plan.organ.parts[0].known_axis,
            window=self._window,
            unit=self._plan.job.unit,
            report=report,
            provenance=self._provenance,
        )


def _stem(out: Path) -> str:
    return out.name.removesuffix(".zarr").removesuffix(".ome")
