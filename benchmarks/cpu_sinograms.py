"""What is done to sinograms: rings against the time of a slice, the rotation axis.

How well rings go is the subject of ``benchmarks.rings``; here the same calls are held against the
filtered back-projection of the same sinograms. The error of an axis is in pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.cpu_case import Bar, Case, Contender, as_exact_as, times_as_fast
from benchmarks.phantoms import lobes, organ, seen_by_a_detector
from benchmarks.rings import cleaners, simulate
from hipct.preparation.rings import remove_rings
from hipct.reconstruction import Reconstructor
from hipct.reconstruction.axis import find_axis

Floats = NDArray[np.float32]

SIZES = ((1024, 1500), (2048, 3000))
QUICK = ((256, 400),)
ROWS = 64
"""Detector rows of the axis' pair of views."""
NOISE = 0.01


def rings(*, quick: bool) -> Iterator[Case]:
    """Sorting, wavelets and all of Vo, against the same in peers and against a slice."""
    for columns, angles in QUICK if quick else SIZES:
        data = simulate(angles, columns)
        sinograms = data.striped
        out = np.empty_like(sinograms)
        plan = Reconstructor(data.angles / 2, columns)
        slices = np.empty((len(sinograms), columns, columns), np.float32)
        peers = cleaners(sinograms.shape[1:])
        contenders = {
            "hipct, FBP of the slice": Contender(
                partial(plan.reconstruct, sinograms, slices), len(sinograms)
            )
        }
        for method in ("sorting", "wavelet", "all"):
            names = [name for name in peers[method] if name in ("algotom", "nabu")]
            ours = partial(peers[method]["hipct"], sinograms, out=out)
            factor = {"sorting": 7.0, "wavelet": 1.0, "all": 1.0}[method]
            fastest = times_as_fast(factor, *(f"{name}, {method}" for name in names))
            contenders[f"hipct, {method}"] = Contender(
                ours, len(sinograms), floor=(fastest,), aim=(_of_a_slice(),)
            )
            for name in names:
                clean = peers[method][name]
                contenders[f"{name}, {method}"] = Contender(
                    partial(_cleaned, clean, sinograms[0]), slow=method == "all"
                )

        def together(sinograms: Floats = sinograms, out: Floats = out) -> None:
            for method in ("sorting", "wavelet", "all"):
                remove_rings(sinograms, method=method, out=out)

        contenders["hipct, the three together"] = Contender(
            together, len(sinograms), aim=(_of_a_slice(),)
        )
        yield Case("rings", f"{columns} / {angles}", contenders)


def _of_a_slice() -> Bar:
    fbp = "hipct, FBP of the slice"
    return Bar("<= 1 x FBP", lambda own, results: own.ms / results[fbp].ms, 1.0, most=True)


def _cleaned(clean: Callable[[Floats], object], sinogram: Floats) -> None:
    clean(sinogram.copy())


def axis(*, quick: bool) -> Iterator[Case]:
    """The axis of full scans from a pair of views, and robustly; of half-acquisitions."""
    for columns, angles in QUICK if quick else SIZES:
        yield _pair(columns)
        yield _robust(columns, angles)
        yield _half(columns, 2 * angles + 1)


def _pair(columns: int) -> Case:
    axis = (columns - 1) / 2 + 5.3
    views = np.array([0.0, np.pi])
    pair = _noisy(seen_by_a_detector(organ(0.45 * columns), views, columns, axis, 0.5), ROWS)
    error = partial(_distance, axis)
    ours = partial(_ours, pair, views, acquisition="full", method="pairs")
    contenders = {
        "hipct, pair": Contender(
            ours,
            error=error,
            floor=(times_as_fast(1, "nabu"), as_exact_as(0.02, " px")),
            aim=(as_exact_as(0.02, " px"),),
        ),
        "nabu": Contender(partial(_nabu_pair, pair), error=error),
    }
    return Case("axis, pair", f"{columns} x {ROWS} rows", contenders, unit="ms")


def _robust(columns: int, angles: int) -> Case:
    """Stripes, and a body larger than the field."""
    axis = (columns - 1) / 2 + 5.3
    theta = np.linspace(0, np.pi, angles + 1)
    lines = seen_by_a_detector(lobes(0.6 * columns), theta, columns, axis, 0.5)
    stripes = 0.02 * lines.max() * np.random.default_rng(1).standard_normal(columns)
    sinogram = _noisy(lines + stripes, 1)
    error = partial(_distance, axis)
    contenders = {
        "hipct, auto": Contender(
            partial(_ours, sinogram, theta, acquisition="full", method="auto"),
            error=error,
            floor=(times_as_fast(100, "algotom, Vo"),),
            aim=(as_exact_as(0.02, " px"),),
        ),
        "algotom, Vo": Contender(partial(_algotom_vo, sinogram[:, 0]), error=error, slow=True),
    }
    return Case("axis, stripes and truncation", f"{columns} / {angles}", contenders, unit="ms")


def _half(columns: int, angles: int) -> Case:
    axis = columns - 1 - columns / 16 - 0.3
    theta = np.linspace(0, 2 * np.pi, angles)
    lines = seen_by_a_detector(organ(0.95 * axis), theta, columns, axis, 0.5)
    sinogram = _noisy(lines, 1)
    error = partial(_distance, axis)
    contenders = {
        "hipct, half": Contender(
            partial(_ours, sinogram, theta, acquisition="half", method="auto"),
            error=error,
            floor=(times_as_fast(20, "algotom, 360"), as_exact_as(0.05, " px")),
            aim=(as_exact_as(0.02, " px"),),
        ),
        "algotom, 360": Contender(
            partial(_algotom_360, sinogram[:, 0], columns // 16), error=error, slow=True
        ),
        "nabu, sliding window": Contender(partial(_nabu_sliding, sinogram), error=error),
    }
    return Case("axis, half-acquisition", f"{columns} / {angles}", contenders, unit="ms")


def _noisy(lines: NDArray[np.float64], rows: int) -> Floats:
    """Line integrals (angles, columns) as rows with noise: (angles, rows, columns)."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((len(lines), rows, lines.shape[1])) * NOISE * lines.max()
    return (lines[:, None] + noise).astype(np.float32)


def _distance(axis: float, found: object) -> float:
    return abs(float(found) - axis)  # type: ignore[arg-type]


def _ours(views: Floats, theta: NDArray[np.float64], **settings: str) -> float:
    return find_axis(views, theta, **settings).value  # type: ignore[arg-type]


def _nabu_pair(pair: Floats) -> float:
    from nabu.estimation.cor import CenterOfRotation

    middle = (pair.shape[2] - 1) / 2
    found = CenterOfRotation().find_shift(
        pair[0], np.fliplr(pair[1]), return_relative_to_middle=True
    )
    return middle + float(found)


def _nabu_sliding(sinogram: Floats) -> float:
    from nabu.estimation.cor import CenterOfRotationSlidingWindow

    angles, _, columns = sinogram.shape
    first = sinogram[: angles // 2, 0]
    second = sinogram[angles // 2 : angles // 2 * 2, 0]
    found = CenterOfRotationSlidingWindow().find_shift(
        first, np.fliplr(second), side="right", return_relative_to_middle=True
    )
    return (columns - 1) / 2 + float(found)


def _algotom_vo(sinogram: Floats) -> float:
    from algotom.prep.calculation import find_center_vo

    return float(find_center_vo(sinogram))


def _algotom_360(sinogram: Floats, width: int) -> float:
    from algotom.prep.calculation import find_center_360

    # Half of the overlap as its window, and the side, as nabu is told it: nothing is searched
    # twice, and the window never takes the overlap for that of the other side.
    return float(find_center_360(sinogram, width, side=1)[0])
