"""Simulate a HiP-CT scan of a random organ with known truth, into a scan store."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.acquisition.scan import Acquisition
from hipct.core.errors import InputError
from hipct.core.physics import wavelength_m
from hipct.core.progress import Observer, Silent
from hipct.simulation.anatomy import build_jar, build_organ
from hipct.simulation.camera import Timetable, sampled_finely_enough
from hipct.simulation.detector import Detector
from hipct.simulation.organ import Organ
from hipct.simulation.record import record_scan, scan_info
from hipct.simulation.truth import Setup, Truth

OVERLAP = 0.16
AXIS_BESIDE_MIDDLE = 1.3
AXIS_FRACTION = 0.3
ORGAN_IN_JAR = 0.86
FRINGE_PX = 4.25
"""Room beside an organ, whatever the distance: two Fresnel zones at lambda z / p^2 of 4.5, which is
twice the median of HiP-CT."""
FRINGE_ZONES = 2
SMALLEST_RADIUS_PX = 8
SMALLEST_OVERSAMPLING = 4


def simulate_scan(
    out: str | Path,
    *,
    acquisition: Acquisition = "half",
    columns: int = 512,
    rows: int = 512,
    angles: int | ArrayLike = 1500,
    energy_kev: float = 90.0,
    distance_m: float = 3.5,
    pixel_size_um: float = 20.0,
    delta_beta: float = 1500.0,
    noise: float | None = 5000.0,
    drift: float = 0.01,
    rings: float = 0.01,
    zingers: float = 0.0,
    dead_pixels: float = 0.0,
    jar: bool = False,
    organ_size: float = 1.0,
    seed: int = 0,
    run: int = 0,
    axis: float | None = None,
    organ: Organ | None = None,
    propagation: bool = True,
    oversampling: int = 4,
    blur_px: float = 0.5,
    flats: int = 20,
    darks: int = 10,
    overwrite: bool = False,
    observer: Observer | None = None,
) -> Path:
    """Simulate a scan of an organ by propagation-based phase contrast.

    Without a jar the flats are those of a reference scan through jar and medium, so that the
    truth is the organ's difference to the medium; with one they are of the open beam. The store
    holds no hint of the rotation axis: it stands in the truth.

    The same seed on the same detector shows the same organ at every distance and energy; give
    each scan of a sample at several distances a ``run`` of its own.

    Parameters
    ----------
    out : str or Path
        Scan store to write.
    acquisition : "full" or "half"
        Full: 180 degrees, axis near the middle; half: 360 degrees, axis near the right edge.
    columns, rows : int
        Of the detector.
    angles : int or (n,) array_like
        Number of views, evenly spaced without the end angle, or the angles in radians.
    energy_kev, distance_m, pixel_size_um : float
        Photon energy, effective propagation distance, effective pixel size.
    delta_beta : float
        delta / beta of all of the organ (not used for an ``organ`` that has its own delta).
    noise : float or None
        Photons per pixel in the brightest part of the open beam; None for a scan without noise.
    drift, rings, zingers, dead_pixels : float
        See :class:`hipct.simulation.detector.Detector`.
    jar : bool
        Put the organ into a jar full of medium, all inside the field.
    organ_size : float
        Radius of the organ (of its jar, where it has one), relative to what the field holds whole.
    seed : int
        The same seed gives the same bytes.
    run : int
        Number of the scan: other runs of one seed show the same organ on the same detector, with
        noise and machine current of their own.
    axis : float, optional
        Detector column of the rotation axis. Default: 1.3 pixels beside the middle (full), or
        where 16 % of the columns are common to both half turns (half).
    organ : Organ, optional
        Instead of a random one.
    propagation : bool
        False, as distance 0, leaves pure absorption.
    oversampling : int
        Fine samples along the edge of a pixel, 4 or more; raised, and said so, where the phase is
        steep.
    blur_px : float
        Standard deviation of the detector's point spread in pixels.
    flats, darks : int
        Flats in each of three groups (before, between, after), and darks before.
    overwrite : bool
        Replace an existing store.
    observer : Observer, optional
        Told of the progress.

    Returns
    -------
    Path
        The store. :func:`hipct.simulation.load_truth` reads the truth from it.

    Raises
    ------
    InputError
        If a number is out of its range, or no sampling carries the phase.
    OutputError
        If the store exists or cannot be written.
    """
    observer = observer if observer is not None else Silent()
    angles_rad = views(angles, acquisition)
    if run < 0 or not (math.isfinite(organ_size) and organ_size > 0):
        raise InputError(
            f"run is {run} and organ_size {organ_size}; run has to be 0 or more, and organ_size "
            "above 0."
        )
    for name, value in (("flats", flats), ("darks", darks)):
        if value < 1:
            raise InputError(f"{name} is {value}; give 1 or more.")
    if propagation and distance_m and oversampling < SMALLEST_OVERSAMPLING:
        raise InputError(
            f"The oversampling is {oversampling}; a propagated wave needs {SMALLEST_OVERSAMPLING} "
            "or more samples along the edge of a pixel."
        )
    setup = Setup(
        acquisition=acquisition,
        rows=rows,
        columns=columns,
        axis_px=axis_column(axis, acquisition, columns),
        pixel_size_um=pixel_size_um,
        distance_m=distance_m if propagation else 0.0,
        energy_kev=energy_kev,
        blur_px=blur_px,
        oversampling=oversampling,
        seed=seed,
    )
    detector = Detector(
        rows=rows,
        columns=columns,
        photons=noise,
        drift=drift,
        rings=rings,
        zingers=zingers,
        dead_pixels=dead_pixels,
        run=run,
        seed=seed,
    )
    if organ is None:
        organ = _organ(setup, delta_beta, jar=jar, size=organ_size, observer=observer)
    setup = sampled_finely_enough(organ, setup, angles_rad, observer)
    truth = Truth(organ, setup)
    timetable = Timetable.of(angles_rad.size, flats, darks, seed + run)
    info = scan_info(setup, angles_rad, timetable)
    record_scan(out, truth, detector, timetable, info, overwrite=overwrite, observer=observer)
    return Path(out)


def views(angles: int | ArrayLike, acquisition: str) -> NDArray[np.float64]:
    """Angles in radians: as given, or so many over half a turn (full) or a turn (half)."""
    if acquisition not in ("full", "half"):
        raise InputError(f"The acquisition is {acquisition!r}; it has to be 'full' or 'half'.")
    values = np.asarray(angles, dtype=np.float64)
    if values.ndim == 0:
        if values < 1 or values != int(values):
            raise InputError(f"The number of angles is {angles!r}; give 1 or more.")
        turn = math.pi if acquisition == "full" else 2 * math.pi
        return np.arange(int(values), dtype=np.float64) * (turn / int(values))
    if values.ndim != 1 or values.size == 0 or not np.all(np.isfinite(values)):
        raise InputError(
            f"The angles have shape {values.shape}; give a row of finite angles in radians."
        )
    return values


def axis_column(axis: float | None, acquisition: str, columns: int) -> float:
    """Detector column of the rotation axis: as given, or where the acquisition has it."""
    middle = (columns - 1) / 2
    if axis is None:
        if acquisition == "full":
            return middle + AXIS_BESIDE_MIDDLE
        return round(columns - 1 - (OVERLAP * columns - 1) / 2) + AXIS_FRACTION
    if not math.isfinite(axis):
        raise InputError(f"The axis is {axis}; give a detector column.")
    if acquisition == "full" and not 0 <= axis <= columns - 1:
        raise InputError(
            f"The axis is column {axis}, off the detector (0 to {columns - 1}); a full scan needs "
            "it on the detector, a half-acquisition does not."
        )
    return float(axis)


def field_radius_um(setup: Setup) -> float:
    """Largest radius that the field holds whole in the horizontal, with room for fringes.

    It is that of the detector alone: the same organ fits in at every distance.

    Raises
    ------
    InputError
        If no room is left.
    """
    reach = _field_px(setup)
    radius = (reach - FRINGE_PX) * setup.pixel_size_um
    if radius < SMALLEST_RADIUS_PX * setup.pixel_size_um:
        raise InputError(
            f"The field reaches {reach:g} columns from the axis, of which {FRINGE_PX:g} are left "
            f"for fringes, which leaves no room for an organ; give at least "
            f"{2 * (FRINGE_PX + SMALLEST_RADIUS_PX):.0f} columns around the axis."
        )
    return radius


def tell_lost_fringes(setup: Setup, organ_size: float, observer: Observer) -> None:
    """Say so where the fringes of an organ of this size leave the field.

    They are simulated as they are; retrieval then sees them cut off.

    Raises
    ------
    InputError
        If the wave spreads further than the field reaches.
    """
    number = setup.imaging.propagation_number
    spread = setup.imaging.reach_um / setup.pixel_size_um
    fringes, field = FRINGE_ZONES * math.sqrt(number), _field_px(setup)
    largest = (field - fringes) / (field - FRINGE_PX)
    if spread > field:
        raise InputError(
            f"At lambda z / p^2 of {number:.3g} the wave spreads by {spread:.0f} pixels, and the "
            f"field reaches {field:g} columns from the axis; give a shorter distance, larger "
            "pixels, or more columns."
        )
    if largest < min(1.0, organ_size):
        observer.say(
            f"At lambda z / p^2 of {number:.3g} fringes reach {fringes:.0f} pixels beside the "
            f"organ and leave the field; an organ_size of {math.floor(100 * largest) / 100:g} "
            "keeps them in it."
        )


def _field_px(setup: Setup) -> float:
    """Columns from the axis to the edge of the field."""
    sides = setup.axis_px, setup.columns - 1 - setup.axis_px
    return min(sides) if setup.acquisition == "full" else max(sides)


def delta_per_mu_cm(delta_beta: float, energy_kev: float) -> float:
    """Ratio of delta to mu in cm for a ratio of delta to beta, as mu = 4 pi beta / lambda."""
    if not (math.isfinite(delta_beta) and delta_beta >= 0):
        raise InputError(f"delta_beta is {delta_beta}; it has to be 0 or more.")
    return delta_beta * wavelength_m(energy_kev) * 1e2 / (4 * math.pi)


def _organ(setup: Setup, delta_beta: float, *, jar: bool, size: float, observer: Observer) -> Organ:
    """A random organ that the field holds whole in the horizontal."""
    radius = size * field_radius_um(setup)
    tell_lost_fringes(setup, size, observer)
    delta_per_mu = delta_per_mu_cm(delta_beta, setup.energy_kev)
    if not jar:
        return build_organ(radius, seed=setup.seed).with_delta(delta_per_mu)
    organ = build_organ(ORGAN_IN_JAR * radius, seed=setup.seed)
    return organ.together_with(build_jar(radius)).with_delta(delta_per_mu)
