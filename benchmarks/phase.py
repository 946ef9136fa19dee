"""What phase retrieval costs, against nabu, and how far each is from the textbook in float64.

Run from the repository root: ``python -m benchmarks.phase``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from nabu.preproc.phase import PaganinPhaseRetrieval
from numpy.typing import NDArray

from benchmarks.common import measure, options, versions, write_table
from hipct.core.physics import wavelength_m
from hipct.phase import PaganinFilter, UnsharpMask, kernel_length_px, unsharp

SCAN = {"pixel_size_um": 6.5, "distance_m": 3.5, "energy_kev": 90.0, "delta_beta": 1470.0}
MASK = UnsharpMask(sigma_px=0.8, strength=3.0, method="log")


def main() -> None:
    chosen = options(__doc__)
    rows, columns = (256, 320) if chosen.quick else (2048, 2048)
    images = 2 if chosen.quick else 8
    # A projection's spectrum falls off; a little noise keeps the fine frequencies from being empty.
    random = np.random.default_rng(0)
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    body = np.sqrt(np.maximum(1 - ((x - columns / 2) / columns / 0.45) ** 2, 0))
    data = np.exp(-1.5 * body * (1 + 0.1 * np.sin(y / 9) * np.sin(x / 7)))
    data = data + 0.01 * random.standard_normal((images, rows, columns), dtype=np.float32)
    out = np.empty_like(data)
    plans = {
        padding: PaganinFilter(rows, columns, padding=padding, **SCAN)
        for padding in ("mirror", "edge")
    }
    with_mask = PaganinFilter(rows, columns, unsharp=MASK, **SCAN)
    nabu = PaganinPhaseRetrieval(
        (rows, columns),
        distance=SCAN["distance_m"],
        energy=SCAN["energy_kev"],
        delta_beta=SCAN["delta_beta"],
        pixel_size=SCAN["pixel_size_um"] * 1e-6,
    )
    results: dict[str, NDArray[np.float32]] = {}

    def keep(name: str, call: Callable[[], NDArray[np.float32]]) -> Callable[[], None]:
        def run() -> None:
            results[name] = call()

        return run

    contenders: dict[str, tuple[str, int, Callable[[], NDArray[np.float32]]]] = {
        "hipct, mirror": ("reflect", images, lambda: plans["mirror"].apply(data, out)),
        "hipct, edge": ("edge", images, lambda: plans["edge"].apply(data, np.empty_like(data))),
        "nabu, edge": ("edge", 1, lambda: nabu.apply_filter(data[0])[None]),
        "hipct, mirror, with unsharp": ("", images, lambda: with_mask.apply(data)),
        "hipct, unsharp alone": (
            "",
            1,
            lambda: unsharp(
                data[:1], sigma_px=MASK.sigma_px, strength=MASK.strength, method=MASK.method
            ),
        ),
    }
    timings = measure(
        {name: keep(name, call) for name, (_, _, call) in contenders.items()},
        repeats=chosen.repeats,
    )
    each = {name: timings[name].median / count for name, (_, count, _) in contenders.items()}
    table: list[dict[str, object]] = [
        {
            "code": name,
            "ms/image": 1000 * each[name],
            "times hipct, mirror": each[name] / each["hipct, mirror"],
            "largest error": _error(data[0], results[name][0], continuation),
            "spread": timings[name].spread,
        }
        for name, (continuation, _, _) in contenders.items()
    ]
    write_table(
        "phase",
        table,
        chosen,
        facts={
            "images": f"{images} of {rows} x {columns}, float32 (one at a time: nabu, unsharp)",
            "kernel length": f"{kernel_length_px(**SCAN):.1f} px",
            **versions(["nabu"]),
        },
    )


def _error(
    image: NDArray[np.float32], result: NDArray[np.float32], continuation: str
) -> float | None:
    """Largest difference to the float64 FFT of the image continued to twice its size."""
    if not continuation:
        return None
    rows, columns = image.shape
    double = image.astype(np.float64)
    if continuation == "reflect":
        double = np.pad(double, ((0, rows), (0, columns)), mode="symmetric")
        inner = (slice(0, rows), slice(0, columns))
    else:
        double = np.pad(double, ((rows // 2,) * 2, (columns // 2,) * 2), mode="edge")
        inner = (slice(rows // 2, rows // 2 + rows), slice(columns // 2, columns // 2 + columns))
    pixel_m = SCAN["pixel_size_um"] * 1e-6
    fy = np.fft.fftfreq(double.shape[0], pixel_m)[:, None]
    fx = np.fft.rfftfreq(double.shape[1], pixel_m)
    strength = np.pi * wavelength_m(SCAN["energy_kev"]) * SCAN["distance_m"] * SCAN["delta_beta"]
    spectrum = np.fft.rfft2(double) / (1 + strength * (fy**2 + fx**2))
    expected = np.fft.irfft2(spectrum, double.shape)[inner]
    return float(np.abs(result - expected).max())


if __name__ == "__main__":
    main()
