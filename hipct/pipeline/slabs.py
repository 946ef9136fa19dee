"""From the line integrals of some rows to their 16-bit slices.

What is trusted least comes first: borders are mended before levels are taken from beside them, and
levels are matched before the removal of rings looks along the columns.
"""

from __future__ import annotations

from hipct.core.arrays import Array
from hipct.pipeline.job import Job
from hipct.pipeline.report import StageClock
from hipct.preparation.borders import mend_borders
from hipct.preparation.pair_levels import match_pair_levels
from hipct.preparation.rings import Method, remove_rings
from hipct.reconstruction.reconstructor import Reconstructor
from hipct.volume.quantise import ClipCounts, Window, quantise
from hipct.volume.rings_polar import remove_rings_polar


class SlabChain:
    """Levels, rings, back-projection and quantisation, for one axis and one window.

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
        lines = self._levelled(lines)
        if config.rings.method != "none":
            with self._clock.stage("rings", lines.nbytes):
                lines = self._without_rings(lines, config.rings.method)
        with self._clock.stage("reconstruct", lines.nbytes):
            slices = self._reconstructor.reconstruct(lines)
        polar = config.polar
        if polar.enabled:
            with self._clock.stage("rings", slices.nbytes):
                remove_rings_polar(
                    slices,
                    width_px=polar.width_px,
                    arc_px=polar.arc_px,
                    centre_px=polar.centre_px,
                    out=slices,
                )
        return slices

    def grey(self, lines: Array, counts: ClipCounts, out: Array) -> None:
        """Fill ``out`` (slices, n, n) with 16-bit slices of ``lines`` (slices, angles, columns)."""
        assert self._window is not None
        slices = self.slices(lines)
        with self._clock.stage("quantise", slices.nbytes):
            quantise(slices, self._window, out=out, counts=counts, radius_px=self.radius_px)

    def _levelled(self, lines: Array) -> Array:
        """The line integrals with borders mended and opposite projections at one level."""
        half, job = self._job.config.half, self._job
        given = lines
        if half.border_px:
            with self._clock.stage("levels", lines.nbytes):
                lines = mend_borders(lines, half.border_px)
        if half.match_levels and job.half:
            with self._clock.stage("levels", lines.nbytes):
                lines = match_pair_levels(
                    lines,
                    job.info.angles_rad,
                    self._axis,
                    border_px=half.border_px,
                    # What was given belongs to the buffer of the tile.
                    out=None if lines is given else lines,
                )
        return lines

    def _without_rings(self, lines: Array, method: Method) -> Array:
        rings = self._job.config.rings
        return remove_rings(
            lines,
            method=method,
            size_px=rings.size_px,
            large_px=rings.large_px,
            snr=rings.snr,
            levels=rings.levels,
            sigma=rings.sigma,
            alpha=rings.alpha,
        )


def measured_radius(job: Job, axis: float) -> float:
    """Radius in pixels of the disc that every pair of opposite views has seen."""
    sides = axis, job.info.columns - 1 - axis
    return (max(sides) if job.half else min(sides)) + 0.5
