"""The work on a run: what is found out first, the stream, and what makes the volume whole.

Several processes may share a run: each of them goes through the findings that the first one has
recorded, to the same plan, and streams its share of the layers.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hipct.acquisition.scan import Scan
from hipct.core.device import Device
from hipct.core.files import free_bytes, write_json
from hipct.core.progress import Observer
from hipct.pipeline.assembly import Assembly
from hipct.pipeline.backend import failures_told, gpus_to_use
from hipct.pipeline.config import Config
from hipct.pipeline.cut import Files
from hipct.pipeline.findings import Findings, with_axes
from hipct.pipeline.gpus import deal, run_on_gpus
from hipct.pipeline.ledger import Ledger
from hipct.pipeline.organ import Organ
from hipct.pipeline.plan import Plan, plan_organ
from hipct.pipeline.provenance import checksums, counts, provenance, versions_of_all
from hipct.pipeline.report import RunReport, StageClock
from hipct.pipeline.report_parts import PartOfRun, report_of_parts
from hipct.pipeline.seams import score_seams
from hipct.pipeline.stream import Stream
from hipct.pipeline.subject import Subject
from hipct.volume.omezarr import write_metadata
from hipct.volume.preview import orthogonal_preview
from hipct.volume.publish import publish
from hipct.volume.window import Window
from hipct.volume.writer import create_pyramid


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


class Work:
    """One process's work on a run: findings, then the stream, then delivery.

    Parameters
    ----------
    subject : Subject
        What is reconstructed.
    config : Config
        Of the whole run.
    out : Path
        The volume to be.
    ledger : Ledger
        Taken for this process, whole or for a share.
    observer : Observer
        Progress.
    device : Device
        Where it is computed.
    allow_gaps : bool
        Whether rows that no sub-scan has seen are stored as 0.
    """

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
        if not begun:
            ledger.remember(files=list(plan.cut.files))
        self._assembly = Assembly(organ, plan.size, self._clock, xp=device.xp)
        self._window = findings.window(self._scans, plan, self._assembly)
        self._plan = replace(
            plan, spec=replace(plan.spec, window=self._window, name=_stem(self._out))
        )
        self._provenance = provenance(
            self._plan, config, axes, device, placing=placing, series=subject.facts
        )
        self._provenance["source"]["checksums"] = checksums(ledger.state()["parameters"])

    @property
    def ledger(self) -> Ledger:
        """What the run has done."""
        return self._ledger

    @property
    def plan(self) -> Plan:
        """How the run is cut."""
        return self._plan

    @property
    def scans(self) -> tuple[Scan, ...]:
        """The scan of each part, joined from annuli or turns where it is."""
        return tuple(self._scans)

    @property
    def device(self) -> Device:
        """Where it is computed."""
        return self._device

    def begin(self) -> None:
        """Make the metadata of the volume, unless they stand."""
        if not self._ledger.volume.exists():
            create_pyramid(self._ledger.volume, self._plan.spec, self._provenance)

    def stream(self) -> None:
        """Reconstruct and write every layer that is not done yet, and what is said of them all."""
        self.begin()
        done = set(self._ledger.layers())
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
                self._ledger,
                self._scratch,
                shares=shares,
                clock=self._clock,
                observer=self._observer,
            )
        self.stream_layers(None, self._scratch)
        self._provenance |= {"counts": counts(self._ledger, self._plan)}
        if len(self._plan.organ.parts) > 1:
            self._provenance["series"]["seams"] = score_seams(self._ledger.volume, self._plan.organ)
        missing = {
            layer: record["missing"]
            for (_, layer), record in self._ledger.done().items()
            if "missing" in record
        }
        if parts := self._ledger.times():
            self._provenance["computed_by"] = self._ledger.backend() | {
                "device": ", ".join(sorted({part["device"] for part in parts}))
            }
            # What computed the layers may not be where this process runs.
            self._provenance["versions"] = versions_of_all(
                [
                    self._provenance["versions"],
                    *(part["versions"] for part in parts),
                ]
            )
        if missing:
            rows = [self._plan.spec.levels[0].rows(layer) for layer in sorted(missing)]
            self._provenance["incomplete"] = {
                "rows": [[each.start, each.stop] for each in rows],
                "reasons": sorted(set(missing.values())),
            }
        write_metadata(self._ledger.volume, self._plan.spec, self._provenance)

    def stream_layers(self, layers: frozenset[int] | None, scratch: Path) -> None:
        """Make some layers of level 0, with what follows from them and from those that are done.

        Parameters
        ----------
        layers : frozenset of int, or None
            All that are left where it is None.
        scratch : Path
            Folder of staged buffers, of this process alone.
        """
        stream = Stream(
            self._scans,
            self._plan,
            self._assembly.with_window(self._window),
            self._ledger,
            self._clock,
            self._observer,
            scratch,
            self._device,
            layers,
        )
        self._voxels += stream.run()

    @property
    def scratch(self) -> Path:
        """Where staged buffers go."""
        return self._scratch

    def record_times(self, name: str, peak_bytes: int) -> None:
        """Leave the times and the memory of this process to the one that delivers the volume."""
        part = PartOfRun.of(self._clock, self._device, peak_bytes)
        self._ledger.record_times(name, asdict(part))

    def deliver(self, peak_bytes: int, overwrite: bool, *, keep_folder: bool = False) -> RunResult:
        """Give the whole volume its name, with a picture and the report beside it.

        Parameters
        ----------
        peak_bytes : int
            Largest memory of this process.
        overwrite : bool
            Whether an existing volume is replaced.
        keep_folder : bool
            Whether the folder of the run stays, for those who still write logs into it.
        """
        out, stem = self._out, _stem(self._out)
        device = self._device.name
        report = self._clock.report(
            voxels=self._voxels,
            peak_bytes=peak_bytes,
            device=device if self._gpus == 1 else f"{self._gpus} x {device}",
            device_peak_bytes=max(self._device.peak_bytes, self._gpu_peak),
        )
        if parts := [PartOfRun(**times) for times in self._ledger.times()]:
            last = PartOfRun.of(self._clock, self._device, peak_bytes)
            report = report_of_parts([*parts, last], self._voxels_made())
        self._provenance["timing"] = report.as_dict()
        write_metadata(self._ledger.volume, self._plan.spec, self._provenance)
        preview = out.with_name(f"{stem}.preview.png")
        report_path = out.with_name(f"{stem}.report.json")
        # The volume gets its name last: what fails before can be done again.
        orthogonal_preview(self._ledger.volume, preview)
        document = {"volume": out.name, **report.as_dict(), "plan": self._plan.as_dict()}
        made = {name: said for name, said in self._provenance.items() if name != "timing"}
        write_json(report_path, document | made)
        self._ledger.deliver()
        publish(self._ledger.volume, out, overwrite=overwrite)
        if not keep_folder:
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

    def _voxels_made(self) -> int:
        """Voxels of level 0 that were reconstructed by all processes."""
        spec = self._plan.spec
        return sum(
            math.prod(spec.levels[0].layer_shape(layer))
            for (level, layer), record in self._ledger.done().items()
            if level == 0 and "missing" not in record
        )


def _stem(out: Path) -> str:
    return out.name.removesuffix(".zarr").removesuffix(".ome")
