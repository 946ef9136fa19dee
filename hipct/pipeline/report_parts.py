"""The report of a run by several processes, from what each of them has left."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from hipct.core.device import Device
from hipct.pipeline.provenance import versions
from hipct.pipeline.report import RunReport, StageClock, covered, stage_times


@dataclass(frozen=True)
class PartOfRun:
    """What one process of a run took.

    Attributes
    ----------
    machine, device : where it ran, and what it computed on
    began, ended : seconds since 1970, by the clock of its machine
    seconds, bytes : busy seconds and bytes by stage
    peak_bytes, device_peak_bytes : largest memory
    versions : of the packages that it computed with
    """

    machine: str
    device: str
    began: float
    ended: float
    seconds: dict[str, float]
    bytes: dict[str, int]
    peak_bytes: int
    device_peak_bytes: int
    versions: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, clock: StageClock, device: Device, peak_bytes: int) -> PartOfRun:
        """That of this process until now."""
        now, busy = time.time(), clock.busy()
        return cls(
            machine=socket.gethostname(),
            device=device.name,
            began=now - (time.perf_counter() - clock.started),
            ended=now,
            seconds=busy.seconds,
            bytes=busy.bytes,
            peak_bytes=peak_bytes,
            device_peak_bytes=device.peak_bytes,
            versions=versions(device),
        )


def report_of_parts(parts: Sequence[PartOfRun], voxels: int) -> RunReport:
    """Report of a whole run.

    Parameters
    ----------
    parts : sequence of PartOfRun
        Of all of its processes; those that were killed have left none.
    voxels : int
        Of level 0, reconstructed by all of them.
    """
    seconds: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for part in parts:
        seconds.update(part.seconds)
        sizes.update(part.bytes)
    wall = max(part.ended for part in parts) - min(part.began for part in parts)
    on_gpus = [part for part in parts if part.device_peak_bytes]
    return RunReport(
        wall_s=wall,
        other_s=max(0.0, wall - covered([(part.began, part.ended) for part in parts])),
        stages=stage_times(seconds, sizes),
        voxels=voxels,
        peak_bytes=max(part.peak_bytes for part in parts),
        device=", ".join(sorted({part.device for part in on_gpus or parts})),
        device_peak_bytes=max(part.device_peak_bytes for part in parts),
        machines=dict(sorted(Counter(part.machine for part in parts).items())),
    )
