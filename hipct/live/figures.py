"""Figures of what a live scan shows: those of any slice, with what is known of this one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hipct.live.scan import LiveScan
from hipct.phase.kernel import kernel_length_px
from hipct.pipeline.engine import crop_window, slice_size
from hipct.volume.figures import RIM_PX, Figures, figures


def picture_figures(
    live: LiveScan, picture: NDArray[np.float32], inside: NDArray[np.bool_], *, level: int = 0
) -> Figures:
    """Noise, contrast, sharpness and halo of a slice of a scan, or of a region of it.

    Parameters
    ----------
    live : LiveScan
        What it was made by.
    picture : ndarray, (rows, columns)
        A slice of a level, or a part of one.
    inside : ndarray of bool, (rows, columns)
        The same part of :func:`measured`.
    level : int

    Returns
    -------
    Figures
        Defined in :mod:`hipct.volume.figures`. Noise and contrast are in the unit of the scan, the
        sharpness in voxels of the level.

    Raises
    ------
    InputError
        If the part is too small, or lies outside of the measured circle.
    """
    return figures(picture, kernel_px=kernel_px(live, level), inside=inside)


def kernel_px(live: LiveScan, level: int = 0) -> float | None:
    """Decay length of the kernel of phase retrieval, in voxels of a level.

    None without phase retrieval: a raw fringe has no such length.
    """
    job = live.settle().organ.job
    if job.delta_beta is None:
        return None
    pixel_size_um, distance_m, energy_kev = job.info.require(
        "pixel_size_um", "distance_m", "energy_kev", purpose="The halo"
    )
    length: float = kernel_length_px(
        pixel_size_um=pixel_size_um,
        distance_m=distance_m,
        energy_kev=energy_kev,
        delta_beta=job.delta_beta,
    )
    return length / (1 << level)


def measured(live: LiveScan, level: int = 0) -> NDArray[np.bool_]:
    """The voxels (rows, columns) of the slices of a level that every view has seen."""
    organ = live.settle().organ
    size = slice_size(organ)
    step = 2**level
    # The middle of a voxel of the level, among those of level 0.
    places = [
        np.arange(window.start, window.stop, step) + (step - 1) / 2 - (size - 1) / 2
        for window in crop_window(organ, size)
    ]
    radius = min(part.measured_radius_px for part in organ.parts) - RIM_PX * step
    distance: NDArray[np.float64] = np.hypot(places[0][:, np.newaxis], places[1])
    return np.asarray(distance <= radius)
