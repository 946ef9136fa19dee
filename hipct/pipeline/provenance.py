"""What a volume says about how it was made."""

from __future__ import annotations

import platform
from collections import Counter
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from hipct.core.device import Device
from hipct.pipeline.ledger import Ledger
from hipct.pipeline.plan import Plan

PACKAGES = ("hipct", "numpy", "scipy", "numba", "zarr", "dask")


def provenance(plan: Plan, axis: dict[str, Any], device: Device) -> dict[str, Any]:
    """Versions, device, source, configuration and estimates of a run, as JSON values."""
    job, info = plan.job, plan.job.info
    versions = {name: package_version(name) for name in PACKAGES}
    if device.on_gpu:
        # One package in many wheels of other names.
        versions["cupy"] = device.xp.__version__
    return {
        "versions": versions | {"python": platform.python_version()},
        "computed_by": {"backend": device.xp.__name__, "device": device.name},
        "source": {
            "path": info.source,
            "format": info.format,
            "projections": info.projections,
            "acquisition": info.acquisition,
            "pixel_size_um": info.pixel_size_um,
            "distance_m": info.distance_m,
            "energy_kev": info.energy_kev,
            "rows": [job.rows.start, job.rows.stop],
        },
        "config": job.config.as_dict(),
        "estimates": {
            "axis_px": axis["value"],
            "axis_method": axis["method"],
            "axis_confidence": axis["confidence"],
            "delta_beta": job.delta_beta,
            "halo_rows": job.halo,
            "tile_rows": job.tile_rows,
        },
        "notes": list(job.notes),
    }


def counts(ledger: Ledger, plan: Plan) -> dict[str, dict[str, int]]:
    """Clipped voxels and repaired pixels of the whole volume, over all runs that made it."""
    voxels: Counter[str] = Counter()
    pixels: Counter[str] = Counter()
    for (level, _), record in ledger.done().items():
        if level == 0:
            voxels.update(record["voxels"])
    for record in ledger.pixels():
        pixels.update(record)
    pixels["current_repaired"] = plan.job.current_repaired
    return {"voxels": dict(voxels), "pixels": dict(pixels)}


def package_version(package: str) -> str:
    """Version of an installed package, or "unknown"."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
