"""One process at a time: a lock that holds on network file systems and outlives no process.

A lock is a file that names its owner and is touched every few seconds. It is made by a hard link,
the one step that is atomic on NFS too (the count of links tells whether it succeeded, even where
the answer of the server was lost). Whether its owner still lives is known at once on the same
machine, by the process, and elsewhere (and after a start of the machine) from the time of the last
touch, by the clock of the file server. A process that was stopped for so long that another one
took its place finds out before it records anything (:meth:`RunLock.check`).

Locks of the kernel (``flock``) are not used: on NFS some servers keep them of machines that have
died, others never tell one machine of another's.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hipct.core.errors import OutputError

BEAT_S = 10.0
"""How often an owner touches its lock."""

STALE_S = 90.0
"""Age of the last touch after which the owner on another machine counts as dead."""


@dataclass
class RunLock:
    """A lock held by one process of any machine that sees the folder.

    Parameters
    ----------
    path : Path
        File of the lock; its folder exists.
    """

    path: Path
    _owner: dict[str, Any] | None = field(default=None, repr=False, init=False)
    _released: threading.Event = field(default_factory=threading.Event, repr=False, init=False)

    @property
    def held(self) -> bool:
        """Whether this object has taken the lock and not given it back."""
        return self._owner is not None

    def take(self) -> None:
        """Take the lock, from a dead owner too.

        Raises
        ------
        OutputError
            If a living process holds it, or the folder cannot be written.
        """
        owner = myself()
        while not self._made(owner):
            other = self.owner()
            if other is None:
                continue
            if self._lives(other):
                raise OutputError(
                    f"another process is writing this output ({told(other)} holds {self.path}); "
                    "wait for it to end, or choose another output."
                )
            self._bury(other)
        self._owner = owner
        self._released.clear()
        threading.Thread(target=self._beat, name="hipct-lock", daemon=True).start()

    def check(self) -> None:
        """Raise unless the lock is still ours; where none was taken, nothing.

        Raises
        ------
        OutputError
            If another process took it while this one was stopped.
        """
        if self._owner is not None and not self._is_mine():
            raise OutputError(
                f"another process has taken {self.path} while this one stood still; the work goes "
                "on there, and this process stops."
            )

    def release(self) -> None:
        """Give the lock back; without one held, nothing."""
        if self._owner is None:
            return
        self._released.set()
        if self._is_mine():
            with suppress(OSError):
                self.path.unlink()
        self._owner = None

    def owner(self) -> dict[str, Any] | None:
        """What the owner wrote of itself; None where nobody holds it."""
        try:
            value = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            return {}
        return value if isinstance(value, dict) else {}

    def living_owner(self) -> dict[str, Any] | None:
        """The owner, if it still lives."""
        owner = self.owner()
        return owner if owner is not None and self._lives(owner) else None

    def _made(self, owner: dict[str, Any]) -> bool:
        try:
            return self._claim(owner)
        except OSError as error:
            raise OutputError(f"{self.path} cannot be made: {error.strerror or error}.") from error

    def _claim(self, owner: dict[str, Any]) -> bool:
        """Make the lock by a link; whether it was made."""
        claim = self.path.with_name(f".{self.path.name}.{owner['token']}.tmp")
        claim.write_text(json.dumps(owner))
        try:
            with suppress(FileExistsError):
                os.link(claim, self.path)
            # Where the server's answer was lost, a link that failed may have been made.
            return claim.stat().st_nlink == 2
        finally:
            claim.unlink(missing_ok=True)

    def _lives(self, owner: dict[str, Any]) -> bool:
        known = lives_here(owner)
        return self._age_s() < STALE_S if known is None else known

    def _age_s(self) -> float:
        """Seconds since the lock was touched, by the clock that stamps files there."""
        probe = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex}.tmp")
        try:
            probe.touch()
            return probe.stat().st_mtime - self.path.stat().st_mtime
        except FileNotFoundError:
            return STALE_S
        except OSError:
            # Who may only read asks its own clock.
            return age_s(self.path)
        finally:
            with suppress(OSError):
                probe.unlink(missing_ok=True)

    def _bury(self, dead: dict[str, Any]) -> None:
        """Remove the lock of a dead owner, and no other.

        Two processes may find it at the same time: the one that makes the second file looks once
        more before it removes the lock.
        """
        spade = RunLock(self.path.with_name(f"{self.path.name}.stale"))
        mine = myself()
        if not spade._claim(mine):
            if spade._age_s() > STALE_S:
                spade.path.unlink(missing_ok=True)
            self._released.wait(0.01)
            return
        try:
            if self.owner() == dead:
                self.path.unlink(missing_ok=True)
        finally:
            spade.path.unlink(missing_ok=True)

    def _is_mine(self) -> bool:
        """Whether the file names this owner; one that cannot be read now counts as unchanged."""
        owner = self.owner()
        return owner in ({}, self._owner)

    def _beat(self) -> None:
        while not self._released.wait(BEAT_S):
            if not self._is_mine():
                return
            with suppress(OSError):
                os.utime(self.path)


def age_s(file: Path) -> float:
    """Seconds since a file was touched, by the clock of this machine; infinite where it is gone."""
    try:
        return time.time() - file.stat().st_mtime
    except OSError:
        return float("inf")


def told(owner: dict[str, Any]) -> str:
    """An owner in words."""
    return f"process {owner.get('process', '?')} on {owner.get('machine', '?')}"


def lives_here(owner: dict[str, Any]) -> bool | None:
    """Whether a process of this machine still lives; None for one of another machine."""
    me = myself()
    if owner.get("machine") != me["machine"] or owner.get("space") != me["space"]:
        return None
    if owner.get("boot") != me["boot"]:
        # It has started anew, or is another machine of the same name: its last touch will tell.
        return None
    return _started(owner.get("process")) == owner.get("started")


def myself() -> dict[str, Any]:
    """Name this process, so that others can tell whether it lives."""
    process = os.getpid()
    return {
        "machine": socket.gethostname(),
        "boot": _boot(),
        "space": _process_space(),
        "process": process,
        "started": _started(process),
        "job": os.environ.get("SLURM_JOB_ID"),
        "token": uuid.uuid4().hex,
    }


def _boot() -> str:
    """Something that changes when the machine starts anew."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    import psutil

    return str(round(psutil.boot_time()))


def _process_space() -> str:
    """Numbers of processes mean the same to two processes where this is the same."""
    with suppress(OSError):
        return os.readlink("/proc/self/ns/pid")
    return ""


def _started(process: Any) -> float | None:
    """When a process began, to tell it from a later one of the same number; None if it is dead."""
    if not isinstance(process, int):
        return None
    if not Path("/proc/self/stat").exists():
        import psutil

        with suppress(psutil.Error):
            return round(float(psutil.Process(process).create_time()), 2)
        return None
    try:
        # The name in brackets may hold anything; behind it come the state, and as the 20th value
        # the start in ticks since boot, which no clock moves (proc(5)).
        values = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if values[0] in "ZX" else float(values[19])
