"""From the line integrals of some rows to their 16-bit slices."""

from __future__ import annotations

from hipct.core.arrays import Array
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
        #: Radius of the disc outside of which voxels are stored as 0; None: nowhere.
        self.radius_px = measured_radius(job, axis) if job.config.reconstruction.circle else None

    def with_window(self, window: Window) -> SlabChain:
        """The same chain, able to make 16-bit slices."""
        return SlabChain(self._job, self._reconstructor, self._axis, self._clock, window)

    def slices(self, lines: Array) -> Array:
        """Slices (slices, n, n) of line integrals (slices, angles, columns)."""
        config = self._job.config
        if config.rings.method != "none":
            with self._clock.stage("rings", lines.nbytes):
                lines = self._without_rings(lines)
        with self._clock.stage("reconstruct", lines.nbytes):
            return self._reconstructor.reconstruct(lines)

    def grey(self, lines: Array, counts: ClipCounts, out: Array) -> None:
        """Fill ``out`` (slices, n, n) with 16-bit slices of ``lines`` (slices, angles, columns)."""
        assert self._window is not None
        slices = self.slices(lines)
        with self._clock.stage("quantise", slices.nbytes):
            quantise(slices, self._window, out=out, counts=counts, radius_px=self.radius_px)

    def _without_rings(self, lines: Array) -> Array:
        rings = self._job.config.rings
        if rings.method == "sorting":
            return remove_rings(lines, method="sorting", size_px=rings.size_px)
        return remove_rings(lines, method="wavelet", levels=rings.levels, sigma=rings.sigma)


def measured_radius(job: Job, axis: float) -> float:
    """Radius in pixels of the disc that every pair of opposite views has seen."""
    sides = axis, job.info.columns - 1 - axis
    return (max(sides) if job.half else min(sides)) + 0.5
