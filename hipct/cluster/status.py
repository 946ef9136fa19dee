"""Where a run stands, from its folder alone; fast also for a hundred thousand records.

Names and times of the records tell what is done and how fast: no record of a layer is opened. What
jobs say of themselves is believed as long as their locks are held by living processes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from hipct.cluster import slurm
from hipct.cluster.submission import Submission
from hipct.cluster.tasks import task_name
from hipct.core.errors import ClusterError, HipctError, OutputError
from hipct.core.run_folder import RunFolder
from hipct.core.run_lock import RunLock, age_s, lives_here
from hipct.pipeline.ledger import Ledger
from hipct.pipeline.request import run_folder
from hipct.pipeline.shares import share_name
from hipct.volume.open import open_volume

_RATE_OVER_S = 1800.0
_NAMED = 10
_YOUNG_S = 60.0
"""Age of the record of a job elsewhere that may not have come to its lock."""


@dataclass(frozen=True)
class RunStatus:
    """Where a run stands.

    Attributes
    ----------
    out : the volume
    state : ``"whole"``, ``"running"``, ``"queued"``, ``"incomplete"`` (nobody works on it), or
        ``"finished with gaps"``
    layers : counts of the layers of level 0: ``total`` (0 before the run is prepared), ``done``,
        ``failed``, ``left``
    shares : numbers of shares by their state
    queue : numbers of jobs by Slurm's state, where Slurm is there
    rate_per_h : layers an hour over the last half hour in which any was written
    left_s : seconds left at this rate; None where it is not known
    slowest : stage that took most of the time, and its part of all busy time
    failed : of each failed layer its number, error, log
    tasks : the last words of the jobs that did not end well
    """

    out: str
    state: str
    layers: dict[str, int]
    shares: dict[str, int] = field(default_factory=dict)
    queue: dict[str, int] = field(default_factory=dict)
    rate_per_h: float | None = None
    left_s: float | None = None
    slowest: tuple[str, float] | None = None
    failed: list[dict[str, Any]] = field(default_factory=list)
    tasks: list[dict[str, Any]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The status as JSON values."""
        return asdict(self)

    def text(self) -> str:
        """The status for people."""
        n = self.layers
        lines = [f"{self.out}: {self.state}"]
        if n["total"]:
            lines.append(
                f"layers   {n['done']} of {n['total']} done, {n['failed']} failed, {n['left']} left"
            )
        if self.shares:
            lines.append(f"shares   {_counted(self.shares)}")
        if self.queue:
            lines.append(f"queue    {_counted(self.queue)}")
        if self.rate_per_h is not None:
            left = "" if self.left_s is None else f", about {_duration(self.left_s)} left"
            lines.append(f"rate     {self.rate_per_h:.0f} layers an hour{left}")
        if self.slowest is not None:
            stage, part = self.slowest
            lines.append(f"slowest  {stage}, {part:.0%} of the busy time")
        for each in self.failed[:_NAMED]:
            lines.append(f"layer {each['layer']} failed: {each['error']} (log: {each['log']})")
        if len(self.failed) > _NAMED:
            lines.append(f"and {len(self.failed) - _NAMED} more layers failed")
        for task in self.tasks[:_NAMED]:
            lines.append(f"{task['task']} {task['state']}: {task['sentence']} (log: {task['log']})")
        if len(self.tasks) > _NAMED:
            lines.append(f"and {len(self.tasks) - _NAMED} more jobs")
        return "\n".join(lines)


def run_status(run: Path | str) -> RunStatus:
    """Where a run stands.

    Parameters
    ----------
    run : path
        Folder of the run, or the volume that it makes.

    Raises
    ------
    OutputError
        If there is neither a run nor its volume.
    """
    folder = run_folder(run)
    out = folder.with_name(folder.name.removesuffix(".run"))
    if not folder.is_dir():
        return _without_folder(out)
    ledger, tasks = Ledger(folder), _tasks(folder)
    notes = ledger.state()
    dealt: list[list[int]] = notes.get("shares", [])
    written = ledger.layers()
    failed = ledger.failed()
    total = sum(map(len, dealt))
    left = max(0, total - len(written))
    states = {name: _state(folder, name, task) for name, task in tasks.items()}
    queue = _queue(folder)
    rate = _rate(sorted(written.values()), _first_share_began(tasks))
    busy = any(state == "running" for state in states.values())
    busy = busy or RunLock(folder / "lock").living_owner() is not None
    busy = busy or any(each.state == "RUNNING" for each in queue)
    # It has got its name: what stands in its folder is of no use any more, or on its way out.
    if (ledger.delivered(out) and not busy) or not folder.is_dir():
        return _without_folder(out)
    if not busy and not queue:
        tasks = _silent_jobs(folder, len(dealt)) | tasks
        states = {name: "died" for name in tasks} | states
    return RunStatus(
        out=str(out),
        state="running" if busy else "queued" if queue else "incomplete",
        layers={"total": total, "done": len(written), "failed": len(failed), "left": left},
        shares=dict(Counter(_share_state(k, dealt[k], written, states) for k in range(len(dealt)))),
        queue=dict(Counter(each.state.lower() for each in queue)),
        rate_per_h=rate,
        left_s=left / rate * 3600 if rate and busy else None,
        slowest=_slowest(ledger),
        failed=[
            {"layer": layer, "error": each.get("error", ""), "log": each.get("log")}
            for layer, each in failed.items()
        ],
        tasks=[
            {
                "task": name,
                "state": states[name],
                "sentence": tasks[name].get("sentence", "It ended without a word."),
                "log": tasks[name].get("log", ""),
            }
            for name in tasks
            if states[name] in ("failed", "died", "stopped")
        ],
    )


def _without_folder(out: Path) -> RunStatus:
    """Of a run that has ended, from the volume that it has made."""
    try:
        provenance = open_volume(out).provenance
    except HipctError as error:
        raise OutputError(
            f"{out} is no volume, and there is no folder {out.name}.run beside it; hipct submit "
            "begins a run."
        ) from error
    state = "finished with gaps" if "incomplete" in provenance else "whole"
    return RunStatus(str(out), state, {"total": 0, "done": 0, "failed": 0, "left": 0})


def _silent_jobs(folder: Path, shares: int) -> dict[str, dict[str, Any]]:
    """Jobs that ended before hipct could say anything: what Slurm has kept of their output."""
    names = {"prepare", "finish", *(task_name("share", k) for k in range(shares))}
    told = {path.stem for path in (folder / "tasks").glob("*.json")}
    kept = sorted(path.name for path in (folder / "logs").glob("*.out"))
    found: dict[str, dict[str, Any]] = {}
    for file in kept:
        stage, _, rest = file.removesuffix(".out").partition("-")
        place = rest.rpartition("-")[2]
        name = task_name("share", int(place)) if stage == "share" and place.isdecimal() else stage
        if name in names and name not in told:
            found[name] = {
                "sentence": "It ended before hipct began; the log says why.",
                "log": str(folder / "logs" / file),
            }
    return found


def open_shares(run: Path | str) -> list[int]:
    """Numbers of the shares that have layers left."""
    folder = run_folder(run)
    ledger = Ledger(folder)
    written = ledger.layers()
    dealt: list[list[int]] = ledger.state().get("shares", [])
    return [k for k, layers in enumerate(dealt) if any(layer not in written for layer in layers)]


def _tasks(folder: Path) -> dict[str, dict[str, Any]]:
    read = RunFolder(folder).read
    records = {path.stem: read(path) for path in sorted((folder / "tasks").glob("*.json"))}
    return {name: record for name, record in records.items() if record}


def _state(folder: Path, name: str, task: dict[str, Any]) -> str:
    """What a job says of itself, unless it is dead."""
    state: str = task.get("state", "unknown")
    if state != "running":
        return state
    lock = folder / "locks" / name if name.startswith("share") else folder / "lock"
    if RunLock(lock).living_owner() is not None:
        return "running"
    # It may not have taken its lock yet, or have given it back.
    lives = lives_here(task.get("owner", {}))
    if lives is None:
        lives = age_s(folder / "tasks" / f"{name}.json") < _YOUNG_S
    return "running" if lives else "died"


def _share_state(
    number: int, layers: list[int], written: dict[int, float], states: dict[str, str]
) -> str:
    if all(layer in written for layer in layers):
        return "done"
    state = states.get(share_name(number), "waiting")
    return "waiting" if state == "done" else state


def _queue(folder: Path) -> list[slurm.Queued]:
    known = Submission.of(folder)
    if known is None:
        return []
    try:
        return slurm.queued(known.jobs)
    except ClusterError:
        # What the folder says is true without Slurm.
        return []


def _first_share_began(tasks: dict[str, dict[str, Any]]) -> float | None:
    """Time at which the first job that makes layers began, in seconds since the epoch."""
    began = [task.get("began") for name, task in tasks.items() if name.startswith("share")]
    return min((datetime.fromisoformat(each).timestamp() for each in began if each), default=None)


def _rate(times: list[float], began: float | None) -> float | None:
    """Layers an hour, over the last half hour in which any was written.

    The first layers of all come together: their time counts from the beginning of their jobs. A
    layer whose beginning is not known counts for nothing.
    """
    if not times:
        return None
    first = times[0] if began is None else min(began, times[0])
    since = max(first, times[-1] - _RATE_OVER_S)
    span = times[-1] - since
    return sum(each > since for each in times) / span * 3600 if span > 0 else None


def _slowest(ledger: Ledger) -> tuple[str, float] | None:
    seconds: Counter[str] = Counter()
    for times in ledger.times():
        seconds.update(times.get("seconds", {}))
    if not seconds:
        return None
    stage, most = seconds.most_common(1)[0]
    return stage, most / sum(seconds.values())


def _counted(numbers: dict[str, int]) -> str:
    return ", ".join(f"{number} {state}" for state, number in sorted(numbers.items()))


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
