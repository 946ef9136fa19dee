"""Filtered back-projection: batches, single slices, half-acquisitions, the direct engine, 10 K.

The error is the root mean square against the exact band-limited back-projection (FINUFFT at 1e-9
in float64), over 0.95 of the radius, edges included, relative to the object.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks import peers
from benchmarks.common import relative_rms
from benchmarks.cpu_case import (
    Bar,
    Case,
    Contender,
    Row,
    as_exact_as,
    at_most_ms,
    times_as_fast,
    within,
)
from hipct.core.threads import set_thread_count, thread_count
from hipct.reconstruction import Reconstructor, fbp
from hipct.reconstruction.geometry import Geometry

Floats = NDArray[np.float32]

SLICES = 32
#: Columns, angles, and the milliseconds that are aimed at.
SIZES = ((512, 900, 0.9), (1024, 1500, 3.6), (2048, 3000, 18.0))
QUICK = ((128, 200, 0.9), (256, 400, 3.6))
EXACT_AT = 2048
PEERS = {
    "nabu": peers.nabu_fbp,
    "algotom": peers.algotom_fbp,
    "astra": peers.astra_fbp,
    "skimage": peers.skimage_fbp,
}
LARGE = ((2560, 3000), (5120, 6000), (10240, 12000))
QUICK_LARGE = ((256, 300), (512, 600))
LARGE_SLICES = 4
LARGE_BYTES = 8e9
#: Peak of memory over what a slab consists of.
MEMORY = 1.3


def batches(*, quick: bool) -> Iterator[Case]:
    """Many slices, one slice, and the direct engine, against every peer."""
    for n, angles, aim in QUICK if quick else SIZES:
        theta = np.arange(angles) * np.pi / angles
        sinograms = phantom(n, theta, 8 if quick else SLICES)
        small = phantom(64, theta[::20], 1)
        plan = Reconstructor(theta, n, padding="zero")
        direct = Reconstructor(theta, n, engine="direct", padding="zero")
        out = np.empty((len(sinograms), n, n), np.float32)
        error = partial(rms_of_first, exact(sinograms[0], plan.geometry))
        finufft = peers.finufft_planned(theta, n)
        exactness = (as_exact_as(2e-4),) if n == EXACT_AT else ()
        few = sinograms[:16]
        contenders = {
            "hipct": Contender(
                partial(plan.reconstruct, sinograms, out),
                len(sinograms),
                error,
                floor=(times_as_fast(5, "finufft"), *exactness),
                aim=(at_most_ms(aim),),
            ),
            "finufft": Contender(partial(finufft, sinograms[:8]), 8, error),
            "hipct, one slice": Contender(
                partial(plan.reconstruct, sinograms[:1]),
                error=error,
                floor=(times_as_fast(1, "finufft, one slice"),),
                aim=(times_as_fast(3, "finufft, one slice"),),
            ),
            "finufft, one slice": Contender(partial(finufft, sinograms[:1]), error=error),
            "hipct, direct": Contender(
                partial(direct.reconstruct, few),
                len(few),
                error,
                slow=n > 1024,
                warm=partial(fbp, small, theta[::20], engine="direct"),
                floor=(times_as_fast(4, "algotom", "nabu"),),
                aim=(times_as_fast(30, "algotom", "nabu"),),
            ),
        }
        for name, peer in PEERS.items():
            contenders[name] = Contender(
                partial(peer, sinograms[:1], theta, None),
                error=error,
                slow=True,
                warm=partial(peer, small, theta[::20], None),
            )
        yield Case("fbp", f"{n} / {angles}", contenders)


def half_acquisition(*, quick: bool) -> Iterator[Case]:
    """Time for each frequency of a padded row, of a half-acquisition and of a full scan.

    Counted for the padding of the textbook (twice the slice), whatever the engine does.
    """
    n, angles, axis = (256, 400, 240.25) if quick else (2048, 3000, 1900.25)
    slices = 4 if quick else 16
    full = Reconstructor(np.arange(angles) * np.pi / angles, n, padding="zero")
    turn = np.arange(2 * angles) * np.pi / angles
    half = Reconstructor(turn, n, axis, acquisition="half")
    contenders = {}
    for name, plan in (("hipct, half-acquisition", half), ("hipct, full scan", full)):
        geometry = plan.geometry
        sinograms = phantom(n, geometry.angles, slices, geometry.axis)
        error = partial(rms_of_first, exact(sinograms[0], geometry))
        points = slices * geometry.angles.size * plan.size / 1e6
        floor: tuple[Bar, ...] = ()
        aim: tuple[Bar, ...] = ()
        if plan is half:
            floor, aim = (within(1.2, "hipct, full scan"),), (within(1.05, "hipct, full scan"),)
        out = np.empty((slices, plan.size, plan.size), np.float32)
        call = partial(plan.reconstruct, sinograms, out)
        contenders[name] = Contender(
            call, points, error, remark=f"{plan.size} px", floor=floor, aim=aim
        )
    yield Case("half", f"{n} / {2 * angles}", contenders, unit="ms/Mpoint")


def large(*, quick: bool) -> list[Row]:
    """Four slices of ever more columns: seconds, peak of the process, exponent of the growth."""
    rows: list[Row] = []
    before: tuple[int, float] | None = None
    for n, angles in QUICK_LARGE if quick else LARGE:
        code = "from benchmarks.cpu_fbp import large_child; "
        code += f"large_child({n}, {angles}, {thread_count()})"
        done = subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        )
        found = json.loads(done.stdout.splitlines()[-1])
        row: Row = {
            "stage": "large",
            "size": f"{n} / {angles}",
            "code": "hipct",
            "time": found["seconds"] / LARGE_SLICES,
            "unit": "s/slice",
            "error": None,
            "floor": f"8 GB: {found['peak'] / 1e9:.3g}; {MEMORY:g} x sinograms, slices and grid: "
            f"{found['share']:.3g}",
            "floor met": "yes"
            if found["peak"] < LARGE_BYTES and found["share"] <= MEMORY
            else "no",
        }
        if before:
            growth = np.log(found["processor"] / before[1]) / np.log(n / before[0])
            row["remark"] = f"processor time grows as N^{growth:.2f}"
        before = n, found["processor"]
        rows.append(row)
    return rows


def large_child(n: int, angles: int, threads: int) -> None:
    """Print seconds of a warm call, of all cores too, and the peak resident bytes; run by itself.

    And the share that the peak, without what code takes, is of sinograms, slices and grid.
    """
    set_thread_count(threads)
    warm = np.ones((LARGE_SLICES, 100, 64), np.float32)
    fbp(warm, np.arange(100) * np.pi / 100)
    code = _peak_bytes()
    theta = np.arange(angles) * np.pi / angles
    sinograms = phantom(n, theta, LARGE_SLICES)
    plan = Reconstructor(theta, n, padding="zero")
    out = np.empty((LARGE_SLICES, n, n), np.float32)
    plan.reconstruct(sinograms, out)
    start, used = time.perf_counter(), time.process_time()
    plan.reconstruct(sinograms, out)
    seconds, processor = time.perf_counter() - start, time.process_time() - used
    grid = int(np.ceil(1.25 * n)) ** 2 // 2 * 8 * LARGE_SLICES
    share = (_peak_bytes() - code) / (sinograms.nbytes + out.nbytes + grid)
    found = {"seconds": seconds, "processor": processor, "peak": _peak_bytes(), "share": share}
    print(json.dumps(found))


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def phantom(n: int, theta: NDArray[np.float64], slices: int, axis: float | None = None) -> Floats:
    """Line integrals of ellipses of value 1 and less, turned a little from slice to slice.

    They fill the field of the detector around the axis, by default its middle.
    """
    ellipses = [
        (1.0, 0.02, -0.03, 0.86, 0.78, 0.3),
        (-0.4, 0.25, 0.3, 0.2, 0.14, 1.0),
        (0.5, -0.35, -0.2, 0.16, 0.1, -0.4),
        (0.3, 0.05, -0.4, 0.12, 0.12, 0.0),
    ]
    axis = (n - 1) / 2 if axis is None else axis
    field = max(axis, n - 1 - axis) + 0.5
    rows = np.zeros((slices, theta.size, n), np.float32)
    columns = (np.arange(n) - axis) / field
    for index in range(slices):
        for block in range(0, theta.size, 256):
            part = slice(block, block + 256)
            turned = theta[part, None] - 0.1 * index
            for value, x, y, a, b, tilt in ellipses:
                squared = (a * np.cos(turned - tilt)) ** 2 + (b * np.sin(turned - tilt)) ** 2
                t = columns - x * np.cos(turned) - y * np.sin(turned)
                chord = 2 * a * b / squared * np.sqrt(np.maximum(squared - t**2, 0))
                rows[index, part] += value * chord * field
    return rows


def exact(rows: Floats, geometry: Geometry) -> NDArray[np.float64]:
    """Exact back-projection of the padded, filtered rows of one slice, float64."""
    import finufft

    padded = rows[:, geometry.source].astype(np.float64) * geometry.lateral
    frequency = np.fft.fftfreq(geometry.length)
    response = geometry.response[np.abs(np.rint(frequency * geometry.length)).astype(int)]
    spectra = np.fft.fft(padded, axis=1) * response / geometry.length
    spectra *= geometry.weight[:, None]
    cos, sin = np.cos(geometry.angles)[:, None], np.sin(geometry.angles)[:, None]
    n = geometry.size
    half_pixel = n // 2 - (n - 1) / 2
    spectra *= np.exp(2j * np.pi * frequency * (geometry.axis + half_pixel * (cos + sin)))
    x, y = 2 * np.pi * frequency * cos, 2 * np.pi * frequency * sin
    image: NDArray[np.complex128] = finufft.nufft2d1(
        y.ravel(), x.ravel(), spectra.ravel(), (n, n), eps=1e-9, isign=1
    )
    return image.real


def rms_of_first(truth: NDArray[np.float64], slices: object) -> float:
    """Error of the first of some slices."""
    return relative_rms(np.asarray(slices)[0], truth, value=1.0)
