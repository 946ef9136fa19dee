"""The output of an export: under another name until it is whole."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hipct.core.errors import HipctError, OutputError
from hipct.core.files import refuse_existing

FACTS_FILE = "export.json"
"""In a folder of slices: what they are; no folder without it is ever overwritten."""


@contextmanager
def staged(out: Path, source: Path | str, *, folder: bool, overwrite: bool) -> Iterator[Path]:
    """A name beside ``out`` to write to; it becomes ``out`` when the block ends without an error.

    A killed export leaves ``OUT.partial``, which the next one replaces.

    Parameters
    ----------
    out : path
        The file or folder that is written.
    source : path
        The volume, which is never written to.
    folder : bool
        Whether ``out`` is a folder; an empty one, or an empty file, is there inside the block.
    overwrite : bool
        Whether what an earlier export wrote may be replaced.

    Raises
    ------
    OutputError
        If ``out`` exists and may not be replaced, lies in the volume, or the disk refuses.
    """
    _refuse(out, source, folder=folder, overwrite=overwrite)
    partial = out.with_name(f"{out.name}.partial")
    try:
        _remove(partial)
        out.parent.mkdir(parents=True, exist_ok=True)
        # What the disk refuses it refuses here, before any library wraps it up.
        if folder:
            partial.mkdir()
        else:
            partial.touch()
        yield partial
        if not folder:
            _flush(partial)
        _publish(partial, out)
    except OSError as error:
        if isinstance(error, HipctError):
            raise
        raise OutputError(f"{out} could not be written: {_why(error)}.") from error
    finally:
        # A disk that has gone, or become read-only, would hide the sentence above.
        with suppress(OSError):
            _remove(partial)


def write_slice(path: Path, data: bytes) -> None:
    """Write a file of a staged folder and flush it to the disk."""
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_facts(folder: Path, facts: dict[str, Any]) -> None:
    """Write what the slices of a staged folder are."""
    write_slice(folder / FACTS_FILE, facts_text(facts, indent=2).encode())


def facts_text(facts: dict[str, Any], indent: int | None = None) -> str:
    """Facts as JSON, in ASCII for the headers that hold nothing else."""
    return json.dumps(facts, indent=indent)


def _refuse(out: Path, source: Path | str, *, folder: bool, overwrite: bool) -> None:
    if out.name in ("", ".."):
        raise OutputError(f"{out} is no name for an export.")
    here, volume = out.resolve(), Path(source).resolve()
    if here == volume or volume in here.parents or here in volume.parents:
        raise OutputError(f"{out} is the volume itself, or inside or around it; choose another.")
    if not overwrite:
        refuse_existing(out)
    elif folder and out.exists() and not (out / FACTS_FILE).is_file():
        raise OutputError(
            f"{out} exists and holds no {FACTS_FILE} of an earlier export, so that it is not "
            "overwritten; choose another name, or remove it yourself."
        )
    elif not folder and out.exists() and not out.is_file():
        what = "a folder" if out.is_dir() else "a device or a pipe"
        raise OutputError(f"{out} is {what}, which no file replaces; choose another name.")


def _publish(partial: Path, out: Path) -> None:
    if not out.is_dir() or out.is_symlink():
        os.replace(partial, out)
        return
    old = out.with_name(f"{out.name}.replaced")
    _remove(old)
    os.rename(out, old)
    try:
        os.rename(partial, out)
    except OSError:
        os.rename(old, out)
        raise
    _remove(old)


def _why(error: OSError) -> str:
    """Why the disk refuses: libraries wrap it up in paragraphs of their own."""
    text = error.strerror or str(error)
    by_hdf5 = re.search(r"error message = '([^']+)'", text)
    # NumPy tells no reason; there is one only why fewer bytes than wanted are taken.
    by_numpy = re.search(r"\d+ requested and \d+ written", text)
    return by_hdf5[1] if by_hdf5 else os.strerror(errno.ENOSPC) if by_numpy else text


def _flush(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()
