"""Whether files that are read are still what they were."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from hipct.core.errors import FormatError

_HALF_WRITTEN = (".partial", ".tmp", ".part", ".crdownload")


def fingerprint_of(paths: Iterable[Path]) -> str:
    """A short text that changes when files, or files in folders, do.

    Raises
    ------
    FormatError
        If a file is gone, or named as one that is being written.
    """
    digest = hashlib.sha256()
    for path in paths:
        for file in _files(path):
            if file.name.endswith(_HALF_WRITTEN):
                raise FormatError(
                    f"{file} is being written, or left from a writer that was broken off; wait "
                    "until the volume is whole, or remove this file."
                )
            try:
                state = file.stat()
            except OSError as error:
                raise FormatError(
                    f"{file} cannot be read any more ({error.strerror or error})."
                ) from error
            digest.update(f"{file}\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _files(path: Path) -> Iterable[Path]:
    if not path.is_dir():
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            yield Path(folder) / name
