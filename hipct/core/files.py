"""Files that are either whole or absent."""

from __future__ import annotations

import errno
import json
import os
import shutil
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from hipct.core.errors import OutputError

# A process may have 1024 files open, and several threads write at a time.
_OPEN_TOGETHER = 64


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file under another name, flush it to disk, rename it into place."""
    write_together({path: data})


def write_together(files: Mapping[Path, bytes]) -> None:
    """Write some files, each under another name; flush them to disk, then rename them.

    The disk takes the bytes of all while the first one is flushed: 64 files of 2.8 MB took 0.20 to
    0.46 s in this way (ext4), one by one 0.27 to 1.33 s, and one file of their size 0.37 to 0.68 s.

    Raises
    ------
    OutputError
        If one cannot be written; each of the others is then whole, old or absent.
    """
    paths = list(files)
    for first in range(0, len(paths), _OPEN_TOGETHER):
        _write_open({path: files[path] for path in paths[first : first + _OPEN_TOGETHER]})


def _write_open(files: Mapping[Path, bytes]) -> None:
    temporaries = {path: path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp") for path in files}
    path = Path()
    try:
        with ExitStack() as stack:
            opened: dict[Path, IO[bytes]] = {}
            for path, data in files.items():
                opened[path] = stack.enter_context(open(temporaries[path], "wb"))
                opened[path].write(data)
                opened[path].flush()
            for path, file in opened.items():  # noqa: B007 - the message names it
                os.fsync(file.fileno())
        for path, temporary in temporaries.items():
            os.replace(temporary, path)
    except OSError as error:
        remedy = (
            "; free space there, or write to another disk" if error.errno == errno.ENOSPC else ""
        )
        raise OutputError(
            f"{path} could not be written: {error.strerror or error}{remedy}."
        ) from error
    finally:
        for temporary in temporaries.values():
            temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole (see :func:`write_atomic`)."""
    write_atomic(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def refuse_existing(path: Path, overwrite: bool = False) -> None:
    """Raise if an output exists already; with ``overwrite`` remove it.

    A link counts as an output even if it leads nowhere; its target is left alone.

    Raises
    ------
    OutputError
        If ``path`` exists and ``overwrite`` is false, or it cannot be removed.
    """
    if not (path.exists() or path.is_symlink()):
        return
    if not overwrite:
        raise OutputError(
            f"{path} exists already and was left as it is; choose another name, "
            "or give --overwrite (Python: overwrite=True) to replace it."
        )
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError as error:
        raise OutputError(f"{path} could not be removed: {error.strerror or error}.") from error


def free_bytes(path: Path) -> int:
    """Free space in bytes on the disk that holds ``path`` (which need not exist yet)."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free
