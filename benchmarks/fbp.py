"""How long a slice takes and how exact it is, against every peer, on the same sinograms.

Run from the repository root: ``python -m benchmarks.fbp`` (``--n``, ``--angles`` and ``--slices``
change the size, ``--peers`` what it is compared with). Peers that need seconds a slice reconstruct
one slice a round. The error is the root mean square against the exact band-limited back-projection
(FINUFFT at 1e-9 in float64), over 0.95 of the radius, edges included, relative to the object.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks import peers
from benchmarks.common import Timing, measure, options, relative_rms, versions, write_table
from hipct.reconstruction import Reconstructor
from hipct.reconstruction.geometry import Geometry

Floats = NDArray[np.float32]
SLOW = ("nabu", "astra", "algotom", "skimage")
"""Peers that take so long that one slice of a round is enough."""


def main() -> None:
    chosen, size = _options()
    n, angles, slices = size.n, size.angles, size.slices
    theta = np.arange(angles) * np.pi / angles
    sinograms = phantom(n, theta, slices)
    plan = Reconstructor(theta, n, padding="zero")
    direct = Reconstructor(theta, n, engine="direct", padding="zero")
    out = np.empty((slices, n, n), np.float32)
    calls: dict[str, tuple[int, Callable[[], Floats]]] = {
        "hipct": (slices, lambda: plan.reconstruct(sinograms, out)),
        "hipct, 1 slice": (1, lambda: plan.reconstruct(sinograms[:1])),
        "hipct, direct": (min(16, slices), lambda: direct.reconstruct(sinograms[:16])),
    }
    for name in size.peers:
        count = 1 if name in SLOW else slices
        calls[name] = (count, _peer(name, sinograms[:count], theta))
    truth = exact(sinograms[0], plan.geometry)
    error = {name: relative_rms(call()[0], truth, value=1.0) for name, (_, call) in calls.items()}
    times = measure(
        {name: call for name, (_, call) in calls.items()}, repeats=chosen.repeats, warm_up=False
    )
    rows = [
        _row(name, count, times[name], times["hipct"].median / slices, error[name])
        for name, (count, _) in calls.items()
    ]
    write_table(
        "fbp",
        rows,
        chosen,
        facts={
            "size": f"{slices} slices, {angles} angles x {n} columns, float32",
            **versions(["nabu", "pyopencl", "astra-toolbox", "algotom", "scikit-image", "finufft"]),
        },
    )


def phantom(n: int, theta: NDArray[np.float64], slices: int) -> Floats:
    """Line integrals of ellipses of value 1 and less, turned a little from slice to slice."""
    ellipses = [
        (1.0, 0.02, -0.03, 0.86, 0.78, 0.3),
        (-0.4, 0.25, 0.3, 0.2, 0.14, 1.0),
        (0.5, -0.35, -0.2, 0.16, 0.1, -0.4),
        (0.3, 0.05, -0.4, 0.12, 0.12, 0.0),
    ]
    rows = np.zeros((slices, theta.size, n), np.float32)
    columns = (np.arange(n) - (n - 1) / 2) / (n / 2)
    for index in range(slices):
        turned = theta[:, None] - 0.1 * index
        for value, x, y, a, b, tilt in ellipses:
            squared = (a * np.cos(turned - tilt)) ** 2 + (b * np.sin(turned - tilt)) ** 2
            t = columns - x * np.cos(turned) - y * np.sin(turned)
            chord = 2 * a * b / squared * np.sqrt(np.maximum(squared - t**2, 0))
            rows[index] += value * chord * n / 2
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


def _peer(name: str, sinograms: Floats, theta: NDArray[np.float64]) -> Callable[[], Floats]:
    return lambda: peers.PEERS[name](sinograms, theta, None)


def _row(name: str, slices: int, timing: Timing, ours: float, error: float) -> dict[str, object]:
    each = timing.median / slices
    return {
        "what": name,
        "slices at a time": slices,
        "ms a slice": 1e3 * each,
        "times as long as hipct": each / ours,
        "rms error": error,
        "spread": timing.spread,
    }


def _options() -> tuple[argparse.Namespace, argparse.Namespace]:
    parser = argparse.ArgumentParser(add_help=False)  # --help is answered by `options`
    parser.add_argument("--n", type=int, help="columns (default 1024)")
    parser.add_argument("--angles", type=int, help="projections (default 1500)")
    parser.add_argument("--slices", type=int, help="slices (default 32)")
    parser.add_argument("--peers", nargs="*", choices=list(peers.PEERS), default=list(peers.PEERS))
    size, rest = parser.parse_known_args()
    sys.argv[1:] = rest
    chosen = options(__doc__)
    size.n = size.n or (256 if chosen.quick else 1024)
    size.angles = size.angles or (400 if chosen.quick else 1500)
    size.slices = size.slices or (16 if chosen.quick else 32)
    return chosen, size


if __name__ == "__main__":
    main()
