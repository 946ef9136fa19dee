"""The main job on a simulated half-acquisition organ, judged against its truth.

    python -m benchmarks.organ [--rows 512] [--columns 512] [--angles 1500] [--noise 5000]

Simulates the scan (Fresnel propagation, noise, rings, drift), runs ``hipct reconstruct`` as a
process of its own, and compares three slices with the truth: rms as defined for all benchmarks
(disc of 0.95 R, 4 pixels around true edges left out, relative to the tissue), bias, and SSIM.
``--noise 0`` leaves out noise, rings and the drift of the beam between flats, so that what remains
is the method's own error.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy import ndimage
from skimage.metrics import structural_similarity

from benchmarks.common import RESULTS, relative_rms, save_table
from hipct.simulation.scan import simulate_scan
from hipct.simulation.truth import Truth, load_truth
from hipct.volume.open import Volume, open_volume

EDGE_PX = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name, default in (("rows", 512), ("columns", 512), ("angles", 1500), ("noise", 5000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--quick", action="store_true", help="a small organ, to see that it runs")
    parser.add_argument("--memory", default="4GB", help="budget of the run")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where scan and volume are put meanwhile")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result")
    options = parser.parse_args()
    if options.quick:
        options.rows, options.columns, options.angles = 64, 256, 300
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        scan, path = Path(folder) / "scan.zarr", Path(folder) / "organ.ome.zarr"
        started = time.perf_counter()
        simulate_scan(
            scan,
            rows=options.rows,
            columns=options.columns,
            angles=options.angles,
            noise=options.noise or None,
            rings=0.01 if options.noise else 0.0,
            drift=0.01 if options.noise else 0.0,
            seed=options.seed,
        )
        simulated = time.perf_counter() - started
        rings = "sorting" if options.noise else "none"
        command = [
            sys.executable, "-m", "hipct", "reconstruct", str(scan), "-o", str(path),
            "--memory", options.memory, "--set", "phase.delta_beta=1500",
            "--set", f"rings.method={rings}",
        ]  # fmt: skip
        subprocess.run(command, check=True)
        report = json.loads((Path(folder) / "organ.report.json").read_text())
        truth, volume = load_truth(scan), open_volume(path)
        rows = [compared(truth, volume, z) for z in (0.2, 0.5, 0.8)]
    axis = report["estimates"]["axis_px"]
    facts = {
        "axis": f"{axis:.3f}, true {truth.setup.axis_px:.3f}",
        "simulation": f"{simulated:.0f} s",
        "reconstruction": f"{report['wall_s']:.1f} s, {report['voxels_per_s'] / 1e6:.1f} Mvoxel/s",
        "peak memory": f"{report['peak_bytes'] / 1e9:.2f} GB of {options.memory}",
    }
    asked = " ".join(
        f"--{name} {getattr(options, name)}"
        for name in ("rows", "columns", "angles", "noise", "seed", "memory")
    )
    name = "organ" if options.noise else "organ_noise_free"
    save_table(name, rows, f"python -m benchmarks.organ {asked}", out=options.out, facts=facts)
    print("\n".join(f"{key}: {value}" for key, value in facts.items()))


def compared(truth: Truth, volume: Volume, place: float) -> dict[str, object]:
    """Figures of one slice at ``place`` of the height."""
    z, side = round(place * (volume.shape[0] - 1)), volume.shape[1]
    found = volume.physical(0, (slice(z, z + 1),))[0].astype(np.float64)
    true = truth.volume(slice(z, z + 1), size=side)[0].astype(np.float64)
    tissue = float(np.median(true[true > 0]))
    steep = ndimage.gaussian_gradient_magnitude(true, 1) > 0.02 * tissue
    edge = ndimage.binary_dilation(steep, iterations=EDGE_PX)
    position = np.arange(side) - (side - 1) / 2
    disc = np.hypot(position[:, None], position) <= 0.95 * side / 2
    inside = disc & ~edge & (true > 0)
    return {
        "slice": z,
        "tissue 1/cm": tissue,
        "rms / tissue": relative_rms(found[None], true[None], value=tissue, edge=edge),
        "bias / tissue": float((found - true)[inside].mean() / tissue),
        "SSIM": float(
            structural_similarity(found * disc, true * disc, data_range=float(np.ptp(true)))
        ),
    }


if __name__ == "__main__":
    main()
