"""Records a simulated scan into a scan store, as a stream."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.acquisition.scan import ScanInfo
from hipct.acquisition.store import ScanStoreWriter
from hipct.core.progress import Observer
from hipct.simulation.camera import STAGE, Camera, Timetable
from hipct.simulation.detector import Detector
from hipct.simulation.truth import Setup, Truth, write_truth

BLOCK_BYTES = 64 << 20


def record_scan(
    out: str | Path,
    truth: Truth,
    detector: Detector,
    timetable: Timetable,
    info: ScanInfo,
    *,
    shift_um: NDArray[np.float64] | None = None,
    keep: Truth | None = None,
    overwrite: bool = False,
    observer: Observer,
) -> None:
    """Take all frames of a scan and store them with the truth.

    Parameters
    ----------
    out : str or Path
        Scan store to write.
    truth : Truth
        The organ, and how it is seen.
    detector : Detector
        The camera and the beam.
    timetable : Timetable
        When frames are taken.
    info : ScanInfo
        What the store says of itself.
    shift_um : (projections, 3) float64, optional
        Translation (x, y, z) of the organ in each projection.
    keep : Truth, optional
        What is stored as the truth instead of what the camera saw: of a helical scan the grid
        that it covers.
    overwrite : bool
        Replace an existing store.
    observer : Observer
        Told of the progress.

    Raises
    ------
    InputError
        If no sampling carries the phase.
    OutputError
        If the store exists or cannot be written.
    """
    camera = Camera(truth, detector, timetable, shift_um)
    angles_rad = info.angles_rad
    saturated = 0
    with ScanStoreWriter(out, info, overwrite=overwrite) as writer:
        block = max(1, min(writer.angle_chunk, BLOCK_BYTES // (2 * info.rows * info.columns)))
        for first in range(0, info.darks, block):
            writer.write_darks(first, camera.darks(first, min(first + block, info.darks)))
        for first in range(0, info.flats, block):
            writer.write_flats(first, camera.flats(first, min(first + block, info.flats)))
        write_truth(writer, keep if keep is not None else truth)
        observer.start(STAGE, angles_rad.size + info.returns)
        for first in range(0, angles_rad.size, block):
            frames = camera.projections(first, angles_rad[first : first + block], observer)
            saturated += int(np.count_nonzero(frames == np.iinfo(frames.dtype).max))
            writer.write_projections(first, frames)
        if info.returns:
            again = camera.returns(info.return_angles_rad, info.return_index, observer)
            writer.write_frames("returns", 0, again)
        observer.finish(STAGE)
    if camera.refined:
        observer.say(
            f"{camera.refined} of {angles_rad.size} views were computed on finer samples, as "
            "their phase is too steep for the others'."
        )
    if saturated:
        observer.say(
            f"{saturated} pixels of the projections reach the end of 16 bits (bright fringes, "
            "zingers or stuck pixels)."
        )


def scan_info(
    setup: Setup, angles_rad: NDArray[np.float64], timetable: Timetable, **more: Any
) -> ScanInfo:
    """What the store of a simulated scan says of itself; ``more`` are fields of ScanInfo."""
    return ScanInfo(
        projections=angles_rad.size,
        rows=setup.rows,
        columns=setup.columns,
        dtype=np.dtype(np.uint16),
        angles_rad=angles_rad,
        acquisition=setup.acquisition,
        pixel_size_um=setup.pixel_size_um,
        distance_m=setup.distance_m,
        energy_kev=setup.energy_kev,
        projection_index=timetable.projection,
        flat_index=timetable.flat,
        dark_index=timetable.dark,
        current=timetable.current_ma(timetable.projection),
        flat_current=timetable.current_ma(timetable.flat),
        current_unit="mA",
        source=f"simulation, seed {setup.seed}",
        format="simulation",
        **more,
    )
