"""Files of measured corrections: whole or absent, and of one set of parameters."""

from __future__ import annotations

import errno
import io
import json
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from hipct.core.errors import OutputError
from hipct.core.files import write_atomic, write_json
from hipct.core.memory import format_bytes

_RECORD = "parameters.json"


class CorrectionFiles:
    """A folder of arrays, each made once for one set of parameters.

    Parameters
    ----------
    folder : Path
        Made where it is missing. What it holds for other parameters is removed.
    parameters : dict
        All that decides the arrays, as JSON values.

    Raises
    ------
    OutputError
        If the folder cannot be made or emptied.
    """

    def __init__(self, folder: Path, parameters: dict[str, Any]) -> None:
        self.folder = folder
        # As it is read back: tuples are lists by then.
        wanted = json.loads(json.dumps(parameters))
        try:
            if folder.is_dir() and _parameters(folder / _RECORD) != wanted:
                shutil.rmtree(folder)
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder} cannot be used: {error.strerror or error}.") from error
        write_json(folder / _RECORD, wanted)

    def array(self, name: str, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """A small array by its name, made where there is none yet."""
        path = self.folder / f"{name}.npy"
        if not path.exists():
            buffer = io.BytesIO()
            np.save(buffer, make(), allow_pickle=False)
            write_atomic(path, buffer.getvalue())
        found: NDArray[Any] = np.load(path, allow_pickle=False)
        return found

    def file(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: DTypeLike,
        fill: Callable[[NDArray[Any]], None],
    ) -> Path:
        """The file of a large array, filled part by part where there is none yet.

        ``fill`` is given the array on disk; what it has written shows under the name when it has
        ended.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        path = self.folder / f"{name}.npy"
        if path.exists():
            return path
        # One process measures; what a killed one has left is written over.
        unfinished = path.with_suffix(".tmp")
        try:
            array = np.lib.format.open_memmap(unfinished, mode="w+", dtype=dtype, shape=shape)
            _reserve(unfinished)
            fill(array)
            array.flush()
            del array
            os.replace(unfinished, path)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            size = math.prod(shape) * np.dtype(dtype).itemsize
            raise OutputError(
                f"{path} could not be written: {error.strerror or error}"
                + (f"; it takes {format_bytes(size)}: free space there." if full else ".")
            ) from error
        return path


def _reserve(path: Path) -> None:
    """Take the space of a file that is mapped: a full disk ends a process that writes to it."""
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _parameters(record: Path) -> Any:
    try:
        return json.loads(record.read_text())
    except (OSError, ValueError):
        return None
