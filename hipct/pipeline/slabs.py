"""From the line integrals of some rows of a part to their slices.

What is trusted least comes first: borders are mended before levels are taken from beside them, and
levels are matched before the removal of rings looks along the columns.
"""

from __future__ import annotations

from hipct.core.arrays import Array, namespace
from hipct.phase.materials import splice
from hipct.pipeline.organ import Part
from hipct.pipeline.outside import Outside
from hipct.pipeline.report import StageClock
from hipct.preparation.borders import mend_borders
from hipct.preparation.pair_levels import match_pair_levels
from hipct.preparation.rings import Method, remove_rings
from hipct.reconstruction.reconstructor import Reconstructor
from hipct.volume.rings_polar import remove_rings_polar


class SlabChain:
    """Levels, rings and back-projection of a part.

    Parameters
    ----------
    part : Part
        The part, with its axis.
    reconstructor : Reconstructor
        The engine, made for the part.
    clock : StageClock
        Receives the times.
    """

    def __init__(self, part: Part, reconstructor: Reconstructor, clock: StageClock) -> None:
        self._job, self._axis = part.job, part.known_axis
        self._reconstructor, self._clock = reconstructor, clock
        y, x = reconstructor.geometry.centre_px
        self._beside_px = -y, -x
        self._outside = Outside.of(part.job.info, part.known_axis, part.job.config.half)

    def slices(self, lines: Array) -> Array:
        """Slices (slices, n, n) of line integrals (slices, materials * angles, columns)."""
        phase = self._job.config.phase
        if phase.splice is None:
            return self._without_polar_rings(self._slices(lines))
        first, second = (
            self._slices(namespace(lines).ascontiguousarray(lines[:, number :: phase.materials]))
            for number in range(phase.materials)
        )
        with self._clock.stage("splice", first.nbytes):
            splice(first, second, *phase.splice, out=first)
        return self._without_polar_rings(first)

    def corrected(self, lines: Array) -> Array:
        """Line integrals of one material with levels matched and rings removed, as back-projected.

        They may be the ones given.
        """
        rings = self._job.config.rings.method
        lines = self._levelled(lines)
        if rings != "none":
            with self._clock.stage("rings", lines.nbytes):
                lines = self._without_rings(lines, rings)
        return lines

    def _slices(self, lines: Array) -> Array:
        """Slices of one material."""
        lines = self.corrected(lines)
        if self._outside.extra_px:
            with self._clock.stage("outside", lines.nbytes):
                lines = self._outside.continued(lines, self._job.info.angles_rad)
        with self._clock.stage("reconstruct", lines.nbytes):
            return self._reconstructor.reconstruct(lines)

    def _without_polar_rings(self, slices: Array) -> Array:
        polar = self._job.config.polar
        if polar.enabled:
            with self._clock.stage("rings", slices.nbytes):
                remove_rings_polar(
                    slices,
                    width_px=polar.width_px,
                    arc_px=polar.arc_px,
                    centre_px=polar.centre_px,
                    beside_px=self._beside_px,
                    out=slices,
                )
        return slices

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
