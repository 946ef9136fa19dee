"""The folder beside an output while it is being made: a lock, notes, records of what is done.

::

    run.json            notes: what decides the numbers, and what was found on the way
    volume.ome.zarr/    the volume, renamed to its final name when it is whole
    done/0-000012.json  one record a finished layer (level 0, layer 12), by atomic rename
    lock                held while a process works here

A record is written after the shards of its layer, so a layer without record is done again and
overwrites whatever a killed process left of it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from hipct.core.errors import FormatError, OutputError
from hipct.core.files import write_json


@dataclass
class RunFolder:
    """Records of one run.

    Parameters
    ----------
    folder : Path
        ``<output>.run``.
    """

    folder: Path
    _lock: IO[bytes] | None = field(default=None, repr=False, init=False)

    @property
    def volume(self) -> Path:
        """Where the volume grows until it is whole."""
        return self.folder / "volume.ome.zarr"

    def take(self) -> None:
        """Make the folder and take it for this process.

        Raises
        ------
        OutputError
            If another process works here, or the folder cannot be made.
        """
        try:
            (self.folder / "done").mkdir(parents=True, exist_ok=True)
            lock = open(self.folder / "lock", "ab")  # noqa: SIM115 - held until close()
        except OSError as error:
            raise OutputError(
                f"{self.folder} cannot be made: {error.strerror or error}."
            ) from error
        try:
            # The kernel drops a flock with its process, so that a kill leaves none behind.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise OutputError(
                f"another process is writing this output (it holds {self.folder / 'lock'}); "
                "wait for it to end, or choose another output."
            ) from error
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n".encode())
        lock.flush()
        self._lock = lock

    def state(self) -> dict[str, Any]:
        """The notes; empty where there are none."""
        return self.read(self.folder / "run.json")

    def note(self, values: dict[str, Any]) -> None:
        """Write the notes anew."""
        write_json(self.folder / "run.json", values)

    def record(self, level: int, layer: int, values: dict[str, Any]) -> None:
        """Record a finished layer, after its shards are on disk."""
        write_json(self.folder / "done" / f"{level}-{layer:06d}.json", values)

    def done(self) -> dict[tuple[int, int], dict[str, Any]]:
        """Records of all finished layers by (level, layer)."""
        records = {}
        for path in sorted((self.folder / "done").glob("[0-9]*-*.json")):
            level, _, layer = path.stem.partition("-")
            records[int(level), int(layer)] = self.read(path)
        return records

    def close(self) -> None:
        """Let go of the folder; what it holds stays for a later run."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def remove(self) -> None:
        """Remove the folder once nothing in it is of use, before another process can take it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.close()

    def read(self, path: Path) -> dict[str, Any]:
        """A record or the notes; empty where the file is not there.

        Raises
        ------
        FormatError
            If the file cannot be read.
        """
        try:
            value = json.loads(path.read_text())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise FormatError(
                f"{path} cannot be read ({error}); remove {self.folder} to begin anew."
            ) from error
        if not isinstance(value, dict):
            raise FormatError(f"{path} holds no JSON object; remove {self.folder} to begin anew.")
        return value
