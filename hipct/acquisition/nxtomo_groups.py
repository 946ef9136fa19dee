"""The NXtomo entries of a file, and the groups of an entry."""

from __future__ import annotations

import h5py

from hipct.acquisition import hdf5
from hipct.core.errors import FormatError

_DEPTH, _MOST_GROUPS = 3, 2000


class Groups:
    """The NeXus groups of an entry, by class first, by path second.

    Parameters
    ----------
    entry : h5py.Group
        The entry.
    """

    def __init__(self, entry: h5py.Group) -> None:
        self.entry = entry
        self.instrument = _child(entry, "NXinstrument", "instrument")
        self.sample = _child(entry, "NXsample", "sample")
        # By name only: other monitors (a diode, say) do not hold the machine current.
        control = hdf5.find(entry, "control")
        self.control = control if isinstance(control, h5py.Group) else None
        self.detector = self._pick_detector()
        self.source = _child(self.instrument, "NXsource", "source")
        self.beam = _child(self.instrument, "NXbeam", "beam")
        if self.beam is None:
            self.beam = _child(entry, "NXbeam", "beam")
        self.monochromator = _child(self.instrument, "NXmonochromator", "monochromator")

    def in_detector(self, name: str) -> h5py.Dataset | None:
        """Dataset of the detector; ``None`` if there is no such one."""
        return _dataset(self.detector, name)

    def in_sample(self, name: str) -> h5py.Dataset | None:
        """Dataset of the sample; ``None`` if there is no such one."""
        return _dataset(self.sample, name)

    def in_control(self, name: str) -> h5py.Dataset | None:
        """Dataset of the machine's monitor; ``None`` if there is no such one."""
        return _dataset(self.control, name)

    def _pick_detector(self) -> h5py.Group | None:
        if self.instrument is None:
            return None
        candidates = hdf5.children_of_class(self.instrument, "NXdetector")
        with_keys = [group for group in candidates if "image_key" in group]
        if len(with_keys) == 1:
            return with_keys[0]
        return _child(self.instrument, "NXdetector", "detector")


def find_entries(file: h5py.File) -> list[str]:
    """Paths of all groups whose ``definition`` is NXtomo, in the file's order.

    Diamond puts it into a sub-entry (``entry1/tomo_entry``). A file whose broken link hides
    its only entry is reported as such.

    Raises
    ------
    FormatError
        If there is no such entry and a top-level link leads nowhere.
    """
    found: list[str] = []
    broken: FormatError | None = None
    level: list[h5py.Group] = [file]
    seen = 0
    for _ in range(_DEPTH):
        below = []
        for group in level:
            for name in group:
                seen += 1
                if seen > _MOST_GROUPS:
                    return found
                try:
                    child = hdf5.find(group, name)
                except FormatError as error:
                    broken = broken or error
                    continue
                if not isinstance(child, h5py.Group):
                    continue
                if _is_nxtomo(child):
                    found.append(f"{group.name.rstrip('/')}/{name}")
                else:
                    below.append(child)
        level = below
    if not found and broken is not None and "exchange" not in file:
        raise broken
    return found


def _is_nxtomo(group: h5py.Group) -> bool:
    try:
        definition = group.get("definition")
        return isinstance(definition, h5py.Dataset) and hdf5.text(definition) == "NXtomo"
    except hdf5.BROKEN_LINK:
        return False


def _child(group: h5py.Group | None, nx_class: str, name: str) -> h5py.Group | None:
    if group is None:
        return None
    of_class = hdf5.children_of_class(group, nx_class)
    for child in of_class:
        if child.name.rsplit("/", 1)[-1] == name:
            return child
    named = hdf5.find(group, name)
    if isinstance(named, h5py.Group):
        return named
    return of_class[0] if of_class else None


def _dataset(group: h5py.Group | None, name: str) -> h5py.Dataset | None:
    return None if group is None else hdf5.find_dataset(group, name)
