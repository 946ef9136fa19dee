"""From the line integrals of some rows to their 16-bit slices."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hipct.pipeline.job import Job
from hipct.pipeline.report import StageClock
from hipct.preparation.rings import remove_rings
from hipct.reconstruction.reconstructor import Reconstructor
from hipct.volume.quantise import ClipCounts, Window, quantise


class SlabChain:
    """Ring removal, back-projection and quantisation, for one axis and one window.

    Parameters
    ----------
    job : Job
        What to do.
    reconstructor : Reconstructor
        The engine, made for the axis.
    axis : float
        Rotation axis in detector columns.
    clock : StageClock
        Receives the times.
    window : Window, optional
        The 16-bit window, once it is known.
    """

    def __init__(
        self,
        job: Job,
        reconstructor: Reconstructor,
        axis: float,
        clock: StageClock,
        window: Window | None = None,
    ) -> None:
        self._job, self._reconstructor, self._clock = job, reconstructor, clock
        self._axis, self._window = axis, window
        self._radius_px = measured_radius(job, axis)

    def with_window(self, window: Window) -> SlabChain:
        """The same chain, able to make 16-bit slices."""
        return SlabChain(self._job, self._reconstructor, self._axis, self._clock, window)

    def slices(self, lines: NDArray[np.float32]) -> NDArray[np.float32]:
        """Slices (slices, n, n) of line integrals (slices, angles, columns)."""
        config = self._job.config
        if config.rings.method != "none":
            with self._clock.stage("rings", lines.nbytes):
                lines = self._without_rings(lines)
        with self._clock.stage("reconstruct", lines.nbytes):
            slices: NDArray[np.float32] = self._reconstructor.reconstruct(lines)
            if config.reconstruction.circle:
                mask_outside(slices, self._radius_px)
        return slices

    def grey(self, lines: NDArray[np.float32], counts: ClipCounts) -> NDArray[np.uint16]:
        """16-bit slices (slices, n, n) of line integrals (slices, angles, columns)."""
        assert self._window is not None
        slices = self.slices(lines)
        with self._clock.stage("quantise", slices.nbytes):
            grey: NDArray[np.uint16] = quantise(slices, self._window, counts=counts)
            return grey

    def _without_rings(self, lines: NDArray[np.float32]) -> NDArray[np.float32]:
        rings = self._job.config.rings
        clean: NDArray[np.float32]
        if rings.method == "sorting":
            clean = remove_rings(lines, method="sorting", size_px=rings.size_px)
        else:
            clean = remove_rings(lines, method="wavelet", levels=rings.levels, sigma=rings.sigma)
        return clean


def measured_radius(job: Job, axis: float) -> float:
    """Radius in pixels of the disc that every pair of opposite views has seen."""
    sides = axis, job.info.columns - 1 - axis
    return (max(sides) if job.half else min(sides)) + 0.5


def mask_outside(slices: NDArray[np.float32], radius_px: float) -> None:
    """Set voxels outside of a centred disc to NaN, which is stored as 0, in place."""
    side = slices.shape[-1]
    centre = (side - 1) / 2
    for y in range(side):
        reach = radius_px**2 - (y - centre) ** 2
        if reach <= 0:
            slices[:, y] = np.nan
            continue
        half = math.sqrt(reach)
        slices[:, y, : max(0, math.ceil(centre - half))] = np.nan
        slices[:, y, math.floor(centre + half) + 1 :] = np.nan
