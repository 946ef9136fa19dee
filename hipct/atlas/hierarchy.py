"""Volumes in the axes of one of them: zooms in their overview, clinical volumes beside it.

The world is the first volume's own: its coordinates in micrometres, its axes in their order. Where
another one lies in it is what ``hipct register`` stored in it or left beside it, what the Human
Organ Atlas describes, or that both are crops of one volume (:mod:`hipct.atlas.graph`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.atlas.catalogue import Catalogue, load_catalogue
from hipct.atlas.dataset import AtlasSet
from hipct.atlas.found import find_places
from hipct.atlas.graph import add_found, atlas_graph, place
from hipct.atlas.own import volume_set
from hipct.atlas.transform import IDENTITY, Transform
from hipct.core.errors import HipctError, InputError, MissingExtra
from hipct.exchange.clinical import ClinicalVolume, is_clinical, open_clinical
from hipct.volume.open import Volume, open_volume

Matrix = NDArray[np.float64]
Opened = Volume | ClinicalVolume
_AXES = "zyx"
_EDGES = tuple((a, a + step) for step in (1, 2, 4) for a in range(8) if not a & step)


@dataclass(frozen=True, eq=False)
class Member:
    """A volume of a hierarchy, and where it lies in the first one.

    Attributes
    ----------
    opened : Volume or ClinicalVolume
    matrices : (4, 4) for each level, from indices of its array to the world in micrometres
    path : names from this volume to the first one; only its own name where no place is known
    why : the sentence that says why there is no place; empty if there is one
    own : whether the world's coordinates are the volume's own ones
    """

    opened: Opened
    matrices: tuple[Matrix, ...]
    path: tuple[str, ...]
    why: str
    own: bool

    @property
    def name(self) -> str:
        """For people."""
        return self.opened.name

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels of the finest level."""
        return tuple(self.opened.levels[0].array.shape)

    @property
    def voxel_um(self) -> float:
        """Shortest edge of a voxel of the finest level, in the world."""
        return float(np.linalg.norm(self.matrices[0][:3, :3], axis=0).min())

    @property
    def corners_um(self) -> Matrix:
        """(8, 3): its corners in the world, the last axis of its array running fastest."""
        corners = np.array(list(product(*((-0.5, n - 0.5) for n in self.shape))))
        return _moved(self.matrices[0], corners)

    @property
    def box_um(self) -> tuple[Matrix, Matrix]:
        """Least and largest coordinates in the world."""
        corners = self.corners_um
        return corners.min(axis=0), corners.max(axis=0)

    @property
    def middle_um(self) -> Matrix:
        """Its middle in the world."""
        middle: Matrix = self.corners_um.mean(axis=0)
        return middle

    def edges_um(self) -> Matrix:
        """(12, 2, 3): its edges in the world."""
        edges: Matrix = self.corners_um[np.array(_EDGES)]
        return edges

    def section_um(self, axis: int, position_um: float) -> Matrix:
        """Where a plane of the world cuts its faces.

        Parameters
        ----------
        axis : int
            Of the world, across the plane.
        position_um : float
            Of the plane along it.

        Returns
        -------
        ndarray, float64, (n, 3)
            Corners of the convex polygon, in order; none if the plane passes by.
        """
        points = []
        for first, last in self.edges_um():
            a, b = first[axis] - position_um, last[axis] - position_um
            if a * b < 0:
                points.append(first + (last - first) * (a / (a - b)))
            elif a == 0:
                points.append(first)
            elif b == 0:
                points.append(last)
        if len(points) < 3:
            return np.empty((0, 3))
        found = np.array(points)
        away = np.delete(found - found.mean(axis=0), axis, axis=1)
        order = np.argsort(np.arctan2(away[:, 1], away[:, 0]))
        ordered: Matrix = found[order]
        return ordered


def open_any(path: Path | str) -> Opened:
    """Open an OME-Zarr volume or a NIfTI file.

    Raises
    ------
    HipctError
        As :func:`hipct.volume.open.open_volume` and
        :func:`hipct.exchange.clinical.open_clinical` do.
    """
    return open_clinical(path) if is_clinical(path) else open_volume(path)


def hierarchy_of(
    volumes: Sequence[Opened],
    *,
    found: Sequence[Path | str] = (),
    notes: list[str] | None = None,
) -> list[Member]:
    """Volumes in the axes of the first one.

    Parameters
    ----------
    volumes : sequence of Volume or ClinicalVolume
    found : sequence of path
        Places of ``hipct register``, taken before what lies beside the volumes.
    notes : list of str, optional
        What could not be used is added to it, as sentences.

    Returns
    -------
    list of Member
        In the order that they were given in. One whose place is not known has its own coordinates.

    Raises
    ------
    InputError
        If a given place is uncertain or of other volumes, or two volumes have one name.
    FormatError
        If a given place cannot be read.
    """
    notes = notes if notes is not None else []
    if len(volumes) == 1:
        # Whatever is wrong with a place of it, it can be looked at.
        if found:
            raise InputError(f"{found[0]} places a volume in another one; give both of them.")
        return [member_of(volumes[0], volumes[0], IDENTITY, (volumes[0].name,))]
    sets: list[AtlasSet | HipctError] = []
    for opened in volumes:
        try:
            sets.append(_set_of(opened))
        except HipctError as error:
            sets.append(error)
    catalogue = _catalogue([one for one in sets if isinstance(one, AtlasSet)], notes)
    beside = find_places(catalogue, [opened.address for opened in volumes], notes)
    graph = atlas_graph(catalogue)
    for file in found:
        add_found(graph, catalogue, file)
    places = [*beside, *found]
    root = sets[0]
    names = [
        opened.name if isinstance(one, HipctError) else one.name
        for opened, one in zip(volumes, sets)
    ]
    members = [member_of(volumes[0], volumes[0], IDENTITY, (names[0],), "")]
    for opened, one, name in zip(volumes[1:], sets[1:], names[1:]):
        transform, why = IDENTITY, ""
        path: tuple[str, ...] = (name,)
        if isinstance(root, HipctError) or isinstance(one, HipctError):
            why = str(root if isinstance(root, HipctError) else one)
        else:
            try:
                placed = place(catalogue, one, root, found=places)
                transform, path = placed.transform, placed.path
            except InputError as error:
                why = str(error)
        members.append(member_of(opened, volumes[0], transform, path, why))
    return members


def member_of(
    opened: Opened, root: Opened, transform: Transform, path: tuple[str, ...], why: str = ""
) -> Member:
    """A volume that lies in another one by a transform.

    Parameters
    ----------
    opened, root : Volume or ClinicalVolume
        The volume, and the one whose coordinates and axes are those of the world.
    transform : Transform
        Points (z, y, x) of the one to points of the other.
    path, why
        As of :class:`Member`.
    """
    # From z, y, x to the order in which the first volume has its axes.
    order = [_AXES.index(axis) for axis in _axes(root)]
    turn = np.eye(4)
    turn[:3, :3] = np.eye(3)[order]
    matrices = tuple(turn @ transform.matrix @ one for one in _own_matrices(opened))
    same = isinstance(opened, Volume) and _axes(opened) == _axes(root)
    own = same and np.allclose(transform.matrix, np.eye(4), rtol=0, atol=1e-9)
    return Member(opened, matrices, path, why, own)


def _own_matrices(opened: Opened) -> list[Matrix]:
    """From indices of the levels' arrays to the own coordinates, z, y, x in micrometres."""
    if isinstance(opened, ClinicalVolume):
        return [level.matrix for level in opened.levels]
    matrices = []
    rows = [_AXES.index(axis) for axis in opened.axes]
    for level in opened.levels:
        matrix = np.zeros((4, 4))
        matrix[3, 3] = 1
        for column, row in enumerate(rows):
            matrix[row, column] = level.scale[column]
            matrix[row, 3] = level.translation[column]
        matrices.append(matrix)
    return matrices


def _axes(opened: Opened) -> tuple[str, ...]:
    return tuple(_AXES) if isinstance(opened, ClinicalVolume) else opened.axes


def _set_of(opened: Opened) -> AtlasSet:
    """A volume as the graph knows it."""
    if isinstance(opened, Volume):
        return volume_set(opened)
    nz, ny, nx = opened.levels[0].array.shape
    matrix = opened.levels[0].matrix
    return AtlasSet(
        name=opened.name,
        kind="clinical",
        voi="",
        organ="",
        organ_context=None,
        donor="",
        beamline="",
        shape=(nz, ny, nx),
        voxel_size_um=float(np.linalg.norm(matrix[:3, :3], axis=0).min()),
        url="",
        description={},
        address=opened.address,
    )


def _catalogue(sets: Sequence[AtlasSet], notes: list[str]) -> Catalogue:
    """The volumes, and the public sets where one of them is a crop of such a one."""
    for first, second in pairwise(sorted(sets, key=lambda one: one.name)):
        if first.name == second.name:
            raise InputError(
                f"{first.address} and {second.address} have one name, {first.name}, by which "
                "places are known; rename one."
            )
    known: dict[str, Any] = {}
    if any(one.part_of for one in sets):
        try:
            known.update(load_catalogue())
        except MissingExtra as error:
            notes.append(f"Places of the Human Organ Atlas are not known: {error}")
    return known | {one.name: one for one in sets}


def _moved(matrix: Matrix, points: ArrayLike) -> Matrix:
    moved: Matrix = np.asarray(points) @ matrix[:3, :3].T + matrix[:3, 3]
    return moved
