"""A zoom looked for in all of its overview: positions by FFT, rotations about z one by one.

Two pyramids have levels of about the same voxel. At the level where the zoom is some 20 voxels
across, one voxel of its rim is a rotation of some 6 degrees: tilts of a few degrees and scales
wrong by a per cent do not matter there, and an organ is small.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, product
from types import ModuleType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hipct.atlas.matching import Matcher, highest, matcher_bytes
from hipct.atlas.register_levels import Levels, Place
from hipct.atlas.register_parts import in_circle, matched_blur
from hipct.atlas.similarity import Similarity, rotation
from hipct.atlas.spline import blurred, interpolate, spline_coefficients
from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError
from hipct.core.progress import Observer

Float = NDArray[np.float64]

_ENOUGH = 2500
_FEWEST = 1000
_MOST_WORK = 2.0**36
_SECTORS = 4
_APART = 3
_COARSER = 1.05
_SMALL_PX, _LARGE_PX = 0.7, 4.0
_OVERLAP = 0.7
_AROUND_DEG = 15.0


@dataclass(frozen=True)
class Start:
    """What is known before.

    Attributes
    ----------
    position_um : (3,) or None
        Where the zoom's centre lies in the overview; looked for within half a zoom around it.
    rotation_deg : float or None
        About z; looked for within 15 degrees.
    scale : float
        Of the zoom's lengths, 1 where both voxel sizes are right.
    """

    position_um: Float | None
    rotation_deg: float | None
    scale: float


class Candidate(NamedTuple):
    """A place that the search found."""

    ncc: float
    place: Similarity


def template_half(zoom: Levels, step_um: Float, scale: float) -> tuple[int, int, int]:
    """Voxels of the overview from the middle of the zoom to its ends, along z, y and x."""
    extent = zoom.extent_um * scale
    radius = min(extent[1], extent[2]) / 2
    half = np.floor(np.array([extent[0] / 2, radius, radius]) / step_um - 0.5).astype(int)
    return (int(half[0]), int(half[1]), int(half[2]))


def search_level(zoom: Levels, overview: Levels, scale: float) -> int:
    """The level of the overview to search: the coarsest with enough of the zoom's voxels.

    Raises
    ------
    InputError
        If the zoom is coarser than its overview, too small for it at any level, or larger.
    """
    voxels = zoom.places[0].voxel_um * scale, overview.places[0].voxel_um
    if voxels[0] > _COARSER * voxels[1]:
        raise InputError(
            f"The zoom {zoom.volume.address} has voxels of {voxels[0]:.4g} um, larger than those "
            f"of its overview, {voxels[1]:.4g} um; give the zoom first, then the overview."
        )
    finest = finest_level(zoom, overview, scale)
    chosen = None
    for level in range(finest, len(overview.places)):
        place = overview.places[level]
        half = template_half(zoom, place.step_um, scale)
        count = np.prod([2 * h + 1 for h in half]) * np.pi / 4
        fewest = _ENOUGH if np.prod(place.shape) * 2 * np.pi * half[1] < _MOST_WORK else _FEWEST
        if min(half) >= 3 and count >= (fewest if chosen is not None else _FEWEST):
            chosen = level
    if chosen is None:
        raise InputError(
            f"The zoom {zoom.volume.address} is {_lengths(zoom.extent_um)} um in size, too few "
            f"voxels of {overview.places[finest].voxel_um:.3g} um of the overview to be "
            "recognised; give an overview with smaller voxels, or a larger zoom."
        )
    if (zoom.extent_um * scale > 1.5 * overview.extent_um).any():
        raise InputError(
            f"The zoom {zoom.volume.address} ({_lengths(zoom.extent_um)} um) is larger than its "
            f"overview ({_lengths(overview.extent_um)} um); give the zoom first, then the overview."
        )
    return chosen


def finest_level(zoom: Levels, overview: Levels, scale: float) -> int:
    """The finest level of the overview whose voxels are no smaller than the zoom's."""
    voxel = zoom.places[0].voxel_um * scale
    fitting = [k for k, place in enumerate(overview.places) if place.voxel_um >= 0.8 * voxel]
    return fitting[0] if fitting else len(overview.places) - 1


def search(
    zoom: Levels,
    overview: Levels,
    level: int,
    start: Start,
    *,
    count: int,
    memory_bytes: int,
    xp: ModuleType,
    observer: Observer,
) -> list[Candidate]:
    """The best places of a zoom at a level of its overview, best first."""
    place = overview.places[level]
    half = template_half(zoom, place.step_um, start.scale)
    angles = _angles(half[1], start)
    templates = Templates(zoom, place.step_um, half, start.scale, xp)
    blocks = list(_blocks(half, _window(zoom, place, start), memory_bytes))
    found: list[tuple[float, Float, float]] = []
    observer.start("searched", len(blocks) * len(angles))
    for low, high in blocks:
        rim = int(np.ceil(4 * _LARGE_PX)) + 1
        values = overview.read(level, low - half - rim, high + half + rim)
        if not np.isfinite(values).any():
            observer.advance("searched", len(angles))
            continue
        image = band(xp.asarray(values), np.ones(3))[(slice(rim, -rim),) * 3]
        matcher = Matcher(xp.ascontiguousarray(image), templates.mask, _OVERLAP)
        del values, image
        # Rotations far apart at one place are places of their own.
        for sector in np.array_split(np.arange(len(angles)), min(_SECTORS, len(angles))):
            best = xp.full(tuple(high - low), np.float32(-1))
            which = xp.zeros(tuple(high - low), np.int32)
            for number in sector:
                ncc = matcher.ncc(templates.rotated(angles[number]))
                which = xp.where(ncc > best, np.int32(number), which)
                best = xp.maximum(ncc, best)
                observer.advance("searched")
            for peak in highest(best, which, count, _APART):
                found.append((peak.ncc, low + peak.position, angles[peak.number]))
    observer.finish("searched")
    found.sort(key=lambda entry: -entry[0])
    return [
        Candidate(
            ncc,
            Similarity(
                start.scale,
                rotation([angle, 0, 0]),
                zoom.centre_um,
                place.origin_um + index * place.step_um,
            ),
        )
        for ncc, index, angle in found[:count]
    ]


def band(values: Array, voxels: Float) -> Array:
    """Grey values without what is smaller than a search can hit, and without slow changes.

    The search tries every voxel and every few degrees: finer structure would be missed between
    them. The level of a local tomography rises towards its rim, and would look like the edge of a
    sample.

    Parameters
    ----------
    values : array of float32, (z, y, x)
        NaN where there is none, and in what is returned.
    voxels : (3,)
        Of the overview, in voxels of the image.
    """
    xp = namespace(values)
    known = xp.isfinite(values)
    # Without its level, an overview that is the same everywhere becomes 0 exactly.
    level = xp.where(known, values, 0).sum(dtype=np.float64) / xp.maximum(known.sum(), 1)
    values = values - level.astype(np.float32)
    smooth = []
    for width in (_SMALL_PX, _LARGE_PX):
        z, y, x = (float(width * v) for v in voxels)
        total = blurred(xp.where(known, values, np.float32(0)), (z, y, x))
        weight = blurred(known.astype(np.float32), (z, y, x))
        smooth.append(total / xp.maximum(weight, np.float32(1e-3)))
    return xp.where(known, smooth[0] - smooth[1], np.float32(np.nan))


class Templates:
    """The zoom on the voxels of an overview's level, at any rotation about z.

    Only its inscribed upright cylinder counts, which looks the same from all sides: so one mask
    serves all rotations.
    """

    def __init__(
        self, zoom: Levels, step_um: Float, half: tuple[int, ...], scale: float, xp: ModuleType
    ) -> None:
        self._xp, self._scale = xp, scale
        level = zoom.at_most(float(np.prod(step_um) ** (1 / 3)) / scale)
        place = zoom.places[level]
        raw = np.nan_to_num(zoom.read(level, (0, 0, 0), place.shape))
        sigma = matched_blur(place.step_um, step_um / scale)
        matched = blurred(xp.asarray(raw), sigma)
        self._smooth = spline_coefficients(band(matched, step_um / scale / place.step_um))
        self._step = xp.asarray(place.step_um)[:, None]
        self._middle = xp.asarray((zoom.centre_um - place.origin_um) / place.step_um)[:, None]
        axes = [xp.asarray(np.arange(-h, h + 1) * s) for h, s in zip(half, step_um)]
        grid = xp.stack(xp.meshgrid(*axes, indexing="ij"))
        self._shape = tuple(2 * h + 1 for h in half)
        self._away = grid.reshape(3, -1)
        self.mask = in_circle(grid / scale, zoom.extent_um)
        _, within = interpolate(self._smooth, self._away / scale / self._step + self._middle)
        self.mask &= within.reshape(self._shape)

    def rotated(self, angle: float) -> Array:
        """The zoom as the overview would see it, rotated by an angle in radians."""
        back = self._xp.asarray(rotation([-angle, 0, 0]) / self._scale)
        points = back @ self._away / self._step + self._middle
        return interpolate(self._smooth, points)[0].reshape(self._shape)


def _angles(radius_px: int, start: Start) -> list[float]:
    """Rotations in radians: from one to the next the zoom's rim moves by a voxel at most."""
    step = 1 / max(radius_px, 1)
    if start.rotation_deg is None:
        count = int(np.ceil(2 * np.pi / step))
        return [2 * np.pi * k / count for k in range(count)]
    count = int(np.ceil(np.radians(_AROUND_DEG) / step))
    middle = np.radians(start.rotation_deg)
    return [float(middle + k * step) for k in range(-count, count + 1)]


def _window(zoom: Levels, place: Place, start: Start) -> tuple[Float, Float]:
    """First and last voxel (not included) where the zoom's middle may lie."""
    low, high = np.zeros(3, int), np.array(place.shape)
    if start.position_um is not None:
        reach = max(zoom.extent_um) * start.scale / 2
        low = np.floor((start.position_um - reach - place.origin_um) / place.step_um).astype(int)
        high = np.ceil((start.position_um + reach - place.origin_um) / place.step_um).astype(int)
        low, high = np.maximum(low, 0), np.minimum(high + 1, place.shape)
        if (low >= high).any():
            raise InputError(
                f"The start {_lengths(start.position_um / 1000)} mm (z, y, x) lies outside of the "
                f"overview, which is {_lengths(np.array(place.shape) * place.step_um / 1000)} mm "
                f"in size and begins at {_lengths(place.origin_um / 1000)} mm."
            )
    return low, high


def _blocks(
    half: tuple[int, ...], window: tuple[Float, Float], memory_bytes: int
) -> Iterator[tuple[Float, Float]]:
    """Boxes of the window that a search fits into memory for, rims of half a zoom included."""
    low, high = window
    parts = np.ones(3, int)
    rim = 2 * np.array(half)

    def size() -> Float:
        return np.ceil((high - low) / parts)

    while matcher_bytes(tuple(size() + rim)) > memory_bytes and size().max() > 1:
        parts[int(np.argmax(size()))] += 1
    edges = [np.linspace(a, b, n + 1).astype(int) for a, b, n in zip(low, high, parts)]
    for box in product(*(list(pairwise(e)) for e in edges)):
        yield np.array([a for a, _ in box]), np.array([b for _, b in box])


def _lengths(values: Float) -> str:
    return " x ".join(f"{value:.4g}" for value in values)
