"""What the finished voxels tell: pictures, histogram, rings, noise, contrast, sharpness.

Whole slices are read of the finest level, at a few heights, one at a time: enough for figures that
do not change from slice to slice. Pictures of the whole come from a coarse level.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hipct.core.errors import HipctError
from hipct.quality.noiseless import without_noise
from hipct.volume.figures import RIM_PX, Figures, figures
from hipct.volume.open import Volume
from hipct.volume.preview import orthogonal_preview
from hipct.volume.ring_score import RingProfile, ring_profile
from hipct.volume.window import circle

Float = NDArray[np.float64]

HEIGHTS = (0.25, 0.5, 0.75)
"""Where slices are looked at: of a tall volume, or else of the layer of chunks in its middle, which
are decoded once for all of them."""

MANY_LAYERS = 24
"""Layers of chunks of a tall volume: to decode three of so many costs little."""

LARGE_PX = 1 << 20
"""Voxels of a slice beyond which one tells enough, unless the volume is tall."""

REGION_PX = 768
"""Side of the region, of the middle of a slice, of which noise and edges are told."""

LEFT_OUT = (
    "of the voxels are left out: they lie in squares of a single value, or that are clipped, or "
    "hold what is no number."
)

BINS = 256
LEAST_SIDE_PX = 64
PREVIEW_PX = 480


class Geometry(NamedTuple):
    """What of the making of a volume decides how its voxels are judged.

    Attributes
    ----------
    radius_px : float or None
        Of the measured circle in the middle of the slices; None: the largest that fits.
    centred : bool
        Whether the rotation axis is in the middle of the slices.
    kernel_px : float or None
        Decay length of the kernel of phase retrieval.
    reasons : mapping
        Why one of them could not be told, as a sentence, by the name of the figure.
    """

    radius_px: float | None = None
    centred: bool = True
    kernel_px: float | None = None
    reasons: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class VoxelLook:
    """What was seen.

    Attributes
    ----------
    preview : bytes or None
        Three slices, as PNG.
    heights : tuple of int
        Slices of the finest level that were read.
    counts : ndarray, (256,)
        Histogram of the stored values inside of the measured circle.
    edges : ndarray, (257,)
        Between its bins, in ``unit``.
    unit : str
        Of values; ``"grey value"`` where the volume does not say what they mean.
    figures : Figures or None
        Noise and so on of the middle one, in ``unit``.
    left_out : float
        Share of its voxels that they leave out: masked, clipped, or no numbers.
    ring_scores : tuple of float
        One a slice; empty where they cannot be told.
    ring_map : ndarray of float, (parts, radii), or None
        Rings of the middle slice in units of the noise: means over 15 degrees, by radius.
    reasons : mapping
        Why something is not there, as a sentence, by its name.
    """

    preview: bytes | None
    heights: tuple[int, ...]
    counts: NDArray[np.int64]
    edges: Float
    unit: str
    figures: Figures | None
    left_out: float
    ring_scores: tuple[float, ...]
    ring_map: Float | None
    reasons: Mapping[str, str]


def look_at_voxels(volume: Volume, geometry: Geometry | None = None) -> VoxelLook:
    """Look at a volume.

    Parameters
    ----------
    volume : Volume
    geometry : Geometry, optional
        What is known of its making.

    Raises
    ------
    FormatError, RemoteError
        If voxels cannot be read.
    """
    geometry = geometry or Geometry()
    order = tuple(volume.axes.index(axis) for axis in "zyx")
    depth, height, width = (volume.shape[axis] for axis in order)
    side = min(height, width)
    known = geometry.radius_px
    radius = (side / 2 if known is None else min(known, side / 2)) - RIM_PX
    inside = circle(height, width, radius)
    scale, offset, unit = _meaning(volume)
    reasons = dict(geometry.reasons)
    no_rings = reasons.get("rings") or _no_rings(height, width, radius, centred=geometry.centred)
    if no_rings:
        reasons["rings"] = no_rings
    bins = np.linspace(*_limits(volume), BINS + 1)
    counts = np.zeros(BINS, np.int64)
    scores: list[float] = []
    told, left_out, ring_map = None, 0.0, None
    heights = _heights(volume, depth, order[0])
    for z, plane in _planes(volume, order, heights):
        counts += np.histogram(plane[inside & np.isfinite(plane)], bins)[0]
        values = plane.astype(np.float32) * np.float32(scale) + np.float32(offset)
        if z == heights[len(heights) // 2]:
            told, left_out = _figures(plane, values, inside, geometry.kernel_px, reasons)
        if no_rings:
            continue
        found = _rings(_within(values, radius), z, reasons)
        if found is not None:
            scores.append(found.score)
            if ring_map is None or z == heights[len(heights) // 2]:
                # Every second radius: they lie half a pixel apart.
                ring_map = np.asarray(found.parts[::2].T / found.noise, np.float64)
    preview = None
    try:
        preview = _preview(volume.address)
    except Exception as error:  # Codecs raise what they like on damaged bytes.
        reasons["preview"] = f"The three slices could not be shown: {error}"
    return VoxelLook(
        preview,
        tuple(heights),
        counts,
        bins * scale + offset,
        unit,
        told,
        left_out,
        tuple(scores),
        ring_map,
        reasons,
    )


def _meaning(volume: Volume) -> tuple[float, float, str]:
    """Scale, offset and unit of the stored values, as far as they make sense."""
    scale, offset = volume.scale, volume.offset
    if scale is None or offset is None or not math.isfinite(offset) or not 0 < scale < math.inf:
        return 1.0, 0.0, "grey value"
    return scale, offset, volume.unit or ""


def _heights(volume: Volume, depth: int, along_z: int) -> range:
    """Slices that are looked at."""
    layer = (volume.levels[0].array.chunks or volume.shape)[along_z]
    first, stop = 0, depth
    if depth < MANY_LAYERS * layer:
        first = depth // 2 // layer * layer
        stop = min(first + layer, depth)
    begin, middle, _ = (first + int(share * (stop - first)) for share in HEIGHTS)
    wide = math.prod(volume.shape) > LARGE_PX * depth
    if wide and depth < MANY_LAYERS * layer:
        return range(middle, middle + 1)
    step = max(1, middle - begin)
    return range(begin, min(begin + len(HEIGHTS) * step, stop), step)


def _planes(
    volume: Volume, order: tuple[int, ...], heights: range
) -> Iterator[tuple[int, NDArray[np.generic]]]:
    """Slices by their heights: those of one layer of chunks are read at once."""
    layer = (volume.levels[0].array.chunks or volume.shape)[order[0]]
    together = heights[0] // layer == heights[-1] // layer
    index: list[int | slice] = [slice(None)] * 3
    for some in [heights] if together else [heights[k : k + 1] for k in range(len(heights))]:
        index[order[0]] = slice(some.start, some.stop, some.step)
        found = np.asarray(volume.levels[0].chunkwise[tuple(index)]).transpose(order)
        yield from zip(some, found)


def _limits(volume: Volume) -> tuple[float, float]:
    if volume.dtype.kind in "ui":
        info = np.iinfo(volume.dtype)
        return float(info.min), float(info.max) + 1
    coarse = np.asarray(volume.levels[-1].chunkwise[...])
    finite = coarse[np.isfinite(coarse)]
    if not finite.size:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    return low, max(high, np.nextafter(np.float32(low), np.float32(np.inf)))


def _no_rings(height: int, width: int, radius: float, *, centred: bool) -> str:
    """Why rings cannot be told, if so."""
    if not centred or height != width:
        return (
            "The slices are cropped or moved, so that the rotation axis is not in their middle; "
            "rings are told of slices as they were reconstructed."
        )
    if 2 * radius < LEAST_SIDE_PX:
        return (
            f"The measured circle is {2 * max(radius, 0):.0f} voxels wide; rings need "
            f"{LEAST_SIDE_PX}."
        )
    return ""


def _within(values: NDArray[np.float32], radius: float) -> NDArray[np.float32]:
    """The square around the circle: beyond it, the end of what was measured looks like a ring."""
    beside = max(0, math.ceil((len(values) - 2 * radius) / 2))
    whole = slice(beside, len(values) - beside)
    return np.ascontiguousarray(values[whole, whole])


def _rings(values: NDArray[np.float32], z: int, reasons: dict[str, str]) -> RingProfile | None:
    """The rings of a slice, or a reason why they cannot be told."""
    if not np.isfinite(values).all():
        reasons["rings"] = f"Slice {z} has voxels in the measured circle that are no numbers."
        return None
    found = ring_profile(values)
    if not found.noise > 0:
        reasons["rings"] = (
            f"Most voxels of slice {z} are like their neighbours, without any noise to compare "
            "rings with."
        )
        return None
    return found


def _figures(
    plane: NDArray[np.generic],
    values: NDArray[np.float32],
    inside: NDArray[np.bool_],
    kernel_px: float | None,
    reasons: dict[str, str],
) -> tuple[Figures | None, float]:
    """Figures of the middle of a slice, of what is neither masked nor clipped; how much is."""
    rows, columns = (
        slice(max(0, (size - REGION_PX) // 2), max(0, (size - REGION_PX) // 2) + REGION_PX)
        for size in values.shape
    )
    window = rows, columns
    region, circle_of = values[window], inside[window]
    counts = circle_of & ~without_noise(plane[window], circle_of)
    left_out = 1 - int(np.count_nonzero(counts)) / max(int(np.count_nonzero(circle_of)), 1)
    try:
        return figures(region, kernel_px=kernel_px, inside=counts), left_out
    except HipctError as error:
        reasons["figures"] = f"{error} {100 * left_out:.3g} % {LEFT_OUT}"
        return None, left_out


def _preview(address: str) -> bytes:
    with TemporaryDirectory(prefix="hipct-") as folder:
        path = Path(folder) / "preview.png"
        return orthogonal_preview(address, path, max_px=PREVIEW_PX).read_bytes()
