"""What a volume says about how it was made."""

from __future__ import annotations

import platform
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import hipct
from hipct.core.device import Device
from hipct.pipeline.config import Config
from hipct.pipeline.job import Job
from hipct.pipeline.ledger import Ledger
from hipct.pipeline.placing import Placing
from hipct.pipeline.plan import Plan
from hipct.pipeline.subject import Subject

PACKAGES = ("hipct", "numpy", "scipy", "numba", "zarr", "dask")


def parameters(subject: Subject, jobs: Sequence[Job]) -> dict[str, Any]:
    """What decides the numbers of the output of a run, as JSON values."""
    each = [job.parameters(scan) for job, scan in zip(jobs, subject.scans)]
    if subject.facts is None:
        return each[0]
    return {
        "config": each[0]["config"],
        "scans": [
            {"z_um": member.z_um, "lateral_um": member.lateral_um, **one["scan"]}
            for member, one in zip(
                (member for station in subject.stations for member in station.members), each
            )
        ],
    }


def provenance(
    plan: Plan,
    config: Config,
    axes: Sequence[dict[str, Any]],
    device: Device,
    *,
    placing: Placing | None = None,
    series: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Versions, device, source, configuration and estimates of a run, as JSON values.

    The configuration is that of the run; a part that is made of several scans leaves out of its own
    what is done to each of them.
    """
    job, info = plan.job, plan.job.info
    notes = [note for part in plan.organ.parts for note in part.job.notes]
    for part in plan.organ.parts:
        notes += part.corrections.notes if part.corrections is not None else ()
        notes += part.motion.notes if part.motion is not None else ()
    said: dict[str, Any] = {
        "versions": versions(device),
        "commit": source_commit(),
        "computed_by": {"backend": device.xp.__name__, "device": device.name},
        "source": {
            "path": info.source,
            "format": info.format,
            "projections": info.projections,
            "acquisition": info.acquisition,
            "pixel_size_um": info.pixel_size_um,
            "distance_m": info.distance_m,
            "energy_kev": info.energy_kev,
            "rows": [plan.organ.rows.start, plan.organ.rows.stop],
        },
        "config": config.as_dict(),
        "estimates": {
            "axis_px": axes[0]["value"],
            "axis_method": axes[0]["method"],
            "axis_confidence": axes[0]["confidence"],
            "delta_beta": job.delta_beta,
            "halo_rows": job.halo,
            "tile_rows": job.tile_rows,
        },
        "notes": list(dict.fromkeys(notes)),
    }
    motion = {
        part.name or "scan": part.motion.as_dict()
        for part in plan.organ.parts
        if part.motion is not None
    }
    if motion:
        said["motion"] = motion
    if series is not None:
        said["series"] = series
    if placing is not None:
        said["series"] = (series or {}) | {
            "sub_scans": _sub_scans(plan, axes, placing),
            "rows_without_data": [[gap.start, gap.stop] for gap in plan.organ.gaps],
        }
        said["notes"] += placing.notes
    return said


def _sub_scans(
    plan: Plan, axes: Sequence[dict[str, Any]], placing: Placing
) -> list[dict[str, Any]]:
    """Where each sub-scan lies, and how well that is known."""
    table = []
    for part, rows, axis in zip(plan.organ.parts, plan.organ.shares, axes):
        k = part.number
        offset, y, x, column = placing.error_px[k]
        table.append({
            "name": part.name,
            "path": part.job.info.source,
            "rows": [rows.start, rows.stop],
            "offset_px": part.offset_px,
            "offset_error_px": offset,
            "motor_error_px": placing.motor_error_px[k],
            "centre_px": list(part.centre_px),
            "centre_error_px": [y, x],
            "axis_px": part.axis,
            "axis_error_px": column,
            "axis_measured_px": axis["value"],
            "axis_measured_error_px": axis["uncertainty_px"],
            "axis_confidence": axis["confidence"],
            "axis_method": axis["method"],
            "level": placing.level[k],
            "level_slope": placing.slope[k],
            "gain": placing.gain[k],
        })  # fmt: skip
    return table


def checksums(decided: Mapping[str, Any]) -> list[str]:
    """Checksums of what was read, one a sub-scan, from the parameters of a run."""
    scans = decided["scans"] if "scans" in decided else [decided["scan"]]
    return [scan["checksum"] for scan in scans]


def counts(ledger: Ledger, plan: Plan) -> dict[str, dict[str, int]]:
    """Clipped voxels and repaired pixels of the whole volume, over all runs that made it."""
    voxels: Counter[str] = Counter()
    pixels: Counter[str] = Counter()
    for (level, _), record in ledger.done().items():
        if level == 0:
            voxels.update(record["voxels"])
    for record in ledger.pixels():
        pixels.update(record)
    pixels["current_repaired"] = sum(part.job.current_repaired for part in plan.organ.parts)
    return {"voxels": dict(voxels), "pixels": dict(pixels)}


def versions(device: Device) -> dict[str, str]:
    """Of Python and the packages that a process computes with."""
    found = {name: package_version(name) for name in PACKAGES}
    if device.on_gpu:
        # One package in many wheels of other names.
        found["cupy"] = device.xp.__version__
    return found | {"python": platform.python_version()}


def versions_of_all(processes: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Versions of several processes, each that occurs.

    Examples
    --------
    >>> versions_of_all([{"numpy": "2.4.6"}, {"numpy": "2.5.0", "cupy": "14.0.1"}])
    {'numpy': '2.4.6, 2.5.0', 'cupy': '14.0.1'}
    """
    found: dict[str, set[str]] = {}
    for each in processes:
        for name, number in each.items():
            found.setdefault(name, set()).add(number)
    return {name: ", ".join(sorted(numbers)) for name, numbers in found.items()}


def source_commit() -> str:
    """The commit of an installation from a repository; that of a release is in its version.

    Ends in ``-dirty`` where files differ from it; ``"unknown"`` where git does not say.
    """
    root = Path(hipct.__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return "that of the release"
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        said = subprocess.run(
            [*command, "--exclude=*"], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return said.stdout.strip()


def package_version(package: str) -> str:
    """Version of an installed package, or "unknown"."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
