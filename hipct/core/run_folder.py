"""The folder beside an output while it is being made: a lock, notes, records of what is done.

::

    run.json            notes: what decides the numbers, and what was found on the way
    volume.ome.zarr/    the volume, renamed to its final name when it is whole
    done/0-000012.json  one record a finished layer (level 0, layer 12), by atomic rename
    lock                held while a process works here on everything
    locks/NAME          held while a process works on its share of the layers

A record is written after the shards of its layer, so a layer without record is done again and
overwrites whatever a killed process left of it.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hipct.core.errors import FormatError, OutputError
from hipct.core.files import write_json
from hipct.core.run_lock import RunLock, told


@dataclass
class RunFolder:
    """Records of one run.

    Parameters
    ----------
    folder : Path
        ``<output>.run``.
    """

    folder: Path
    _lock: RunLock | None = field(default=None, repr=False, init=False)

    @property
    def volume(self) -> Path:
        """Where the volume grows until it is whole."""
        return self.folder / "volume.ome.zarr"

    def take(self, share: str | None = None, *, wait_s: float = 0.0) -> None:
        """Make the folder and take it for this process, or one share of the work in it.

        Parameters
        ----------
        share : str, optional
            Name of the share. Several processes may hold one each; the whole is free for one
            process when none does.
        wait_s : float
            How long another owner is waited for, in seconds: one that died on another machine
            counts as living for a while.

        Raises
        ------
        OutputError
            If another process works here, or the folder cannot be made.
        """
        whole, shares = self.folder / "lock", self.folder / "locks"
        try:
            (self.folder / "done").mkdir(parents=True, exist_ok=True)
            shares.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"{self.folder} cannot be made: {error.strerror or error}."
            ) from error
        lock = RunLock(whole if share is None else shares / share)
        others = [*shares.glob("[!.]*")] if share is None else [whole]
        until = time.monotonic() + wait_s
        while True:
            try:
                self._take(lock, others)
            except OutputError:
                if time.monotonic() > until:
                    raise
                time.sleep(min(1.0, wait_s))
            else:
                return

    def _take(self, lock: RunLock, others: Sequence[Path]) -> None:
        lock.take()
        # Whoever comes first sees nobody; of two at a time at least one sees the other.
        for other in others:
            owner = RunLock(other).living_owner()
            if owner is not None:
                lock.release()
                raise OutputError(
                    f"another process is writing this output ({told(owner)} holds {other}); "
                    "wait for it to end, or choose another output."
                )
        self._lock = lock

    def state(self) -> dict[str, Any]:
        """The notes; empty where there are none."""
        return self.read(self.folder / "run.json")

    def note(self, values: dict[str, Any]) -> None:
        """Write the notes anew."""
        write_json(self.folder / "run.json", values)

    def record(self, level: int, layer: int, values: dict[str, Any]) -> None:
        """Record a finished layer, after its shards are on disk.

        Raises
        ------
        OutputError
            If another process has taken the folder while this one stood still, or the disk is
            full.
        """
        if self._lock is not None:
            self._lock.check()
        write_json(self.folder / "done" / f"{level}-{layer:06d}.json", values)

    def layers(self) -> dict[int, float]:
        """Finished layers of level 0, and when (seconds since 1970), by names and times alone."""
        found: dict[int, float] = {}
        with suppress(FileNotFoundError), os.scandir(self.folder / "done") as entries:
            for entry in entries:
                if entry.name.startswith("0-") and entry.name.endswith(".json"):
                    found[int(entry.name[2:-5])] = entry.stat().st_mtime
        return found

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
            self._lock.release()
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


def now() -> str:
    """The time as records tell it: UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
