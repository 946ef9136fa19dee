"""What of a pyramid is done, recorded so that a killed build goes on where it stood."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from hipct.core.run_folder import RunFolder

Node = tuple[int, int]
"""(level, index of the write layer)."""


class PyramidLedger(RunFolder):
    """Records of one build, in ``<out>.run`` (:mod:`hipct.core.run_folder`).

    Parameters
    ----------
    out : Path
        The output.
    """

    def __init__(self, out: Path) -> None:
        super().__init__(out.with_name(out.name + ".run"))

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
        return self.state()

    def begin(self, parameters: dict[str, Any]) -> None:
        """Forget an earlier build and note the parameters of this one."""
        shutil.rmtree(self.volume, ignore_errors=True)
        for record in (self.folder / "done").iterdir():
            record.unlink()
        self.note(parameters)
