"""The folder of a store while it is written: claimed by one job, renamed when whole."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import zarr

from hipct.acquisition.store_layout import ATTRIBUTE, FORMAT
from hipct.core.errors import HipctError, OutputError
from hipct.core.files import free_bytes
from hipct.core.memory import format_bytes

PARTIAL_SUFFIX = ".partial"
_REPLACED_SUFFIX = ".replaced"
_LOCK_NAME = ".writing"


class PartialFolder:
    """``<path>.partial``, owned by this process until it is committed or discarded.

    A lock that ends with the process tells a folder that a killed job left (it is replaced)
    from one that another job is writing (it is respected).

    Raises
    ------
    OutputError
        If another job writes it, or it cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.target = path
        self.path = path.with_name(path.name + PARTIAL_SUFFIX)
        with writing(path):
            if self.path.exists() or self.path.is_symlink():
                self._remove_stale()
            self.path.mkdir()
            self._lock = os.open(self.path / _LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o666)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def commit(self) -> None:
        """Flush every file to the disk and give the folder its name."""
        for directory, _, names in os.walk(self.path):
            for name in names:
                descriptor = os.open(os.path.join(directory, name), os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
        (self.path / _LOCK_NAME).unlink()
        if not self.target.exists():
            os.rename(self.path, self.target)
        else:
            old = self.target.with_name(self.target.name + _REPLACED_SUFFIX)
            shutil.rmtree(old, ignore_errors=True)
            os.rename(self.target, old)
            try:
                os.rename(self.path, self.target)
            except OSError:
                os.rename(old, self.target)
                raise
            shutil.rmtree(old, ignore_errors=True)
        os.close(self._lock)

    def discard(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)

    def _remove_stale(self) -> None:
        if not self.path.is_dir() or self.path.is_symlink():
            raise OutputError(
                f"{self.path} is in the way of the store while it is written; move it away."
            )
        stale = os.open(self.path / _LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(stale, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(self.path)
        except BlockingIOError as error:
            raise OutputError(
                f"{self.path} is being written by another job right now; wait for it, or choose "
                "another name."
            ) from error
        finally:
            os.close(stale)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the disk, or the codecs on its behalf, raise into one sentence."""
    try:
        yield
    except HipctError:
        raise
    except (OSError, RuntimeError) as error:
        # The Rust codecs report a full disk as a RuntimeError with the system's words inside.
        reason = getattr(error, "strerror", None) or str(error)
        raise OutputError(
            f"{path} could not be written ({reason}); {format_bytes(free_bytes(path.parent))} are "
            "free on its disk. What was written of it has been removed."
        ) from error


def refuse_existing_store(path: Path, overwrite: bool) -> None:
    """Raise unless a store may be written at ``path``.

    Raises
    ------
    OutputError
        If something lies there (with ``overwrite``: something that is no scan store), or its
        folder is missing.
    """
    if not path.name or path.name in (".", ".."):
        raise OutputError(f"{path} is no name for a scan store; give one such as scan.zarr.")
    if not path.parent.is_dir():
        raise OutputError(
            f"{path} cannot be written, since the folder {path.parent} does not exist; make it "
            "first."
        )
    if not path.exists() and not path.is_symlink():
        return
    if not overwrite:
        raise OutputError(
            f"{path} exists already and was left as it is; choose another name, "
            "or give --overwrite (Python: overwrite=True) to replace it."
        )
    if not _is_store(path):
        raise OutputError(
            f"{path} exists and is no scan store, so that it is not overwritten; choose another "
            "name, or remove it yourself."
        )


def refuse_full_disk(path: Path, needed: int) -> None:
    """Raise if the disk of ``path`` has less than ``needed`` bytes free.

    Raises
    ------
    OutputError
        Then.
    """
    free = free_bytes(path.parent)
    if needed > free:
        raise OutputError(
            f"{path} may take up to {format_bytes(needed)} and its disk has {format_bytes(free)} "
            "free; make room or choose another disk."
        )


def _is_store(path: Path) -> bool:
    try:
        header = zarr.open_group(path, mode="r").attrs.get(ATTRIBUTE)
    except Exception:  # zarr raises many kinds of errors for what is no group
        return False
    return isinstance(header, dict) and header.get("format") == FORMAT
