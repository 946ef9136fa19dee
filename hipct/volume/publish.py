"""The last step of writing a volume: its name, and what had that name before."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from hipct.core.errors import InputError, OutputError
from hipct.core.files import refuse_existing
from hipct.volume.open import read_attributes
from hipct.volume.storage import SCHEMES

_REPLACED_SUFFIX = ".replaced"


def refuse_other_than_volume(path: Path | str, overwrite: bool = False) -> None:
    """Raise unless a volume may be written at ``path``; nothing is removed.

    Raises
    ------
    OutputError
        If something exists there (with ``overwrite``: something that is no OME-Zarr volume, such
        as the scan itself), or it is an address.
    """
    path = Path(path)
    # A path has lost one of the slashes by now; it would be a folder of this name.
    scheme, colon, rest = path.as_posix().partition(":/")
    if colon and scheme in SCHEMES:
        raise OutputError(
            f"{scheme}://{rest} is an address, and volumes are written into folders; give a "
            "folder, and send what stands there: hipct export FOLDER ADDRESS --format ome-zarr."
        )
    if path.name in ("", ".."):
        raise OutputError(f"{path} is no name for a volume; give one such as organ.ome.zarr.")
    if not overwrite:
        refuse_existing(path)
    if not path.exists():
        return
    try:
        read_attributes(path)
    except InputError as error:
        raise OutputError(
            f"{path} exists and is no OME-Zarr volume, so that it is not overwritten; choose "
            "another name, or remove it yourself."
        ) from error


def publish(partial_path: Path | str, path: Path | str, *, overwrite: bool = False) -> None:
    """Rename a finished folder to its final name.

    An older volume stands aside until the new one has its name, and is removed then: a kill in
    between leaves no volume that lacks half of its files.

    Raises
    ------
    OutputError
        If the final name is taken (and ``overwrite`` is false, or it is no volume that has it) or
        the disk refuses.
    """
    path = Path(path)
    refuse_other_than_volume(path, overwrite)
    old = path.with_name(path.name + _REPLACED_SUFFIX)
    try:
        if path.is_symlink():
            path.unlink()
        elif path.exists():
            shutil.rmtree(old, ignore_errors=True)
            os.rename(path, old)
        try:
            os.rename(partial_path, path)
        except OSError:
            if old.exists():
                os.rename(old, path)
            raise
    except OSError as error:
        raise OutputError(
            f"{partial_path} is complete but could not be renamed to {path}: "
            f"{error.strerror or error}."
        ) from error
    shutil.rmtree(old, ignore_errors=True)
