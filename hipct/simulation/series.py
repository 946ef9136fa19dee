"""Simulate a z-series: sub-scans of one tall organ, each a little off from where it should be."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from hipct.acquisition.series_store import SeriesIndex, SeriesStoreWriter
from hipct.core.errors import InputError
from hipct.core.progress import Observer, Silent
from hipct.simulation.anatomy import build_jar, build_tall_organ
from hipct.simulation.camera import Timetable, sampled_finely_enough
from hipct.simulation.detector import Detector
from hipct.simulation.organ import Organ
from hipct.simulation.placing import Faults, place_sub_scans
from hipct.simulation.record import record_scan, scan_info
from hipct.simulation.scan import (
    axis_column,
    delta_per_mu_cm,
    field_radius_um,
    tell_lost_fringes,
    views,
)
from hipct.simulation.series_truth import (
    SeriesTruth,
    load_series_truth,
    write_series_truth,
)
from hipct.simulation.truth import Setup, Truth

SeriesAcquisition = Literal["full", "half", "quarter"]

COMMON_OF_QUARTER = 0.48
FIRST_Z_UM = 12_000.0
FIRST_DAY = datetime(2024, 5, 6, 8, 0, 0)
ORGAN_TO_GRID = 1.1


def simulate_series(
    out: str | Path,
    *,
    sub_scans: int = 8,
    overlap: float = 0.25,
    acquisition: SeriesAcquisition = "half",
    columns: int = 128,
    rows: int = 64,
    angles: int | ArrayLike = 400,
    energy_kev: float = 90.0,
    distance_m: float = 3.5,
    pixel_size_um: float = 20.0,
    delta_beta: float = 1500.0,
    position_error_px: float = 0.0,
    lateral_error_px: float = 0.0,
    join_error_px: float = 0.0,
    axis_drift_px: float = 0.0,
    level_steps: float = 0.0,
    motion_px: float = 0.0,
    darkening: float = 0.0,
    light_steps: float = 0.0,
    noise: float | None = 5000.0,
    drift: float = 0.01,
    rings: float = 0.01,
    zingers: float = 0.0,
    dead_pixels: float = 0.0,
    jar: float = 0.0,
    organ_size: float = 1.0,
    reference: bool = False,
    descending: bool = False,
    seed: int = 0,
    axis: float | None = None,
    organ: Organ | None = None,
    propagation: bool = True,
    oversampling: int = 4,
    blur_px: float = 0.5,
    flats: int = 20,
    darks: int = 10,
    returns: int = 0,
    overwrite: bool = False,
    observer: Observer | None = None,
) -> Path:
    """Simulate a series of sub-scans of one tall organ into a series store.

    All sub-scans share the detector's pattern, dust and faulty spots; noise, machine current and
    the errors below are their own. :func:`load_series_truth` reads what was simulated,
    :func:`simulate_whole` takes the same organ in one tall scan.

    Parameters
    ----------
    out : str or Path
        Series store to write.
    sub_scans : int
        Heights at which scans are taken.
    overlap : float
        Part of the rows that two neighbours share; rounded so that they are a whole number apart.
    acquisition : "full", "half" or "quarter"
        Quarter: an inner and an outer annulus at every height, 48 % of the columns in common,
        both over 360 degrees.
    columns, rows, angles, energy_kev, distance_m, pixel_size_um, delta_beta : optional
        Of one sub-scan, see :func:`hipct.simulation.simulate_scan`.
    position_error_px, lateral_error_px, join_error_px, axis_drift_px, level_steps, motion_px,
    darkening, light_steps
        See :class:`hipct.simulation.placing.Faults`.
    noise, drift, rings, zingers, dead_pixels : optional
        See :class:`hipct.simulation.detector.Detector`.
    jar : float
        Outer radius of a jar full of medium, relative to what the field holds whole (above 1 it
        is wider than the field); 0: no jar, the flats were taken through jar and medium.
    organ_size : float
        Radius of the organ, relative to what the field holds whole.
    reference : bool
        Leave the organ out: a scan of the jar and the medium alone, with noise of its own.
        Everything else that the seed decides stays.
    descending : bool
        The motor went down: the first sub-scan, in order of names and times, has the largest z.
    seed : int
        The same seed gives the same bytes.
    axis : float, optional
        Rotation axis of the middle of the series (of the inner annulus); by default as
        ``simulate_scan`` has it.
    organ : Organ, optional
        Instead of a random one; z = 0 is the middle of the common grid.
    propagation, oversampling, blur_px, overwrite, observer : optional
        See :func:`hipct.simulation.simulate_scan`.
    flats, darks : int
        Flats in each of three groups, and darks before; 0 flats: the series has none.
    returns : int
        Views taken again at the end of each sub-scan, at 0, 90, 180... degrees.

    Returns
    -------
    Path
        The store.

    Raises
    ------
    InputError
        If a number is out of its range, or no sampling carries the phase.
    OutputError
        If the store exists or cannot be written.
    """
    observer = observer if observer is not None else Silent()
    if acquisition not in get_args(SeriesAcquisition):
        raise InputError(
            f"The acquisition is {acquisition!r}; it has to be 'full', 'half' or 'quarter'."
        )
    faults = Faults(
        position_error_px=position_error_px,
        lateral_error_px=lateral_error_px,
        join_error_px=join_error_px,
        axis_drift_px=axis_drift_px,
        level_steps=level_steps,
        motion_px=motion_px,
        darkening=darkening,
        light_steps=light_steps,
    )
    _check(
        sub_scans=sub_scans,
        overlap=overlap,
        flats=flats,
        darks=darks,
        returns=returns,
        jar=jar,
        organ_size=organ_size,
    )
    kind: Literal["full", "half"] = "full" if acquisition == "full" else "half"
    angles_rad = views(angles, kind)
    frame = Setup(
        acquisition=kind,
        rows=rows,
        columns=columns,
        axis_px=axis_column(axis, kind, columns),
        pixel_size_um=pixel_size_um,
        distance_m=distance_m if propagation else 0.0,
        energy_kev=energy_kev,
        blur_px=blur_px,
        oversampling=oversampling,
        seed=seed,
    )
    step = max(1, round(rows * (1 - overlap)))
    apart = columns - round(COMMON_OF_QUARTER * columns) if acquisition == "quarter" else 0
    whole = replace(
        frame,
        rows=step * (sub_scans - 1) + rows,
        columns=columns + apart,
        axis_px=frame.axis_px + apart,
    )
    if organ is None:
        organ = _organ(whole, faults, delta_beta, jar=jar, size=organ_size, empty=reference)
        tell_lost_fringes(whole, organ_size, observer)
    places = place_sub_scans(
        frame, faults, sub_scans=sub_scans, step=step, apart=apart, descending=descending
    )
    truth = SeriesTruth(Truth(organ, whole), places)
    middle = truth.truth_of(places[len(places) // 2])
    finer = sampled_finely_enough(middle.organ, middle.setup, angles_rad, observer)
    truth = SeriesTruth(
        Truth(organ, replace(whole, oversampling=finer.oversampling)), truth.placements
    )
    detector = Detector(
        rows=rows,
        columns=columns,
        photons=noise,
        drift=drift,
        rings=rings,
        zingers=zingers,
        dead_pixels=dead_pixels,
        # A reference has runs of its own, behind those of the sample.
        run=1 + (len(places) if reference else 0),
        seed=seed,
    )
    with SeriesStoreWriter(out, overwrite=overwrite, resume=False) as writer:
        try:
            members = []
            for number, place in enumerate(sorted(places, key=lambda place: place.name)):
                run = detector.run + number
                one = replace(detector, run=run, darkening=place.darkening)
                timetable = Timetable.of(angles_rad.size, flats, darks, seed + run)
                info = scan_info(
                    truth.truth_of(place).setup,
                    angles_rad,
                    timetable,
                    return_angles_rad=np.arange(returns) * np.pi / 2,
                    return_index=timetable.flat.max(initial=timetable.projection[-1])
                    + 1
                    + np.arange(returns),
                    name=place.name,
                    start_time=(FIRST_DAY + timedelta(minutes=4 * number)).isoformat(),
                    z_um=FIRST_Z_UM + (place.motor_offset_px + (rows - 1) / 2) * pixel_size_um,
                    lateral_um=apart * pixel_size_um if place.annulus == "outer" else 0.0,
                )
                moved = truth.motion_px(place, timetable.time(timetable.projection))
                record_scan(
                    writer.member(place.name),
                    truth.truth_of(place),
                    one,
                    timetable,
                    info,
                    shift_um=moved * pixel_size_um if any(place.motion_px) else None,
                    observer=observer,
                )
                members.append(
                    {"name": place.name, "z_um": info.z_um, "lateral_um": info.lateral_um}
                )
            write_series_truth(writer, truth)
            members.sort(key=_by_place)
            source = f"simulation, seed {seed}"
            writer.commit(SeriesIndex(members=tuple(members), source=source))
        except BaseException:
            writer.abort()
            raise
    return Path(out)


def simulate_whole(
    series: str | Path,
    out: str | Path,
    *,
    angles: int | ArrayLike | None = None,
    noise: float | None = None,
    drift: float = 0.0,
    rings: float = 0.0,
    flats: int = 20,
    darks: int = 10,
    overwrite: bool = False,
    observer: Observer | None = None,
) -> Path:
    """Take the organ of a simulated series in one scan that is tall and wide enough for it.

    Parameters
    ----------
    series : str or Path
        Series store of :func:`simulate_series`.
    out : str or Path
        Scan store to write. Its rows are those of the common grid; a quarter-acquisition becomes
        one wide half-acquisition.
    angles : int or (n,) array_like, optional
        As of :func:`hipct.simulation.simulate_scan`; 400 views by default.
    noise, drift, rings, flats, darks, overwrite, observer : optional
        As of :func:`hipct.simulation.simulate_scan`; no noise, drift or rings by default.

    Returns
    -------
    Path
        The scan store.

    Raises
    ------
    InputError
        If the series holds no truth, or a number is out of its range.
    OutputError
        If the store exists or cannot be written.
    """
    truth = load_series_truth(series).whole
    setup = truth.setup
    angles_rad = views(400 if angles is None else angles, setup.acquisition)
    detector = Detector(
        rows=setup.rows,
        columns=setup.columns,
        photons=noise,
        drift=drift,
        rings=rings,
        seed=setup.seed,
    )
    timetable = Timetable.of(angles_rad.size, flats, darks, setup.seed)
    info = scan_info(setup, angles_rad, timetable)
    observer = observer if observer is not None else Silent()
    record_scan(out, truth, detector, timetable, info, overwrite=overwrite, observer=observer)
    return Path(out)


def _check(
    *,
    sub_scans: int,
    overlap: float,
    flats: int,
    darks: int,
    returns: int,
    jar: float,
    organ_size: float,
) -> None:
    if sub_scans < 1:
        raise InputError(f"sub_scans is {sub_scans}; give 1 or more.")
    if not 0 <= overlap < 1:
        raise InputError(f"overlap is {overlap}; allowed is 0 to below 1.")
    if flats < 0:
        raise InputError(f"flats is {flats}; give 0 or more.")
    if returns < 0:
        raise InputError(f"returns is {returns}; give 0 or more.")
    if darks < 1:
        raise InputError(f"darks is {darks}; give 1 or more.")
    if not (math.isfinite(jar) and jar >= 0):
        raise InputError(f"jar is {jar}; give its radius relative to the field, or 0 for none.")
    if not (math.isfinite(organ_size) and organ_size > 0):
        raise InputError(f"organ_size is {organ_size}; it has to be above 0.")


def _organ(
    whole: Setup, faults: Faults, delta_beta: float, *, jar: float, size: float, empty: bool
) -> Organ:
    radius = field_radius_um(whole)
    off = faults.lateral_error_px + abs(faults.axis_drift_px) / 2 + faults.join_error_px
    height = ORGAN_TO_GRID * whole.rows * whole.pixel_size_um
    parts = []
    if jar:
        parts.append(build_jar(jar * radius))
    if not empty:
        room = max(radius - off * whole.pixel_size_um, radius / 2)
        parts.append(build_tall_organ(size * room, height_um=height, seed=whole.seed))
    organ = Organ.of()
    for part in parts:
        organ = organ.together_with(part)
    return organ.with_delta(delta_per_mu_cm(delta_beta, whole.energy_kev))


def _by_place(member: dict[str, Any]) -> tuple[float, float]:
    return member["z_um"], member["lateral_um"]
