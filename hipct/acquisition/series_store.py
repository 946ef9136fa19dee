"""The series store: one zarr v3 group an organ, one scan store a sub-scan inside it.

The group's attribute ``hipct`` holds the index; it is written when every member is whole. Until
then all lies at ``<path>.partial``, where a second attempt goes on with the members that it finds.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import zarr
from numpy.typing import NDArray

from hipct.acquisition.foreign import reading
from hipct.acquisition.store_files import PARTIAL_SUFFIX, writing
from hipct.acquisition.store_layout import ATTRIBUTE, SERIES_FORMAT
from hipct.acquisition.store_writer import json_attributes, put_truth
from hipct.core.errors import FormatError, OutputError

VERSION = 1
SUFFIX = ".series.zarr"
_LOCK_NAME = ".writing"
_REPLACED_SUFFIX = ".replaced"


@dataclass(frozen=True, kw_only=True)
class SeriesIndex:
    """What a series store says of itself.

    Attributes
    ----------
    members : tuple of dict
        ``name``, ``z_um`` and ``lateral_um`` of each sub-scan, by z; ``name`` is its folder.
    notes : tuple of str
        What was found or left out, as sentences.
    source : str
        What the series was imported from.
    allow_gaps : bool
        Neighbours need not overlap: that was accepted when it was imported.
    """

    members: tuple[dict[str, Any], ...]
    notes: tuple[str, ...] = ()
    source: str = ""
    allow_gaps: bool = False


class SeriesStoreWriter:
    """A series store while it is written; a context manager.

    Members are scan stores written at :meth:`member`; leaving the ``with`` block without an error
    before :meth:`commit` leaves ``<path>.partial``, and so does an error: the next writer of the
    same path finds the whole members of it.

    Parameters
    ----------
    path : str or Path
        The store to make.
    overwrite : bool
        Replace an existing series store, once the new one is whole.
    resume : bool
        Keep the members of an attempt that was broken off.

    Raises
    ------
    OutputError
        If the output exists, or is being written by another job.
    """

    def __init__(self, path: str | Path, *, overwrite: bool = False, resume: bool = True) -> None:
        self.path = Path(path)
        self._refuse_existing(overwrite)
        self._partial = self.path.with_name(self.path.name + PARTIAL_SUFFIX)
        with writing(self.path):
            self._partial.mkdir(exist_ok=True)
            self._lock = os.open(self._partial / _LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                os.close(self._lock)
                raise OutputError(
                    f"{self._partial} is being written by another job right now; wait for it, or "
                    "choose another name."
                ) from error
            if not resume:
                self._empty()
            self._group = zarr.open_group(self._partial, mode="a", zarr_format=3)
        self._open = True

    def member(self, name: str) -> Path:
        """Where the scan store of a sub-scan is written, and lies when it is whole."""
        return self._partial / name

    def write_truth(
        self, name: str, array: NDArray[Any], attributes: Mapping[str, Any] | None = None
    ) -> None:
        """Keep an array of what a simulated series was made from, as ``truth/<name>``."""
        described = json_attributes(attributes)
        with writing(self.path):
            put_truth(self._group, name, array, described)

    def write_truth_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Keep values that a simulated series was made from, as attributes of ``truth``."""
        described = json_attributes(attributes)
        with writing(self.path):
            self._group.require_group("truth").attrs.update(described)

    def commit(self, index: SeriesIndex) -> None:
        """Write the index and give the store its name.

        Raises
        ------
        OutputError
            If a member is missing, or the disk fails.
        """
        missing = [m["name"] for m in index.members if not self.member(m["name"]).is_dir()]
        if missing:
            raise OutputError(
                f"The sub-scans {', '.join(missing[:8])} of {self.path} were not written; the "
                "series cannot be made whole."
            )
        header = {"format": SERIES_FORMAT, "version": VERSION, **asdict(index)}
        with writing(self.path):
            self._group.attrs.update(json_attributes({ATTRIBUTE: header}))
            self._drop_strangers({"truth", *(member["name"] for member in index.members)})
            (self._partial / _LOCK_NAME).unlink()
            old = self.path.with_name(self.path.name + _REPLACED_SUFFIX)
            if self.path.exists():
                shutil.rmtree(old, ignore_errors=True)
                os.rename(self.path, old)
            os.rename(self._partial, self.path)
            shutil.rmtree(old, ignore_errors=True)
        self._release()

    def abort(self) -> None:
        """Remove what was written."""
        if self._open:
            shutil.rmtree(self._partial, ignore_errors=True)
            self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._release()

    def _release(self) -> None:
        if self._open:
            os.close(self._lock)
            self._open = False

    def _empty(self) -> None:
        for child in self._partial.iterdir():
            if child.is_dir():
                shutil.rmtree(child)
            elif child.name != _LOCK_NAME:
                child.unlink()

    def _drop_strangers(self, known: set[str]) -> None:
        """Remove what an earlier attempt, of another source maybe, left."""
        for child in self._partial.iterdir():
            if child.is_dir() and child.name not in known:
                shutil.rmtree(child)

    def _refuse_existing(self, overwrite: bool) -> None:
        if not self.path.parent.is_dir():
            raise OutputError(
                f"{self.path} cannot be written, since the folder {self.path.parent} does not "
                "exist; make it first."
            )
        if not self.path.exists() and not self.path.is_symlink():
            return
        if not overwrite:
            raise OutputError(
                f"{self.path} exists already and was left as it is; choose another name, "
                "or give --overwrite (Python: overwrite=True) to replace it."
            )
        if not is_series_store(self.path):
            raise OutputError(
                f"{self.path} exists and is no series store, so that it is not overwritten; "
                "choose another name, or remove it yourself."
            )


def is_series_store(path: Path) -> bool:
    """Whether a folder is a whole series store."""
    try:
        header = zarr.open_group(path, mode="r").attrs.get(ATTRIBUTE)
    except Exception:  # zarr raises many kinds of errors for what is no group
        return False
    return isinstance(header, dict) and header.get("format") == SERIES_FORMAT


def read_series_index(path: Path) -> SeriesIndex:
    """Index of a series store.

    Raises
    ------
    FormatError
        If it is none, of another version, or damaged.
    """
    with reading(path, "series store"):
        header = zarr.open_group(path, mode="r").attrs.get(ATTRIBUTE)
        if not isinstance(header, dict) or header.get("format") != SERIES_FORMAT:
            raise FormatError(
                f"{path} is a zarr group but no series store: its attributes hold no "
                f"{ATTRIBUTE}.format = {SERIES_FORMAT!r} (an import that was "
                "killed leaves such a group)."
            )
        if header.get("version") != VERSION:
            raise FormatError(
                f"{path} is a series store of version {header.get('version')!r}; this hipct reads "
                f"version {VERSION}: import the source again."
            )
        members: Sequence[Any] = header["members"]
        notes: Sequence[Any] = header["notes"]
        return SeriesIndex(
            members=tuple({**member, "name": str(member["name"])} for member in members),
            notes=tuple(str(note) for note in notes),
            source=str(header["source"]),
            allow_gaps=bool(header["allow_gaps"]),
        )
