"""The records of jobs: who works on what, how far it is, how it ended; and their logs.

::

    tasks/share-00003.json   the last word of the job that does this share, by atomic rename
    logs/share-00003.jsonl   all that the jobs of this share said, one JSON object a line

A record is a statement of its job. Whether a job that calls itself running still lives, its lock
tells (:mod:`hipct.core.run_lock`).
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from hipct.core.errors import OutputError
from hipct.core.files import write_json
from hipct.core.run_folder import now
from hipct.core.run_lock import myself
from hipct.pipeline.shares import share_name

SECONDS_BETWEEN_RECORDS = 5.0


def task_name(stage: str, number: int | None = None) -> str:
    """Name of a task, and of its lock.

    Examples
    --------
    >>> task_name("finish"), task_name("share", 3)
    ('finish', 'share-00003')
    """
    return stage if number is None else share_name(number)


class TaskLog:
    """An observer that leaves a record and a log in the folder of the run.

    Parameters
    ----------
    folder : Path
        Folder of the run.
    name : str
        Of the task.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._record = folder / "tasks" / f"{name}.json"
        self.path = folder / "logs" / f"{name}.jsonl"
        for file in (self._record, self.path):
            with suppress(OSError):  # of a full disk the work itself will tell
                file.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._written = 0.0
        self._said: set[str] = set()
        self._state: dict[str, Any] = {
            "task": name,
            "state": "running",
            "owner": myself(),
            "job": slurm_job(),
            "began": now(),
            "log": str(self.path),
            "progress": {},
        }
        self._log("begin", job=self._state["job"])
        self._write()

    def start(self, stage: str, total: int) -> None:
        """Begin to count a stage."""
        with self._lock:
            self._state["progress"][stage] = [0, total]
        self._log("start", stage=stage, total=total)

    def advance(self, stage: str, steps: int = 1) -> None:
        """Count on; the record follows every few seconds."""
        with self._lock:
            counted = self._state["progress"].get(stage)
            if counted is None:
                return
            counted[0] += steps
            if time.monotonic() - self._written < SECONDS_BETWEEN_RECORDS:
                return
        self._write()

    def finish(self, stage: str) -> None:
        """A stage has ended."""
        with self._lock:
            done, total = self._state["progress"].get(stage, (0, 0))
        self._log("finish", stage=stage, done=done, total=total)

    def say(self, message: str) -> None:
        """Log a sentence, the same one only once."""
        if message not in self._said:
            self._said.add(message)
            self._log("say", message=message)

    def end(self, state: str, **facts: Any) -> None:
        """Leave the last word: ``"done"``, ``"failed"`` or ``"stopped"``, and why."""
        with self._lock:
            self._state |= {"state": state, "ended": now()} | facts
        self._log("end", state=state, **facts)
        self._write()

    def _write(self) -> None:
        with self._lock:
            self._written = time.monotonic()
            self._state["updated"] = now()
            state = json.loads(json.dumps(self._state))
        # A record is worth less than the work that it tells of.
        with suppress(OutputError):
            write_json(self._record, state)

    def _log(self, event: str, **facts: Any) -> None:
        line = json.dumps({"time": now(), "event": event, "process": os.getpid()} | facts)
        with suppress(OSError), open(self.path, "a", encoding="utf-8") as file:
            file.write(line + "\n")


def keep_logs(folder: Path) -> Path:
    """Remove the folder of a run that has ended; its logs stay beside the volume.

    Returns
    -------
    Path
        ``<volume>.logs``: the last words of all jobs, and what they said.
    """
    kept = folder.with_name(folder.name.removesuffix(".run") + ".logs")
    with suppress(OSError):
        kept.mkdir(exist_ok=True)
    for name in ("tasks", "logs"):
        # Of an earlier run into the same volume; whatever else lies there is not ours.
        shutil.rmtree(kept / name, ignore_errors=True)
        with suppress(OSError):
            os.replace(folder / name, kept / name)
    # Whoever looks meanwhile sees all of it or nothing.
    ended = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.tmp")
    with suppress(OSError):
        os.rename(folder, ended)
        shutil.rmtree(ended, ignore_errors=True)
    return kept


def slurm_job() -> str | None:
    """Job of this process, as Slurm names it: ``"17"``, or ``"17_3"`` in an array."""
    array, place = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{place}" if array and place else os.environ.get("SLURM_JOB_ID")
