"""The ledger of a run: what is done, recorded so that a killed job goes on where it stood.

It lives in the folder of the run (:mod:`hipct.core.run_folder`). Beside the layers it records the
pixels repaired in each phase tile, and the folder has a place for staged buffers, worthless after
a kill.
"""

from __future__ import annotations

import shutil
import socket
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from hipct.core.errors import OutputError
from hipct.core.files import write_json
from hipct.core.run_folder import RunFolder, now

_OF_A_RUN = ("done", "failed", "begun", "times", "volume.ome.zarr", "scratch")


class Ledger(RunFolder):
    """Records of one run.

    Parameters
    ----------
    folder : Path
        The run's folder, ``<output>.run``.
    """

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
        self.take()
        if not restart:
            try:
                self.refuse_other(parameters)
            except OutputError:
                self.close()
                raise
        if self.state().get("parameters") == parameters and not restart:
            self.forget_lost()
            shutil.rmtree(self.scratch, ignore_errors=True)
            return True
        for name in _OF_A_RUN:
            shutil.rmtree(self.folder / name, ignore_errors=True)
        (self.folder / "done").mkdir()
        self.note({"parameters": parameters})
        return False

    def refuse_other(self, parameters: Mapping[str, Any]) -> None:
        """Raise if what is done here was done with other parameters than these.

        A run that has made no layer (refused for a setting, say) holds nothing worth keeping.

        Parameters
        ----------
        parameters : mapping
            As of :meth:`open`, or some of them.

        Raises
        ------
        OutputError
            With the difference.
        """
        earlier: dict[str, Any] | None = self.state().get("parameters")
        if earlier is None or not self.has_layers():
            return
        earlier = {name: earlier.get(name) for name in parameters}
        if earlier != dict(parameters):
            raise OutputError(
                f"{self.folder} holds an unfinished run with other parameters "
                f"({_difference(earlier, dict(parameters))}); repeat it with the same ones to go "
                "on, or give --restart (Python: restart=True) to begin anew."
            )

    def discard(self) -> None:
        """Remove what a run has done and noted, and let go.

        What was asked of a cluster and the logs stay for those who look for the reason; without
        them the folder goes too.
        """
        for name in (*_OF_A_RUN, "locks"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        (self.folder / "run.json").unlink(missing_ok=True)
        self.close()
        with suppress(OSError):
            self.folder.rmdir()

    def backend(self) -> dict[str, Any]:
        """What the layers were computed by, as it stands in the parameters; empty at first."""
        parameters = self.state().get("parameters", {})
        return {name: parameters[name] for name in ("backend",) if name in parameters}

    def deliver(self) -> None:
        """Note that the volume is whole and gets its name next."""
        self.remember(delivered=True)

    def delivered(self, out: Path) -> bool:
        """Whether the volume of this run has got its name, and only the folder was left behind."""
        noted = bool(self.state().get("delivered"))
        return noted and not self.volume.exists() and out.is_dir()

    def join(self, parameters: dict[str, Any], share: str, *, wait_s: float = 0.0) -> None:
        """Take one share of a run that has been prepared; ``wait_s`` as in :meth:`take`.

        Raises
        ------
        OutputError
            If another process works on this share or on all of the run, or the run was prepared
            with other parameters.
        """
        if not self.folder.is_dir():
            raise OutputError(f"{self.folder} does not exist; the run has to be prepared first.")
        self.take(share, wait_s=wait_s)
        earlier = self.state().get("parameters")
        if earlier != parameters:
            self.close()
            difference = "nothing" if earlier is None else _difference(earlier, parameters)
            raise OutputError(
                f"{self.folder} was prepared with other parameters ({difference}); prepare it "
                "again, or work on it as it was prepared."
            )
        self.forget_lost()

    def remember(self, **estimates: Any) -> None:
        """Add estimates (axis, window, ...) that a resumed run must not make anew."""
        self.note(self.state() | estimates)

    def record(self, level: int, layer: int, values: dict[str, Any]) -> None:
        """Record a finished layer, where and when it was made, after its shards are on disk."""
        made = {"machine": socket.gethostname(), "ended": now()}
        super().record(level, layer, values | made)
        if level == 0:
            self._failure(layer).unlink(missing_ok=True)

    def forget_lost(self) -> list[tuple[int, int]]:
        """Forget layers whose files have gone or have another length than was recorded.

        A disk that has lost power, or somebody who cleans up, may take what was written; these
        layers, and only these, are made again: the levels above hold the same values.

        Returns
        -------
        list of (level, layer)
            What was forgotten.
        """
        lost = [
            node
            for node, record in self.done().items()
            if any(
                _length(self.volume / key) != length
                for key, (length, _) in record.get("files", {}).items()
            )
        ]
        for level, layer in lost:
            (self.folder / "done" / f"{level}-{layer:06d}.json").unlink()
        return lost

    def fail(self, layer: int, error: str, log: str | None = None) -> None:
        """Record why a layer of level 0 could not be made, and where the log of it lies."""
        file = self._failure(layer)
        file.parent.mkdir(exist_ok=True)
        write_json(
            file,
            {"error": error, "machine": socket.gethostname(), "ended": now(), "log": log},
        )

    def failed(self) -> dict[int, dict[str, Any]]:
        """Layers of level 0 that could not be made, with the reason."""
        files = sorted((self.folder / "failed").glob("0-*.json"))
        records = {int(file.stem.partition("-")[2]): self.read(file) for file in files}
        # One that was made meanwhile has none any more.
        return {layer: record for layer, record in records.items() if record}

    def _failure(self, layer: int) -> Path:
        return self.folder / "failed" / f"0-{layer:06d}.json"

    def record_times(self, name: str, times: dict[str, Any]) -> None:
        """Record the busy seconds of a process of its own, for the report of the whole run."""
        folder = self.folder / "times"
        folder.mkdir(exist_ok=True)
        write_json(folder / f"{name}-{uuid.uuid4().hex[:8]}.json", times)

    def times(self) -> list[dict[str, Any]]:
        """What all processes have recorded of their times."""
        records = map(self.read, sorted((self.folder / "times").glob("*.json")))
        return [record for record in records if record]

    def record_tile(self, tile: int, pixels: dict[str, int]) -> None:
        """Record the pixels repaired in a phase tile (again, if the tile is done again)."""
        write_json(self.folder / "done" / f"tile-{tile:06d}.json", pixels)

    def pixels(self) -> list[dict[str, Any]]:
        """Repaired pixels of every tile."""
        return [self.read(path) for path in sorted((self.folder / "done").glob("tile-*.json"))]

    def has_layers(self) -> bool:
        """Whether any layer is finished."""
        return any((self.folder / "done").glob("[0-9]*-*.json"))


def _length(file: Path) -> int | None:
    try:
        return file.stat().st_size
    except OSError:
        return None


def _difference(old: Any, new: Any, key: str = "") -> str:
    if isinstance(old, dict) and isinstance(new, dict):
        parts = [
            _difference(old.get(name), new.get(name), f"{key}.{name}".strip("."))
            for name in sorted(old.keys() | new.keys())
            if old.get(name) != new.get(name)
        ]
        return "; ".join(parts)
    return f"{key}: {old} then, {new} now"
