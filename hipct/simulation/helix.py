"""Simulate a helical scan: the sample rises while it turns."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from hipct.core.errors import InputError
from hipct.core.progress import Observer, Silent
from hipct.simulation.anatomy import build_tall_organ
from hipct.simulation.camera import Timetable, sampled_finely_enough
from hipct.simulation.detector import Detector
from hipct.simulation.organ import Organ
from hipct.simulation.record import record_scan, scan_info
from hipct.simulation.scan import axis_column, delta_per_mu_cm, field_radius_um
from hipct.simulation.truth import Setup, Truth

FIRST_Z_UM = 12_000.0
ORGAN_TO_GRID = 1.1


def simulate_helix(
    out: str | Path,
    *,
    turns: float = 4.0,
    pitch_px: float = 24.0,
    columns: int = 128,
    rows: int = 64,
    angles_per_turn: int = 360,
    energy_kev: float = 90.0,
    distance_m: float = 3.5,
    pixel_size_um: float = 20.0,
    delta_beta: float = 1500.0,
    noise: float | None = 5000.0,
    drift: float = 0.01,
    rings: float = 0.01,
    seed: int = 0,
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
    """Simulate a helical half-acquisition of a tall organ into a scan store.

    In projection i the detector's row r shows row ``r + pitch_px i / angles_per_turn`` of the
    organ. The truth (:func:`hipct.simulation.load_truth`) is that of one scan as tall as all rows
    that were seen: its row 0 is row 0 of the first projection.

    Parameters
    ----------
    out : str or Path
        Scan store to write.
    turns : float
        Number of turns.
    pitch_px : float
        Rows that the sample moves in a turn; negative: the other way.
    columns, rows : int
        Of the detector.
    angles_per_turn : int
        Projections in a turn.
    energy_kev, distance_m, pixel_size_um, delta_beta, noise, drift, rings, seed, axis, organ
        See :func:`hipct.simulation.simulate_scan`.
    propagation, oversampling, blur_px, flats, darks, overwrite, observer
        See :func:`hipct.simulation.simulate_scan`.

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
    for name, value in (("turns", turns), ("angles_per_turn", angles_per_turn)):
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"{name} is {value}; it has to be above 0.")
    if not math.isfinite(pitch_px):
        raise InputError(f"pitch_px is {pitch_px}; give a number of rows.")
    for name, count in (("flats", flats), ("darks", darks)):
        if count < 1:
            raise InputError(f"{name} is {count}; give 1 or more.")
    number = np.arange(max(1, round(turns * angles_per_turn)), dtype=np.float64)
    angles_rad = 2 * np.pi * number / angles_per_turn
    risen_px = pitch_px * number / angles_per_turn
    setup = Setup(
        acquisition="half",
        rows=rows,
        columns=columns,
        axis_px=axis_column(axis, "half", columns),
        pixel_size_um=pixel_size_um,
        distance_m=distance_m if propagation else 0.0,
        energy_kev=energy_kev,
        blur_px=blur_px,
        oversampling=oversampling,
        seed=seed,
    )
    tall = replace(setup, rows=rows + math.ceil(float(np.ptp(risen_px))))
    if organ is None:
        height = ORGAN_TO_GRID * tall.rows * pixel_size_um
        organ = build_tall_organ(field_radius_um(tall), height_um=height, seed=seed)
        organ = organ.with_delta(delta_per_mu_cm(delta_beta, energy_kev))
    lowest_px = risen_px - risen_px.min()
    # From the middle of the grid to the middle row of each projection.
    away_um = (lowest_px + (rows - tall.rows) / 2) * pixel_size_um
    shift_um = np.zeros((number.size, 3))
    shift_um[:, 2] = -away_um
    middle = Truth(organ.moved(0, 0, -float(np.median(away_um))), setup)
    finer = sampled_finely_enough(middle.organ, setup, angles_rad[:angles_per_turn], observer)
    detector = Detector(
        rows=rows, columns=columns, photons=noise, drift=drift, rings=rings, seed=seed
    )
    timetable = Timetable.of(number.size, flats, darks, seed)
    z_um = FIRST_Z_UM + (lowest_px + (rows - 1) / 2) * pixel_size_um
    moving = bool(np.ptp(z_um) > 0)
    info = scan_info(
        finer,
        angles_rad,
        timetable,
        z_um=float(z_um.mean()),
        projection_z_um=z_um if moving else None,
    )
    seen = Truth(organ, finer)
    whole = Truth(organ, replace(tall, oversampling=finer.oversampling))
    record_scan(
        out,
        seen,
        detector,
        timetable,
        info,
        shift_um=shift_um,
        keep=whole,
        overwrite=overwrite,
        observer=observer,
    )
    return Path(out)
