"""Layers at which processes were killed, known from what these had begun and never ended.

::

    begun/share-00003.json   {"layers": [12, 13, ...], "killed": {"11": 2}}

Before a process makes layers it writes down which, and takes that back however it ends: by itself,
by an error, by a signal that it can hear. What still stands there was begun by one that was killed.
Whoever comes next makes the layers that this one was at last of all, and one by one, so that the
one that kills (by its need of memory, say) keeps no other from being made, and is known.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from hipct.core.files import write_json
from hipct.core.run_folder import RunFolder
from hipct.pipeline.plan import Plan
from hipct.pipeline.tiles import tiles

KILLED_TOO_OFTEN = 3
"""Processes that a layer may cost: the first in company of others, from then on it was alone."""


class Attempts:
    """What the processes of one share have begun.

    Parameters
    ----------
    folder : Path
        Folder of the run.
    share : str
        Name of the share.
    """

    def __init__(self, folder: Path, share: str) -> None:
        self._file = folder / "begun" / f"{share}.json"
        written = RunFolder(folder).read(self._file)
        self._begun: list[int] = written.get("layers", [])
        self._killed = {int(layer): times for layer, times in written.get("killed", {}).items()}

    def take_over(self, made: Collection[int], at_once: int) -> None:
        """Count the process before this one, if it was killed.

        Parameters
        ----------
        made : collection of int
            Layers that need no further thought.
        at_once : int
            Layers that a process is at together, at most.
        """
        for layer in sorted(set(self._begun).difference(made))[:at_once]:
            self._killed[layer] = self._killed.get(layer, 0) + 1
        self._begun = []
        self._killed = {k: times for k, times in self._killed.items() if k not in made}
        self._write()

    def killers(self) -> dict[int, str]:
        """Layers that have cost too many processes, each with a sentence."""
        return {
            layer: f"its process was killed {times} times while it was being made, as a system "
            "does that has no memory left; give the jobs more."
            for layer, times in self._killed.items()
            if times >= KILLED_TOO_OFTEN
        }

    def rounds(self, layers: Collection[int]) -> list[frozenset[int]]:
        """Layers in the order in which to make them: those of no ill fame together, then others."""
        alone = sorted(self._killed.keys() & layers, key=lambda k: (self._killed[k], k))
        together = frozenset(layers) - self._killed.keys()
        return [together, *(frozenset({layer}) for layer in alone)]

    @contextmanager
    def at(self, layers: Collection[int]) -> Iterator[None]:
        """Be at some layers for the time of a block."""
        self._begun = sorted(layers)
        self._write()
        try:
            yield
        finally:
            self.end()

    def end(self) -> None:
        """Take back what was begun."""
        self._begun = []
        self._write()

    def _write(self) -> None:
        if not self._begun and not self._killed:
            self._file.unlink(missing_ok=True)
            return
        self._file.parent.mkdir(exist_ok=True)
        write_json(self._file, {"layers": self._begun, "killed": self._killed})


def layers_at_once(plan: Plan) -> int:
    """Layers that a stream is at together: in buffers of their own, and in those of tiles."""
    rows = plan.cut.tile_buffers * max(len(tile.rows) for tile in tiles(plan.organ))
    return plan.cut.layer_buffers + 1 + math.ceil(rows / plan.spec.layer)
