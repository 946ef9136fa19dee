"""Volumes of a hierarchy as layers, and their frames: what a window of napari is given of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from hipct.atlas.hierarchy import Matrix, Member
from hipct.core.threads import available_cores
from hipct.exchange.clinical import ClinicalVolume
from hipct.viewing.hierarchy_reads import PlacedReads
from hipct.viewing.layers import add_volume
from hipct.viewing.reads import PyramidReads, reads_of_volume
from hipct.viewing.reads_source import SlicedSource
from hipct.volume.open import Volume, VolumeLevel

_CLINICAL_CHUNKS = (32, 128, 128)
_CLINICAL = "hipct clinical volume"
_UNIT = "micrometer"
_INSIDE = "translucent_no_depth"
"""In three dimensions a zoom lies inside of its overview, and would be hidden by it."""


def add_member(
    viewer: Any,
    member: Member,
    axis_labels: Sequence[str] = ("z", "y", "x"),
    *,
    plain: PyramidReads | None = None,
) -> Any:
    """Add a volume where it lies; one whose place is not known is added, and not shown.

    Parameters
    ----------
    viewer : napari.Viewer
    member : Member
        From :func:`hipct.atlas.hierarchy.hierarchy_of`.
    axis_labels : sequence of str
        Of the world: those of the first volume.
    plain : PyramidReads, optional
        Where the chunks come from. Default: the volume's own files.

    Returns
    -------
    napari.layers.Image or napari.layers.Labels
    """
    opened = member.opened
    shown: dict[str, Any] = {} if not member.why else {"visible": False}
    if isinstance(opened, ClinicalVolume):
        return _add_clinical(viewer, member, opened, axis_labels, **shown)
    if member.own:
        within: dict[str, Any] = {"blending": _INSIDE} if len(member.path) > 1 else {}
        return add_volume(viewer, opened, reads=plain, **shown, **within)
    reads = PlacedReads.of(plain or reads_of_volume(opened), member.matrices, labels=opened.labels)
    scale, origin = reads.places[0]
    options = {"scale": scale, "translate": origin, "axis_labels": tuple(axis_labels), **shown}
    options["blending"] = _INSIDE
    return add_volume(viewer, opened, reads=reads, **options)


def _add_clinical(
    viewer: Any, member: Member, opened: ClinicalVolume, axis_labels: Sequence[str], **shown: Any
) -> Any:
    sources = [
        SlicedSource(level.array, _CLINICAL_CHUNKS, f"level {number} of {opened.address}")
        for number, level in enumerate(opened.levels)
    ]
    reads = PlacedReads(
        sources,
        member.matrices,
        labels=opened.labels,
        threads=max(1, available_cores() - 1),
    )
    volume = _as_volume(opened, reads, axis_labels)
    layer = add_volume(viewer, volume, reads=reads, blending=_INSIDE, **shown)
    layer.metadata[_CLINICAL] = opened
    return layer


def _as_volume(opened: ClinicalVolume, reads: PlacedReads, axis_labels: Sequence[str]) -> Volume:
    """What the panels of a window know of a volume, along the axes of the window."""
    levels = []
    for level, (scale, first) in zip(reads.levels, reads.places):
        (z, y, x), (down, back, left) = scale, first
        levels.append(VolumeLevel("", cast(Any, level), (z, y, x), (down, back, left)))
    voxels = " x ".join(map(str, opened.levels[0].array.shape))
    return Volume(
        address=opened.address,
        name=opened.name,
        version="",
        axes=tuple(axis_labels),
        length_unit="um",
        levels=tuple(levels),
        labels=opened.labels,
        display=opened.display,
        scale=1.0,
        offset=0.0,
        unit=None,
        provenance={},
        notes=(f"{voxels} voxels in the file, shown along the axes of the window.", *opened.notes),
    )


def clinical_of(layer: Any) -> ClinicalVolume | None:
    """The clinical volume that a layer shows; None for other layers."""
    opened: ClinicalVolume | None = layer.metadata.get(_CLINICAL)
    return opened


class Frames:
    """The outlines of volumes: in two dimensions where the plane cuts them, in three their edges.

    Parameters
    ----------
    viewer : napari.Viewer
    members : sequence of Member
        Whose outlines are drawn, where their place is known.
    """

    _PIXELS = 2.0
    _COLOURS = (
        (1.0, 0.65, 0.0, 1.0),
        (0.0, 1.0, 1.0, 1.0),
        (1.0, 0.0, 1.0, 1.0),
        (0.2, 0.8, 0.2, 1.0),
        (1.0, 1.0, 0.0, 1.0),
        (0.0, 0.75, 1.0, 1.0),
    )
    """Orange, cyan, magenta, green, yellow, blue, over and over."""

    def __init__(self, viewer: Any, members: Sequence[Member]) -> None:
        self._viewer = viewer
        self._members = [member for member in members if not member.why]
        self.layer: Any = None
        self.shown: tuple[str, ...] = ()
        viewer.dims.events.point.connect(self.draw)
        viewer.dims.events.order.connect(self.draw)
        viewer.dims.events.ndisplay.connect(self.draw)
        viewer.scene.camera.events.zoom.connect(self._widen)
        viewer.layers.events.removed.connect(self._removed)

    def show(self, visible: bool) -> None:
        """Draw them, or take them away."""
        if not visible:
            if self.layer is not None:
                self._viewer.layers.remove(self.layer)
        elif self.layer is None and self._members:
            # Whatever was chosen stays chosen: frames are nothing to work on.
            chosen = set(self._viewer.layers.selection)
            self.layer = self._viewer.add_vectors(
                self._segments(),
                edge_color=self._colours(),
                ndim=3,
                name="frames",
                vector_style="line",
                opacity=1,
                blending=_INSIDE,
                units=(_UNIT,) * 3,
            )
            self._widen()
            if chosen:
                self._viewer.layers.selection = chosen

    def draw(self, event: Any = None) -> None:  # noqa: ARG002 - napari hands it over
        """Draw them where the window looks now."""
        if self.layer is not None:
            self.layer.data = self._segments()
            self._widen()

    def _segments(self) -> Matrix:
        """As many vectors for each volume wherever the window looks: a point and the way from it.

        napari slices in another thread: it draws fewer vectors by the numbers of those before
        them, and fails. What a plane cuts in fewer lines is drawn several times; what it does not
        cut keeps its edges, none of which begins in the plane.
        """
        parts, names = [np.empty((0, 2, 3))], []
        solid = self._viewer.dims.ndisplay == 3
        axis = int(self._viewer.dims.order[-3])
        for member in self._members:
            edges = member.edges_um()
            corners = member.section_um(axis, float(self._viewer.dims.point[-3:][axis]))
            if not solid and len(corners):
                outline = np.stack([corners, np.roll(corners, -1, axis=0)], axis=1)
                parts.append(outline[np.arange(len(edges)) % len(outline)])
            else:
                parts.append(edges)
            if solid or len(corners):
                names.append(member.name)
        self.shown = tuple(names)
        ends = np.concatenate(parts)
        ends[:, 1] -= ends[:, 0]
        return ends

    def _colours(self) -> Matrix:
        colours = np.array(self._COLOURS)[np.arange(len(self._members)) % len(self._COLOURS)]
        return np.repeat(colours, [len(member.edges_um()) for member in self._members], axis=0)

    def _widen(self, event: Any = None) -> None:  # noqa: ARG002 - napari hands it over
        if self.layer is not None:
            width = self._PIXELS / float(self._viewer.scene.camera.zoom)
            if not 0.7 < self.layer.edge_width / width < 1.4:
                self.layer.edge_width = width

    def _removed(self, event: Any) -> None:
        if event.value is self.layer:
            self.layer, self.shown = None, ()
