"""The order in which the layers of a pyramid are made, within a given memory.

A Dask graph orders the layers (:class:`PyramidTree`), whose reduced halves go upwards. Its tasks
are chained: layer ``j`` of the finest level begins only after everything that comes before layer
``j - workers + 1`` in the order of the tree has ended. So the memory of the plan holds under any
scheduler, and whatever the order of the workers, the voxels are the same.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import dask
import dask.threaded
from numpy.typing import NDArray

from hipct.core.progress import Observer
from hipct.volume.layer_stream import stream_layer
from hipct.volume.pyramid_ledger import Node, PyramidLedger
from hipct.volume.pyramid_plan import PyramidPlan
from hipct.volume.writer import PyramidTree, read_reduced

_STAGE = "pyramid"


@dataclass
class PyramidTasks(ABC):
    """The tasks of what is left of a pyramid; classes below say how layers of level 0 are made.

    Attributes
    ----------
    plan : PyramidPlan
    ledger : PyramidLedger
        Where the levels grow, and what of them is done.
    observer : Observer
        Told of every layer of level 0.
    """

    plan: PyramidPlan
    ledger: PyramidLedger
    observer: Observer
    _stopped: threading.Event = field(default_factory=threading.Event, init=False)
    # Reduced layers on their way up: gone as soon as their parent has taken them.
    _halves: dict[Node, NDArray[Any]] = field(default_factory=dict, init=False)

    def run(self) -> None:
        """Make every layer that has no record."""
        graph, left = self._graph(set(self.ledger.done()))
        layers = self.plan.spec.layers(0)
        self.observer.start(_STAGE, layers)
        self.observer.advance(_STAGE, layers - sum(level == 0 for level, _ in left))
        if left:
            pool = ThreadPoolExecutor(self.plan.workers, thread_name_prefix="hipct-pyramid")
            try:
                # The order of the tasks is given by the graph; fusing them would undo it.
                with dask.config.set({"optimization.fuse.active": False}):
                    dask.threaded.get(graph, [("node", *left[-1])], pool=pool)
            except BaseException:
                self._stopped.set()
                raise
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
        self.observer.finish(_STAGE)

    def _graph(self, done: set[Node]) -> tuple[dict[Any, Any], list[Node]]:
        """Tasks of the layers that are left, in the order of the tree; the root is the last."""
        tree = PyramidTree(self.plan.spec)
        left: list[Node] = []
        for node in tree.nodes():
            # What was made of a layer that got lost is made again: the root is always behind it.
            if node not in done or not done.issuperset(tree.children(*node)):
                left.append(node)
                done = done - {node}
        graph: dict[Any, Any] = {}
        bases = [place for place, (level, _) in enumerate(left) if level == 0]
        numbers = {place: number for number, place in enumerate(bases)}
        for place, node in enumerate(left):
            level, index = node
            # Everything before this place; the node right before it would not do, since layers
            # could overtake each other for good.
            if place:
                earlier = [("before", place - 1)] if place > 1 else []
                graph["before", place] = (_nothing, [("node", *left[place - 1]), *earlier])
            if level == 0:
                first = numbers[place] - self.plan.workers + 1
                waits = first >= 0 and bases[first] > 0
                before = [("before", bases[first])] if waits else []
                graph["node", 0, index] = (self._base, index, before)
                continue
            parts = []
            for child in tree.children(*node):
                if child in done:
                    # Late, or the halves of a former run would wait in memory from the start.
                    before = [("before", place)] if place else []
                    graph["half", *child] = (self._half, *child, before)
                    parts.append(("half", *child))
                else:
                    parts.append(("node", *child))
            graph["node", level, index] = (self._upper, level, index, parts)
        return graph, left

    @abstractmethod
    def make(self, index: int) -> tuple[NDArray[Any] | None, dict[str, Any]]:
        """Make a layer of level 0: its reduced block, and what its record says."""

    @abstractmethod
    def again(self, index: int) -> NDArray[Any] | None:
        """Reduced block of a layer of level 0 that an earlier run made."""

    def _base(self, index: int, _wait: list[Any]) -> None:
        if self._stopped.is_set():
            return
        reduced, record = self.make(index)
        self._keep(0, index, reduced)
        self.ledger.record(0, index, record)
        self.observer.advance(_STAGE)

    def _keep(self, level: int, index: int, reduced: NDArray[Any] | None) -> None:
        if reduced is not None:
            self._halves[level, index] = reduced

    def _upper(self, level: int, index: int, _wait: list[Any]) -> None:
        if self._stopped.is_set():
            return
        spec = self.plan.spec
        blocks = [self._halves.pop(child) for child in PyramidTree(spec).children(level, index)]
        reduced = stream_layer(
            self.ledger.volume,
            spec,
            level,
            index,
            lambda rows: [block[:, rows] for block in blocks],
            reduce=level + 1 < len(spec.levels),
        )
        self._keep(level, index, reduced)
        self.ledger.record(level, index, {})

    def _half(self, level: int, index: int, _wait: list[Any]) -> None:
        if self._stopped.is_set():
            return
        if level == 0:
            self._keep(level, index, self.again(index))
        else:
            self._keep(level, index, read_reduced(self.ledger.volume, self.plan.spec, level, index))


def _nothing(_wait: list[Any]) -> None:
    """A task that only waits for others."""
