"""How well rings go, what edges lose, and what it costs, against algotom and nabu.

Run from the repository root: ``python -m benchmarks.rings``.

Simulated sinograms (discs off the axis, noise, stripes of all kinds) are cleaned, reconstructed
and compared with what the same noise gives without stripes; edges are measured on a cleaned
sinogram that had none. Real stripes (I12, transmission, a crop that cannot be reconstructed) are
scored in the sinogram. ``rings left`` is the ring score's rms after over before, ``error`` the rms
difference from the slice without stripes over that of the untreated one, ``edge`` the 10-90 % width
of the edges of a disc.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Timing, measure, options, versions, write_table
from hipct.preparation.rings import remove_rings
from hipct.preparation.stripe_score import stripe_score
from hipct.reconstruction import fbp
from hipct.volume.ring_score import ring_score
from hipct.volume.rings_polar import remove_rings_polar

Row = dict[str, object]
Image = NDArray[np.float32]
Cleaner = Callable[..., Image]

REAL = Path(__file__).resolve().parents[2] / "shared/data/i12_stripes/sino_stripe_i12.npy"
LEVELS = 5
ALPHA = 0.05
#: x, y, radius as fractions of the columns, and attenuation of the discs; the second has the edge.
DISCS = (
    (0.03, -0.02, 0.38, 0.4),
    (0.15, 0.1, 0.08, 0.3),
    (-0.12, -0.14, 0.06, -0.2),
    (0.2, -0.12, 0.03, 0.4),
    (-0.16, 0.12, 0.1, 0.1),
)
NOISE = 0.02
SLICES = 8


@dataclass(frozen=True)
class Simulated:
    """Sinograms (slices, angles, columns) of discs with noise, without and with stripes."""

    angles: NDArray[np.float64]
    clean: Image
    striped: Image

    @property
    def columns(self) -> int:
        """Detector columns."""
        return self.clean.shape[2]


def main() -> None:
    chosen = options(__doc__)
    data = simulate(240, 192) if chosen.quick else simulate(1500, 1024)
    rows = simulated_table(chosen, data)
    if REAL.exists():
        rows += real_table(chosen, np.load(REAL).astype(np.float32))
    write_table(
        "rings",
        rows,
        chosen,
        facts={
            "simulated": f"{SLICES} of {len(data.angles)} angles x {data.columns} columns, 360 deg",
            "real": "I12, 800 angles x 400 columns" if REAL.exists() else "absent",
            **versions(["algotom", "nabu"]),
        },
    )


def simulate(angles: int, columns: int) -> Simulated:
    """Discs, noise; stripes: a column in 16, a wide one, a dead column and two that flicker."""
    rng = np.random.default_rng(0)
    turn = np.arange(angles) * 2 * np.pi / angles
    place = np.arange(columns) - (columns - 1) / 2
    lines = np.zeros((angles, columns))
    for x, y, radius, mu in DISCS:
        middle = columns * (x * np.cos(turn) + y * np.sin(turn))[:, None]
        for shift in (np.arange(8) - 3.5) / 8:
            chord = (radius * columns) ** 2 - (place + shift - middle) ** 2
            lines += 2 * mu / 8 / (0.4 * columns) * np.sqrt(np.maximum(chord, 0))
    clean = lines + NOISE * rng.standard_normal((SLICES, angles, columns))
    profile = np.zeros(columns)
    fine = rng.choice(columns, columns // 16, replace=False)
    profile[fine] = 0.03 * rng.standard_normal(len(fine))
    wide = int(0.7 * columns)
    profile[wide : wide + 12] += 0.06
    striped = clean + profile
    striped[:, :, int(0.6 * columns)] = 0.5
    flicker = int(0.35 * columns)
    striped[:, :, flicker : flicker + 2] += 0.3 * rng.standard_normal((SLICES, angles, 2))
    return Simulated(turn, clean.astype(np.float32), striped.astype(np.float32))


def cleaners(shape: tuple[int, int]) -> dict[str, dict[str, Cleaner]]:
    """Contenders by method; each takes and returns one sinogram or, hipct, many."""
    from algotom.prep import removal
    from nabu.reconstruction.rings import MunchDeringer, SinoMeanDeringer, VoDeringer

    whole = (1, *shape)
    levels = wavelet_levels(shape)
    muench = MunchDeringer(whole, 1.0, levels=levels, wname="db9")
    vo = VoDeringer(whole)
    mean = SinoMeanDeringer(whole, filter_cutoff=(0, 30))

    def by_nabu(deringer: object) -> Cleaner:
        def clean(sinogram: Image) -> Image:
            copy = sinogram[None].copy()
            deringer.remove_rings(copy)  # type: ignore[attr-defined]
            return copy[0]

        return clean

    def ours(method: str, **settings: object) -> Cleaner:
        return partial(remove_rings, method=method, **settings)  # type: ignore[arg-type]

    return {
        "sorting": {
            "hipct": ours("sorting"),
            "algotom": lambda s: removal.remove_stripe_based_sorting(s, 21),
        },
        "wavelet": {
            "hipct": ours("wavelet", levels=levels),
            "algotom": lambda s: removal.remove_stripe_based_wavelet_fft(s, levels),
            "nabu": by_nabu(muench),
        },
        "dead": {
            "hipct": ours("dead"),
            "algotom": lambda s: removal.remove_dead_stripe(s, residual=False),
        },
        "large": {"hipct": ours("large"), "algotom": removal.remove_large_stripe},
        "all": {
            "hipct": ours("all"),
            "algotom": removal.remove_all_stripe,
            "algotom, transmission": lambda s: (
                -np.log(np.maximum(removal.remove_all_stripe(np.exp(-s)), 1e-6))
            ),
            "nabu": by_nabu(vo),
        },
        "regularised": {
            "hipct": ours("regularised", alpha=ALPHA),
            "algotom": lambda s: removal.remove_stripe_based_regularization(
                s, alpha=ALPHA, apply_log=False
            ),
            "nabu, mean": by_nabu(mean),
        },
    }


def wavelet_levels(shape: tuple[int, int]) -> int:
    """Levels that hipct's wavelets bear in so small a sinogram, for all contenders."""
    return min(LEVELS, int(np.log2(1.2 * min(shape) / 16)))


def simulated_table(chosen: argparse.Namespace, data: Simulated) -> list[Row]:
    """Rings left, error and edge in slices; times of one sinogram."""
    judge = Judge(data)
    nothing: Row = {"data": "simulated", "method": "none", "code": "-"}
    untimed: Row = {"ms": None, "times hipct": None, "spread": None}
    rows = [nothing | judge.row(data.striped[0], data.clean[0]) | untimed]
    for method, contenders in cleaners(data.clean.shape[1:]).items():
        times = timed(chosen, contenders, data.striped)
        for code, clean in contenders.items():
            found = [apply(code, clean, sinograms)[0] for sinograms in (data.striped, data.clean)]
            head: Row = {"data": "simulated", "method": method, "code": code}
            rows.append(head | judge.row(*found) | times[code])
    slices = fbp(data.striped, data.angles)
    times = timed(chosen, {"hipct": remove_rings_polar}, slices)
    head = {"data": "simulated", "method": "polar", "code": "hipct"}
    rows.append(head | judge.row(data.striped[0], data.clean[0], polar=True) | times["hipct"])
    return rows


def real_table(chosen: argparse.Namespace, transmission: Image) -> list[Row]:
    """Stripes left in the real sinogram; times of it."""
    before = float(stripe_score(transmission[None]).ring_rms[0])
    rows: list[Row] = []
    for method, contenders in cleaners(transmission.shape).items():
        # Here the paper's own quantity, so that both codes compute the same.
        if method in ("large", "all"):
            contenders["hipct"] = partial(
                remove_rings,
                method=method,  # type: ignore[arg-type]
                quantity="transmission",
            )
            contenders.pop("algotom, transmission", None)
        times = timed(chosen, contenders, np.tile(transmission, (SLICES, 1, 1)))
        for code, clean in contenders.items():
            after = stripe_score(apply(code, clean, transmission[None]))
            head: Row = {"data": "I12", "method": method, "code": code}
            left: Row = {"rings left": float(after.ring_rms[0]) / before}
            rows.append(head | left | {"error": None, "edge px": None} | times[code])
    return rows


def apply(code: str, clean: Cleaner, sinograms: Image) -> Image:
    """The first sinogram cleaned, (1, angles, columns) float32."""
    if code == "hipct":
        return clean(sinograms[:1])
    return np.asarray(clean(sinograms[0].copy()), np.float32)[None]


def timed(
    chosen: argparse.Namespace, contenders: Mapping[str, Cleaner], images: Image
) -> dict[str, Row]:
    """Milliseconds of an image, ratio to hipct, spread; hipct takes all images in a call."""
    out = np.empty_like(images)
    calls: dict[str, Callable[[], object]] = {
        code: (lambda clean=clean: clean(images, out=out))
        if code == "hipct"
        else (lambda clean=clean: clean(images[0]))
        for code, clean in contenders.items()
    }
    timings = measure(calls, repeats=chosen.repeats)

    def each(code: str, timing: Timing) -> float:
        return 1000 * timing.median / (len(images) if code == "hipct" else 1)

    ours = each("hipct", timings["hipct"])
    return {
        code: {
            "ms": each(code, timing),
            "times hipct": each(code, timing) / ours,
            "spread": timing.spread,
        }
        for code, timing in timings.items()
    }


class Judge:
    """Compares slices of cleaned sinograms with what they should be."""

    def __init__(self, data: Simulated) -> None:
        self.angles, self.columns = data.angles, data.columns
        place = np.arange(data.columns) - (data.columns - 1) / 2
        distance = np.hypot(place, place[:, None])
        self.counted = (distance > 50 * data.columns / 1024) & (distance < 0.46 * data.columns)
        x, y, radius, _ = (value * data.columns for value in DISCS[1])
        self.edge = np.hypot(place - x, place[:, None] - y) - radius
        self.wanted = self.slice(data.clean[0])
        untreated = self.slice(data.striped[0])
        self.rings = float(ring_score(untreated[None]).ring_rms[0])
        self.rms = self.difference(untreated)

    def slice(self, sinogram: Image) -> Image:
        """Slice (n, n) of one sinogram."""
        result: Image = fbp(sinogram[None], self.angles)[0]
        return result

    def difference(self, image: Image) -> float:
        """Rms difference from the slice without stripes."""
        return float(np.sqrt(np.mean((image - self.wanted)[self.counted] ** 2)))

    def row(self, striped: Image, clean: Image, *, polar: bool = False) -> Row:
        """What is left of the rings, of the error, and the edge where there were no rings."""
        images = [self.slice(sinogram) for sinogram in (striped, clean)]
        if polar:
            images = [remove_rings_polar(image[None])[0] for image in images]
        return {
            "rings left": float(ring_score(images[0][None]).ring_rms[0]) / self.rings,
            "error": self.difference(images[0]) / self.rms,
            "edge px": self.edge_width(images[1]),
        }

    def edge_width(self, image: Image) -> float:
        """Width of the edge of a disc, 10 to 90 %, in pixels."""
        bins = np.arange(-6, 6.01, 0.25)
        which = np.digitize(self.edge, bins)
        counts = np.bincount(which.ravel(), minlength=len(bins) + 1)[1:-1]
        sums = np.bincount(which.ravel(), image.ravel(), minlength=len(bins) + 1)[1:-1]
        profile = sums / np.maximum(counts, 1)
        inside, outside = profile[:12].mean(), profile[-12:].mean()
        rise = (profile - inside) / (outside - inside)
        middle = (bins[:-1] + bins[1:]) / 2
        return float(crossing(middle, rise, 0.9) - crossing(middle, rise, 0.1))


def crossing(place: NDArray[np.float64], rise: NDArray[np.float64], level: float) -> float:
    """Where a profile that rises from 0 to 1 last lies below a level, by linear interpolation."""
    k = int(np.flatnonzero(rise < level)[-1]) if level < 0.5 else int(np.argmax(rise > level)) - 1
    share = (level - rise[k]) / (rise[k + 1] - rise[k])
    return float(place[k] + share * (place[k + 1] - place[k]))


if __name__ == "__main__":
    main()
