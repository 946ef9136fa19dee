"""What of a pyramid is done, recorded so that a killed build goes on where it stood.

Beside the output stands ``<output>.run/`` while it is built::

    run.json            what decides the voxels
    volume.ome.zarr/    the volume, renamed to its final name when it is whole
    done/0-000012.json  one record a finished layer (level 0, layer 12), by atomic rename
    lock                held while a process works here

A record is written after the shards of its layer are on the disk. A layer without a record is made
again and overwrites what a killed process left of it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from pathlib import Path
from typing import IO, Any

from hipct.core.errors import FormatError, OutputError
from hipct.core.files import write_json

Node = tuple[int, int]
"""(level, index of the write layer)."""


class PyramidLedger:
    """Records of one build.

    Parameters
    ----------
    out : Path
        The output; the ledger's folder is ``<out>.run``.
    """

    def __init__(self, out: Path) -> None:
        self.folder = out.with_name(out.name + ".run")
        self.volume = self.folder / "volume.ome.zarr"
        self._lock: IO[bytes] | None = None

    def open(self) -> dict[str, Any]:
        """Take the folder for this process; gives the parameters of an unfinished build, or none.

        Raises
        ------
        OutputError
            If another process works here, or the folder cannot be made.
        FormatError
            If what an earlier build recorded cannot be read.
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
        return self._parameters()

    def begin(self, parameters: dict[str, Any]) -> None:
        """Forget an earlier build and note the parameters of this one."""
        shutil.rmtree(self.volume, ignore_errors=True)
        for record in (self.folder / "done").iterdir():
            record.unlink()
        write_json(self.folder / "run.json", parameters)

    def record(self, node: Node, values: dict[str, Any]) -> None:
        """Record a finished layer, after its shards are on the disk."""
        write_json(self.folder / "done" / f"{node[0]}-{node[1]:06d}.json", values)

    def done(self) -> dict[Node, dict[str, Any]]:
        """Records of all finished layers."""
        records: dict[Node, dict[str, Any]] = {}
        for path in sorted((self.folder / "done").glob("[0-9]*-*.json")):
            level, _, layer = path.stem.partition("-")
            records[int(level), int(layer)] = self._read(path)
        return records

    def close(self) -> None:
        """Let go of the folder; what it holds stays for a later build."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def remove(self) -> None:
        """Remove the folder, before another process can take it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.close()

    def _parameters(self) -> dict[str, Any]:
        file = self.folder / "run.json"
        return self._read(file) if file.exists() else {}

    def _read(self, path: Path) -> dict[str, Any]:
        try:
            value = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise FormatError(
                f"{path} cannot be read ({error}); remove {self.folder} to begin anew."
            ) from error
        if not isinstance(value, dict):
            raise FormatError(f"{path} holds no JSON object; remove {self.folder} to begin anew.")
        return value
