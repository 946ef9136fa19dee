"""The direct engine: every pixel collects from every filtered row, by linear interpolation.

O(N^3), and less exact than the Fourier engine (linear interpolation of the rows leaves 6e-3 rms),
but a window of the slice costs no more than its own pixels: it serves regions of interest and live
browsing, and it is an independent check of the Fourier engine. For browsing it also makes planes
of any tilt (:mod:`hipct.reconstruction.planes`).

On a device the same steps are taken with slices first (:mod:`hipct.reconstruction.direct_cuda`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError
from hipct.core.jit import has_numba
from hipct.core.threads import parallel_for
from hipct.reconstruction.chunks import aligned, chunk_length, in_flight, ranges
from hipct.reconstruction.geometry import Geometry
from hipct.reconstruction.planes import Plane, Span, back_project_plane, groups

LANES = 16
"""Slices that travel together: 64 bytes a sample."""

BLOCK_BYTES = 32 << 20
"""Filtered rows of a block of angles."""

APART = 27
"""Samples between two rows: with a power of two of bytes from row to row, all rows of a tile would
want the same few lines of the cache."""

TILE = 16
"""Side of the tile of pixels that one thread holds, with its sums, in the first cache."""


@dataclass(frozen=True, eq=False)
class DirectEngine:
    """Direct back-projection of one geometry; may be called from several threads.

    ``xp`` is the namespace of the arrays that it takes, and where it computes; on a device it
    takes any number of slices at a time.
    """

    geometry: Geometry
    accelerated: bool = field(default_factory=has_numba)
    xp: Any = np
    _idle: dict[int, Any] = field(default_factory=dict, repr=False)

    @property
    def batch(self) -> int:
        """Slices that travel together."""
        if self.xp is np:
            return LANES
        from hipct.reconstruction import gridding_cuda

        return gridding_cuda.LANES

    def reconstruct(
        self, sinograms: Array, out: Array, rows: slice = slice(None), columns: slice = slice(None)
    ) -> None:
        """Fill ``out`` with a window of the slices.

        Parameters
        ----------
        sinograms : array, shape (slices, angles, columns), float32
        out : array, shape (slices, window rows, window columns), float32
        rows, columns : slice
            The window in pixels of the slice (step 1); everything by default.

        Raises
        ------
        InputError
            If ``out`` does not have the shape of the window, the window leaves pixels out, or a
            value of the sinograms is not finite.
        """
        geometry = self.geometry
        if any(window.step not in (None, 1) for window in (rows, columns)):
            raise InputError(f"The window {rows}, {columns} leaves pixels out; give steps of 1.")
        windows = zip((rows, columns), self.geometry.pivot)
        y, x = (self._positions(window, pivot) for window, pivot in windows)
        shape = (sinograms.shape[0], y.size, x.size)
        if out.shape != shape:
            raise InputError(
                f"The array for the result has the shape {out.shape}; this window of these slices "
                f"needs {shape}."
            )
        if namespace(sinograms, out) is not np:
            from hipct.reconstruction import direct_cuda

            direct_cuda.reconstruct(geometry, sinograms, out, rows, columns, self._idle)
            return
        sums = aligned(np.zeros, (y.size, x.size, self._lanes(shape[0])))
        for lines in self._blocks(shape[0]):
            self._add(sums, sinograms, lines, y, x)
        chunk = chunk_length(x.size * shape[0] * 4)

        def finish(start: int, stop: int) -> None:
            for part in ranges(stop, chunk, start):
                seen = y[part, None] ** 2 + x**2 <= geometry.reach**2
                out[:, part] = np.moveaxis(sums[part, :, : shape[0]] * seen[:, :, None], 2, 0)

        parallel_for(finish, y.size)

    def plane(
        self,
        sinograms: Array,
        origin: Sequence[float],
        row_step: Sequence[float],
        column_step: Sequence[float],
        shape: Sequence[int],
        *,
        first_row: int = 0,
    ) -> Array:
        """Reconstruct one plane; see :meth:`hipct.reconstruction.Reconstructor.plane`.

        Sinograms are float32; their shape is not checked.
        """
        xp = namespace(sinograms)
        view = Plane.create(origin, row_step, column_step, shape)
        out = xp.zeros(view.shape, xp.float32)
        seen = view.seen_from(len(sinograms), first_row)
        if seen is None:
            return out
        rows, view = seen
        sinograms = sinograms[rows]
        if xp is not np:
            from hipct.reconstruction import direct_cuda

            direct_cuda.plane(self.geometry, sinograms, out, view, self._idle)
            return out
        for group in groups(len(sinograms), LANES):
            for lines in self._blocks(group.stop - group.start):
                filtered = self._filter(sinograms[group], lines)
                back_project_plane(
                    out,
                    filtered,
                    view,
                    Span(group, len(sinograms)),
                    geometry=self.geometry,
                    lines=lines,
                    accelerated=self.accelerated,
                )
        return out

    def memory_bytes(self, slices: int) -> int:
        """Peak bytes that a call over whole slices takes beside sinograms and slices."""
        if self.xp is not np:
            from hipct.reconstruction import direct_cuda

            return direct_cuda.memory_bytes(self.geometry)
        size, row = self.geometry.size, self.geometry.length * slices * 4
        block = int(self._blocks(slices)[0].stop)
        # Beside the filtered rows of a block: padded rows of a chunk and their spectra.
        pitch = self.geometry.length + APART
        filtering = block * pitch * self._lanes(slices) * 4
        filtering += 2 * in_flight(block, chunk_length(row)) * row
        finishing = in_flight(size, chunk_length(size * slices * 4)) * size * (slices * 4 + 8)
        return size * size * self._lanes(slices) * 4 + max(filtering, finishing)

    def _add(
        self,
        sums: NDArray[np.float32],
        sinograms: NDArray[np.float32],
        lines: slice,
        y: NDArray[np.float64],
        x: NDArray[np.float64],
    ) -> None:
        """Back-project some angles onto the pixels at (x, y): sums (rows, columns, slices)."""
        geometry = self.geometry
        filtered = self._filter(sinograms, lines, APART)
        cos, sin = np.cos(geometry.angles[lines]), np.sin(geometry.angles[lines])
        if self.accelerated:
            from hipct.reconstruction.direct_numba import back_project_tiles

            tiles = -(-y.size // TILE) * -(-x.size // TILE)
            shape = (geometry.length, *filtered.shape[1:])
            place = (cos, sin, geometry.axis, y, x, geometry.reach + 1.0, TILE)
            task = partial(back_project_tiles, sums.ravel(), filtered.ravel(), shape, *place)
            parallel_for(task, tiles)
        else:
            rows = filtered[:, : geometry.length]
            _back_project(sums, rows, cos, sin, axis=geometry.axis, y=y, x=x)

    def _lanes(self, slices: int) -> int:
        """Slices in the sums: the accelerated loop takes whole vectors."""
        if not self.accelerated:
            return slices
        from hipct.core.simd_numba import VECTOR

        return -(-slices // VECTOR) * VECTOR

    def _positions(self, window: slice, pivot: float) -> NDArray[np.float64]:
        return np.arange(self.geometry.size, dtype=np.float64)[window] - pivot

    def _blocks(self, slices: int) -> list[slice]:
        step = max(1, BLOCK_BYTES // (self.geometry.length * slices * 4))
        return ranges(self.geometry.angles.size, step)

    def _filter(self, sinograms: Array, lines: slice, apart: int = 0) -> Array:
        """Weighted, filtered rows of some angles, ``apart`` zeros after each.

        (angles, length + apart, slices)
        """
        geometry = self.geometry
        count = lines.stop - lines.start
        slices = sinograms.shape[0]
        pitch = geometry.length + apart
        filtered = aligned(np.zeros, (count, pitch, self._lanes(slices)))
        weight = geometry.weight.astype(np.float32)
        chunk = chunk_length(geometry.length * slices * 4)

        def task(start: int, stop: int) -> None:
            for part in ranges(stop, chunk, start):
                angles = slice(lines.start + part.start, lines.start + part.stop)
                rows = geometry.filtered_rows(sinograms, angles)
                into = filtered[part, : geometry.length, :slices]
                np.multiply(rows, weight[angles, None, None], out=into)

        parallel_for(task, count)
        return filtered


def _back_project(
    sums: Array,
    filtered: Array,
    cos: Array,
    sin: Array,
    *,
    axis: float,
    y: Array,
    x: Array,
) -> None:
    """Add some angles to the sums (rows, columns, slices), angle by angle."""
    length = filtered.shape[1]
    for k in range(filtered.shape[0]):
        position = axis + y[:, None] * sin[k] + x * cos[k]
        cell = np.floor(position)
        rest = (position - cell).astype(np.float32)[:, :, None]
        left = cell.astype(np.intp) % length
        right = (left + 1) % length
        sums += filtered[k][left] * (1 - rest) + filtered[k][right] * rest
