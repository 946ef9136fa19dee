"""The scans of the benchmark of a series, and the runs over them."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.reconstruction.stitching_weights import overlap_weights
from hipct.simulation import simulate_series, simulate_whole
from hipct.simulation.series_truth import SeriesTruth, load_series_truth
from hipct.volume.open import Volume, open_volume

Float = NDArray[np.float64]

FAULTS = {
    "position_error_px": 3.0,
    "lateral_error_px": 1.0,
    "axis_drift_px": 2.0,
    "light_steps": 0.05,
}
DELTA_BETA = 1500.0
VIEWS = 120
"""Angles at which neighbours are compared."""


@dataclass(frozen=True)
class Size:
    """Of the series."""

    sub_scans: int
    rows: int
    columns: int
    angles: int
    overlap: float = 0.25

    @property
    def axis(self) -> float:
        """Rotation axis: 16 % of the columns are common to both half turns, 48 at least."""
        return self.columns - 1 - max(24.0, 0.08 * self.columns) + 0.3

    def __str__(self) -> str:
        return f"{self.sub_scans} x {self.angles} x {self.rows} x {self.columns}"


FULL = Size(16, 112, 320, 800)
QUICK = Size(4, 80, 192, 300, 0.35)


@dataclass(frozen=True)
class Data:
    """Simulated scans."""

    series: Path
    reference: Path | None
    whole: Path
    truth: SeriesTruth


def simulate(folder: Path, size: Size, *, noise: float | None, jar: float, seed: int) -> Data:
    """The scans, made where the folder does not have them yet."""
    common = asdict(size) | FAULTS | {"axis": size.axis, "delta_beta": DELTA_BETA, "seed": seed}
    faulty = {"noise": noise, "rings": 0.01 if noise else 0.0, "drift": 0.01 if noise else 0.0}
    plain = _made(
        folder, "organ.series.zarr", common | {"angles": 4, "noise": None}, simulate_series
    )
    sample = common | faulty | {"jar": jar}
    return Data(
        series=_made(folder, "sample.series.zarr", sample, simulate_series),
        reference=_made(
            folder,
            "jar.series.zarr",
            sample | {"sub_scans": 1, "reference": True},
            simulate_series,
        )
        / "scan-000"
        if jar
        else None,
        whole=_made(
            folder,
            "whole.zarr",
            {"angles": size.angles},
            lambda out, **given: simulate_whole(plain, out, **given),
            of=plain.name,
        ),
        truth=load_series_truth(plain),
    )


def _made(folder: Path, name: str, given: Mapping[str, Any], make: Any, of: str = "") -> Path:
    """The store of these parameters: found, or made under a name that they decide."""
    mark = hashlib.sha256((json.dumps(given, sort_keys=True) + of).encode()).hexdigest()[:8]
    path = folder / f"{mark}-{name}"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        print(f"simulating {path.name} ...", flush=True)
        make(path, **given)
    return path


class Runs:
    """``hipct reconstruct`` on the series and on the one scan."""

    def __init__(self, data: Data, folder: Path, memory: str, *, noisy: bool) -> None:
        self._folder, self._memory = folder, memory
        self.report: dict[str, Any] = {}
        reference = {"reference.path": data.reference} if data.reference else {}
        rings = {"double_flat.enabled": True, "rings.method": "sorting"} if noisy else {}
        ours = reference | rings
        self.ours = self._run(data.series, "ours", ours)
        self.ours_report = self.report
        self.organ_report = self.report["series"]["sub_scans"]
        self.first_row = int(self.report["source"]["rows"][0])
        self.whole = self._run(data.whole, "whole", {"axis.value": data.truth.whole.setup.axis_px})
        stacked = {
            "stitching.refine": False,
            "stitching.levels": "none",
            "axis.value": float(np.mean(data.truth.axes_px)),
        }
        self.naive = self._run(data.series, "naive", reference | stacked)
        self.naive_report = self.report
        core = cores(self)[len(cores(self)) // 2] + self.first_row
        few = {"scan.first_row": core - 4, "scan.last_row": core + 4}
        # The same slices with their rings.
        self.with_rings = self._run(data.series, "rings", reference | few) if noisy else None
        self.rings_place = slice(core - 4 - self.first_row, core + 4 - self.first_row)

    def _run(self, scan: Path, name: str, settings: Mapping[str, object]) -> Volume:
        path = self._folder / f"{name}.ome.zarr"
        # Overlaps of few rows need many views; those of real scans have ten times as many rows.
        given = {"phase.delta_beta": DELTA_BETA, "stitching.angles": VIEWS} | settings
        command = [
            sys.executable, "-m", "hipct", "reconstruct", str(scan), "-o", str(path),
            "--memory", self._memory,
            *(part for key, value in given.items() for part in ("--set", f"{key}={_yaml(value)}")),
        ]  # fmt: skip
        print("$ " + " ".join(command[2:]), flush=True)
        subprocess.run(command, check=True)
        self.report = json.loads((self._folder / f"{name}.report.json").read_text())
        return open_volume(path)


def _yaml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def cores(runs: Runs) -> list[int]:
    """A slice of each sub-scan that it alone has made."""
    weights = blends(runs.organ_report, runs.ours.shape[0], runs.first_row)
    alone = [np.flatnonzero(weight == 1.0) for weight in weights]
    return [int(rows[len(rows) // 2]) for rows in alone if rows.size]


def blends(sub_scans: list[dict[str, Any]], height: int, first_row: int) -> Float:
    """Weights of the sub-scans in the slices of the volume, (sub-scans, slices)."""
    shares = [sub["rows"] for sub in sub_scans]
    begins = np.array([share[0] for share in shares], float)
    heights = [stop - start for start, stop in shares]
    weights: Float = overlap_weights(begins, heights, range(first_row, first_row + height))
    return weights
