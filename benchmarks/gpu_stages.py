"""The stages that ``benchmarks.gpu`` times: their calls, and what they have to move at least.

What a stage *has to move* is what it takes and what it makes, each once: its time over that of a
copy of as many bytes says how far it is from the best that any kernel could do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Literal

import numpy as np

from benchmarks.gpu_data import PHASE, Size, make_sinogram
from hipct.core.arrays import Array, fft_module
from hipct.phase.paganin import PaganinFilter
from hipct.phase.paganin_cuda import batch_images
from hipct.phase.unsharp import UnsharpMask
from hipct.preparation.flat import FlatField
from hipct.preparation.linearise import sinograms
from hipct.preparation.rings import remove_rings, ring_memory_bytes
from hipct.preparation.zingers import remove_zingers
from hipct.reconstruction import direct_cuda, fourier_cuda, gridding_cuda
from hipct.reconstruction.direct import DirectEngine
from hipct.reconstruction.geometry import Geometry
from hipct.reconstruction.gridding import GridPlan
from hipct.reconstruction.kernel import WIDTH
from hipct.volume.disc import columns_inside, squared_reach
from hipct.volume.quantise import quantise
from hipct.volume.reduce import reduce_levels
from hipct.volume.window import Window

PROJECTION_ROWS = 2048
PROJECTION_PIXELS = 2**28
"""Detector rows of the projections at most, and pixels of all that are worked on at a time."""

DIRECT_UPDATES = 10**12
"""Updates of one call of the direct engine at most: a second of a fast device."""

MASK = UnsharpMask(sigma_px=0.8, strength=3.0, method="log")
GROUPS = 2
LEVELS = 3


@dataclass(frozen=True)
class Stage:
    """One stage as it is timed."""

    name: str
    call: Callable[[], object]
    items: float
    """Projections or slices of a call."""
    bytes: float
    """What the stage has to move for one of them."""
    per: str = "slice"
    updates: float = 0.0
    """Additions to pixels (direct) or to cells of the grid (gridding) for one of them."""
    part: Literal["chain", "rings"] | None = None
    """Whether it belongs to the chain without rings, or to what rings add."""


def projection_shape(size: Size) -> tuple[int, int, int]:
    """Images, rows and columns of the projections that are worked on at a time."""
    rows = min(PROJECTION_ROWS, size.columns)
    return max(1, min(64, PROJECTION_PIXELS // (rows * size.columns))), rows, size.columns


def projection_bytes(size: Size) -> int:
    """Device memory of :func:`projection_stages`, about."""
    images, rows, columns = projection_shape(size)
    # Two filters: padded images as reals and as spectra, and the work areas of two plans.
    filters = 2 * 16 * batch_images(rows, columns) * (rows + 400) * (columns + 400)
    return (14 * images + 24) * rows * columns + filters


def projection_stages(xp: ModuleType, size: Size) -> list[Stage]:
    """Stages that take projections."""
    images, rows, columns = projection_shape(size)
    frame, pixels = (rows, columns), rows * columns
    rng = np.random.default_rng(5)
    dark = xp.full((1, *frame), 100, np.uint16)
    flats = xp.asarray(rng.integers(30_000, 40_000, (GROUPS, *frame), np.uint16))
    counts = xp.empty((images, *frame), np.uint16)
    counts[...] = xp.asarray(rng.integers(5_000, 30_000, frame, np.uint16))
    index = np.arange(1, images + 1)
    field = FlatField.from_frames(flats, dark, flat_index=[0, images + 1])
    transmission = field.apply(counts, projection_index=index)
    out = xp.empty_like(transmission)
    lines = xp.empty((rows, images, columns), np.float32)
    plain = PaganinFilter(rows, columns, **PHASE, xp=xp)
    masked = PaganinFilter(rows, columns, **PHASE, unsharp=MASK, xp=xp)
    references = (GROUPS + 1) * 4 * pixels / images

    def stage(
        name: str,
        call: Callable[[], object],
        moved: float,
        part: Literal["chain"] | None = None,
    ) -> Stage:
        return Stage(name, call, images, moved, "projection", part=part)

    return [
        stage(
            "flat field",
            lambda: field.apply(counts, projection_index=index, out=out),
            6 * pixels + references,
            part="chain",
        ),
        stage("zingers", lambda: remove_zingers(transmission, 0.5, out=out), 8 * pixels),
        stage("Paganin", lambda: plain.apply(transmission, out), 8 * pixels, part="chain"),
        stage("Paganin with unsharp mask", lambda: masked.apply(transmission, out), 8 * pixels),
        stage("logarithm", lambda: sinograms(transmission, lines), 8 * pixels, part="chain"),
    ]


class SliceStages:
    """Stages that take sinograms, with their arrays.

    Parameters
    ----------
    xp : module
        ``cupy``.
    size : Size
        Its rows are the slices that are worked on at a time.
    """

    def __init__(self, xp: ModuleType, size: Size) -> None:
        self.xp, self.size = xp, size
        self.geometry = slice_geometry(size)
        self.plan = GridPlan.create(self.geometry)
        one = xp.asarray(make_sinogram(size, self.geometry.angles))
        self.lines = xp.empty((size.rows, *one.shape), np.float32)
        for number in range(size.rows):
            xp.multiply(one, np.float32(1 + 0.01 * number), out=self.lines[number])
        self.slices = xp.empty((size.rows, size.columns, size.columns), np.float32)
        self.scratch = xp.empty_like(self.slices[: gridding_cuda.LANES])
        self.kept = fourier_cuda.OnDevices(self.plan)

    def fourier(self) -> None:
        """Reconstruct all slices by the Fourier engine."""
        fourier_cuda.reconstruct(self.kept, self.lines, self.slices)

    def stages(self) -> list[Stage]:
        """All stages; the first reconstruction makes what the others use."""
        self.fourier()
        return [*self._rings(), *self._fourier(), *self._direct(), *self._grey()]

    def _rings(self) -> list[Stage]:
        cleaned = self.xp.empty_like(self.lines)
        moved = 8 * self.size.angles * self.size.columns
        methods = ("sorting", "wavelet")
        calls = {
            f"rings, {method}": lambda method=method: remove_rings(self.lines, method, out=cleaned)
            for method in methods
        }
        return [
            Stage(name, call, self.size.rows, moved, part="rings") for name, call in calls.items()
        ]

    def _fourier(self) -> list[Stage]:
        """The whole engine, and its parts on one group of slices."""
        xp, plan, size, lanes = self.xp, self.plan, self.size, gridding_cuda.LANES
        fft = fft_module(xp)
        tables = self.kept.tables[int(self.lines.device.id)]
        (transforms,) = self.kept.idle[int(self.lines.device.id)]
        group = self.lines[:lanes]
        shape = lanes, len(tables.blocks[0].order), self.geometry.length
        padded = xp.empty(shape, np.float32)

        def transform(block: gridding_cuda.LineBlock) -> Array:
            fourier_cuda.pad_rows(group, block.order, tables.source, tables.lateral, padded)
            with transforms.rows:
                return fft.rfft(padded, axis=2)

        spectra = transform(tables.blocks[0])
        empty = gridding_cuda.HalfPlane.zeros(xp, plan.grid)
        sinogram, image = 4 * size.angles * size.columns, 4 * size.columns**2
        lines = 8 * size.angles * plan.samples
        cells = 8 * plan.grid * (plan.grid // 2 + 1)

        def transform_rows() -> None:
            for block in tables.blocks:
                transform(block)

        def grid() -> None:
            half_plane = gridding_cuda.HalfPlane.zeros(xp, plan.grid)
            for block in tables.blocks:
                gridding_cuda.spread_tiles(half_plane, spectra, block, tables.response, tables.taps)
            gridding_cuda.fold_margins(half_plane)

        def to_slices() -> None:
            # The transform overwrites its input, so that only zeros stay what they are.
            fourier_cuda._slices(empty, self.scratch, plan, tables, transforms)

        adds = float(WIDTH**2 * size.angles * plan.samples)
        return [
            Stage("FBP, Fourier", self.fourier, size.rows, sinogram + image, part="chain"),
            Stage("- padding and FFT of rows", transform_rows, lanes, sinogram + lines),
            Stage("- gridding", grid, lanes, lines + cells, updates=adds),
            Stage("- inverse FFT and unpacking", to_slices, lanes, cells + image),
        ]

    def _direct(self) -> list[Stage]:
        """The engine on a window of rows that bounds the work, and its kernel alone."""
        xp, size, geometry = self.xp, self.size, self.geometry
        n, angles, lanes = size.columns, size.angles, gridding_cuda.LANES
        slices = min(lanes, size.rows)
        rows = min(n, max(32, DIRECT_UPDATES // (slices * n * angles)))
        window = slice((n - rows) // 2, (n - rows) // 2 + rows)
        out = xp.empty((slices, rows, n), np.float32)
        engine = DirectEngine(geometry, xp=xp)
        inside = columns_inside(n, n, squared_reach(geometry.reach))
        seen = int(inside[window].sum()) / rows * n
        line_count = direct_cuda.LINES
        turn = np.arange(line_count) * np.pi / line_count
        block = direct_cuda.Block(
            filtered=xp.full((lanes, line_count, geometry.length), 0.5, np.float32),
            cosines=xp.asarray(np.cos(turn)),
            sines=xp.asarray(np.sin(turn)),
            begin=True,
            end=True,
        )
        moved = 4 * (angles * size.columns + n * n)
        return [
            Stage(
                "FBP, direct",
                lambda: engine.reconstruct(self.lines[:slices], out, window),
                slices * rows / n,
                moved,
                updates=seen * angles,
            ),
            Stage(
                "- back-projection alone",
                lambda: direct_cuda.back_project(self.scratch, block, geometry, (0, 0)),
                slices * line_count / angles,
                4 * (angles * geometry.length + n * n),
                updates=float(inside.sum()) * angles,
            ),
        ]

    def _grey(self) -> list[Stage]:
        size = self.size
        window = Window(-1 / size.columns, 10 / size.columns)
        grey = quantise(self.slices, window)
        voxels = size.columns**2
        return [
            Stage(
                "quantise",
                lambda: quantise(self.slices, window, radius_px=size.columns / 2, out=grey),
                size.rows,
                6 * voxels,
                part="chain",
            ),
            Stage(
                f"reduce, {LEVELS} levels",
                lambda: reduce_levels(grey, LEVELS),
                size.rows,
                2 * voxels * sum(8.0**-level for level in range(LEVELS + 1)),
                part="chain",
            ),
        ]


def slice_geometry(size: Size) -> Geometry:
    """Half a turn about the middle of the detector."""
    angles = np.arange(size.angles) * np.pi / size.angles
    return Geometry.create(angles, size.columns, padding="zero")


def slice_bytes(size: Size) -> int:
    """Device memory of :class:`SliceStages`, about."""
    geometry = slice_geometry(size)
    plan = GridPlan.create(geometry)
    lines = 4 * size.rows * size.angles * size.columns
    voxels = size.rows * size.columns**2
    lanes = gridding_cuda.LANES
    spectra = 3 * lanes * gridding_cuda.block_lines(plan) * geometry.length * 4
    direct = lanes * direct_cuda.LINES * geometry.length * 4 + voxels * 4
    # Plans of both engines are held to the end, with their work areas.
    work = direct_cuda.memory_bytes(geometry) + max(
        fourier_cuda.memory_bytes(plan),
        ring_memory_bytes(size.rows, size.angles, size.columns, on_device=True),
    )
    grid = 8 * lanes * plan.grid * (plan.grid // 2 + 1)
    return 2 * lines + 11 * voxels + spectra + direct + grid + work
