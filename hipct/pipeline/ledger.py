"""The ledger of a run: what is done, recorded so that a killed job goes on where it stood.

It lives in the folder of the run (:mod:`hipct.core.run_folder`). Beside the layers it records the
pixels repaired in each phase tile, and the folder has a place for staged buffers, worthless after
a kill.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from hipct.core.errors import OutputError
from hipct.core.files import write_json
from hipct.core.run_folder import RunFolder


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
        self.note({"parameters": parameters})
        return False

    def remember(self, **estimates: Any) -> None:
        """Add estimates (axis, window, ...) that a resumed run must not make anew."""
        self.note(self.state() | estimates)

    def record_tile(self, tile: int, pixels: dict[str, int]) -> None:
        """Record the pixels repaired in a phase tile (again, if the tile is done again)."""
        write_json(self.folder / "done" / f"tile-{tile:06d}.json", pixels)

    def pixels(self) -> list[dict[str, Any]]:
        """Repaired pixels of every tile."""
        return [self.read(path) for path in sorted((self.folder / "done").glob("tile-*.json"))]

    def has_layers(self) -> bool:
        """Whether any layer is finished."""
        return any((self.folder / "done").glob("[0-9]*-*.json"))


def _difference(old: Any, new: Any, key: str = "") -> str:
    if isinstance(old, dict) and isinstance(new, dict):
        parts = [
            _difference(old.get(name), new.get(name), f"{key}.{name}".strip("."))
            for name in sorted(old.keys() | new.keys())
            if old.get(name) != new.get(name)
        ]
        return "; ".join(parts)
    return f"{key}: {old} then, {new} now"
