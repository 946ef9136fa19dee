"""TIFF series: a folder of projections, flats and darks by name, or one stack."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.acquisition.angles import given_angles, no_angles
from hipct.acquisition.foreign import reading
from hipct.acquisition.scan import FrameKind, Scan, ScanInfo
from hipct.acquisition.tiff_frames import TiffFrames, is_tiff, natural_key
from hipct.acquisition.tiff_metadata import (
    ANGLE_FILES,
    SCAN_JSON,
    read_angle_file,
    read_scan_json,
)
from hipct.core.errors import FormatError, HipctError

# The kind is told from whole words of the name, which digits, _ and - end ("refHST0000", "df_3").
_PROJECTION = re.compile(r"proj|radio|tomo")
_DARK = re.compile(r"dark|(^|[^a-z])(df|dc|offset|bias)([^a-z]|$)")
_FLAT = re.compile(
    r"flat|white|bright|open_?beam|reference|(^|[^a-z])(ff|ob|refs?|refhst|empty|air)([^a-z]|$)"
)


class TiffScan(Scan):
    """A scan in TIFF files.

    In a folder, images are projections, flats or darks by their names, or by the names of
    sub-folders (``projections``, ``flats``, ``darks``). ``scan.json`` and ``angles.txt`` beside
    them hold what TIFF does not.

    Parameters
    ----------
    path : str or Path
        A folder, or one stack of projections.
    angles : array_like or str, optional
        Angles in radians, or ``start:stop[:exclusive]`` in degrees, instead of the folder's.

    Raises
    ------
    FormatError
        If images are damaged or not alike, or cannot be told apart.
    MissingMetadata
        If there are no angles beside them and none were given.
    """

    def __init__(self, path: str | Path, *, angles: ArrayLike | str | None = None) -> None:
        self.path = Path(path)
        folder = self.path if self.path.is_dir() else self.path.parent
        with reading(self.path, "TIFF"):
            files = (
                sort_files(folder)
                if self.path.is_dir()
                else {"projections": [self.path], "flats": [], "darks": []}
            )
            if not files["projections"]:
                raise FormatError(
                    f"{self.path} holds {len(files['flats'])} flats and {len(files['darks'])} "
                    "darks by their names, and no projections; put the projections into a "
                    "sub-folder called projections."
                )
            self._frames = {kind: TiffFrames(names) for kind, names in files.items() if names}
        projections = self._frames["projections"]
        for kind, frames in self._frames.items():
            if (frames.shape, frames.dtype) != (projections.shape, projections.dtype):
                raise FormatError(
                    f"The {kind} of {self.path} are {frames.shape} {frames.dtype} and the "
                    f"projections {projections.shape} {projections.dtype}; they have to agree."
                )
        self.row_chunk = projections.shape[0]
        # A single stack has its angles beside it only under its own control: in a folder of
        # several stacks a general angles.txt may belong to any of them.
        self.info = self._info(folder if self.path.is_dir() else None, angles)

    def close(self) -> None:
        """Close the stacks."""
        for frames in self._frames.values():
            frames.close()

    def _info(self, folder: Path | None, angles: ArrayLike | str | None) -> ScanInfo:
        projections = self._frames["projections"]
        counts = {
            kind: self._frames[kind].count if kind in self._frames else 0
            for kind in ("projections", "flats", "darks")
        }
        notes: list[str] = []
        values: dict[str, Any] = {} if folder is None else read_scan_json(folder)
        given = given_angles(angles, projections.count)
        if given is not None:
            values["angles_rad"] = given
        elif "angles_rad" not in values:
            values["angles_rad"] = self._angles_beside(folder, notes)
        if "flat_index" not in values and (counts["flats"] or counts["darks"]):
            notes.append(
                "TIFF files do not say when flats and darks were taken; they count as taken "
                f"before the first projection (flat_index in {SCAN_JSON} says otherwise)."
            )
        before = np.arange(-counts["flats"], 0, dtype=np.float64) - counts["darks"]
        values.setdefault("flat_index", before)
        values.setdefault("dark_index", np.arange(-counts["darks"], 0, dtype=np.float64))
        for name, count in (
            ("angles_rad", counts["projections"]),
            ("projection_index", counts["projections"]),
            ("current", counts["projections"]),
            ("flat_index", counts["flats"]),
            ("dark_index", counts["darks"]),
            ("flat_current", counts["flats"]),
        ):
            if name in values and len(values[name]) != count:
                raise FormatError(
                    f"{self.path} has {len(values[name])} values of {name} beside {count} images; "
                    "there has to be one each."
                )
        try:
            return ScanInfo(
                projections=projections.count,
                rows=projections.shape[0],
                columns=projections.shape[1],
                dtype=projections.dtype,
                source=str(self.path),
                format="TIFF",
                notes=tuple(notes),
                **values,
            )
        except HipctError as error:
            raise FormatError(str(error)) from error

    def _angles_beside(self, folder: Path | None, notes: list[str]) -> NDArray[np.float64]:
        count = self._frames["projections"].count
        if folder is not None:
            found, decided = read_angle_file(folder)
            notes += decided
            if found is not None:
                return found
        looked_for = (
            f"neither {SCAN_JSON} nor {', '.join(ANGLE_FILES[:2])} lies in it"
            if folder is not None
            else f"put the stack into a folder with {SCAN_JSON} or {ANGLE_FILES[0]}"
        )
        raise no_angles(str(self.path), count, looked_for)

    def _read_into(self, kind: FrameKind, frames: slice, rows: slice, out: NDArray[Any]) -> None:
        self._frames[kind].read_into(frames.start, frames.stop, rows, out)


def kind_of(name: str) -> FrameKind | None:
    """What a file or folder holds by its name; ``None`` if the name does not say.

    Examples
    --------
    >>> [kind_of(n) for n in ("refHST0000", "darkend0000", "FLAT_1", "proj_1", "heart_0001")]
    ['flats', 'darks', 'flats', 'projections', None]
    """
    name = name.lower()
    if _PROJECTION.search(name) and not (_DARK.search(name) or _FLAT.search(name)):
        return "projections"
    if _DARK.search(name):
        return "darks"
    if _FLAT.search(name):
        return "flats"
    return None


def tiff_files(folder: Path) -> list[Path]:
    """TIFF files of a folder in natural order, by content (looked into once a suffix)."""
    by_suffix: dict[str, list[Path]] = defaultdict(list)
    for file in folder.iterdir():
        if file.is_file() and not file.name.startswith("."):
            by_suffix[file.suffix.lower()].append(file)
    found: list[Path] = []
    for files in by_suffix.values():
        files.sort(key=lambda file: natural_key(file.name))
        with files[0].open("rb") as first:
            if is_tiff(first.read(4)):
                found += files
    return sorted(found, key=lambda file: natural_key(file.name))


def sort_files(folder: Path) -> dict[FrameKind, list[Path]]:
    """Projections, flats and darks of a folder.

    Raises
    ------
    FormatError
        If images of several names could be the projections.
    """
    files: dict[FrameKind, list[Path]] = {"projections": [], "flats": [], "darks": []}
    for child in sorted(folder.iterdir(), key=lambda path: natural_key(path.name)):
        kind = kind_of(child.name) if child.is_dir() else None
        if kind is not None:
            files[kind] += tiff_files(child)
    unnamed: dict[str, list[Path]] = defaultdict(list)
    for file in tiff_files(folder):
        kind = kind_of(file.stem)
        if kind is None or (kind == "projections" and not files["flats"]):
            unnamed[re.sub(r"[0-9]+$", "", file.stem)].append(file)
        else:
            files[kind].append(file)
    if files["projections"]:
        return files
    named = {stem: group for stem, group in unnamed.items() if kind_of(stem) == "projections"}
    candidates = named or unnamed
    if len(candidates) > 1:
        raise FormatError(
            f"{folder} holds images of {len(candidates)} names that may be the projections "
            f"({', '.join(sorted(candidates)[:6])}); put the projections into a sub-folder called "
            "projections."
        )
    for group in candidates.values():
        files["projections"] = group
    return files
