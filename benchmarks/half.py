"""Half-acquisition against nabu's, on one analytic organ; and bodies larger than the field.

    python -m benchmarks.half [--quick] [--repeats 3]

Rows are exact line integrals seen through a detector blur of 0.5 pixels, of an organ of mu 1 that
fills the field. ``rms`` is that of the difference from the truth over the disc of 0.95 R without
4 pixels around true edges, over mu; ``bias`` its mean; ``ms`` the time of a slice, of hipct in a
call with several. The cases go through overlaps, either side, an odd number of projections, and
turns that are not whole; columns, angles and overlap of the last are those of a usual scan.

The second table (half_local) is of bodies larger than the field, on a ground of zero as the
reference jar leaves it: ``structure`` is the rms after one affine fit of the grey values,
``cupping`` the error at the rim (beyond 0.85 R) less that of the centre (within 0.15 R).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture

from benchmarks.common import Timing, measure, options, save_table, versions
from benchmarks.peers import PeerMissing, nabu_half, nabu_stitched
from benchmarks.phantoms import (
    Body,
    Ellipse,
    away_from_edges,
    coordinates,
    lobes,
    organ,
    seen_by_a_detector,
    truth,
)
from hipct.preparation.outside import continue_outside
from hipct.reconstruction.half import extended_width, overlap_width
from hipct.reconstruction.reconstructor import Engine, Reconstructor

Image = NDArray[np.float32]
Row = dict[str, object]
Call = Callable[[], Image]

BLUR_PX = 0.5
EDGE_PX = 4
DISC = 0.95
FIRST_ANGLE_DEG = 17.0
SLICES = 8
SMALL = 512
"""Columns up to which all methods run; a slice of the usual scan takes them minutes."""


@dataclass(frozen=True)
class Scan:
    """A half-acquisition of a body that reaches ``times`` as far as the field."""

    columns: int
    number: int
    axis: float
    degrees: float = 360.0
    times: float = 1.0

    @property
    def angles(self) -> NDArray[np.float64]:
        """Radians, without the last of the range."""
        steps = np.arange(self.number) * self.degrees / self.number
        return np.deg2rad(FIRST_ANGLE_DEG + steps)

    @property
    def reach(self) -> float:
        """Radius of the field in pixels."""
        return max(self.axis, self.columns - 1 - self.axis)

    @property
    def size(self) -> int:
        """Pixels along a side of the slice."""
        return extended_width(self.columns, self.axis)

    def rows(self, body: Body) -> Image:
        """Line integrals (angles, columns)."""
        return seen_by_a_detector(body, self.angles, self.columns, self.axis, BLUR_PX).astype("f")

    def plan(self, engine: Engine = "fourier", wider: int = 0, axis: float = 0.0) -> Reconstructor:
        """Our engine for its rows, or for rows that are wider."""
        return Reconstructor(
            self.angles,
            self.columns + wider,
            axis if wider else self.axis,
            acquisition="half",
            engine=engine,
            size=self.size,
        )


def main() -> None:
    chosen = options(__doc__)
    command = f"python -m benchmarks.half --repeats {chosen.repeats}"
    command += " --quick" if chosen.quick else ""
    facts = {"detector blur": f"{BLUR_PX} px", **versions(["nabu", "pyopencl"])}
    rows = compared(chosen)
    save_table("half", rows, command, out=chosen.out, facts=facts)
    rows = local_tomography(chosen, chosen.out)
    save_table("half_local", rows, command, out=chosen.out, facts=facts)


def cases(*, quick: bool) -> list[Scan]:
    """The usual scan, and at a quarter of its size overlaps, sides and ranges."""
    if quick:
        return [Scan(256, 721, 30.0, 359.0)]
    usual, angles = Scan(2048, 6000, 1920.25), 1500
    columns = usual.columns // 4
    last = columns - 1
    # Overlaps of 64, 40, 64, 152, 306 and 500 columns; the axis near the right edge or the left.
    axes = (last - 31.75, last - 19.5, 31.6, last - 75.7, 152.5, last - 249.6)
    turns = ((angles, 357.0), (angles + 1, 359.0), (angles + 1, 361.0), (angles, 363.0))
    return [
        *(Scan(columns, angles + k % 2, axis) for k, axis in enumerate(axes)),
        *(Scan(columns, number, axes[2], degrees) for number, degrees in turns),
        usual,
    ]


def compared(chosen: argparse.Namespace) -> list[Row]:
    """Each case by each method."""
    found = []
    for number, scan in enumerate(cases(quick=chosen.quick)):
        body = organ(scan.reach)
        sinogram = scan.rows(body)
        judge = Judge(scan, body)
        images: dict[str, Image] = {}
        contenders = {
            name: partial(_keep, images, name, call)
            for name, call in methods(scan, sinogram).items()
        }
        # What is slow is timed again in one case only; what compiles has been called before.
        timed = measure(contenders, repeats=chosen.repeats if number == 0 else 1, warm_up=False)
        head: Row = {
            "columns": scan.columns, "angles": scan.number, "range deg": scan.degrees,
            "axis": scan.axis, "overlap px": overlap_width(scan.columns, scan.axis),
        }  # fmt: skip
        for name, timing in timed.items():
            error = judge.error(images[name])
            row = head | {
                "method": name,
                "rms": float(np.sqrt(np.mean(error**2))),
                "bias": float(error.mean()),
                **times(name, timing),
            }
            print(row, flush=True)
            found.append(row)
    return found


def methods(scan: Scan, sinogram: Image) -> dict[str, Call]:
    """Contenders, planned; hipct's make several slices in a call."""
    stack = np.tile(sinogram, (SLICES, 1, 1))
    plan = scan.plan()
    out = np.empty((SLICES, scan.size, scan.size), np.float32)
    found: dict[str, Call] = {"hipct": lambda: plan.reconstruct(stack, out)[0]}
    small = scan.columns <= SMALL
    if small:
        direct = scan.plan("direct")
        found["hipct, direct engine"] = lambda: direct.reconstruct(stack, out)[0]
    for call in found.values():
        call()  # compiles, and takes its memory
    given = scan.angles, scan.columns, scan.axis
    try:
        edges = nabu_half(*given, size=scan.size)
        found["nabu, edges"] = lambda: edges(sinogram)
        if small:
            zeros = nabu_half(*given, size=scan.size, padding="zeros")
            joined = nabu_stitched(*given, size=scan.size)
            found["nabu, zeros"] = lambda: zeros(sinogram)
            found["nabu, joined sinogram"] = lambda: joined(sinogram)
    except PeerMissing as missing:
        print(missing)
    return found


def times(name: str, timing: Timing) -> Row:
    """Milliseconds of a slice, and the spread where it was timed more than once."""
    each = timing.median / (SLICES if name.startswith("hipct") else 1)
    return {"ms": 1000 * each, "spread": timing.spread if len(timing.seconds) > 1 else None}


def _keep(images: dict[str, Image], name: str, call: Call) -> None:
    images[name] = call().copy()


class Judge:
    """Compares slices with the body that was scanned."""

    def __init__(self, scan: Scan, body: Body) -> None:
        self.true = truth(body, scan.size)
        self.inner = away_from_edges(body, scan.size, EDGE_PX, DISC * scan.reach)
        distance = np.hypot(*coordinates(scan.size)) / scan.reach
        self.rim = (distance > 0.85)[self.inner]
        self.centre = (distance < 0.15)[self.inner]

    def error(self, image: Image) -> NDArray[np.float64]:
        """Differences from the truth where they count."""
        difference: NDArray[np.float64] = (image - self.true)[self.inner]
        return difference

    def local(self, image: Image) -> Row:
        """Level and structure."""
        error = self.error(image)
        values = image[self.inner].astype(np.float64)
        design = np.stack([values, np.ones_like(values)], axis=1)
        wanted = self.true[self.inner]
        fitted = design @ np.linalg.lstsq(design, wanted, rcond=None)[0]
        return {
            "structure": float(np.sqrt(np.mean((fitted - wanted) ** 2))),
            "bias": float(error.mean()),
            "cupping": float(error[self.rim].mean() - error[self.centre].mean()),
        }


BODIES: dict[str, Callable[[float], Body]] = {
    "disc": lambda r: (
        Ellipse(1.0, 0.0, 0.0, r, r),
        Ellipse(0.5, 0.4 * r, 0.2 * r, 0.08 * r, 0.08 * r),
        Ellipse(-0.5, -0.3 * r, 0.3 * r, 0.12 * r, 0.08 * r),
    ),
    # Its half axes of 0.86 and 0.78 reach the rim of the field at once.
    "organ": lambda r: organ(r / 0.86),
    "lobes": lobes,
}
"""Bodies that reach as far as a radius."""


def local_tomography(chosen: argparse.Namespace, folder: Path) -> list[Row]:
    """Bodies of 1 to 1.5 times the field, by edge values, by their continuation, and by nabu."""
    columns, number, axis = (256, 720, 225.25) if chosen.quick else (512, 1500, 456.25)
    found: list[Row] = []
    pictures: list[Image] = []
    for times_field in (1.0, 1.1, 1.25, 1.5):
        scan = Scan(columns, number, axis, times=times_field)
        for name, make in BODIES.items():
            body = make(times_field * scan.reach)
            judge, stack = Judge(scan, body), scan.rows(body)[None]
            head: Row = {"body": name, "times the field": times_field}
            for padding, image in outsides(scan, stack, nabu=times_field == 1.1).items():
                found.append(head | {"outside": padding} | judge.local(image))
                print(found[-1], flush=True)
                if (name, times_field) == ("lobes", 1.1) and padding.startswith("hipct"):
                    pictures.append(image)
            if name == "lobes" and times_field == 1.1:
                found += uneven_ground(scan, body, judge)
    save_picture(folder / "half_local.png", pictures, scan.reach)
    return found


def outsides(scan: Scan, stack: Image, *, nabu: bool) -> dict[str, Image]:
    """Slices by what stands beside the rows."""
    extra = scan.columns // 2
    rows, axis = continue_outside(stack, scan.angles, scan.axis, extra)
    found = {
        "hipct, edge values": scan.plan().reconstruct(stack)[0],
        "hipct, body goes on": scan.plan(wider=extra, axis=axis).reconstruct(rows)[0],
    }
    if nabu:
        try:
            call = nabu_half(scan.angles, scan.columns, scan.axis, size=scan.size)
            found["nabu, edges"] = call(stack[0])
        except PeerMissing as missing:
            print(missing)
    return found


def uneven_ground(scan: Scan, body: Body, judge: Judge) -> list[Row]:
    """What a ground that is not quite zero costs: a jar divided out but for 2 % of the body."""
    stack = scan.rows(body)[None]
    stack = stack + np.float32(0.02) * stack.max()
    head: Row = {"body": "lobes, ground 2 % off", "times the field": scan.times}
    return [
        head | {"outside": padding} | judge.local(image)
        for padding, image in outsides(scan, stack, nabu=False).items()
    ]


def save_picture(path: Path, images: list[Image], radius: float) -> None:
    """The field of slices beside each other, 0 to twice mu from black to white."""
    step = max(1, max(image.shape[0] for image in images) // 600)
    inside = [np.hypot(*coordinates(image.shape[0])) <= radius for image in images]
    shown = [np.where(disc, image, 0)[::step, ::step] for image, disc in zip(images, inside)]
    grey = np.clip(np.concatenate(shown, axis=1) / 2, 0, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    Picture.fromarray((255 * grey).astype(np.uint8)).save(path)


if __name__ == "__main__":
    main()
