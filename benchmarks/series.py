"""A whole organ: sub-scans of a simulated z-series to one volume, judged against their truth.

    python -m benchmarks.series [--quick] [--noise 0] [--jar 0] [--data DIR]

16 sub-scans in half-acquisition of an organ in a jar that is wider than the field, with a reference
scan of the jar; positions wrong by up to 3 px along z and 1 px across, an axis that drifts by 2 px,
light that differs by up to 5 % between sub-scans, and (without ``--noise 0``) rings, a beam that
drifts, and the noise of 200 000 photons in air, 16 000 of them behind jar and sample. With
``--jar 0`` the flats were taken through jar and medium, and no shadow of a jar moves with the axis
and the sample.

``hipct reconstruct`` makes the volume from the sub-scans, in a process of its own. It is compared
with the truth, and with the reconstruction of the same organ taken in one tall scan without noise,
jar or errors (``one scan``). ``naive`` is the same series put where its motors say, with one axis
and without levels.

``rms`` as for all benchmarks: over the disc of 0.95 R, without 4 pixels around edges of the truth
(8 where slices were moved to compare them), over the tissue's attenuation. Where the volume lies as
a whole cannot be known, so that the truth is moved by the mean error of the positions. ``--data``
keeps the simulated scans, which take longer than all the rest.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks.common import RESULTS, save_table
from benchmarks.series_data import FULL, QUICK, Runs, simulate
from benchmarks.series_judge import Judge


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="4 small sub-scans, to see it run")
    parser.add_argument("--noise", type=float, default=200_000.0, help="photons a pixel in air; 0")
    parser.add_argument("--jar", type=float, default=1.25, help="radius over the field's; 0: none")
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--memory", default="3GB", help="budget of the run")
    parser.add_argument("--data", type=Path, help="folder that keeps the simulated scans")
    parser.add_argument("--folder", type=Path, help="where volumes are put meanwhile")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result")
    chosen = parser.parse_args()
    size = QUICK if chosen.quick else FULL
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        started = time.perf_counter()
        data = simulate(
            chosen.data or Path(folder),
            size,
            noise=chosen.noise or None,
            jar=chosen.jar,
            seed=chosen.seed,
        )
        simulated = time.perf_counter() - started
        runs = Runs(data, Path(folder), chosen.memory, noisy=chosen.noise > 0)
        judge = Judge(data, runs)
        rows = judge.table()
        name = "series" if chosen.noise else "series_noise_free"
        name += "" if chosen.jar else "_no_jar"
        judge.pictures(chosen.out, name)
    command = f"python -m benchmarks.series --noise {chosen.noise:g} --jar {chosen.jar:g}"
    command += f" --seed {chosen.seed} --memory {chosen.memory}"
    command += " --quick" if chosen.quick else ""
    facts = {"sub-scans x angles x rows x columns": str(size), "simulation": f"{simulated:.0f} s"}
    save_table(name, rows, command, out=chosen.out, facts=facts)


if __name__ == "__main__":
    main()
