"""The ledger of a run: what is done, recorded so that a killed job goes on where it stood.

Beside the output stands ``<output>.run/`` while a run is under way::

    run.json            parameters that decide the numbers, and every estimate made so far
    volume.ome.zarr/    the volume, renamed to its final name when it is whole
    done/0-000012.json  one record a finished layer (level 0, layer 12), by atomic rename
    scratch/            staged buffers, worthless after a kill
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
class Ledger:
    """Records of one run.

    Parameters
    ----------
    folder : Path
        The run's folder, ``<output>.run``.
    """

    folder: Path
    _lock: IO[bytes] | None = field(default=None, repr=False)

    @property
    def volume(self) -> Path:
        """Where the volume grows until it is whole."""
        return self.folder / "volume.ome.zarr"

    @property
    def scratch(self) -> Path:
        """Default place of staged buffers."""
        return self.folder / "scratch"

    def open(self, parameters: dict[str, Any], *, restart: bool = False) -> bool:
        """Take the folder for this process; returns whether an earlier run goes on.

        Parameters
        ----------
        parameters : dict
            What decides the numbers of the output, as JSON values.
        restart : bool
            Throw away what an earlier run with other parameters has done.

        Raises
        ------
        OutputError
            If another process works here, or an earlier run had other parameters.
        """
        try:
            (self.folder / "done").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{self.folder} cannot be made: {error.strerror}.") from error
        self._take_lock()
        earlier = self.state().get("parameters")
        # A run that has made no layer (refused for a setting, say) holds nothing worth keeping.
        begun = earlier is not None and self.has_layers()
        if begun and earlier != parameters and not restart:
            self.close()
            raise OutputError(
                f"{self.folder} holds an unfinished run with other parameters "
                f"({_difference(earlier, parameters)}); repeat it with the same ones to go on, "
                "or give --restart (Python: restart=True) to begin anew."
            )
        if earlier == parameters and not restart:
            shutil.rmtree(self.scratch, ignore_errors=True)
            return True
        for name in ("done", "volume.ome.zarr", "scratch"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        (self.folder / "done").mkdir()
        write_json(self.folder / "run.json", {"parameters": parameters})
        return False

    def state(self) -> dict[str, Any]:
        """Content of ``run.json``: the parameters and the estimates made so far."""
        return _read_json(self.folder / "run.json")

    def remember(self, **estimates: Any) -> None:
        """Add estimates (axis, window, ...) that a resumed run must not make anew."""
        write_json(self.folder / "run.json", self.state() | estimates)

    def record(self, level: int, layer: int, values: dict[str, Any]) -> None:
        """Record a finished layer, after its shards are on disk."""
        write_json(self._record(level, layer), values)

    def record_tile(self, tile: int, pixels: dict[str, int]) -> None:
        """Record the pixels repaired in a phase tile (again, if the tile is done again)."""
        write_json(self.folder / "done" / f"tile-{tile:06d}.json", pixels)

    def pixels(self) -> list[dict[str, Any]]:
        """Repaired pixels of every tile."""
        return [_read_json(path) for path in sorted((self.folder / "done").glob("tile-*.json"))]

    def done(self) -> dict[tuple[int, int], dict[str, Any]]:
        """Records of all finished layers by (level, layer)."""
        records = {}
        for path in sorted((self.folder / "done").glob("[0-9]*-*.json")):
            level, _, layer = path.stem.partition("-")
            records[int(level), int(layer)] = _read_json(path)
        return records

    def has_layers(self) -> bool:
        """Whether any layer is finished."""
        return any((self.folder / "done").glob("[0-9]*-*.json"))

    def close(self) -> None:
        """Let go of the folder; what it holds stays for a later run."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def remove(self) -> None:
        """Remove the folder once nothing in it is of use, before another process can take it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.close()

    def _record(self, level: int, layer: int) -> Path:
        return self.folder / "done" / f"{level}-{layer:06d}.json"

    def _take_lock(self) -> None:
        # The kernel drops a flock with its process, so that a kill leaves none behind.
        lock = open(self.folder / "lock", "ab")  # noqa: SIM115 - held until close()
        try:
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


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise FormatError(
            f"{path} cannot be read ({error}); remove {path.parent} to begin anew."
        ) from error
    if not isinstance(value, dict):
        raise FormatError(f"{path} holds no JSON object; remove {path.parent} to begin anew.")
    return value


def _difference(old: Any, new: Any, key: str = "") -> str:
    if isinstance(old, dict) and isinstance(new, dict):
        parts = [
            _difference(old.get(name), new.get(name), f"{key}.{name}".strip("."))
            for name in sorted(old.keys() | new.keys())
            if old.get(name) != new.get(name)
        ]
        return "; ".join(parts)
    return f"{key}: {old} then, {new} now"
