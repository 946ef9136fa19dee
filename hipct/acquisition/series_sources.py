"""Finds the scans of a series: in a folder, in a list, behind a pattern, in one file of many."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hipct.acquisition.foreign import reading
from hipct.acquisition.open import open_scan
from hipct.acquisition.scan import Scan
from hipct.acquisition.series_store import is_series_store, read_series_index
from hipct.acquisition.store_files import PARTIAL_SUFFIX
from hipct.acquisition.tiff_frames import natural_key
from hipct.core.errors import FormatError, HipctError, InputError

_HDF5_SUFFIXES = (".nx", ".nxs", ".h5", ".hdf5", ".hdf", ".he5")
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class Source:
    """One scan that a series may have: a path, and which scan of a file."""

    path: Path
    entry: str | None = None

    def __str__(self) -> str:
        return str(self.path) if self.entry is None else f"{self.path}:{self.entry.strip('/')}"

    def open(self) -> Scan:
        """Open it (see :func:`~hipct.acquisition.open.open_scan`)."""
        return open_scan(self.path, entry=self.entry)


@dataclass
class Found:
    """Sources in natural order of their names, and what else was met."""

    sources: list[Source] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    allow_gaps: bool = False


def find_sources(what: str | Path | Iterable[str | Path]) -> Found:
    """Scans in a path, a pattern, or a list of both.

    A folder gives every scan directly inside it: HDF5 files, scan stores, folders of images. A
    file gives each of its entries.

    Raises
    ------
    InputError
        If there is nothing.
    """
    found = Found()
    if isinstance(what, (str, Path)):
        _look_at(Path(what), found)
    else:
        for path in what:
            _look_at(Path(path), found)
    if not found.sources and not found.unreadable:
        raise InputError(
            f"{what} holds no scan; give a folder of scans, a list of files, a pattern such as "
            "'organ_*.nx', or one file with several entries."
        )
    return found


def _look_at(path: Path, found: Found) -> None:
    if path.is_dir():
        _look_into_folder(path, found)
    elif path.exists():
        _look_into_file(path, found)
    elif glob.has_magic(str(path)):
        matches = sorted(glob.glob(str(path)), key=natural_key)
        if not matches:
            raise InputError(f"Nothing matches {path}; check the pattern.")
        for match in matches:
            _look_at(Path(match), found)
    else:
        raise InputError(f"{path} does not exist; check the path.")


def _look_into_folder(path: Path, found: Found) -> None:
    if is_series_store(path):
        index = read_series_index(path)
        found.notes += index.notes
        found.allow_gaps = index.allow_gaps
        found.sources += [Source(path / str(member["name"])) for member in index.members]
        return
    if _is_scan(path):
        found.sources.append(Source(path))
        return
    ignored = 0
    for child in sorted(path.iterdir(), key=lambda child: natural_key(child.name)):
        if child.name.startswith(".") or child.name.endswith(PARTIAL_SUFFIX):
            continue
        if child.is_file() and _is_hdf5(child):
            _look_into_file(child, found, among_others=True)
        elif child.is_dir() and _is_scan(child):
            found.sources.append(Source(child))
        else:
            ignored += 1
    if ignored:
        found.notes.append(f"{ignored} files and folders of {path} that hold no scan were ignored.")


def _is_scan(folder: Path) -> bool:
    """Whether a folder is one scan: a store, or images."""
    if (folder / "zarr.json").is_file():
        return True
    from hipct.acquisition.edf import is_edf_folder
    from hipct.acquisition.tiff import kind_of, tiff_files

    folders = [folder, *(c for c in folder.iterdir() if c.is_dir() and kind_of(c.name))]
    return is_edf_folder(folder) or any(tiff_files(each) for each in folders)


def _is_hdf5(file: Path) -> bool:
    # By its name too: a file that was cut off in its first bytes is still one to name.
    if file.suffix.lower() in _HDF5_SUFFIXES:
        return True
    with file.open("rb") as opened:
        return opened.read(8) == _HDF5_SIGNATURE


def _look_into_file(path: Path, found: Found, *, among_others: bool = False) -> None:
    if not _is_hdf5(path):
        found.sources.append(Source(path))
        return
    from hipct.acquisition import hdf5
    from hipct.acquisition.bliss_entries import find_sequences
    from hipct.acquisition.nxtomo_groups import find_entries

    try:
        with hdf5.open_hdf5(path) as file, reading(path, "HDF5"):
            entries = find_entries(file) or find_sequences(file)
            plain = "exchange" in file
    except HipctError as error:
        found.unreadable[str(path)] = str(error)
        return
    if entries:
        found.sources += [Source(path, entry if len(entries) > 1 else None) for entry in entries]
    elif plain or not among_others:
        found.sources.append(Source(path))
    else:
        found.notes.append(f"{path.name} is an HDF5 file without a scan and was ignored.")


def open_sources(
    found: Found, overrides: Mapping[str, Any]
) -> tuple[list[tuple[Source, Scan]], dict[str, str]]:
    """Open all of them.

    Returns
    -------
    list of (Source, Scan), dict of str
        Those that opened, and why the others did not, by name.
    """
    opened: list[tuple[Source, Scan]] = []
    failed = dict(found.unreadable)
    try:
        for source in found.sources:
            try:
                scan = source.open()
            except (FormatError, InputError) as error:
                failed[str(source)] = str(error)
                continue
            opened.append((source, scan.override(**overrides)))
    except BaseException:
        for _, scan in opened:
            scan.close()
        raise
    return opened, failed
