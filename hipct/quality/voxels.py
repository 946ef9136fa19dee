"""What the finished voxels tell: pictures, histogram, rings, noise, contrast, sharpness.

Whole slices are read of the finest level, at a few heights, one at a time: enough for figures that
do not change from slice to slice. Pictures of the whole come from a coarse level.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hipct.core.errors import HipctError
from hipct.volume.figures import RIM_PX, Figures, figures
from hipct.volume.open import Volume
from hipct.volume.polar import check_slices, radial_detail
from hipct.volume.preview import orthogonal_preview
from hipct.volume.ring_score import ring_score
from hipct.volume.window import circle

Float = NDArray[np.float64]

HEIGHTS = (0.25, 0.5, 0.75)
"""Where slices are looked at; the middle alone where three would cost too much."""

MANY_LAYERS, SMALL_BYTES = 24, 1 << 28
"""Reading a slice decodes the chunks that it goes through: of so many layers, or of so small a
volume, three cost little."""

REGION_PX = 768
"""Side of the region, of the middle of a slice, of which noise and edges are told."""

BINS = 256
LEAST_SIDE_PX = 64
RINGS_WIDTH_PX = 21
PREVIEW_PX = 480


@dataclass(frozen=True, eq=False)
class VoxelLook:
    """What was seen.

    Attributes
    ----------
    preview : PIL.Image.Image or None
        Three slices.
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
    ring_scores : tuple of float
        One a slice; empty where they cannot be told.
    ring_map : ndarray of float, (parts, radii), or None
        Rings of the middle slice in units of the noise: means over 15 degrees, by radius.
    reasons : mapping
        Why something is not there, as a sentence, by its name.
    """

    preview: Image.Image | None
    heights: tuple[int, ...]
    counts: NDArray[np.int64]
    edges: Float
    unit: str
    figures: Figures | None
    ring_scores: tuple[float, ...]
    ring_map: Float | None
    reasons: Mapping[str, str]


def look_at_voxels(
    volume: Volume,
    *,
    radius_px: float | None = None,
    centred: bool = True,
    kernel_px: float | None = None,
) -> VoxelLook:
    """Look at a volume.

    Parameters
    ----------
    volume : Volume
    radius_px : float, optional
        Of the measured circle in the middle of the slices; the largest that fits by default.
    centred : bool
        Whether the rotation axis is in the middle of the slices.
    kernel_px : float, optional
        Decay length of the kernel of phase retrieval.

    Raises
    ------
    FormatError, RemoteError
        If voxels cannot be read.
    """
    order = tuple(volume.axes.index(axis) for axis in "zyx")
    depth, height, width = (volume.shape[axis] for axis in order)
    side = min(height, width)
    radius = (side / 2 if radius_px is None else min(radius_px, side / 2)) - RIM_PX
    inside = circle(height, width, radius)
    scale, offset, unit = volume.scale, volume.offset, volume.unit or ""
    if scale is None or offset is None:
        scale, offset, unit = 1.0, 0.0, "grey value"
    layer = (volume.levels[0].array.chunks or volume.shape)[order[0]]
    small = math.prod(volume.shape) * volume.dtype.itemsize <= SMALL_BYTES
    shares = HEIGHTS if small or depth >= MANY_LAYERS * layer else (0.5,)
    heights = tuple(dict.fromkeys(int(share * depth) for share in shares))
    reasons: dict[str, str] = {}
    limits = _limits(volume)
    bins = np.linspace(*limits, BINS + 1)
    counts = np.zeros(BINS, np.int64)
    scores: list[float] = []
    middle, ring_map = None, None
    for z in heights:
        plane = _plane(volume, order, z)
        counts += np.histogram(plane[inside], bins)[0]
        values = plane.astype(np.float32) * np.float32(scale) + np.float32(offset)
        if z == depth // 2 or middle is None:
            middle = values
        why = _no_rings(height, width, radius, centred=centred)
        if why:
            reasons["rings"] = why
            continue
        within = _within(values, radius)
        score = ring_score(within[None])
        if not score.noise[0] > 0:
            reasons["rings"] = (
                f"Most voxels of slice {z} are like their neighbours, without any noise to compare "
                "rings with."
            )
            continue
        scores.append(float(score.score[0]))
        if middle is values:
            ring_map = _ring_map(within, float(score.noise[0]))
    told = None
    if middle is not None:
        try:
            told = _figures(middle, inside, kernel_px)
        except HipctError as error:
            reasons["figures"] = str(error)
    preview = None
    try:
        preview = _preview(volume.address)
    except (HipctError, OSError) as error:
        reasons["preview"] = str(error)
    return VoxelLook(
        preview,
        heights,
        counts,
        bins * scale + offset,
        unit,
        told,
        tuple(scores),
        ring_map,
        reasons,
    )


def _plane(volume: Volume, order: tuple[int, ...], z: int) -> NDArray[np.generic]:
    index: list[int | slice] = [slice(None)] * 3
    index[order[0]] = z
    plane = np.asarray(volume.levels[0].chunkwise[tuple(index)])
    return plane.T if order[1] > order[2] else plane


def _limits(volume: Volume) -> tuple[float, float]:
    if volume.dtype.kind in "ui":
        info = np.iinfo(volume.dtype)
        return float(info.min), float(info.max) + 1
    coarse = np.asarray(volume.levels[-1].chunkwise[...])
    low, high = float(np.nanmin(coarse)), float(np.nanmax(coarse))
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


def _ring_map(values: NDArray[np.float32], noise: float) -> Float:
    _, parts = radial_detail(values, check_slices(values[None]), RINGS_WIDTH_PX)
    # Every second radius: they lie half a pixel apart.
    return np.asarray(parts[::2].T / (noise or 1.0), np.float64)


def _figures(
    values: NDArray[np.float32], inside: NDArray[np.bool_], kernel_px: float | None
) -> Figures:
    """Figures of the middle of a slice."""
    window = tuple(
        slice(max(0, (size - REGION_PX) // 2), max(0, (size - REGION_PX) // 2) + REGION_PX)
        for size in values.shape
    )
    return figures(values[window], kernel_px=kernel_px, inside=inside[window])


def _preview(address: str) -> Image.Image:
    with TemporaryDirectory(prefix="hipct-") as folder:
        path = orthogonal_preview(address, Path(folder) / "preview.png", max_px=PREVIEW_PX)
        with Image.open(path) as picture:
            picture.load()
            return picture.copy()
