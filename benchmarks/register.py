"""Whether zooms are found in their overviews, how exactly, and whether ever in a wrong place.

    python -m benchmarks.register [--seeds 20] [--quick]

Simulated hierarchies (see :mod:`benchmarks.register_data`): zoom factors 4 to 20, any rotation
about z, tilts up to 2 degrees, voxel sizes wrong by up to 1 %, noise, another gain and offset;
nothing is given but the two volumes. Each zoom is looked for in its own overview, and in that of
the seed before: tissue of the same kind, but another piece of it. Every fourth seed is five times
as noisy. A position is wrong by the largest distance of all corners of the zoom's box, in voxels
of the overview.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np

from benchmarks.common import RESULTS, save_table
from benchmarks.register_data import OVERVIEW_UM, Hierarchy, hierarchy
from hipct.atlas.register import ZoomPlace, register_zoom

NOISE, MUCH_NOISE = 0.2, 1.0
RIGHT_PX, RIGHT_SCALE = 1.0, 5e-4
QUICK = {"shape": (48, 64, 64), "extent": (28, 36)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--quick", action="store_true", help="small volumes, to see that it runs")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result")
    options = parser.parse_args()
    seeds = min(options.seeds, 3) if options.quick else options.seeds
    size = QUICK if options.quick else {}
    own: list[dict[str, float]] = []
    foreign: list[dict[str, float]] = []
    before = hierarchy(seeds, noise=NOISE, **size)
    for seed in range(seeds):
        noise = MUCH_NOISE if seed % 4 == 3 else NOISE
        made = hierarchy(seed, noise=noise, **size)
        own.append({"noise": noise, "factor": made.factor} | measured(made, made))
        foreign.append({"noise": noise, "factor": made.factor} | measured(made, before))
        for kind, row in (("own", own[-1]), ("other", foreign[-1])):
            print(seed, kind, {k: float(f"{v:.4g}") for k, v in row.items()}, flush=True)
        before = made
    groups = {
        "own, factor 4 to 9": [r for r in own if r["noise"] == NOISE and r["factor"] < 9],
        "own, factor 9 to 20": [r for r in own if r["noise"] == NOISE and r["factor"] >= 9],
        "own, much noise": [r for r in own if r["noise"] != NOISE],
        "other sample": foreign,
    }
    rows = [summary(name, cases) for name, cases in groups.items() if cases]
    command = f"python -m benchmarks.register --seeds {seeds}"
    command += " --quick" if options.quick else ""
    facts = {
        "right": f"within {RIGHT_PX:g} voxel of the overview and {RIGHT_SCALE:.2%} of scale",
        "noise": f"{NOISE} of the tissue's contrast a voxel of the overview, {MUCH_NOISE} if much",
        "the machine": "was loaded by other work: the seconds are upper limits",
    }
    save_table("register", rows, command, out=options.out, facts=facts)


def measured(zoom: Hierarchy, overview: Hierarchy) -> dict[str, float]:
    """One registration, and what is wrong with it (of another overview: nothing to compare)."""
    started = time.perf_counter()
    place = register_zoom(zoom.zoom, overview.overview)
    took = time.perf_counter() - started
    errors = errors_of(zoom, place) if zoom is overview else (np.inf, np.inf, np.inf)
    return {
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
        "seconds": took,
    }


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
        row |= {
            "position, median px": float(np.median([c["position_px"] for c in true])),
            "largest px": max(c["position_px"] for c in true),
            "scale, median %": 100 * float(np.median([c["scale"] for c in true])),
            "largest %": 100 * max(c["scale"] for c in true),
            "scale error / claimed, rms": float(
                np.sqrt(np.mean([(c["scale"] / c["claimed_scale"]) ** 2 for c in true]))
            ),
        }
    return row | {"median s": float(np.median([c["seconds"] for c in cases]))}


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f}"


if __name__ == "__main__":
    main()
