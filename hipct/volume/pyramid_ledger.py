"""What of a pyramid is done, recorded so that a killed build goes on where it stood."""

from __future__ import annotations

import json
import os
import platform
import shutil
from pathlib import Path
from typing import Any

from hipct.core.errors import FormatError, OutputError
from hipct.core.run_folder import RunFolder
from hipct.storage.chunk_reader import open_chunks
from hipct.volume.layout import PyramidSpec

Node = tuple[int, int]
"""(level, index of the write layer)."""


class PyramidLedger(RunFolder):
    """Records of one build, in ``<out>.run`` (:mod:`hipct.core.run_folder`).

    Parameters
    ----------
    out : Path
        The output.
    suffix : str
        What the name of the folder has after that of the output.
    """

    def __init__(self, out: Path, suffix: str = ".run") -> None:
        super().__init__(out.with_name(out.name + suffix))

    def open(self) -> dict[str, Any]:
        """Take the folder for this process; gives the parameters of an unfinished build, or none.

        Raises
        ------
        OutputError
            If another process works here, or the folder cannot be made.
        FormatError
            If what an earlier build recorded cannot be read.
        """
        self.take()
        # What a machine had not brought to its disk when it went down.
        for record in (self.folder / "done").glob("[0-9]*.json"):
            if not record.stat().st_size:
                record.unlink()
        return self.state()

    def begin(self, parameters: dict[str, Any]) -> None:
        """Forget an earlier build and note the parameters of this one."""
        shutil.rmtree(self.volume, ignore_errors=True)
        for record in (self.folder / "done").iterdir():
            record.unlink()
        self.note({**parameters, "boot": _boot()})

    def record(self, level: int, layer: int, values: dict[str, Any]) -> None:
        """Record a finished layer.

        Neither the voxels nor this are waited for until the disk has them: a flush of one small
        file makes journalling file systems bring everything else to the disk first.
        """
        if self._lock is not None:
            self._lock.check()
        file = self.folder / "done" / f"{level}-{layer:06d}.json"
        temporary = file.with_name(f".{file.name}.tmp")
        try:
            temporary.write_text(json.dumps(values))
            os.replace(temporary, file)
        except OSError as error:
            raise OutputError(f"{file} could not be written: {error.strerror or error}.") from error

    def look_again(self, spec: PyramidSpec) -> None:
        """Forget layers that a machine lost when it went down: what it had not brought to its disk.

        As long as it is up, files are what was written, whether or not the disk has them; after
        that all chunks are decoded once more.
        """
        state = self.state()
        if state.get("boot") == _boot():
            return
        for level, index in self.done():
            reader = open_chunks(self.volume / str(level), whole=True)
            rows = spec.levels[level].rows(index)
            try:
                if reader is None:
                    raise FormatError(f"{self.volume} lacks the metadata of level {level}.")
                reader.each_chunk((rows, slice(None), slice(None)), lambda *_: None)
            except FormatError:
                (self.folder / "done" / f"{level}-{index:06d}.json").unlink()
        self.note({**state, "boot": _boot()})


def _boot() -> str:
    """Which time this machine is up for."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        import psutil

        # The clock may be set while the machine is up.
        return f"{platform.node()} {psutil.boot_time() // 60:.0f}"


def refuse_other(earlier: dict[str, Any], wanted: dict[str, Any], ledger: PyramidLedger) -> None:
    """Raise unless an unfinished build goes on as it began.

    Raises
    ------
    OutputError
        If its parameters were others.
    """
    changed = [
        key
        for key in sorted(wanted.keys() | earlier.keys())
        if key not in ("layer", "boot", "published") and wanted.get(key) != earlier.get(key)
    ]
    if changed:
        differences = "; ".join(
            f"{key}: {earlier.get(key)} then, {wanted.get(key)} now" for key in changed
        )
        raise OutputError(
            f"{ledger.folder} holds an unfinished run with other parameters ({differences}); "
            "repeat it with the same ones to go on, or give --restart (Python: restart=True) to "
            "begin anew."
        )
