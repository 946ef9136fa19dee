"""Volumes of a hierarchy as layers, and their frames: what a window of napari is given of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.atlas.hierarchy import Member
from hipct.core.threads import available_cores
from hipct.exchange.clinical import ClinicalVolume
from hipct.viewing.hierarchy_reads import PlacedReads
from hipct.viewing.layers import add_volume
from hipct.viewing.reads import PyramidReads, reads_of_volume
from hipct.viewing.reads_source import SlicedSource

_CLINICAL_CHUNKS = (32, 128, 128)
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
    from napari.layers import Image, Labels

    from hipct.viewing.layers_refresh import keep_fresh

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
    scale, origin = reads.places[0]
    options: dict[str, Any] = {
        "name": opened.name,
        "multiscale": True,
        "scale": scale,
        "translate": origin,
        "units": (_UNIT,) * 3,
        "axis_labels": tuple(axis_labels),
        "blending": _INSIDE,
        **shown,
    }
    if not opened.labels:
        options |= {
            "colormap": "gray",
            "contrast_limits": opened.display,
            "projection_mode": "none",
        }
    layer = (Labels if opened.labels else Image)(list(reads.levels), **options)
    keep_fresh(viewer, layer, reads, guess_contrast=False)
    return viewer.add_layer(layer)


class Frames:
    """The outlines of volumes: in two dimensions where the plane cuts them, in three their edges.

    Parameters
    ----------
    viewer : napari.Viewer
    members : sequence of Member
        Whose outlines are drawn, where their place is known.
    """

    _PIXELS = 2.0
    _COLOURS = ("orange", "cyan", "magenta", "lime", "yellow", "deepskyblue")

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
        elif self.layer is None:
            # Whatever was chosen stays chosen: frames are nothing to work on.
            chosen = set(self._viewer.layers.selection)
            self.layer = self._viewer.add_shapes(
                ndim=3,
                name="frames",
                face_color="transparent",
                opacity=1,
                blending=_INSIDE,
                units=(_UNIT,) * 3,
            )
            self.layer.mouse_pan = True
            self.draw()
            if chosen:
                self._viewer.layers.selection = chosen

    def draw(self, event: Any = None) -> None:  # noqa: ARG002 - napari hands it over
        """Draw them where the window looks now."""
        if self.layer is None:
            return
        lines: list[NDArray[np.float64]] = []
        colours, names = [], []
        solid = self._viewer.dims.ndisplay == 3
        axis = int(self._viewer.dims.order[-3])
        for number, member in enumerate(self._members):
            if solid:
                found = list(member.edges_um())
            else:
                corners = member.section_um(axis, float(self._viewer.dims.point[-3:][axis]))
                found = [np.concatenate([corners, corners[:1]])] if len(corners) else []
            lines += found
            colours += [self._COLOURS[number % len(self._COLOURS)]] * len(found)
            names += [member.name] * bool(found)
        self.shown = tuple(names)
        self.layer.data = []
        if lines:
            self.layer.add(lines, shape_type="path", edge_width=self._width(), edge_color=colours)
        self.layer.selected_data = set()

    def _width(self) -> float:
        return self._PIXELS / float(self._viewer.scene.camera.zoom)

    def _widen(self, event: Any = None) -> None:  # noqa: ARG002 - napari hands it over
        if self.layer is None or not len(self.layer.data):
            return
        width = self._width()
        if abs(self.layer.edge_width[0] / width - 1) > 0.3:
            self.layer.edge_width = [width] * len(self.layer.data)

    def _removed(self, event: Any) -> None:
        if event.value is self.layer:
            self.layer, self.shown = None, ()
