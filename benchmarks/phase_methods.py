"""Which phase retrieval errs least, by the strength of the object and the propagation.

Run from the repository root: ``python -m benchmarks.phase_methods``.

Projections of ellipsoids are propagated by the simulation, which shares no code with the retrieval,
to distances of lambda z / p^2 from 0.1 to 50, and seen by pixels of 2 um behind a point spread of
half a pixel at 60 keV. ``weak`` turns the phase by 0.5 rad at most, ``mixed`` by as much, of parts
that absorb and refract independently, ``tissue`` by 30 rad, ``strong`` by 60 rad. The error is the
rms difference of the retrieved line integrals to the true ones (of ``mixed``: to the phase over
delta/beta), over their standard deviation; without noise, and with 100 000 photons a pixel. A
method of two distances has the second one at 1.5 z, and noise in both.

What a projection does not show: the ramp of back-projection raises the noise of high frequencies,
and many views average it. So a table of slices of ``weak`` from 240 views: the rms difference to
the true slice over its standard deviation.

A last table: a slice of tissue with rods of bone at lambda z / p^2 = 0.1, the rms difference to
the true slice over tissue's mu within 8 pixels of bone's surface, in tissue 8 to 24 pixels from it,
and in tissue farther away. The mask of ``multi_material`` is also spoilt: moved by 3 pixels along
both axes, a tenth of each rod's missing (a sector with all that surrounds it), and that of bone
itself without its surroundings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import options, save_table, write_table
from hipct.core.physics import wavelength_m
from hipct.phase import (
    ContrastFilter,
    NonlinearFilter,
    PaganinFilter,
    interface_delta_beta,
    mask_by_value,
    splice_by_mask,
)
from hipct.reconstruction import fbp
from hipct.simulation.fresnel import Imaging, SteepPhase
from hipct.simulation.organ import Organ
from hipct.simulation.primitives import cylinder, ellipsoid

Row = dict[str, object]
Image = NDArray[np.float32]

ENERGY_KEV, PIXEL_UM, RATIO = 60.0, 2.0, 1000.0
PHOTONS = 1e5
NUMBERS = (0.1, 0.3, 1.0, 3.0, 10.0, 50.0)
SECOND = 1.5
BORDER = 16
OBJECTS = {"weak": 0.5, "mixed": 0.5, "tissue": 30.0, "strong": 60.0}
"""Largest phase in radians."""
WEAK = ("weak", "mixed")
"""Those that are taken at two distances."""
FULL_SIZE = 256
FINE = {"strong": 4}
"""Samples of the wave along a pixel, where two are too few."""

BONE_PX, SMEAR_PX, ANGLES, RODS = 8, 24, 240, 4
MOVED_PX, MISSING = 3, 0.1
TISSUE = (2.4e-8, 2.4e-11)
BONE = (6.0e-8, 1.5e-10)
"""delta and beta of both materials: ratios 1000 and 400, of their interface 286."""


@dataclass(frozen=True)
class Case:
    """Images of one object at one distance or two, and what is sought."""

    images: tuple[Image, ...]
    distances_m: tuple[float, ...]
    truth: Image


def main() -> None:
    chosen = options(__doc__)
    size, numbers = (96, NUMBERS[::2]) if chosen.quick else (FULL_SIZE, NUMBERS)
    rows: list[Row] = []
    for name in OBJECTS:
        for number in numbers:
            case = simulate(name, number, size)
            for photons in (None, PHOTONS):
                rows.append(judged(name, number, case, photons))
    write_table(
        "phase_methods",
        rows,
        chosen,
        facts={
            "images": f"{size} x {size}, pixels of {PIXEL_UM:g} um, {ENERGY_KEV:g} keV, "
            f"delta/beta {RATIO:g}",
        },
    )
    command = "python -m benchmarks.phase_methods" + (" --quick" if chosen.quick else "")
    for name, more in (("slices", slices), ("materials", materials)):
        print()
        save_table(f"phase_methods_{name}", list(more(chosen.quick)), command, out=chosen.out)


def judged(name: str, number: float, case: Case, photons: float | None) -> Row:
    """Errors of all methods on one case."""
    rng = np.random.default_rng(0)
    images = [
        image if photons is None else (rng.poisson(image * photons) / photons).astype(np.float32)
        for image in case.images
    ]
    errors = {
        method: _error(call(images, case.distances_m), case.truth)
        for method, call in methods(name).items()
    }
    best = min(errors, key=errors.__getitem__)
    return {
        "object": name,
        "lambda z / p^2": number,
        "noise": "none" if photons is None else f"{photons:g} photons",
        **{method: errors.get(method) for method in methods("weak")},
        "best": best,
        "Paganin / best": errors["paganin"] / errors[best],
    }


def methods(name: str) -> Mapping[str, Callable[..., Image]]:
    """Each method, from images and distances to retrieved line integrals."""
    physics = {"pixel_size_um": PIXEL_UM, "energy_kev": ENERGY_KEV, "delta_beta": RATIO}

    def lines(plan: object, block: Image) -> Image:
        retrieved = plan.apply(block[None])[0]  # type: ignore[attr-defined]
        return -np.log(np.maximum(retrieved, 1e-6))

    def paganin(images: list[Image], z: tuple[float, ...], method: str = "paganin") -> Image:
        plan = PaganinFilter(*images[0].shape, distance_m=z[0], method=method, **physics)
        return lines(plan, images[0])

    def contrast(images: list[Image], z: tuple[float, ...], method: str, count: int) -> Image:
        plan = ContrastFilter(*images[0].shape, distances_m=z[:count], method=method, **physics)
        return lines(plan, np.concatenate(images[:count]))

    def nonlinear(images: list[Image], z: tuple[float, ...]) -> Image:
        plan = NonlinearFilter(
            *images[0].shape, distance_m=z[0], oversampling=FINE.get(name, 2), **physics
        )
        return lines(plan, images[0])

    single = {
        "paganin": paganin,
        "generalised": lambda i, z: paganin(i, z, "generalised"),
        "ctf": lambda i, z: contrast(i, z, "ctf", 1),
        "ctf_homogeneous": lambda i, z: contrast(i, z, "ctf_homogeneous", 1),
        "nonlinear": nonlinear,
    }
    if name not in WEAK:
        return single
    return single | {
        "ctf, 2 z": lambda i, z: contrast(i, z, "ctf", 2),
        "ctf_homogeneous, 2 z": lambda i, z: contrast(i, z, "ctf_homogeneous", 2),
    }


def simulate(name: str, number: float, size: int) -> Case:
    """Images of an object at one distance, or two."""
    wavelength = wavelength_m(ENERGY_KEV)
    first = number * (PIXEL_UM * 1e-6) ** 2 / wavelength
    distances = (first, SECOND * first) if name in WEAK else (first,)
    organ = ellipsoids(size, mixed=name == "mixed")
    images = []
    for distance in distances:
        oversampling = 4
        while True:
            imaging = Imaging(
                rows=size,
                columns=size,
                pixel_size_um=PIXEL_UM,
                distance_m=distance,
                energy_kev=ENERGY_KEV,
                oversampling=oversampling,
            )
            z, u = imaging.row_samples, imaging.column_samples((size - 1) / 2)
            at = [s.first + s.step * np.arange(s.count) for s in (z, u)]
            path = organ.projected_thickness(0.0, *at, weight="delta")
            attenuation = organ.projected_thickness(0.0, *at, weight="mu")
            turn = 2 * np.pi / (wavelength * 1e6)
            peak = OBJECTS[name] * size / FULL_SIZE
            scale = np.float32(peak / (turn * np.abs(path).max()))
            path, attenuation = path * scale, attenuation * scale
            try:
                images.append(imaging.image(attenuation, path))
                break
            except SteepPhase:
                if oversampling == 16:
                    raise
                oversampling *= 2
        truth = imaging.on_pixels(path * np.float32(2 * turn / RATIO))
    return Case(tuple(images), distances, truth)


def ellipsoids(size: int, *, mixed: bool) -> Organ:
    """A body, and parts that add to it or are missing in it; delta/beta is everywhere the same.

    Where ``mixed`` each part absorbs up to twice as much as that says, or not at all.
    """
    rng = np.random.default_rng(1)
    radius = 0.36 * size * PIXEL_UM
    per_delta = 4 * np.pi / (RATIO * wavelength_m(ENERGY_KEV) * 1e2)
    solids = [ellipsoid((0, 0, 0), (radius, radius, 0.9 * radius), mu=per_delta, delta=1.0)]
    for _ in range(60):
        small = rng.uniform(3, 25) * PIXEL_UM * size / FULL_SIZE
        angle, far = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.75 * radius)
        place = (far * np.cos(angle), 0, 0.9 * far * np.sin(angle))
        sign, share = rng.choice([-0.7, 0.7]), rng.uniform(0, 2)
        solids.append(
            ellipsoid(
                place,
                (small, small, small * rng.uniform(0.5, 1.5)),
                mu=sign * per_delta * (share if mixed else 1),
                delta=sign,
            )
        )
    return Organ.of(*solids)


def slices(quick: bool) -> Iterator[Row]:
    """The middle slice of ``weak``, by linear methods of one distance."""
    size, angles = (64, 30) if quick else (FULL_SIZE, ANGLES)
    wavelength = wavelength_m(ENERGY_KEV)
    organ = ellipsoids(size, mixed=False)
    across = (np.arange(size) - (size - 1) / 2) * PIXEL_UM
    path = organ.projected_thickness(0.0, across, across, weight="delta")
    radians = 2 * np.pi / (wavelength * 1e6) * float(np.abs(path).max())
    organ = organ.scaled(OBJECTS["weak"] * size / FULL_SIZE / radians)
    truth = organ.volume(across[[size // 2]], across, across, voxel_um=PIXEL_UM)[0]
    inside = np.hypot(across, across[:, None]) < 0.42 * size * PIXEL_UM
    for number in (3.0, 10.0, 50.0):
        distance = number * (PIXEL_UM * 1e-6) ** 2 / wavelength
        geometry = {"pixel_size_um": PIXEL_UM, "energy_kev": ENERGY_KEV, "delta_beta": RATIO}
        imaging = Imaging(
            rows=size,
            columns=size,
            pixel_size_um=PIXEL_UM,
            distance_m=distance,
            energy_kev=ENERGY_KEV,
        )
        z, u = imaging.row_samples, imaging.column_samples((size - 1) / 2)
        at = [s.first + s.step * np.arange(s.count) for s in (z, u)]
        images = np.empty((angles, size, size), np.float32)
        for k, angle in enumerate(np.arange(angles) * np.pi / angles):
            maps = [organ.projected_thickness(angle, *at, weight=w) for w in ("mu", "delta")]
            images[k] = imaging.image(*maps)
        plans = {
            "paganin": PaganinFilter(size, size, distance_m=distance, **geometry),
            **{
                name: ContrastFilter(
                    size, size, distances_m=[distance], method=method, regularisation=r, **geometry
                )
                for name, method, r in (
                    ("ctf", "ctf", 0.03),
                    ("ctf_homogeneous", "ctf_homogeneous", 0.03),
                    ("ctf_homogeneous, regularisation 0.3", "ctf_homogeneous", 0.3),
                )
            },
        }
        for photons in (None, 10 * PHOTONS, PHOTONS):
            rng = np.random.default_rng(0)
            seen = images
            if photons is not None:
                seen = (rng.poisson(images * photons) / photons).astype(np.float32)
            errors = {
                name: _rms((_slice(plan.apply(seen), PIXEL_UM) - truth)[inside])
                / float(truth[inside].std())
                for name, plan in plans.items()
            }
            yield {
                "lambda z / p^2": number,
                "noise": "none" if photons is None else f"{photons:g} photons",
                **errors,
                "best": min(errors, key=errors.__getitem__),
            }


def materials(quick: bool) -> Iterator[Row]:
    """Rods of bone in tissue, retrieved for one material, for the other, and spliced."""
    size, angles = (128, 90) if quick else (FULL_SIZE, ANGLES)
    wavelength = wavelength_m(ENERGY_KEV)
    tissue, bone = (4 * np.pi * beta / (wavelength * 1e2) for _, beta in (TISSUE, BONE))
    pixel, rows = 10.0, 4
    distance = 0.1 * (pixel * 1e-6) ** 2 / wavelength
    body = 0.42 * size * pixel
    places = [
        (0.5 * body * np.cos(a), 0.5 * body * np.sin(a)) for a in np.arange(RODS) * np.pi / 2 + 0.3
    ]
    rods = [
        cylinder((x, y, 0), (3 + 3 * k) * pixel, mu=bone - tissue, delta=BONE[0] - TISSUE[0])
        for k, (x, y) in enumerate(places)
    ]
    organ = Organ.of(cylinder((0, 0, 0), body, mu=tissue, delta=TISSUE[0]), *rods)
    imaging = Imaging(
        rows=rows,
        columns=size,
        pixel_size_um=pixel,
        distance_m=distance,
        energy_kev=ENERGY_KEV,
        oversampling=8,
    )
    z, u = imaging.row_samples, imaging.column_samples((size - 1) / 2)
    at = [s.first + s.step * np.arange(s.count) for s in (z, u)]
    images, plain = np.empty((2, angles, rows, size), np.float32)
    for k, angle in enumerate(np.arange(angles) * np.pi / angles):
        attenuation = organ.projected_thickness(angle, *at)
        images[k] = imaging.image(
            attenuation, organ.projected_thickness(angle, *at, weight="delta")
        )
        plain[k] = imaging.on_pixels(np.exp(-attenuation))
    place = (np.arange(size) - (size - 1) / 2) * pixel
    truth = np.where(np.hypot(place, place[:, None]) <= body, tissue, 0.0)
    # Signed distance from the nearest surface of bone, in pixels, and where a tenth is missing.
    away, missing = np.full((size, size), np.inf), np.zeros((size, size), bool)
    for k, (x, y) in enumerate(places):
        own = np.hypot(place - x, place[:, None] - y) / pixel - (3 + 3 * k)
        sector = np.abs(np.arctan2(place[:, None] - y, place - x)) <= MISSING * np.pi
        missing |= sector & (own <= SMEAR_PX)
        away = np.minimum(away, own)
    truth[away <= 0] = bone
    inside = np.hypot(place, place[:, None]) <= 0.9 * body
    geometry = {"pixel_size_um": pixel, "energy_kev": ENERGY_KEV, "distance_m": distance}
    for photons in (None, PHOTONS):
        rng = np.random.default_rng(0)
        seen, shadow = (
            each if photons is None else (rng.poisson(each * photons) / photons).astype(np.float32)
            for each in (images, plain)
        )
        first, second = (
            _slice(PaganinFilter(rows, size, delta_beta=ratio, **geometry).apply(seen), pixel)
            for ratio in (TISSUE[0] / TISSUE[1], interface_delta_beta(*TISSUE, *BONE))
        )
        mask = mask_by_value(first, 1.15 * tissue, 1.6 * tissue)
        masks = {
            "multi_material": mask,
            "multi_material, mask 3 px off": np.roll(mask, (MOVED_PX, MOVED_PX), (0, 1)),
            "multi_material, 10 % of the mask missing": np.where(missing, 0, mask),
            "multi_material, mask of bone alone": away <= 0,
        }
        found = {
            "no propagation, no retrieval": _slice(shadow, pixel),
            "paganin, tissue": first,
            "paganin, bone in tissue": second,
            **{name: splice_by_mask(first, second, each) for name, each in masks.items()},
        }
        for name, plane in found.items():
            off = (plane - truth) / tissue
            yield {
                "noise": "none" if photons is None else f"{photons:g} photons",
                "method": name,
                "error within 8 px of bone's surface": _rms(off[inside & (abs(away) <= BONE_PX)]),
                "8 to 24 px from it": _rms(off[inside & (away > BONE_PX) & (away <= SMEAR_PX)]),
                "farther": _rms(off[inside & (away > SMEAR_PX)]),
                "all": _rms(off[inside]),
            }


def _slice(transmission: Image, pixel_um: float) -> Image:
    """The middle slice of views over half a turn."""
    angles, rows, size = transmission.shape
    lines = -np.log(transmission)[:, rows // 2]
    theta = np.arange(angles) * np.pi / angles
    return fbp(lines[None], theta, (size - 1) / 2, pixel_size_um=pixel_um)[0]


def _error(found: Image, truth: Image) -> float:
    inner = (slice(BORDER, -BORDER),) * 2
    return _rms((found - truth)[inner]) / float(truth[inner].std())


def _rms(values: NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


if __name__ == "__main__":
    main()
