"""From the line integrals of all parts that see some organ rows to 16-bit slices.

Where parts overlap, each is reconstructed by itself, with its own axis, and the slices are added
by their weights in float32, before they are rounded to 16 bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

import numpy as np

from hipct.core.arrays import Array
from hipct.pipeline.engine import crop_window, make_reconstructor
from hipct.pipeline.organ import Organ
from hipct.pipeline.report import StageClock
from hipct.pipeline.slabs import SlabChain
from hipct.pipeline.tiles import parts_together
from hipct.volume.quantise import ClipCounts, Window, quantise

Lines = Sequence[tuple[int, Array]]
"""Number of a part, and line integrals (slices, angles, columns) of it."""


class Assembly:
    """Slices of an organ.

    Parameters
    ----------
    organ : Organ
        With its axes.
    size : int
        Pixels along each side of the slices before they are cropped.
    clock : StageClock
        Receives the times.
    window : Window, optional
        The 16-bit window, once it is known.
    xp : module
        Where it is computed.
    """

    def __init__(
        self,
        organ: Organ,
        size: int,
        clock: StageClock,
        window: Window | None = None,
        *,
        xp: ModuleType = np,
    ) -> None:
        self._organ, self._size, self._clock, self._xp = organ, size, clock, xp
        self._window = window
        self._crop = crop_window(organ, size)
        self._chains: dict[int, SlabChain] = {}
        self._kept = parts_together(organ)
        #: Radius of the disc outside of which voxels are stored as 0; None: nowhere.
        self.radius_px = organ.radius_px

    def with_window(self, window: Window) -> Assembly:
        """The same, able to make 16-bit slices."""
        return Assembly(self._organ, self._size, self._clock, window, xp=self._xp)

    def chain(self, number: int) -> SlabChain:
        """The chain of a part; those of the parts that one slab needs are kept."""
        chain = self._chains.pop(number, None)
        if chain is None:
            part = self._organ.parts[number]
            engine = make_reconstructor(part, self._size, xp=self._xp)
            chain = SlabChain(part, engine, self._clock)
        self._chains[number] = chain
        while len(self._chains) > self._kept:
            del self._chains[next(iter(self._chains))]
        return chain

    def slices(self, rows: range, lines: Lines) -> Array:
        """Slices (rows, n, n) float32 of some organ rows, not cropped.

        Parameters
        ----------
        rows : range
            The organ rows.
        lines : sequence of (int, array)
            All parts that see them, with their line integrals (rows, angles, columns).
        """
        if len(lines) == 1:
            # The weight of one alone is 1.
            number, own = lines[0]
            return self.chain(number).slices(own)
        xp = self._xp
        total = xp.zeros((len(rows), self._size, self._size), np.float32)
        weights = self._organ.weights(rows).astype(np.float32)
        for number, own in lines:
            slices = self.chain(number).slices(own)
            with self._clock.stage("blend", slices.nbytes):
                slices *= xp.asarray(weights[number])[:, None, None]
                total += slices
        return total

    def grey(self, rows: range, lines: Lines, counts: ClipCounts, out: Array) -> None:
        """Fill ``out`` (rows, y, x) with the 16-bit slices of some organ rows, cropped."""
        assert self._window is not None
        if not lines:
            out[...] = 0
            return
        slices = self.slices(rows, lines)
        with self._clock.stage("quantise", slices.nbytes):
            whole = out.shape == slices.shape
            grey = quantise(
                slices,
                self._window,
                out=out if whole else None,
                counts=counts,
                radius_px=self.radius_px,
            )
            if not whole:
                out[...] = grey[:, self._crop[0], self._crop[1]]
