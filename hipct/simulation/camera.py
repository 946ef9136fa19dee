"""Takes the frames of a simulated scan: when, of what, and how finely computed."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hipct.core.progress import Observer
from hipct.core.threads import parallel_for
from hipct.simulation.detector import Detector, Frame, machine_current
from hipct.simulation.fresnel import (
    LARGEST_OVERSAMPLING,
    LARGEST_STEP,
    Imaging,
    Real,
    SteepPhase,
)
from hipct.simulation.organ import CM_PER_UM, Organ
from hipct.simulation.truth import Setup, Truth

STAGE = "simulate"
SCOUT_VIEWS = 12
SCOUT_SHARE = 0.8


@dataclass(frozen=True)
class Timetable:
    """Frame numbers in order of acquisition, 0 for the first projection.

    Darks and flats come first, then half of the projections, flats, the other half, flats.

    Attributes
    ----------
    projection, flat, dark : (n,) float64
        Frame numbers.
    seed : int
        Of the machine current.
    """

    projection: NDArray[np.float64]
    flat: NDArray[np.float64]
    dark: NDArray[np.float64]
    seed: int

    @classmethod
    def of(cls, projections: int, flats: int, darks: int, seed: int) -> Timetable:
        """Timetable of so many projections, flats in each of three groups, and darks."""
        half = projections // 2
        index = np.arange(projections, dtype=np.float64)
        index[half:] += flats
        group = np.arange(flats, dtype=np.float64)
        flat = np.concatenate([group - flats, group + half, group + projections + flats])
        dark = np.arange(darks, dtype=np.float64) - flats - darks
        return cls(index, flat, dark, seed)

    def time(self, index: NDArray[np.float64]) -> NDArray[np.float64]:
        """Times of frames; the projections fill 0 to 1."""
        return index / max(float(self.projection[-1]), 1.0)

    def current_ma(self, index: NDArray[np.float64]) -> NDArray[np.float64]:
        """Machine current of frames in mA."""
        return machine_current(self.time(index), self.seed)


class Camera:
    """Takes frames of an organ.

    Parameters
    ----------
    truth : Truth
        The organ, and how it is seen.
    detector : Detector
        The camera and the beam.
    timetable : Timetable
        When frames are taken.
    shift_um : (projections, 3) float64, optional
        How far (x, y, z) the organ stands from where the truth has it, in each projection: for
        motion and for helical scans.

    Attributes
    ----------
    refined : int
        Views that were computed on finer samples than the others.
    """

    def __init__(
        self,
        truth: Truth,
        detector: Detector,
        timetable: Timetable,
        shift_um: NDArray[np.float64] | None = None,
    ) -> None:
        self.refined = 0
        self._shift_um = shift_um
        self._lock = threading.Lock()
        self._truth = truth
        self._imaging = truth.setup.imaging
        self._detector = detector
        self._timetable = timetable

    def darks(self, first: int, last: int) -> Frame:
        """Darks ``first`` to ``last``, (darks, rows, columns)."""
        return np.stack([self._detector.dark(k) for k in range(first, last)])

    def flats(self, first: int, last: int) -> Frame:
        """Flats ``first`` to ``last``, (flats, rows, columns)."""
        index = self._timetable.flat[first:last]
        times, currents = self._timetable.time(index), self._timetable.current_ma(index)
        setup = self._truth.setup
        block = np.empty((last - first, setup.rows, setup.columns), dtype=np.uint16)

        def frames(start: int, stop: int) -> None:
            for k in range(start, stop):
                block[k] = self._detector.expose(
                    None, time=times[k], current_ma=currents[k], number=first + k
                )

        parallel_for(frames, last - first)
        return block

    def projections(self, first: int, angles_rad: NDArray[np.float64], observer: Observer) -> Frame:
        """Projections ``first`` and on at the given angles, (angles, rows, columns)."""
        last = first + angles_rad.size
        index = self._timetable.projection[first:last]
        shift = None if self._shift_um is None else self._shift_um[first:last]
        return self._views(angles_rad, index, shift_um=shift, number=first, observer=observer)

    def returns(
        self, angles_rad: NDArray[np.float64], index: NDArray[np.float64], observer: Observer
    ) -> Frame:
        """Views taken again after the last projection, where the organ stands by then."""
        shift = None
        if self._shift_um is not None:
            shift = np.repeat(self._shift_um[-1:], angles_rad.size, axis=0)
        first = self._timetable.projection.size
        return self._views(angles_rad, index, shift_um=shift, number=first, observer=observer)

    def _views(
        self,
        angles_rad: NDArray[np.float64],
        index: NDArray[np.float64],
        *,
        shift_um: NDArray[np.float64] | None,
        number: int,
        observer: Observer,
    ) -> Frame:
        times, currents = self._timetable.time(index), self._timetable.current_ma(index)
        setup = self._truth.setup
        block = np.empty((angles_rad.size, setup.rows, setup.columns), dtype=np.uint16)

        def views(start: int, stop: int) -> None:
            for k in range(start, stop):
                organ = self._truth.organ
                if shift_um is not None:
                    organ = organ.moved(*shift_um[k])
                block[k] = self._detector.expose(
                    self.transmission(float(angles_rad[k]), organ),
                    time=times[k],
                    current_ma=currents[k],
                    number=number + k,
                )
                observer.advance(STAGE)

        parallel_for(views, angles_rad.size)
        return block

    def transmission(self, angle: float, organ: Organ | None = None) -> Real:
        """What the organ lets through at an angle, (rows, columns) float32.

        Raises
        ------
        SteepPhase
            If even 16 samples along the edge of a pixel do not carry the phase.
        """
        organ = organ if organ is not None else self._truth.organ
        imaging = self._imaging
        factor = (organ.delta_per_mu or 0.0) / CM_PER_UM
        while True:
            maps = project(organ, imaging, self._truth.setup.axis_px, angle)
            try:
                image = imaging.image(*maps, path_per_attenuation_um=factor)
            except SteepPhase:
                if imaging.oversampling >= LARGEST_OVERSAMPLING:
                    raise
                imaging = replace(imaging, oversampling=imaging.oversampling + 1)
                continue
            if imaging is not self._imaging:
                with self._lock:
                    self.refined += 1
            return image


def project(
    organ: Organ, imaging: Imaging, axis_px: float, angle: float
) -> tuple[Real, Real | None]:
    """``mu t`` of a view on fine samples, and the integral of delta where it is no multiple."""
    z, u = imaging.row_samples, imaging.column_samples(axis_px)
    attenuation = imaging.blank()
    organ.add_projection(attenuation, z, u, angle)
    if organ.delta_per_mu is not None or imaging.distance_m == 0:
        return attenuation, None
    path = imaging.blank()
    organ.add_projection(path, z, u, angle, weight="delta")
    return attenuation, path


def sampled_finely_enough(
    organ: Organ, setup: Setup, angles_rad: NDArray[np.float64], observer: Observer
) -> Setup:
    """The setup with its oversampling raised until it carries most of some views; it is said.

    Single views that need more get it when they are computed (:meth:`Camera.transmission`).
    """
    if setup.distance_m == 0:
        return setup
    chosen = np.linspace(0, angles_rad.size - 1, min(SCOUT_VIEWS, angles_rad.size)).astype(int)
    finer = setup
    while finer.oversampling < LARGEST_OVERSAMPLING:
        steps = _phase_steps(organ, finer, angles_rad[chosen])
        if np.quantile(steps, SCOUT_SHARE) < LARGEST_STEP:
            break
        finer = replace(finer, oversampling=finer.oversampling + 1)
    if finer is not setup:
        observer.say(
            f"The wave is computed {finer.oversampling} instead of {setup.oversampling} times "
            "finer than the pixel, as its phase is too steep for less."
        )
    return finer


def _phase_steps(
    organ: Organ, setup: Setup, angles_rad: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Largest phase step between fine samples of each view, in radians."""
    steps = np.zeros(angles_rad.size)
    imaging = setup.imaging
    factor = (organ.delta_per_mu or 0.0) / CM_PER_UM

    def scout(first: int, last: int) -> None:
        for k in range(first, last):
            attenuation, path = project(organ, imaging, setup.axis_px, float(angles_rad[k]))
            steps[k] = imaging.phase_step(attenuation, path, factor)

    parallel_for(scout, angles_rad.size)
    return steps
