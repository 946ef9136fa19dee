"""Zooms in their overview: a graph of data sets, with a similarity transform on every edge.

Coordinates are those of hoa-tools: micrometres, 0 at the centre of the first voxel of the finest
level. A description gives the translation in voxels of the target, the rotation about z in degrees
and the scale in voxels of the target for a voxel of the source. A volume of one's own has its own
coordinates, those of its translations: mostly the same, but a crop counts as the whole does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise, product
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.atlas.catalogue import Catalogue, known_as
from hipct.atlas.dataset import AtlasSet
from hipct.atlas.found import read_place, read_place_file
from hipct.atlas.transform import IDENTITY, Transform
from hipct.core.errors import FormatError, InputError

_COARSEST = 30


@dataclass
class TransformGraph:
    """Transforms between data sets: nodes are names, edges are similarities, both ways.

    Attributes
    ----------
    notes : registrations that could not be used, as sentences
    """

    notes: list[str] = field(default_factory=list)
    _edges: dict[str, dict[str, Transform]] = field(default_factory=dict, repr=False)

    def add(self, source: str, target: str, transform: Transform) -> None:
        """Add an edge and its inverse; a newer one replaces an older."""
        if source == target:
            raise InputError(f"{source} was given a transform to itself.")
        self._edges.setdefault(source, {})[target] = transform
        self._edges.setdefault(target, {})[source] = transform.inverse()

    def neighbours(self, name: str) -> list[str]:
        """Data sets that an edge leads to."""
        return sorted(self._edges.get(name, ()))

    def path(self, source: str, target: str) -> list[str]:
        """Names from source to target, over the fewest edges.

        Raises
        ------
        InputError
            If no edges lead there.
        """
        if source == target:
            return [source]
        came_from = {source: source}
        queue = deque([source])
        while queue:
            here = queue.popleft()
            for there in self.neighbours(here):
                if there in came_from:
                    continue
                came_from[there] = here
                if there == target:
                    return _walk_back(came_from, source, target)
                queue.append(there)
        known = sorted(set(came_from) - {source})
        hint = f"some lead to {', '.join(known)}" if known else "none leads anywhere"
        raise InputError(
            f"No transform leads from {source} to {target}; {hint}. hipct register finds places: "
            "give one with --found (Python: found=)."
        )

    def between(self, source: str, target: str) -> Transform:
        """Transform of points of the source to points of the target, micrometres (z, y, x).

        The transforms along the path are applied in the order of the path: the first edge first.

        Raises
        ------
        InputError
            If no edges lead there.
        """
        whole = IDENTITY
        for here, there in pairwise(self.path(source, target)):
            whole = self._edges[here][there].after(whole)
        return whole


def registration_of(source: AtlasSet, target: AtlasSet) -> Transform:
    """The transform that a description records: points of the source to points of the target.

    Descriptions count from first voxels, volumes of one's own as their translations do.

    Raises
    ------
    FormatError
        If the source records none to this target, or one that is no similarity.
    """
    recorded = source.description.get("registration")
    if not recorded or recorded["target_dataset"] != target.name:
        raise FormatError(f"The description of {source.name} has no place in {target.name}.")
    # Listed x, y, z.
    x, y, z = (float(t) * target.voxel_size_um for t in recorded["translation"])
    scale = float(recorded["scale"]) * target.voxel_size_um / source.voxel_size_um
    try:
        first = Transform.about_z(scale, float(recorded["rotation"]), (z, y, x))
    except InputError as error:
        raise FormatError(f"The registration of {source.name} cannot be used: {error}") from error
    return first.recounted(*(tuple(-o for o in one.origin_um) for one in (source, target)))


def atlas_graph(catalogue: Catalogue) -> TransformGraph:
    """The graph of all registrations of a catalogue.

    Crops have the coordinates of what they are of. A place that ``hipct register`` stored in a
    volume comes before the registration of its description, which knows no tilt.
    """
    graph = TransformGraph()
    for one in catalogue.values():
        recorded = one.description.get("registration")
        if recorded is not None:
            _join(graph, catalogue, one, str(recorded["target_dataset"]))
    _join_crops(graph, catalogue)
    for one in catalogue.values():
        if one.placed_in is not None:
            found = read_place(
                one.placed_in, f"The place that is stored in {one.address or one.name}"
            )
            _join(graph, catalogue, one, found.overview, found.transform)
    return graph


def _join_crops(graph: TransformGraph, catalogue: Catalogue) -> None:
    """Crops have the coordinates of the whole, and so of one another, be it known or not."""
    first: dict[str, str] = {}
    for one in catalogue.values():
        if one.part_of is None:
            continue
        whole = known_as(catalogue, one.part_of)
        name = first.setdefault(one.part_of, one.name if whole is None else whole.name)
        if name != one.name:
            graph.add(one.name, name, IDENTITY)


def _join(
    graph: TransformGraph,
    catalogue: Catalogue,
    source: AtlasSet,
    name: str,
    transform: Transform | None = None,
) -> None:
    target = known_as(catalogue, name)
    if target is None:
        reason = (
            "not described (not public yet)" if source.address is None else "not among the sets"
        )
        graph.notes.append(
            f"{source.name} has a place in {name}, which is {reason}; it was left out."
        )
    elif target.name != source.name:
        graph.add(source.name, target.name, transform or registration_of(source, target))


def level_voxels_to_um(points: ArrayLike, voxel_size_um: float, level: int) -> NDArray[np.float64]:
    """Micrometres from the centre of the finest first voxel, of indices (z, y, x) at a level.

    A voxel of level l is the mean of 2^l finest ones along an axis, so its centre lies
    ``(2^l - 1)/2`` finest voxels behind that of its first one:
    ``um = (2^l i + (2^l - 1)/2) voxel_size_um``.
    """
    factor = _factor(level)
    indices = np.asarray(points, dtype=np.float64)
    um: NDArray[np.float64] = (factor * indices + 0.5 * (factor - 1)) * voxel_size_um
    return um


def um_to_level_voxels(points: ArrayLike, voxel_size_um: float, level: int) -> NDArray[np.float64]:
    """Indices (z, y, x) at a level, of micrometres: inverse of :func:`level_voxels_to_um`."""
    factor = _factor(level)
    um = np.asarray(points, dtype=np.float64)
    indices: NDArray[np.float64] = (um / voxel_size_um - 0.5 * (factor - 1)) / factor
    return indices


@dataclass(frozen=True)
class Placement:
    """Where one data set lies in another.

    Attributes
    ----------
    transform : points (z, y, x) of the source to points of the target, in micrometres
    path : names of the data sets on the way
    """

    source: AtlasSet
    target: AtlasSet
    transform: Transform
    path: tuple[str, ...]

    def box_um(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Least and largest coordinates (z, y, x) in the target of all of the source."""
        half = 0.5 * self.source.voxel_size_um
        edges = [
            (origin - half, origin + size - half)
            for origin, size in zip(self.source.origin_um, self.source.size_um)
        ]
        corners = self.transform(list(product(*edges)))
        return corners.min(axis=0), corners.max(axis=0)

    def box_voxels(self, level: int = 0) -> tuple[tuple[int, int], ...]:
        """Voxels of the target at a level that the source touches: (start, stop) along z, y, x.

        They are not cut at the ends of the target: a zoom may reach out of its overview.
        """
        low, high = self.box_um()
        # A voxel reaches half a voxel to either side of its centre.
        start = np.floor(self.target_voxels(low, level) + 0.5 + 1e-9)
        stop = np.ceil(self.target_voxels(high, level) + 0.5 - 1e-9)
        return tuple((int(a), int(b)) for a, b in zip(start, stop))

    def target_voxels(self, points_um: ArrayLike, level: int = 0) -> NDArray[np.float64]:
        """Indices (z, y, x) at a level of the target, of points of the target in micrometres."""
        first = np.asarray(points_um, dtype=np.float64) - np.asarray(self.target.origin_um)
        return um_to_level_voxels(first, self.target.voxel_size_um, level)

    def voxel_matrix(self, source_level: int = 0, target_level: int = 0) -> NDArray[np.float64]:
        """Homogeneous 4 x 4 matrix from indices (z, y, x) of a source level to a target level."""
        to_um = _index_matrix(self.source, source_level)
        from_um = np.linalg.inv(_index_matrix(self.target, target_level))
        matrix: NDArray[np.float64] = from_um @ self.transform.matrix @ to_um
        return matrix


def add_found(graph: TransformGraph, catalogue: Catalogue, file: Path | str) -> None:
    """Add a place that ``hipct register`` found; it replaces a recorded one between the same two.

    Parameters
    ----------
    graph : TransformGraph
    catalogue : mapping
        Its sets, or their volumes, have the names of the zoom and of the overview, and their
        coordinates; crops of ``hipct atlas download`` do.
    file : path
        The JSON file of ``hipct register``.

    Raises
    ------
    FormatError
        If it cannot be read.
    InputError
        If the place is uncertain, or one of the two is not among the data sets.
    """
    one = read_place_file(file)
    if not one.found:
        raise InputError(
            f"The place of {one.zoom} in {file} is uncertain and was not used; register it again "
            "with a start that is nearer."
        )
    ends = {name: known_as(catalogue, name) for name in (one.zoom, one.overview)}
    for name, known in ends.items():
        if known is None:
            raise InputError(
                f"{file} is of {name!r}, which is no data set that is known; give its volume or "
                "its description with --with (Python: load_catalogue(PATH))."
            )
    source, target = (known.name for known in ends.values() if known is not None)
    graph.add(source, target, one.transform)


def place(
    catalogue: Catalogue,
    source: AtlasSet,
    target: AtlasSet | None = None,
    *,
    found: Sequence[Path | str] = (),
) -> Placement:
    """Where a data set lies in another, by the registrations of the atlas.

    Parameters
    ----------
    catalogue : mapping
        As :func:`hipct.atlas.catalogue.load_catalogue` gives it.
    source : AtlasSet
        A zoom, or an overview.
    target : AtlasSet, optional
        Default: the data set that the source is registered to.
    found : sequence of path
        Places that ``hipct register`` found, taken before recorded ones.

    Raises
    ------
    InputError
        If no registrations lead there, or a place is uncertain.
    FormatError
        If a file of a place cannot be read.
    """
    graph = atlas_graph(catalogue)
    for file in found:
        add_found(graph, catalogue, file)
    if target is None:
        near = graph.neighbours(source.name)
        name = source.registered_to or (near[0] if len(near) == 1 else None)
        if name is None:
            several = f", but related to {', '.join(near)}" if near else ""
            raise InputError(
                f"{source.name} is registered to no other data set{several}; name a target, or a "
                "place that hipct register found with --found (Python: found=)."
            )
        target = known_as(catalogue, name)
    if target is None:
        reason = "whose description is not public; its place is not known."
        if source.address is not None:
            reason = "which is not among the data sets; give its volume with --with."
        raise InputError(f"{source.name} is registered to {name}, {reason}")
    path = graph.path(source.name, target.name)
    return Placement(source, target, graph.between(source.name, target.name), tuple(path))


def _index_matrix(one: AtlasSet, level: int) -> NDArray[np.float64]:
    matrix = np.diag([_factor(level) * one.voxel_size_um] * 3 + [1.0])
    first = level_voxels_to_um((0, 0, 0), one.voxel_size_um, level)
    matrix[:3, 3] = first + np.asarray(one.origin_um)
    return matrix


def _factor(level: int) -> int:
    if not 0 <= level <= _COARSEST:
        raise InputError(
            f"The level is {level}; levels count from 0, the finest, to {_COARSEST} at most."
        )
    return 1 << level


def _walk_back(came_from: dict[str, str], source: str, target: str) -> list[str]:
    names: Sequence[str] = [target]
    while names[-1] != source:
        names = [*names, came_from[names[-1]]]
    return list(reversed(names))
