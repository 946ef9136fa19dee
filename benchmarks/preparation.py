"""What flat field, logarithm, zingers and ring removal cost, against nabu and algotom.

Run from the repository root: ``python -m benchmarks.preparation``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Timing, measure, options, versions, write_table
from hipct.preparation.flat import FlatField
from hipct.preparation.linearise import line_integral
from hipct.preparation.rings_sorting import remove_rings_sorting
from hipct.preparation.rings_wavelet import remove_rings_wavelet
from hipct.preparation.zingers import remove_zingers

Row = dict[str, object]
Calls = Mapping[str, Callable[[], object]]


def main() -> None:
    chosen = options(__doc__)
    frames = 4 if chosen.quick else 16
    columns = 512 if chosen.quick else 2048
    slices, angles, width = (2, 300, 256) if chosen.quick else (8, 1500, 1024)
    rng = np.random.default_rng(0)
    rows: list[Row] = []
    rows += projections_table(chosen, rng, frames, columns)
    rows += rings_table(chosen, rng, (slices, angles, width))
    write_table(
        "preparation",
        rows,
        chosen,
        facts={
            "frames": f"{frames} of {columns} x {columns}, uint16, flats before and after",
            "sinograms": f"{slices} of {angles} angles x {width} columns, float32",
            **versions(["nabu", "algotom", "PyWavelets"]),
        },
    )


def projections_table(
    chosen: argparse.Namespace, rng: np.random.Generator, frames: int, columns: int
) -> list[Row]:
    """Steps that work on projections; times of one frame."""
    from algotom.prep.correction import flat_field_correction
    from algotom.prep.removal import remove_zinger
    from nabu.preproc.flatfield import FlatFieldArrays

    shape = (columns, columns)
    dark = rng.integers(90, 110, shape, dtype=np.uint16)
    flats = rng.integers(30000, 40000, (2, *shape), dtype=np.uint16)
    counts = rng.integers(5000, 35000, (frames, *shape), dtype=np.uint16)
    index = np.arange(1, frames + 1)
    field = FlatField.from_frames(flats, dark[None], flat_index=[0, frames + 1])
    one_group = FlatField.from_frames(flats, dark[None])
    out = np.empty(counts.shape, np.float32)
    peer = FlatFieldArrays(
        counts.shape,
        {0: flats[0].astype(np.float32), frames + 1: flats[1].astype(np.float32)},
        {0: dark.astype(np.float32)},
        radios_indices=index,
    )
    transmission = field.apply(counts, projection_index=index)
    mean_flat = flats.mean(axis=0, dtype=np.float32)
    dark_float = dark.astype(np.float32)
    steps: dict[str, Calls] = {
        "flat field": {
            "hipct": lambda: field.apply(counts, projection_index=index, out=out),
            "nabu": lambda: peer.normalize_radios(counts.astype(np.float32)),
        },
        "flat field, one flat": {
            "hipct": lambda: one_group.apply(counts, out=out),
            "algotom": lambda: flat_field_correction(counts, mean_flat, dark_float),
            "numpy, conversion alone": lambda: np.copyto(out, counts),
        },
        "logarithm": {
            "hipct": lambda: line_integral(transmission, out=out),
            "numpy": lambda: -np.log(np.maximum(transmission, np.float32(1e-6))),
        },
        "zingers": {
            "hipct": lambda: remove_zingers(transmission, 0.2, out=out),
            "algotom": lambda: [remove_zinger(frame, 0.2) for frame in transmission],
        },
    }
    return [
        row
        for step, calls in steps.items()
        for row in table_of(step, measure(calls, repeats=chosen.repeats), frames, "ms/frame")
    ]


def rings_table(
    chosen: argparse.Namespace, rng: np.random.Generator, shape: tuple[int, int, int]
) -> list[Row]:
    """Steps that work on sinograms; times of one sinogram."""
    from algotom.prep.removal import remove_stripe_based_sorting, remove_stripe_based_wavelet_fft
    from nabu.reconstruction.rings import MunchDeringer

    sinograms = rng.random(shape, dtype=np.float32)
    out = np.empty_like(sinograms)
    one: NDArray[np.float32] = sinograms[0]
    levels = 3 if chosen.quick else 5
    peer = MunchDeringer(one[None].shape, 1.0, levels=levels, wname="db9")
    sorting = measure(
        {
            "hipct": lambda: remove_rings_sorting(sinograms, out=out),
            "hipct, one slice": lambda: remove_rings_sorting(sinograms[:1], out=out[:1]),
            "algotom": lambda: remove_stripe_based_sorting(one, 21),
        },
        repeats=chosen.repeats,
    )
    wavelet = measure(
        {
            "hipct": lambda: remove_rings_wavelet(sinograms, levels=levels, out=out),
            "algotom": lambda: remove_stripe_based_wavelet_fft(one, levels),
            "nabu": lambda: peer.remove_rings(one[None].copy()),
        },
        repeats=chosen.repeats,
    )
    return [
        *table_of("rings, sorting", sorting, shape[0], "ms/slice"),
        *table_of("rings, wavelet", wavelet, shape[0], "ms/slice"),
    ]


ALL_FRAMES = ("nabu", "algotom", "numpy", "numpy, conversion alone")


def table_of(step: str, timings: Mapping[str, Timing], items: int, unit: str) -> list[Row]:
    """Rows of one step, with the ratio to hipct."""

    def each(name: str) -> float:
        whole = name == "hipct" or (unit == "ms/frame" and name in ALL_FRAMES)
        return 1000 * timings[name].median / (items if whole else 1)

    return [
        {
            "step": step,
            "code": name,
            "time": each(name),
            "unit": unit,
            "times hipct": each(name) / each("hipct"),
            "spread": timing.spread,
        }
        for name, timing in timings.items()
    ]


if __name__ == "__main__":
    main()
