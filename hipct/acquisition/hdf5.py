"""HDF5 as scan files use it: links that may dangle, units, runs of frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401 - registers the compression filters of the beamlines
import numpy as np
from numpy.typing import NDArray

from hipct.acquisition.foreign import reading
from hipct.acquisition.scan import Scan
from hipct.acquisition.units import Quantity, factor, normalise_unit
from hipct.core.errors import FormatError

# What h5py raises for a link that leads nowhere: to no name, to no file, in a circle.
BROKEN_LINK = (KeyError, OSError, RuntimeError)

_MOST_VALUES = 50_000_000


def open_hdf5(path: Path) -> h5py.File:
    """Open for reading, without a lock on the file: beamlines share them.

    Raises
    ------
    FormatError
        If it is not HDF5, or truncated.
    """
    with reading(path, "HDF5"):
        return h5py.File(path, "r", locking=False)


class Hdf5Scan(Scan):
    """A scan in an HDF5 file that stays open as long as the scan does.

    Parameters
    ----------
    path : str or Path
        The file.
    kind : str
        What it is called where it turns out to be damaged.
    parse : callable
        Reads the layout from ``self._file`` into the scan.
    """

    def __init__(self, path: str | Path, kind: str, parse: Callable[[], None]) -> None:
        self.path = Path(path)
        self._file = open_hdf5(self.path)
        try:
            with reading(self.path, kind):
                parse()
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def find(group: h5py.Group, path: str) -> Any | None:
    """Object at a relative path, links followed; ``None`` if there is no such name.

    Raises
    ------
    FormatError
        If a link on the way leads nowhere.
    """
    here: Any = group
    for name in path.strip("/").split("/"):
        if not isinstance(here, h5py.Group):
            return None
        link = here.get(name, getlink=True)
        if link is None:
            return None
        try:
            here = here[name]
        except BROKEN_LINK as error:
            raise FormatError(_broken_link(here, name, link)) from error
    return here


def find_dataset(group: h5py.Group, *paths: str) -> h5py.Dataset | None:
    """First of the paths that is a dataset."""
    for path in paths:
        found = find(group, path)
        if isinstance(found, h5py.Dataset):
            return found
    return None


def children_of_class(group: h5py.Group, nx_class: str) -> list[h5py.Group]:
    """Sub-groups with the attribute ``NX_class``; broken links are passed over."""
    found = []
    for name in group:
        try:
            child = group[name]
        except BROKEN_LINK:
            continue
        if isinstance(child, h5py.Group) and text(child.attrs.get("NX_class")) == nx_class:
            found.append(child)
    return found


def text(value: object) -> str | None:
    """A string of HDF5 (bytes, str, or an array of one of them) as str; else ``None``."""
    if isinstance(value, h5py.Dataset):
        value = value[()] if value.size == 1 else None
    if isinstance(value, np.ndarray):
        value = value.reshape(-1)[0] if value.size == 1 else None
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape").strip("\0 ")
    return str(value).strip() if isinstance(value, str) else None


def unit_of(dataset: h5py.Dataset) -> str | None:
    """The ``units`` (or ``unit``) attribute, spelt plainly; ``None`` if there is none."""
    for name in ("units", "unit"):
        spelt = text(dataset.attrs.get(name))
        if spelt:
            return normalise_unit(spelt)
    return None


def vector(dataset: h5py.Dataset) -> NDArray[np.float64]:
    """All values of a dataset, flat, as float64.

    Raises
    ------
    FormatError
        If they are no numbers, or absurdly many.
    """
    if dataset.dtype.kind not in "uifb" or dataset.shape is None:
        raise FormatError(f"{where(dataset)} holds {dataset.dtype} instead of numbers.")
    if dataset.size > _MOST_VALUES:
        raise FormatError(
            f"{where(dataset)} claims {dataset.size} values, more than any scan has frames."
        )
    return np.asarray(dataset[()], dtype=np.float64).reshape(-1)


def angles_rad(dataset: h5py.Dataset) -> tuple[NDArray[np.float64], list[str]]:
    """Angles in radians by the dataset's own unit, and what had to be decided.

    NXtomo and DXchange define degrees where the attribute is missing.
    """
    unit = unit_of(dataset)
    values = vector(dataset)
    if unit is not None:
        return values * factor(unit, "angle"), []
    notes = [f"{dataset.name} has no unit; the format's degrees were taken."]
    finite = values[np.isfinite(values)]
    if finite.size > 10 and 3.0 < np.ptp(finite) < 6.4:
        notes.append(
            f"{dataset.name} covers only {np.ptp(finite):.4g} degrees: if these are radians, "
            "give the angles yourself."
        )
    return np.radians(values), notes


def quantity(
    dataset: h5py.Dataset, kind: Quantity, plausible: tuple[float, float]
) -> tuple[float | None, list[str]]:
    """One number in metre or keV, and what had to be decided.

    A value without a unit, or outside what is ``plausible``, is left out and noted: it is asked
    for when a step needs it.
    """
    values = vector(dataset)
    values = values[np.isfinite(values)]
    if values.size == 0:
        return None, []
    value = float(np.median(values))
    notes = []
    if np.ptp(values) > 1e-6 * abs(value):
        notes.append(
            f"{dataset.name} varies from {values.min():.6g} to {values.max():.6g}; its median "
            "was taken."
        )
    unit = unit_of(dataset)
    if unit is None:
        return None, [f"{dataset.name} = {value:.6g} has no unit and was left out."]
    try:
        value *= factor(unit, kind)
    except FormatError:
        return None, [
            f"{dataset.name} = {value:.6g} has the unknown unit {unit[:40]!r} and was left out."
        ]
    if value == 0:
        return None, [*notes, f"{dataset.name} is 0 and was taken as not known."]
    low, high = plausible
    if not low <= abs(value) <= high:
        return None, [
            *notes,
            f"{dataset.name} = {values[0]:.6g} {unit} is not plausible and was left out.",
        ]
    return value, notes


def where(dataset: h5py.Dataset) -> str:
    """File and path, for messages."""
    return f"{dataset.file.filename}:{dataset.name}"


class Frames:
    """Some frames of a (n, rows, columns) dataset, in a given order.

    Parameters
    ----------
    dataset : h5py.Dataset
        Three dimensions, integers or floats.
    indices : sequence of int
        Frame numbers in the dataset.

    Raises
    ------
    FormatError
        If the dataset is not like that, or its sources are missing.
    """

    def __init__(self, dataset: h5py.Dataset, indices: Sequence[int] | NDArray[np.intp]) -> None:
        if dataset.shape is None or len(dataset.shape) != 3 or 0 in dataset.shape[1:]:
            raise FormatError(
                f"{where(dataset)} has the shape {dataset.shape}; frames have to be a dataset of "
                "three dimensions (frames, rows, columns)."
            )
        if dataset.dtype.kind not in "uif":
            raise FormatError(
                f"{where(dataset)} holds {dataset.dtype}; frames have to be integers or floats."
            )
        _check_virtual_sources(dataset)
        self.dataset = dataset
        self.indices = np.asarray(indices, dtype=np.intp)
        chunks = dataset.chunks
        self.angle_chunk = 1 if chunks is None else int(chunks[0])
        self.row_chunk = 1 if chunks is None else int(min(chunks[1], dataset.shape[1]))

    def read_into(self, first: int, last: int, rows: slice, out: NDArray[Any]) -> None:
        """Fill ``out`` with frames ``first`` to ``last`` (of ``indices``), runs at a time."""
        wanted = self.indices[first:last]
        breaks = np.flatnonzero(np.diff(wanted) != 1) + 1
        done = 0
        for run in np.split(wanted, breaks):
            self.dataset.read_direct(
                out,
                np.s_[int(run[0]) : int(run[-1]) + 1, rows, :],
                np.s_[done : done + run.size, :, :],
            )
            done += run.size

    def never_written(self) -> list[str]:
        """Note about chunks that the file does not hold: they read as the fill value."""
        dataset = self.dataset
        if dataset.chunks is None or dataset.is_virtual:
            return []
        expected = int(np.prod([-(-s // c) for s, c in zip(dataset.shape, dataset.chunks)]))
        held = int(dataset.id.get_num_chunks())
        if held >= expected:
            return []
        return [
            f"{expected - held} of {expected} chunks of {dataset.name} were never written and "
            f"read as {dataset.fillvalue}: the scan may have been broken off."
        ]


def _check_virtual_sources(dataset: h5py.Dataset) -> None:
    # HDF5 reads a virtual dataset whose source is missing as fill values, without a word.
    if not dataset.is_virtual:
        return
    here = Path(dataset.file.filename).parent
    for name, path in sorted({(s.file_name, s.dset_name) for s in dataset.virtual_sources()}):
        if name == ".":
            present = path in dataset.file
            shown = dataset.file.filename
        else:
            shown = str(here / name)
            present = _holds(here / name, path)
        if not present:
            raise FormatError(
                f"{where(dataset)} is made of other files, and {shown}:{path} is missing; put "
                "the raw files back beside it."
            )


def _holds(path: Path, name: str) -> bool:
    try:
        with h5py.File(path, "r", locking=False) as file:
            return name in file
    except OSError:
        return False


def _broken_link(group: h5py.Group, name: str, link: object, follow: int = 8) -> str:
    place = f"{group.file.filename}:{group.name.rstrip('/')}/{name}"
    if isinstance(link, h5py.ExternalLink):
        return (
            f"{place} is an external link to {link.filename}:{link.path}, which is missing or "
            "cannot be read; put that file back where the link expects it."
        )
    if isinstance(link, h5py.SoftLink):
        # The link may end at another broken one, which is the one to name.
        here = group.file if link.path.startswith("/") else group
        for part in link.path.strip("/").split("/") if follow else []:
            below = here.get(part, getlink=True) if isinstance(here, h5py.Group) else None
            if below is None:
                break
            try:
                here = here[part]
            except BROKEN_LINK:
                return _broken_link(here, part, below, follow - 1)
        return (
            f"{place} is a link to {link.path}, which leads nowhere; the file is incomplete: write "
            "it again from its source."
        )
    return f"{place} cannot be read: the file is damaged; copy it again from its source."
