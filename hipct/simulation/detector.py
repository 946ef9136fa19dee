"""The camera and the beam: from transmission to the counts that a file holds.

``counts = gain * Poisson(photons * beam * current * transmission) + offset + read noise``, rounded
to uint16. The beam is a vertical Gaussian, wide in the horizontal, and slowly moves up or down;
the scintillator has a pattern and dust in it, which flats see as well; spots that respond
differently behind the sample than in the open beam are seen in the sample's frames alone, and
make rings.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from hipct.core.errors import InputError

Frame = NDArray[np.uint16]
Stream = Literal["projection", "flat", "dark"]

OPEN_BEAM_COUNTS = 30_000.0
OFFSET_COUNTS = 100
READ_NOISE_COUNTS = 8.0
BEAM_SIGMA_ROWS = 0.5
BEAM_SIGMA_COLUMNS = 1.2
PATTERN = 0.02
PIXELS_PER_DUST = 4000
PIXELS_PER_SPOT = 1500

CURRENT_MA = 200.0
CURRENT_LOSS = 0.06
REFILLS = 3

_STREAMS: dict[Stream, int] = {"projection": 10, "flat": 11, "dark": 12}


def machine_current(time: NDArray[np.float64], seed: int = 0) -> NDArray[np.float64]:
    """Current of a storage ring that decays and is refilled three times in a scan, in mA.

    Parameters
    ----------
    time : (frames,) float64
        Times; the projections fill 0 to 1.
    seed : int
        Decides when the first refill comes.

    Returns
    -------
    (frames,) float64
    """
    phase = np.random.default_rng([seed, 5]).uniform()
    since_refill = np.mod(REFILLS * np.asarray(time, dtype=np.float64) + phase, 1.0)
    return CURRENT_MA * np.exp(-CURRENT_LOSS * since_refill)


@dataclass(frozen=True, kw_only=True)
class Detector:
    """A camera behind a scintillator in a drifting beam. The same seed gives the same frames.

    Parameters
    ----------
    rows, columns : int
        Of the detector.
    photons : float or None
        Photons per pixel in the brightest part of the open beam; None for no noise at all.
    drift : float
        How far the beam moves vertically during the scan, relative to the detector's height.
    rings : float
        Largest relative error of the gain at spots, in frames of the sample alone.
    zingers : float
        Fraction of the pixels of a frame that a stray photon hits.
    dead_pixels : float
        Fraction of pixels that are stuck at 0 or at full scale.
    darkening : (float, float)
        Fraction of the light that the sample's frames lose at the start and at the end of the
        scan, on a line between: optics that darken with the dose after the flats were taken.
        Below 0 where there is more light than when the flats were taken.
    run : int
        Number of the scan: other runs of one seed have the same pattern, spots and stuck pixels,
        and noise of their own.
    seed : int
        0 or more.

    Raises
    ------
    InputError
        If a number is out of its range.
    """

    rows: int
    columns: int
    photons: float | None = 5000.0
    drift: float = 0.01
    rings: float = 0.01
    zingers: float = 0.0
    dead_pixels: float = 0.0
    darkening: tuple[float, float] = (0.0, 0.0)
    run: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.photons is not None and not (math.isfinite(self.photons) and self.photons > 0):
            raise InputError(
                f"The noise is {self.photons} photons per pixel; give a number above 0, or none "
                "for a scan without noise."
            )
        for name, largest in (("rings", 0.5), ("zingers", 0.1), ("dead_pixels", 0.1)):
            if not 0 <= getattr(self, name) <= largest:
                raise InputError(f"{name} is {getattr(self, name)}; allowed is 0 to {largest}.")
        if not abs(self.drift) <= 0.5:
            raise InputError(f"drift is {self.drift}; allowed is -0.5 to 0.5.")
        if not all(abs(loss) < 1 for loss in self.darkening):
            raise InputError(
                f"darkening is {self.darkening}; allowed is -1 to 1, neither included."
            )
        if self.seed < 0:
            raise InputError(f"The seed is {self.seed}; give 0 or a positive integer.")

    def beam(self, time: float) -> NDArray[np.float32]:
        """Counts of the open beam at the nominal current, without offset.

        Parameters
        ----------
        time : float
            The projections fill 0 to 1.

        Returns
        -------
        (rows, columns) float32
        """
        # A half cosine: flats before and after catch its ends, but not all of its way.
        moved = self.drift * self.rows * 0.5 * (1 - math.cos(math.pi * min(max(time, 0.0), 1.0)))
        row = (np.arange(self.rows) - (self.rows - 1) / 2 - moved) / (BEAM_SIGMA_ROWS * self.rows)
        column = (np.arange(self.columns) - (self.columns - 1) / 2) / (
            BEAM_SIGMA_COLUMNS * self.columns
        )
        profile = np.exp(-0.5 * row[:, None] ** 2) * np.exp(-0.5 * column**2)
        counts: NDArray[np.float32] = (OPEN_BEAM_COUNTS * profile * self._pattern).astype(
            np.float32
        )
        return counts

    @cached_property
    def gain_error(self) -> NDArray[np.float32]:
        """Factor on the sample's frames alone, (rows, columns): 1 but for spots."""
        random = np.random.default_rng([self.seed, 6])
        count = max(1, self.rows * self.columns // PIXELS_PER_SPOT)
        spots = self._spots(random, count, lambda: random.uniform(0.3, 1) * random.choice([-1, 1]))
        return (1 + self.rings * spots).astype(np.float32)

    def expose(
        self,
        transmission: NDArray[np.float32] | None,
        *,
        time: float,
        current_ma: float,
        number: int,
    ) -> Frame:
        """One frame of the sample, or of the open beam where there is no transmission.

        Parameters
        ----------
        transmission : (rows, columns) float32 or None
            What the organ lets through.
        time : float
            The projections fill 0 to 1.
        current_ma : float
            Machine current in mA.
        number : int
            Number of the frame of its kind; decides its noise.

        Returns
        -------
        (rows, columns) uint16
        """
        random = self._random("flat" if transmission is None else "projection", number)
        expected = self.beam(time).astype(np.float64) * (current_ma / CURRENT_MA)
        if transmission is not None:
            expected *= transmission
            expected *= self.gain_error
            before, after = self.darkening
            expected *= 1 - before - (after - before) * min(max(time, 0.0), 1.0)
        if self.photons is not None:
            gain = OPEN_BEAM_COUNTS / self.photons
            expected = gain * random.poisson(expected / gain).astype(np.float64)
        return self._read(expected, random)

    def dark(self, number: int) -> Frame:
        """One frame without beam, (rows, columns) uint16."""
        return self._read(np.zeros((self.rows, self.columns)), self._random("dark", number))

    def _random(self, stream: Stream, number: int) -> np.random.Generator:
        runs = [self.run] if self.run else []
        return np.random.default_rng([self.seed, _STREAMS[stream], number, *runs])

    def _read(self, counts: NDArray[np.float64], random: np.random.Generator) -> Frame:
        if self.photons is not None:
            counts = counts + READ_NOISE_COUNTS * random.standard_normal(counts.shape)
        counts = counts + self._offset
        hits = random.binomial(counts.size, self.zingers) if self.zingers else 0
        if hits:
            where = random.integers(counts.size, size=hits)
            counts.flat[where] += OPEN_BEAM_COUNTS * random.uniform(0.3, 2.0, size=hits)
        frame = np.clip(np.rint(counts), 0, 65535).astype(np.uint16)
        for value, stuck in zip((0, 65535), self._stuck):
            frame.flat[stuck] = value
        return frame

    @cached_property
    def _offset(self) -> NDArray[np.float64]:
        random = np.random.default_rng([self.seed, 7])
        columns = random.integers(-3, 4, size=self.columns)
        return OFFSET_COUNTS + columns * np.ones((self.rows, 1))

    @cached_property
    def _stuck(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        random = np.random.default_rng([self.seed, 8])
        pixels = self.rows * self.columns
        count = round(self.dead_pixels * pixels)
        stuck = random.choice(pixels, size=count, replace=False)
        return stuck[: count // 2], stuck[count // 2 :]

    @cached_property
    def _pattern(self) -> NDArray[np.float64]:
        random = np.random.default_rng([self.seed, 9])
        grain = random.standard_normal((self.rows, self.columns))
        smooth = scipy.ndimage.gaussian_filter(grain, 2.0, mode="nearest")
        count = max(1, self.rows * self.columns // PIXELS_PER_DUST)
        dust = self._spots(random, count, lambda: random.uniform(0.03, 0.2))
        pattern: NDArray[np.float64] = (1 + PATTERN * smooth / smooth.std()) * (1 - dust)
        return pattern

    def _spots(
        self, random: np.random.Generator, count: int, height: Callable[[], float]
    ) -> NDArray[np.float64]:
        """Sum of Gaussian spots of 0.5 to 2 pixels at random places."""
        image = np.zeros((self.rows, self.columns))
        for _ in range(count):
            row, column = random.uniform(0, self.rows), random.uniform(0, self.columns)
            size, peak = random.uniform(0.5, 2.0), height()
            top, left = max(0, int(row - 4 * size)), max(0, int(column - 4 * size))
            part = image[top : int(row + 4 * size) + 1, left : int(column + 4 * size) + 1]
            r = (np.arange(part.shape[0]) + top - row) / size
            c = (np.arange(part.shape[1]) + left - column) / size
            part += peak * np.exp(-0.5 * (r[:, None] ** 2 + c**2))
        return np.clip(image, -1, 1)
