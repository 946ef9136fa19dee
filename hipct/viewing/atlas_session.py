"""Data sets of the atlas in a window: opened where they lie, one in another, and cropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from hipct.atlas.catalogue import Catalogue, load_catalogue
from hipct.atlas.crop import Crop, make_crop, parse_ends
from hipct.atlas.dataset import AtlasSet
from hipct.atlas.download import download_crop
from hipct.atlas.found import find_places
from hipct.atlas.graph import place
from hipct.atlas.hierarchy import Member, member_of
from hipct.atlas.opening import AtlasVolume, open_set
from hipct.atlas.own import stem
from hipct.atlas.transform import IDENTITY, Transform
from hipct.core.errors import InputError
from hipct.core.progress import Observer
from hipct.core.threads import available_cores
from hipct.viewing.bookmarks import show_bookmark
from hipct.viewing.hierarchy import framed
from hipct.viewing.hierarchy_layers import add_member
from hipct.viewing.reads import PyramidReads
from hipct.viewing.reads_source import SlicedSource
from hipct.viewing.window_state import box_in_view, shown_axes
from hipct.volume.open import Volume, VolumeLevel, open_volume
from hipct.volume.storage import Patience

_PATIENCE = Patience(timeout_s=10.0, attempts=3)
"""A person waits: after half a minute of silence a sentence is better."""
_AT_ONCE_FROM_SERVERS = 16


@dataclass(frozen=True, eq=False)
class OpenSet:
    """A data set that is open.

    Attributes
    ----------
    atlas : its levels, as crops are taken of them
    volume : the same, as windows show them
    """

    dataset: AtlasSet
    atlas: AtlasVolume
    volume: Volume


@dataclass(frozen=True, eq=False)
class ShownSet:
    """A data set in the window.

    Attributes
    ----------
    transform : its own points (z, y, x) to those of the world, in micrometres
    """

    opened: OpenSet
    transform: Transform
    member: Member
    layer: Any


class AtlasSession:
    """What the panel Atlas does, without widgets.

    :meth:`load`, :meth:`open` and :meth:`fetch` wait for files and servers and touch no layer: they
    belong into another thread than the window's. The others belong into the window's.

    Parameters
    ----------
    viewer : napari.Viewer
    own : sequence of path or str
        Volumes of one's own, descriptions, or folders of both.
    mirror : str, optional
        Copy of the buckets that is read instead of Google's server.
    patience : Patience, optional
        How long a server is waited for. Default: half a minute.
    """

    def __init__(
        self,
        viewer: Any,
        own: Sequence[Path | str] = (),
        *,
        mirror: str | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.viewer, self.own = viewer, list(own)
        self._mirror, self._patience = mirror, patience or _PATIENCE
        self._shown: list[ShownSet] = []

    def load(self, *more: Path | str) -> tuple[Catalogue, list[str]]:
        """All data sets, with those of further folders, and sentences on what cannot be used.

        Raises
        ------
        HipctError
            As :func:`hipct.atlas.catalogue.load_catalogue`; the further folders are forgotten then.
        """
        notes: list[str] = []
        sources = [*self.own, *more]
        catalogue = load_catalogue(*sources, notes=notes, patience=self._patience)
        self.own = sources
        return catalogue, notes

    def open(self, dataset: AtlasSet) -> OpenSet:
        """Open a data set where it lies; its metadata is read, no voxel.

        Raises
        ------
        HipctError
            As :func:`hipct.atlas.opening.open_set`: a dead server is a sentence.
        """
        atlas = open_set(dataset, mirror=self._mirror, patience=self._patience)
        if dataset.address is not None:
            return OpenSet(dataset, atlas, open_volume(dataset.address, patience=self._patience))
        return OpenSet(dataset, atlas, as_volume(atlas))

    @property
    def shown(self) -> list[ShownSet]:
        """Data sets whose layers are in the window, in the order that they were opened in."""
        self._shown = [one for one in self._shown if one.layer in self.viewer.layers]
        return list(self._shown)

    def find(self, name: str) -> ShownSet | None:
        """The one of this name that is shown."""
        return next((one for one in self.shown if one.opened.dataset.name == name), None)

    def show(self, opened: OpenSet, catalogue: Catalogue) -> str:
        """Add a data set to the window, in its place among those that are there, and go there.

        Returns
        -------
        str
            A sentence on where it is.
        """
        dataset, shown = opened.dataset, self.shown
        transform, words = IDENTITY, f"{dataset.name} is open."
        path: tuple[str, ...] = (dataset.name,)
        root = shown[0] if shown else None
        if root is not None:
            try:
                found = find_places(catalogue, [*self.own], [])
                placed = place(catalogue, dataset, root.opened.dataset, found=found)
                transform, path = placed.transform, placed.path
                words = f"{' lies in '.join(path)}."
            except InputError as error:
                # Of another sample: one over the other would seem to be in its place.
                for one in shown:
                    one.layer.visible = False
                self._shown, root = [], None
                words = f"{error} It is shown alone, in its own coordinates."
        first = opened.volume if root is None else root.opened.volume
        member = member_of(opened.volume, first, transform, path)
        layer = add_member(self.viewer, member, first.axes, plain=reads_of_set(opened))
        added = ShownSet(opened, transform, member, layer)
        self._shown.append(added)
        self.go(added)
        return words

    def go(self, shown: ShownSet) -> None:
        """Look at a data set."""
        shown.layer.visible = True
        show_bookmark(self.viewer, framed(self.viewer, shown.member))

    def region_in_view(self, shown: ShownSet, level: int, depth_um: float) -> str:
        """What the window shows of a data set, as the region of a crop.

        Parameters
        ----------
        shown : ShownSet
        level : int
            Whose voxels are counted.
        depth_um : float
            Across the plane that is shown, half of it to either side; in three dimensions all of
            the data set is taken.

        Returns
        -------
        str
            ``z0:z1,y0:y1,x0:x1`` in mm, in the data set's own coordinates, as
            :func:`hipct.atlas.crop.parse_ends` reads them: the box around what is shown where the
            data set is turned.

        Raises
        ------
        InputError
            If nothing of it is in view.
        """
        at = shown.opened.atlas.level(level)
        low, high = (np.array(end) for end in shown.member.box_um)
        if self.viewer.dims.ndisplay == 2:
            rows, columns = shown_axes(self.viewer)
            top, left, bottom, right = box_in_view(self.viewer)
            across = ({0, 1, 2} - {rows, columns}).pop()
            middle = float(self.viewer.dims.point[-3:][across])
            ends = {rows: (top, bottom), columns: (left, right)}
            ends[across] = (middle - depth_um / 2, middle + depth_um / 2)
            low, high = (np.array([ends[axis][end] for axis in range(3)]) for end in (0, 1))
        corners = np.array(list(product(*zip(low, high))))
        own = shown.transform.inverse()(corners)
        size = at.voxel_size_um
        words = []
        for axis, origin, n in zip(range(3), at.origin_um, at.array.shape):
            # A voxel belongs to a crop by its centre.
            first = max(float(own[:, axis].min()), origin - size / 2)
            last = min(float(own[:, axis].max()), origin + (n - 0.5) * size)
            if last - first < size:
                raise InputError(
                    f"Nothing of {shown.opened.dataset.name} is in view; go to it first."
                )
            words.append(f"{first / 1e3:.4f}:{last / 1e3:.4f}")
        return ",".join(words)

    def crop(self, shown: ShownSet, level: int, region: str) -> Crop:
        """A region of a level, in mm.

        Raises
        ------
        InputError
            If it is no region, or reaches out of the data set.
        """
        return make_crop(shown.opened.atlas, level, parse_ends(region), "mm")

    def fetch(self, shown: ShownSet, crop: Crop, out: Path, observer: Observer) -> Volume:
        """Fetch a crop as a volume of one's own; the same call goes on where a former one stood.

        Raises
        ------
        HipctError
            As :func:`hipct.atlas.download.download_crop`.
        """
        download_crop(shown.opened.atlas, crop, out, observer=observer)
        return open_volume(out)

    def show_crop(self, volume: Volume, shown: ShownSet) -> None:
        """Add a crop that has been fetched where it lies."""
        root = self.shown[0].opened.volume if self.shown else volume
        member = member_of(volume, root, shown.transform, (volume.name,))
        layer = add_member(self.viewer, member, root.axes)
        # Its volume has the name of what it was cut from.
        layer.name = stem(volume.address)


def as_volume(atlas: AtlasVolume) -> Volume:
    """A data set of the atlas as windows know volumes; its arrays read blocks where sliced."""
    arrays: list[Any] = [level.array for level in atlas.levels]
    levels = [
        VolumeLevel(str(level.number), array, (level.voxel_size_um,) * 3, level.origin_um)
        for level, array in zip(atlas.levels, arrays)
    ]
    dataset = atlas.dataset
    return Volume(
        address=atlas.address,
        name=dataset.name,
        version=atlas.format,
        axes=("z", "y", "x"),
        length_unit="um",
        levels=tuple(levels),
        labels=atlas.reduction == "mode",
        display=None,
        scale=None,
        offset=None,
        unit=None,
        provenance={"atlas": {"dataset": dataset.name, "description": dict(dataset.description)}},
        notes=atlas.notes,
    )


def reads_of_set(opened: OpenSet) -> PyramidReads | None:
    """The levels of a public data set as a window reads them; of one's own None: its files'."""
    if opened.dataset.address is not None:
        return None
    sources = [
        SlicedSource(level.array, level.array.chunks, f"level {level.path} of {opened.volume.name}")
        for level in opened.volume.levels
    ]
    near = opened.atlas.address.startswith(("file://", "/"))
    return PyramidReads(
        sources,
        [(level.scale, level.translation) for level in opened.volume.levels],
        threads=max(1, available_cores() - 1) if near else _AT_ONCE_FROM_SERVERS,
    )
