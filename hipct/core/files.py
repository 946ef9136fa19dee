"""Files that are either whole or absent."""

from __future__ import annotations

import errno
import json
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

from hipct.core.errors import OutputError


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file under another name, flush it to disk, rename it into place."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        remedy = (
            "; free space there, or write to another disk" if error.errno == errno.ENOSPC else ""
        )
        raise OutputError(
            f"{path} could not be written: {error.strerror or error}{remedy}."
        ) from error
    finally:
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
