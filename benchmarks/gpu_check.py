"""Every stage of the chain on a device against NumPy, and the chain as a whole.

A stage gets what NumPy has made of the stage before, on both sides, so that an error shows where
it arises. The chain is then gone through on the device alone, from counts to grey values.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.gpu_data import PHASE, Scan, Size, line_integrals, make_scan
from hipct.core.arrays import Array, namespace
from hipct.phase.paganin import PaganinFilter
from hipct.phase.unsharp import UnsharpMask
from hipct.preparation.flat import FlatField
from hipct.preparation.linearise import sinograms
from hipct.preparation.rings import remove_rings
from hipct.preparation.zingers import remove_zingers
from hipct.reconstruction import Reconstructor
from hipct.volume.quantise import quantise
from hipct.volume.reduce import reduce_levels
from hipct.volume.window import window_from_samples

LIMIT = 1e-5
"""Largest difference that is allowed, over the largest value."""

GREY = 1.0
"""Grey values of 65535 by which a quantised value may differ."""

SHARE = 1e-3
"""Share of voxels, or of rays, that may be further apart once rings have been removed.

Roundings that all angles of a column have in common (wavelets) end in the one voxel on the axis.
Values that differ by a rounding may change places when they are sorted, and what stands at their
ranks is another value of the same column. From the same values both sides make the same.
"""

IMAGES = 32
"""Projections that are enough for variants of Paganin's filter."""

SLICES = 16
"""Slices that are reconstructed."""

DIRECT_SLICES = 4

MASK = UnsharpMask(sigma_px=0.8, strength=3.0, method="log")
THRESHOLD = 0.3

Row = dict[str, object]
Run = Callable[[Array], Array]


@dataclass(frozen=True)
class Check:
    """A stage, by what it makes of an array, and the stage whose result it takes."""

    name: str
    source: str
    run: Run
    chain: bool = False
    limit: float = LIMIT


def check(xp: ModuleType, size: Size, tell: Callable[[Row], None]) -> list[str]:
    """A sentence for every stage that is wrong; ``tell`` gets each row of the table as it comes."""
    host: dict[str, NDArray[Any]] = {}
    stages = _stages(size, host)
    failures: list[str] = []

    def judge(name: str, error: float, limit: float) -> None:
        tell({"size": f"{size.heading}, {size.rows} rows", "stage": name, "error": error})
        if not error <= limit:
            failures.append(f"{name}: {error:.2g}, and {limit:.2g} is allowed.")

    for stage in stages:
        host[stage.name] = stage.run(host[stage.source])
        found = stage.run(xp.asarray(host[stage.source])).get()
        judge(f"{stage.name}, against NumPy", difference(found, host[stage.name]), stage.limit)
    for rings, last in ((None, "quantise"), ("wavelet", "quantise"), ("sorting", "rings, sorting")):
        way = stages, host["counts"], rings, last
        expected, found = _through(*way, np), _through(*way, xp)
        apart = np.abs(found.astype(np.float64) - expected)
        if rings is None:
            judge("whole chain: grey values apart", float(apart.max()), GREY)
        elif rings == "wavelet":
            share = float((apart > GREY).mean())
            judge("with rings, wavelet: share beyond 1 grey value", share, SHARE)
        else:
            share = float((apart > LIMIT * np.abs(expected).max()).mean())
            judge("chain up to rings, sorting: share of rays apart", share, SHARE)
    return failures


def missing() -> str | None:
    """Why nothing can be compared here, if it cannot."""
    if importlib.util.find_spec("scipy") is None:
        return "nothing was compared: SciPy, which NumPy's side of the chain needs, is missing"
    return None


def difference(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """Largest difference over the largest value; infinite where shape or dtype differ."""
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return float("inf")
    error = np.abs(found.astype(np.float64) - expected).max() / np.abs(expected).max(initial=1e-30)
    return float(error)


def _through(
    stages: list[Check], counts: NDArray[np.uint16], rings: str | None, last: str, xp: ModuleType
) -> NDArray[Any]:
    """What one side makes of the counts, up to a stage, with one way to remove rings or none."""
    array = xp.asarray(counts)
    for stage in stages:
        is_rings = stage.name.startswith("rings")
        if stage.chain and (not is_rings or stage.name == f"rings, {rings}"):
            array = stage.run(array)
            if stage.name == last:
                break
    return array if xp is np else array.get()


def _stages(size: Size, host: dict[str, NDArray[Any]]) -> list[Check]:
    """All stages in their order; puts what the first of them take into ``host``."""
    scan = make_scan(size)
    turn = 2 * np.pi * (np.arange(size.angles) / size.angles)
    axis = 0.8 * size.columns
    half_scan = line_integrals(size, turn, axis)
    scale = np.linspace(1, 1.5, DIRECT_SLICES, dtype=np.float32)
    host["counts"], host["half-acquisition"] = scan.counts, half_scan * scale[:, None, None]

    def to_grey(slices: Array) -> Array:
        window = window_from_samples(host["FBP, Fourier"])
        return quantise(slices, window, radius_px=size.columns / 2)

    half = {"axis": axis, "acquisition": "half"}
    fbp = partial(_fbp, scan.angles, size.columns)
    return [
        Check("flat field", "counts", partial(_flat_field, scan), True),
        Check("zingers", "flat field", lambda x: remove_zingers(x, THRESHOLD), True),
        Check("Paganin", "zingers", _paganin(), True),
        Check("Paganin, padding by edges", "zingers", _paganin(IMAGES, padding="edge")),
        Check("Paganin, generalised", "zingers", _paganin(IMAGES, method="generalised")),
        Check("Paganin, with unsharp mask", "zingers", _paganin(IMAGES, unsharp=MASK)),
        Check("logarithm", "Paganin", partial(_sinograms, size), True),
        Check("rings, sorting", "logarithm", _rings("sorting"), True),
        Check("rings, wavelet", "logarithm", _rings("wavelet"), True),
        Check("FBP, Fourier", "rings, wavelet", fbp(), True),
        Check("FBP, direct", "rings, wavelet", fbp(DIRECT_SLICES, engine="direct")),
        Check("FBP, Fourier, half-acquisition", "half-acquisition",
              _fbp(turn, size.columns, **half)),
        Check("FBP, direct, half-acquisition", "half-acquisition",
              _fbp(turn, size.columns, engine="direct", **half)),
        Check("oblique plane", "rings, wavelet", partial(_plane, scan.angles, size.columns)),
        Check("quantise", "FBP, Fourier", to_grey, True, GREY / 65535 + 1e-9),
        Check("reduce, 1 level", "quantise", lambda x: reduce_levels(x, 1)[-1]),
        Check("reduce, 2 levels", "quantise", lambda x: reduce_levels(x, 2)[-1]),
    ]  # fmt: skip


def _flat_field(scan: Scan, counts: Array) -> Array:
    xp = namespace(counts)
    field = FlatField.from_frames(
        xp.asarray(scan.flats), xp.asarray(scan.darks), flat_index=scan.flat_index
    )
    return field.apply(counts, projection_index=scan.index)


def _paganin(images: int | None = None, **options: Any) -> Run:
    def run(transmission: Array) -> Array:
        shape, xp = transmission.shape[1:], namespace(transmission)
        return PaganinFilter(*shape, **PHASE, **options, xp=xp).apply(transmission[:images])

    return run


def _sinograms(size: Size, transmission: Array) -> Array:
    """The rows in the middle, where the filter has all of its neighbours."""
    slices = min(SLICES, size.rows)
    first = (size.rows - slices) // 2
    lines = namespace(transmission).empty((slices, size.angles, size.columns), np.float32)
    sinograms(transmission, lines, rows=slice(first, first + slices))
    return lines


def _rings(method: Any) -> Run:
    return lambda lines: remove_rings(lines, method)


def _fbp(
    angles: NDArray[np.float64], columns: int, slices: int | None = None, **options: Any
) -> Run:
    def run(lines: Array) -> Array:
        plan = Reconstructor(angles, columns, **options, xp=namespace(lines))
        return plan.reconstruct(lines[:slices])

    return run


def _plane(angles: NDArray[np.float64], columns: int, lines: Array) -> Array:
    """A plane through opposite edges of the slices, turned about the axis."""
    climb = (len(lines) - 1) / (columns - 1)
    plan = Reconstructor(angles, columns, xp=namespace(lines))
    return plan.plane(lines, (0, 0, 0), (climb, 0.9, 0.3), (0, -0.3, 0.9), (columns, columns))
