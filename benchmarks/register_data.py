"""Simulated hierarchies: one piece of tissue, seen as an overview and as a zoom.

The tissue is a lattice of half the overview's voxel: textures of several lengths, down to the
overview's voxel, and ellipsoids, within a large ellipsoid. The overview is its means over
2 x 2 x 2, the zoom its cubic spline between the lattice's points, in a frame of its own: rotated
about z by any angle, tilted, its voxel size wrong, with another gain and offset, noise, and a level
that rises towards the rim as local tomography makes it. Levels of the zoom finer than a quarter of
the overview's voxel are left out, as no registration with this overview would read them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hipct.atlas.similarity import Similarity, rotation
from hipct.volume.open import Volume, VolumeLevel

Float = NDArray[np.float64]

OVERVIEW_UM = 20.0


@dataclass(frozen=True)
class Hierarchy:
    """A zoom, its overview, and where it lies."""

    zoom: Volume
    overview: Volume
    truth: Similarity
    factor: float
    angle_deg: float
    tilt_deg: float
    extent: tuple[int, int, int]
    """Of the zoom in voxels of the overview."""
    clean: NDArray[np.float32]
    """The overview without noise, in units of the tissue's contrast."""
    noise: tuple[float, float]
    """Of the voxels of overview and zoom, in the same units."""


@dataclass(frozen=True)
class Grey:
    """How a zoom shows the tissue that its overview shows.

    Attributes
    ----------
    cupping : how far the level rises from the centre to the rim, in units of the contrast
    gain : contrast of the zoom over that of the overview
    gamma : power that grey values, from least to most, are raised to
    rings : amplitude of rings about the zoom's centre, in units of the contrast
    """

    cupping: float = 0.5
    gain: float = 0.65
    gamma: float = 1.0
    rings: float = 0.0

    @classmethod
    def drawn(cls, seed: int) -> Grey:
        """Cupping to 1, gains of 0.5 to 2, powers of 0.7 to 1.4, rings to 0.3."""
        rng = np.random.default_rng(seed)
        return cls(
            rng.uniform(0.3, 1),
            2 ** rng.uniform(-1, 1),
            float(np.exp(rng.uniform(np.log(0.7), np.log(1.4)))),
            rng.uniform(0.1, 0.3),
        )

    def of(self, values: Float, away: Float, contrast: float, rng: np.random.Generator) -> Float:
        """Grey values at places (..., 2) from the centre, in radii of the zoom."""
        if self.gamma != 1:
            low, span = float(values.min()), float(np.ptp(values))
            values = low + span * np.maximum((values - low) / span, 0) ** self.gamma
        values = values + self.cupping * contrast * (away**2).sum(axis=-1)
        if self.rings:
            rings = ndimage.gaussian_filter1d(rng.standard_normal(200), 0.7)
            radius = np.linalg.norm(away, axis=-1)
            values = values + self.rings * contrast * rings[(radius * 100).astype(int)]
        return values


def alike(tissue: NDArray[np.float32], kind: str, rng: np.random.Generator) -> NDArray[np.float32]:
    """Tissue that is the same again in other places, but for a tenth of it.

    "repeated": every 24 voxels of the overview; "symmetric": under half a turn about z.
    """
    if kind == "irregular":
        return tissue
    if kind == "symmetric":
        same = (tissue + tissue[:, ::-1, ::-1]) / 2
    else:
        same = np.zeros((48,) * 3, np.float32)
        for sigma in (1.6, 3.0, 7.0):
            field = rng.standard_normal(same.shape).astype(np.float32)
            field = ndimage.gaussian_filter(field, sigma, mode="wrap")
            same += field / field.std()
        same = np.tile(same, [-(-n // 48) for n in tissue.shape])
        same = same[tuple(slice(0, n) for n in tissue.shape)]
    return np.asarray(0.9 * same + 0.1 * tissue, np.float32)


def fibres(seed: int, shape: tuple[int, int, int] = (80, 112, 112)) -> Volume:
    """An overview of another organ: fibres along x and sheets across y."""
    rng = np.random.default_rng(seed)
    fine = tuple(2 * n for n in shape)
    total = np.zeros(fine, np.float32)
    for sigma in ((2, 2, 24), (12, 1.5, 12)):
        field = ndimage.gaussian_filter(rng.standard_normal(fine).astype(np.float32), sigma)
        total += field / field.std()
    z, y, x = shape
    seen = total.reshape(z, 2, y, 2, x, 2).mean(axis=(1, 3, 5))
    return volume("overview", 20000 + 4000 * seen / seen.std(), OVERVIEW_UM)


def hierarchy(
    seed: int,
    *,
    shape: tuple[int, int, int] = (80, 112, 112),
    extent: tuple[int, int] | None = None,
    other: bool = False,
    noise: float = 0.2,
    factor: float | None = None,
    grey: Grey = Grey(),
    kind: str = "irregular",
    outside: float | None = None,
) -> Hierarchy:
    """A hierarchy; all that is not given follows from the seed.

    Parameters
    ----------
    shape : voxels of the overview
    extent : height and diameter of the zoom in voxels of the overview
    other : the zoom is of another piece of the same kind of tissue
    noise : of the overview's voxels, in units of the tissue's contrast
    factor : voxel of the overview over that of the zoom
    grey : what the zoom's grey values are made of
    kind : "irregular", or "repeated" or "symmetric" but for a small part (:func:`alike`)
    outside : part of the zoom that the overview does not reach, which ends at a plane across x
    """
    rng = np.random.default_rng(seed)
    if outside is not None:
        shape = (shape[0], shape[1], 2 * shape[2])
    tissue = alike(tissue_lattice(rng, shape), kind, rng)
    height, width = extent or (int(rng.integers(32, 49)), int(rng.integers(40, 57)))
    factor = factor or float(np.exp(rng.uniform(np.log(4), np.log(20))))
    angle, tilt = rng.uniform(-180, 180), rng.uniform(0, 2)
    direction = rng.uniform(0, 2 * np.pi)
    turn = rotation(np.radians([0, tilt * np.cos(direction), tilt * np.sin(direction)]))
    matrix = turn @ rotation([np.radians(angle), 0, 0])
    scale = 1 + rng.uniform(-0.01, 0.01)
    box = np.array([height, width, width])
    room = np.maximum((np.array(shape) - 1.08 * box) / 2 - 2, 0)
    position = (np.array(shape) - 1) / 2 + rng.uniform(-1, 1, 3) * room
    if outside is not None:
        position[2] = shape[2] / 2 + width * (outside - 0.5)
    overview = tissue.reshape(shape[0], 2, shape[1], 2, shape[2], 2).mean(axis=(1, 3, 5))
    if outside is not None:
        overview = overview[..., : shape[2] // 2]
    contrast = float(overview.std())
    clean = (overview / contrast).astype(np.float32)
    overview = overview + noise * contrast * rng.standard_normal(overview.shape)
    voxel = OVERVIEW_UM / factor
    while voxel < OVERVIEW_UM / 4:
        voxel *= 2
    size = np.round(box * OVERVIEW_UM / voxel).astype(int)
    centre = (size - 1) / 2 * voxel
    truth = Similarity(scale, matrix, centre, position * OVERVIEW_UM)
    source = tissue_lattice(np.random.default_rng(seed + 10**6), shape) if other else tissue
    grid = np.stack(np.meshgrid(*(np.arange(n) * voxel for n in size), indexing="ij"), axis=-1)
    lattice = (truth.apply(grid) / OVERVIEW_UM * 2 + 0.5).reshape(-1, 3).T
    values = ndimage.map_coordinates(source, lattice, order=3, mode="nearest").reshape(size)
    away = (grid - centre)[..., 1:] / (width * OVERVIEW_UM / 2)
    values = grey.of(values, away, contrast, rng)
    values += 2 * noise * contrast * rng.standard_normal(tuple(size))
    return Hierarchy(
        volume("zoom", 12000 + 4000 * grey.gain * values / contrast, voxel),
        volume("overview", 20000 + 4000 * overview / contrast, OVERVIEW_UM),
        truth,
        factor,
        angle,
        tilt,
        (height, width, width),
        clean,
        (noise, 2 * noise),
    )


def tissue_lattice(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Tissue on a lattice of twice as many points as the overview has voxels."""
    fine = tuple(2 * n for n in shape)
    total = np.zeros(fine, np.float32)
    for sigma, weight in ((1.6, 1.0), (3.0, 1.0), (7.0, 1.0)):
        field = ndimage.gaussian_filter(rng.standard_normal(fine).astype(np.float32), sigma)
        total += weight * field / field.std()
    for _ in range(60):
        centre, radius = rng.uniform(0, 1, 3) * fine, rng.uniform(4, 16, 3)
        box = tuple(
            slice(max(int(c - r), 0), min(int(c + r) + 2, n))
            for c, r, n in zip(centre, radius, fine)
        )
        distance = sum(((a - c) / r) ** 2 for a, c, r in zip(np.ogrid[box], centre, radius))
        total[box] += np.float32(rng.uniform(-3, 3)) * (distance < 1)
    z, y, x = np.ogrid[tuple(slice(0, n) for n in fine)]
    middle = [(n - 1) / 2 for n in fine]
    body = sum(((a - m) / (0.98 * n / 2)) ** 2 for a, m, n in zip((z, y, x), middle, fine))
    total = np.where(body < 1, total + 4, 0).astype(np.float32)
    return ndimage.gaussian_filter(total, 0.7)


def volume(name: str, values: NDArray[Any], voxel_um: float) -> Volume:
    """A volume in memory, with its pyramid of 2 x 2 x 2 means, as 16 bit."""
    levels, array = [], np.asarray(values, np.float64)
    step, first = voxel_um, 0.0
    while True:
        stored: Any = np.clip(np.rint(array), 0, 65535).astype(np.uint16)
        levels.append(VolumeLevel(str(len(levels)), stored, (step,) * 3, (first,) * 3))
        if max(array.shape) < 32:
            break
        even = array[tuple(slice(0, n // 2 * 2) for n in array.shape)]
        z, y, x = (n // 2 for n in even.shape)
        array = even.reshape(z, 2, y, 2, x, 2).mean(axis=(1, 3, 5))
        step, first = 2 * step, first + step / 2
    return Volume(
        address=name,
        name=name,
        version="0.5",
        axes=("z", "y", "x"),
        length_unit="um",
        levels=tuple(levels),
        labels=False,
        display=None,
        scale=None,
        offset=None,
        unit=None,
        provenance={},
        notes=(),
    )
