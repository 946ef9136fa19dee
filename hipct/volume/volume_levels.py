"""The levels that a volume has, by its metadata, and new ones in their places."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hipct.core.errors import OutputError
from hipct.volume.layout import PyramidSpec
from hipct.volume.omezarr import group_attributes, update_attributes
from hipct.volume.open import place_of_level

_GROUP_FILES = ("zarr.json", ".zgroup", ".zattrs")


class VolumeLevels:
    """The levels of a volume of OME-Zarr on disk, 0.4 or 0.5.

    Parameters
    ----------
    path : Path
        The volume.
    attributes : mapping
        Those of its group.
    count : int
        How many levels it shall have.

    Attributes
    ----------
    names : list of str
        Paths of these levels in the group: the finest one's as it is, others counted up from it
        (``0`` to ``1``, ``scale0/image`` to ``scale1/image``).
    """

    def __init__(self, path: Path, attributes: Mapping[str, Any], count: int) -> None:
        self.path = path
        self._multiscales = list(attributes.get("ome", attributes)["multiscales"])
        self._listed = [str(d["path"]) for d in self._multiscales[0]["datasets"]]
        self.names = [_name(self._listed[0], number) for number in range(count)]

    def refuse_others(self, overwrite: bool) -> None:
        """Raise if there are coarser levels already, unless they may be replaced.

        Raises
        ------
        OutputError
            If there are.
        """
        names = dict.fromkeys([*self._listed[1:], *self.names[1:]])
        there = [name for name in names if (self.path / name).exists()]
        if there and not overwrite:
            raise OutputError(
                f"{self.path} has coarser levels already ({', '.join(there)}), which were left as "
                "they are; give --overwrite (Python: overwrite=True) to build them anew."
            )

    def publish(self, new: Path, old: Path, spec: PyramidSpec) -> None:
        """Put new levels in the places of what is there; metadata that list them come last.

        May be repeated after a kill.

        Parameters
        ----------
        new : Path
            Folder of the new levels, by their numbers.
        old : Path
            Where levels that are replaced go.
        spec : PyramidSpec
            The new levels.

        Raises
        ------
        OutputError
            If the disk refuses.
        """
        if len(self._listed) > 1:
            self._list(self._datasets(spec)[:1], spec)
        try:
            for name in dict.fromkeys([*self.names[:0:-1], *self._listed[1:]]):
                number = self.names.index(name) if name in self.names else None
                if number is not None and not (new / str(number)).exists():
                    continue
                if (self.path / name).exists():
                    (old / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.rmtree(old / name, ignore_errors=True)
                    os.rename(self.path / name, old / name)
                if number is not None:
                    self._make_groups(name)
                    os.rename(new / str(number), self.path / name)
        except OSError as error:
            raise OutputError(
                f"The new levels of {self.path} are complete in {new}, but could not be moved to "
                f"their places: {error.strerror or error}; run again to go on."
            ) from error
        self._list(self._datasets(spec), spec)

    def _make_groups(self, name: str) -> None:
        """Folders between the volume and a level are groups, as those of the finest level are."""
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        ours = list(Path(name).parents)[:-1]
        finest = list(Path(self.names[0]).parents)[:-1]
        for folder, model in zip(ours, finest):
            for file in _GROUP_FILES:
                stored, there = self.path / model / file, self.path / folder / file
                if stored.is_file() and not there.exists():
                    shutil.copyfile(stored, there)

    def _datasets(self, spec: PyramidSpec) -> list[dict[str, Any]]:
        """What the metadata say of all levels, in the volume's own unit."""
        finest = self._multiscales[0]["datasets"][0]
        scale, translation = place_of_level(finest["coordinateTransformations"], 3)
        datasets = [dict(finest)]
        for name, level in zip(self.names[1:], spec.levels[1:]):
            factors = [round(a / b) for a, b in zip(level.scale, spec.levels[0].scale)]
            place = [t + 0.5 * (f - 1) * s for t, f, s in zip(translation, factors, scale)]
            steps = [
                {"type": "scale", "scale": [s * f for s, f in zip(scale, factors)]},
                {"type": "translation", "translation": place},
            ]
            datasets.append({"path": name, "coordinateTransformations": steps})
        return datasets

    def _list(self, datasets: list[dict[str, Any]], spec: PyramidSpec) -> None:
        made = group_attributes(spec, {})
        (model,) = made.get("ome", made)["multiscales"]
        said = {key: model[key] for key in ("type", "metadata")}
        first = {**self._multiscales[0], "datasets": datasets, **said}
        update_attributes(self.path, {"ome": {"multiscales": [first, *self._multiscales[1:]]}})


def _name(first: str, number: int) -> str:
    """Path of a level, from that of level 0."""
    if number == 0:
        return first
    name, found = re.subn(r"0(?!.*[0-9])", str(number), first, count=1)
    return name if found and not re.search(r"[0-9]0(?!.*[0-9])", first) else str(number)
