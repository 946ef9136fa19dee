"""What is done to projections: flat field with its repair and logarithm, phase retrieval.

The error of a phase filter is the largest difference from the textbook's product in float64, of
the image continued to twice its size; that of a flat field the largest from the formula.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.cpu_case import Bar, Case, Contender, Result, Results, times_as_fast
from hipct.core.physics import wavelength_m
from hipct.phase import PaganinFilter, UnsharpMask, kernel_length_px
from hipct.preparation.flat import FlatField
from hipct.preparation.linearise import MINIMUM
from hipct.preparation.zingers import remove_zingers

Floats = NDArray[np.float32]

SCAN = {"pixel_size_um": 6.5, "distance_m": 3.5, "energy_kev": 90.0, "delta_beta": 1470.0}
MASK = UnsharpMask(sigma_px=0.8, strength=3.0, method="log")
#: Bytes of a pixel that the pass has to move: counts in, line integrals out.
BYTES = 2 + 4
SHARE = 0.6


class Scan:
    """Counts of a smooth body with noise, two flats with machine current, a dark."""

    def __init__(self, frames: int, rows: int, columns: int) -> None:
        rng = np.random.default_rng(0)
        y, x = np.mgrid[:rows, :columns].astype(np.float32)
        body = np.sqrt(np.maximum(1 - ((x - columns / 2) / columns / 0.45) ** 2, 0))
        self.image = np.exp(-1.5 * body * (1 + 0.1 * np.sin(y / 9) * np.sin(x / 7)))
        shape = (rows, columns)
        self.dark = rng.integers(90, 110, shape, dtype=np.uint16)
        self.flats = rng.integers(30000, 40000, (2, *shape), dtype=np.uint16)
        self.current = np.linspace(200, 199, frames)
        self.flat_current = np.array([200.0, 199.0])
        self.index = np.arange(1, frames + 1)
        self.flat_index = np.array([0, frames + 1])
        beam = (self.flats[0].astype(np.float32) - self.dark) * self.image
        noise = rng.standard_normal((frames, *shape), dtype=np.float32) * np.sqrt(beam)
        self.counts = np.maximum(beam + noise + self.dark, 0).astype(np.uint16)
        self.field = FlatField.from_frames(
            self.flats,
            self.dark[None],
            flat_index=self.flat_index,
            flat_current=self.flat_current,
        )

    def transmission(self, out: Floats) -> Floats:
        """Ours."""
        result: Floats = self.field.apply(
            self.counts, projection_index=self.index, current=self.current, out=out
        )
        return result

    def line_integrals(self, out: Floats) -> Floats:
        """Ours, in one pass, in the order of frames as the peers give them."""
        self.field.sinograms(
            self.counts, out.swapaxes(0, 1), projection_index=self.index, current=self.current
        )
        return out

    def truth(self) -> NDArray[np.float64]:
        """Line integrals of the first frame by the formula."""
        weight = self.index[0] / self.flat_index[1]
        references = (self.flats.astype(float) - self.dark) / self.flat_current[:, None, None]
        reference = (1 - weight) * references[0] + weight * references[1]
        lines: NDArray[np.float64] = -np.log(
            (self.counts[0].astype(float) - self.dark) / self.current[0] / reference
        )
        return lines


def projections(*, quick: bool) -> Iterator[Case]:
    """Flat field with current, repair and logarithm, then phase retrieval, on the same frames."""
    frames, rows, columns = (2, 256, 320) if quick else (8, 2048, 2048)
    scan = Scan(frames, rows, columns)
    size = f"{rows} x {columns}"
    out = np.empty(scan.counts.shape, np.float32)
    yield Case("flat", size, _flat_contenders(scan, out), unit="ms/frame")
    transmission = scan.transmission(np.empty_like(out))
    yield Case("phase", size, _phase_contenders(scan, transmission), unit="ms/frame")
    yield Case(
        "zingers",
        size,
        {
            "hipct": Contender(partial(remove_zingers, transmission, 0.2, out=out), frames),
            "algotom": Contender(partial(_algotom_zingers, transmission[:1])),
        },
        unit="ms/frame",
    )


def _flat_contenders(scan: Scan, out: Floats) -> dict[str, Contender]:
    frames = len(scan.counts)
    error = partial(_largest, scan.truth())
    copied = np.empty_like(out)
    pixels = scan.counts[0].size
    moved = 8 * pixels  # a copy of a frame of float32 reads and writes it

    def share(own: Result, results: Results) -> float:
        return BYTES * pixels / own.ms / (moved / results["numpy, copy of float32"].ms)

    bandwidth = Bar(f"{SHARE:g} of a copy's bandwidth", share, SHARE, most=False)

    return {
        "hipct": Contender(
            partial(scan.line_integrals, out),
            frames,
            error,
            floor=(times_as_fast(4, "nabu", "algotom"),),
            aim=(bandwidth,),
        ),
        "hipct, transmission": Contender(partial(scan.transmission, out), frames),
        "nabu": Contender(_nabu_flat(scan), frames, error),
        "algotom": Contender(
            partial(_algotom_flat, scan), frames, remark="one flat, without current"
        ),
        "numpy, copy of float32": Contender(partial(np.copyto, copied, out), frames),
        "numpy, conversion alone": Contender(partial(np.copyto, copied, scan.counts), frames),
    }


def _nabu_flat(scan: Scan) -> Callable[[], Floats]:
    from nabu.preproc.flatfield import FlatFieldArrays

    peer = FlatFieldArrays(
        scan.counts.shape,
        {int(k): flat.astype(np.float32) for k, flat in zip(scan.flat_index, scan.flats)},
        {0: scan.dark.astype(np.float32)},
        radios_indices=scan.index,
        radios_srcurrent=scan.current,
        flats_srcurrent=scan.flat_current,
    )

    def call() -> Floats:
        lines: Floats = peer.normalize_radios(scan.counts.astype(np.float32))
        np.log(np.maximum(lines, np.float32(1e-6), out=lines), out=lines)
        return np.negative(lines, out=lines)

    return call


def _algotom_flat(scan: Scan) -> Floats:
    from algotom.prep.correction import flat_field_correction

    mean_flat = scan.flats.mean(axis=0, dtype=np.float32)
    ratio = flat_field_correction(scan.counts, mean_flat, scan.dark.astype(np.float32))
    lines: Floats = -np.log(np.maximum(ratio, np.float32(1e-6)))
    return lines


def _algotom_zingers(transmission: Floats) -> None:
    from algotom.prep.removal import remove_zinger

    for frame in transmission:
        remove_zinger(frame, 0.2)


def _phase_contenders(scan: Scan, data: Floats) -> dict[str, Contender]:
    frames, rows, columns = data.shape
    out = np.empty_like(data)
    plans = {
        padding: PaganinFilter(rows, columns, padding=padding, **SCAN)  # type: ignore[arg-type]
        for padding in ("mirror", "edge")
    }
    with_mask = PaganinFilter(rows, columns, unsharp=MASK, **SCAN)
    nabu = _nabu_phase(rows, columns)
    flat_of_nabu = _nabu_flat(scan)

    lines = np.empty((rows, frames, columns), np.float32)

    def chain() -> Floats:
        plans["mirror"].sinograms(scan.transmission(out), lines, minimum=MINIMUM)
        return lines

    def chain_of_nabu() -> None:
        # Its logarithm is taken before instead of after, at the same cost.
        nabu(flat_of_nabu())

    return {
        "hipct, mirror": Contender(
            partial(plans["mirror"].apply, data, out),
            frames,
            partial(_phase_error, data[0], "reflect"),
            floor=(times_as_fast(4.5, "nabu, edge"), times_as_fast(12, "tomopy")),
        ),
        "hipct, edge": Contender(
            partial(plans["edge"].apply, data, out),
            frames,
            partial(_phase_error, data[0], "edge"),
            floor=(times_as_fast(4.5, "nabu, edge"), times_as_fast(12, "tomopy")),
        ),
        "nabu, edge": Contender(partial(nabu, data[:1]), 1, partial(_phase_error, data[0], "edge")),
        "hipct, mirror and unsharp mask": Contender(partial(with_mask.apply, data, out), frames),
        "hipct, flat field to log": Contender(
            chain,
            frames,
            aim=(times_as_fast(20, "nabu, flat field to log"), times_as_fast(20, "nabu, edge")),
            remark="from uint16 to sinograms, mirror",
        ),
        "nabu, flat field to log": Contender(chain_of_nabu, frames, remark="from uint16, edge"),
    } | _tomopy_phase(data)


def _nabu_phase(rows: int, columns: int) -> Callable[[Floats], Floats]:
    from nabu.preproc.phase import PaganinPhaseRetrieval

    peer = PaganinPhaseRetrieval(
        (rows, columns),
        distance=SCAN["distance_m"],
        energy=SCAN["energy_kev"],
        delta_beta=SCAN["delta_beta"],
        pixel_size=SCAN["pixel_size_um"] * 1e-6,
    )
    return lambda images: np.stack([peer.apply_filter(image) for image in images])


def _tomopy_phase(data: Floats) -> dict[str, Contender]:
    try:
        from tomopy import retrieve_phase
    except ImportError:
        return {}
    alpha = 1 / (4 * np.pi**2 * SCAN["delta_beta"])
    settings = {
        "pixel_size": SCAN["pixel_size_um"] * 1e-4,
        "dist": SCAN["distance_m"] * 1e2,
        "energy": SCAN["energy_kev"],
        "alpha": alpha,
    }
    return {"tomopy": Contender(partial(retrieve_phase, data, **settings), len(data))}


def _largest(truth: NDArray[np.float64], images: object) -> float:
    return float(np.abs(np.asarray(images)[0] - truth).max())


def _phase_error(image: Floats, continuation: str, images: object) -> float:
    """Largest difference to the float64 FFT of the image continued to twice its size."""
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
    return _largest(expected, images)


def facts() -> dict[str, str]:
    """What the figures of the phase depend on."""
    return {"Paganin's kernel length": f"{kernel_length_px(**SCAN):.1f} px"}
