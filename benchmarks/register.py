"""Whether zooms are found in their overviews, how exactly, and whether ever in a wrong place.

    python -m benchmarks.register [--seeds 40] [--processes 2] [--quick]

Simulated hierarchies (see :mod:`benchmarks.register_data`): zoom factors 4 to 20, any rotation
about z, tilts up to 2 degrees, voxel sizes wrong by up to 1 %, noise, cupping, another gain and
offset; nothing is given but the two volumes, if not said otherwise. None of the seeds served to
choose a threshold. A position is wrong by the largest distance of all corners of the zoom's box,
in voxels of the overview. The bound is that of :mod:`benchmarks.register_bound`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import RESULTS, save_table
from benchmarks.register_bound import bound
from benchmarks.register_data import OVERVIEW_UM, Grey, Hierarchy, fibres, hierarchy
from hipct.atlas.register import ZoomPlace, register_zoom

NOISE, MUCH_NOISE = 0.2, 1.0
RIGHT_PX, RIGHT_SCALE = 1.0, 5e-4
QUICK = {"shape": (48, 64, 64), "extent": (28, 36)}
FIRST = 1000
"""Of the seeds; lower ones served to make the method."""

SHARES = {
    "zoom of the overview": 1.0,
    "the same, with a rough start": 0.1,
    "much noise": 0.15,
    "other greys": 0.2,
    "half outside": 0.1,
    "outside": 0.2,
    "other sample": 0.3,
    "other organ": 0.2,
    "repeated": 0.2,
    "symmetric": 0.2,
}
"""Groups, and how many of the seeds each has."""

NOWHERE = ("outside", "other sample", "other organ")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--rows", type=Path, help="file of what was measured; goes on from there")
    parser.add_argument("--quick", action="store_true", help="small volumes, to see that it runs")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result")
    options = parser.parse_args()
    seeds = min(options.seeds, 3) if options.quick else options.seeds
    known = _known(options.rows)
    found: dict[str, list[dict[str, float]]] = {group: [] for group in SHARES}
    tasks = []
    # All groups grow together, so that a run cut short is a smaller one.
    for seed in range(FIRST, FIRST + seeds):
        for group, share in SHARES.items():
            if seed - FIRST >= max(round(share * seeds), 1):
                continue
            if (group, seed) in known:
                found[group].append(known[group, seed])
            else:
                tasks.append((group, seed, options.quick))
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for (group, seed, _), row in zip(tasks, pool.imap(measured, tasks)):
            found[group].append(row)
            line = json.dumps({"group": group, "seed": seed, **row})
            print(line, flush=True)
            if options.rows:
                with options.rows.open("a") as file:
                    file.write(line + "\n")
    whole = found.pop("zoom of the overview")
    groups = {
        "factor 4 to 9": [row for row in whole if row["factor"] < 9],
        "factor 9 to 20": [row for row in whole if row["factor"] >= 9],
        **found,
    }
    rows = [summary(name, cases) for name, cases in groups.items() if cases]
    command = f"python -m benchmarks.register --seeds {seeds} --processes {options.processes}"
    command += " --quick" if options.quick else ""
    facts = {
        "seeds": f"from {FIRST}; thresholds were chosen with seeds below",
        "right": f"within {RIGHT_PX:g} voxel of the overview and {RIGHT_SCALE:.2%} of scale",
        "noise": f"{NOISE} of the tissue's contrast a voxel of the overview, {MUCH_NOISE} if much",
        "other greys": "gain 0.5 to 2, gamma 0.7 to 1.4, cupping 0.3 to 1, rings 0.1 to 0.3",
        "rough start": "half a voxel to 8 voxels and 8 degrees off",
        "seconds": "of processor time",
        "memory": "largest of the process, interpreter, libraries and simulation included",
    }
    save_table("register", rows, command, out=options.out, facts=facts)


def _known(path: Path | None) -> dict[tuple[str, int], dict[str, float]]:
    """What was measured before, by group and seed."""
    rows = {}
    if path and path.exists():
        for line in path.read_text().splitlines():
            row = json.loads(line)
            rows[row.pop("group"), row.pop("seed")] = row
    return rows


def measured(task: tuple[str, int, bool]) -> dict[str, float]:
    """One registration, and what is wrong with it (where nothing is right: without end)."""
    group, seed, quick = task
    made = _made(group, seed, QUICK if quick else {})
    start: dict[str, Any] = {}
    if group == "the same, with a rough start":
        off = np.random.default_rng(seed).uniform(-8, 8, 3) * OVERVIEW_UM
        start = {"start_um": made.truth.position + off, "rotation_deg": made.angle_deg + 8}
    started = time.process_time()
    place = register_zoom(made.zoom, made.overview, **start)
    took = time.process_time() - started
    errors = (np.inf, np.inf, np.inf) if group in NOWHERE else errors_of(made, place)
    least = bound(made)[0] if group in ("zoom of the overview", "much noise") else np.nan
    return {
        "factor": made.factor,
        "found": float(place.found),
        "confidence": place.confidence,
        "share": place.share,
        "lead": place.lead,
        "ncc": place.ncc,
        "position_px": errors[0],
        "scale": errors[1],
        "rotation_deg": errors[2],
        "claimed_scale": place.scale_error,
        "claimed_px": float(np.linalg.norm(place.position_error_um)) / OVERVIEW_UM,
        "centre_px": float(np.linalg.norm(place.place.position - made.truth.position))
        / OVERVIEW_UM,
        "bound_scale": least,
        "seconds": took,
        "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _made(group: str, seed: int, size: dict[str, Any]) -> Hierarchy:
    if group == "other sample":
        return hierarchy(seed, noise=NOISE, other=True, **size)
    if group == "other organ":
        made = hierarchy(seed, noise=NOISE, **size)
        return replace(made, overview=fibres(seed))
    return hierarchy(
        seed,
        noise=MUCH_NOISE if group == "much noise" else NOISE,
        grey=Grey.drawn(seed) if group == "other greys" else Grey(),
        kind=group if group in ("repeated", "symmetric") else "irregular",
        outside={"half outside": 0.5, "outside": 1.1}.get(group),
        **size,
    )


def errors_of(made: Hierarchy, place: ZoomPlace) -> tuple[float, float, float]:
    """Largest distance of the corners in voxels, of the scale (relative), of the rotation."""
    box = np.array(made.extent) * OVERVIEW_UM / 2
    corners = made.truth.centre + np.array(list(product(*((-b, b) for b in box))))
    apart = np.linalg.norm(place.place.apply(corners) - made.truth.apply(corners), axis=1)
    turn = place.place.rotation.T @ made.truth.rotation
    angle = np.degrees(np.linalg.norm([turn[1, 2], turn[0, 2], turn[0, 1]]))
    return (
        float(apart.max()) / OVERVIEW_UM,
        abs(place.place.scale / made.truth.scale - 1),
        float(angle),
    )


def summary(name: str, cases: Sequence[dict[str, float]]) -> dict[str, object]:
    """A row of the table."""
    right = [c["position_px"] <= RIGHT_PX and c["scale"] <= RIGHT_SCALE for c in cases]
    wrong = [c["found"] > 0 and c["position_px"] > RIGHT_PX for c in cases]
    true = [c for c in cases if c["position_px"] <= RIGHT_PX]
    row: dict[str, object] = {
        "overview": name,
        "seeds": len(cases),
        "found": int(sum(c["found"] for c in cases)),
        "right": sum(right),
        "wrong, but called found": sum(wrong),
        "share of parts, least to most": _range([c["share"] for c in cases]),
        "lead, least to most": _range([c["lead"] for c in cases]),
    }
    if true:
        off = np.array([c["scale"] / c["claimed_scale"] for c in true])
        row |= {
            "position, median px": float(np.median([c["position_px"] for c in true])),
            "largest px": max(c["position_px"] for c in true),
            "scale, median %": 100 * float(np.median([c["scale"] for c in true])),
            "largest %": 100 * max(c["scale"] for c in true),
            "scale within 1, 2 errors": f"{(off < 1).mean():.0%}, {(off < 2).mean():.0%}",
            "centre / claimed, rms": _rms([c["centre_px"] / c["claimed_px"] for c in true]),
        }
        if np.isfinite(true[0]["bound_scale"]):
            row["scale / bound, rms"] = _rms([c["scale"] / c["bound_scale"] for c in true])
            row["bound, median %"] = 100 * float(np.median([c["bound_scale"] for c in true]))
    return row | {
        "median s": float(np.median([c["seconds"] for c in cases])),
        "largest MiB": max(c["memory_mib"] for c in cases),
    }


def _rms(values: Sequence[float]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f}"


if __name__ == "__main__":
    main()
