"""Job scripts: a few lines that start ``hipct work``, and the options of their jobs.

Everything that comes from a user stands in the script as one quoted word, or is an argument of
``sbatch`` that no shell sees. The lines of a profile's prologue are shell by intention.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hipct.cluster.profile import Profile
from hipct.core.errors import ClusterError
from hipct.core.memory import parse_bytes


@dataclass(frozen=True)
class Script:
    """A job before it is submitted.

    Attributes
    ----------
    stage : ``"prepare"``, ``"share"`` or ``"finish"``
    text : the batch script
    options : arguments of ``sbatch``
    """

    stage: str
    text: str
    options: tuple[str, ...]

    def with_options(self, *more: str) -> Script:
        """The same with further arguments of ``sbatch``."""
        return Script(self.stage, self.text, (*self.options, *more))

    def shown(self) -> str:
        """The script and how it would be submitted, for people."""
        return f"$ sbatch {shlex.join(self.options)} <<'END'\n{self.text}END\n"


def job_script(folder: Path, stage: str, profile: Profile) -> Script:
    """Script of one stage of a run.

    Parameters
    ----------
    folder : Path
        Folder of the run.
    stage : {"prepare", "share", "finish"}
    profile : Profile

    Raises
    ------
    ClusterError
        If the path of the run has control characters, which Slurm's own options cannot carry.
    """
    if any(ord(letter) < 32 for letter in str(folder)):
        raise ClusterError(
            f"The path {str(folder)!r} has control characters; choose another name for the volume."
        )
    asked = profile.resources(stage)
    command = [sys.executable, "-m", "hipct", "work", str(folder), stage]
    lines = ["#!/bin/bash", "set -eu", *profile.prologue]
    if "cpus" in asked:
        # Libraries that count the cores of the machine would start too many threads.
        lines += [f"export OMP_NUM_THREADS={asked['cpus']}"]
    # In place of the shell, so that Slurm's warning reaches hipct.
    lines += [f"exec {shlex.join(command)}"]
    name = "".join(c if c.isalnum() or c in "._-" else "_" for c in folder.name)
    # Slurm takes a % in the name of a file for a pattern.
    logs = str(folder / "logs").replace("%", "%%")
    options = [
        f"--job-name=hipct-{name.removesuffix('.run')}-{stage}",
        f"--output={logs}/{stage}-%{'A-%a' if stage == 'share' else 'j'}.out",
        "--open-mode=append",
        "--requeue",
        "--export=ALL",
    ]
    if profile.warning_s:
        options.append(f"--signal=B:USR1@{profile.warning_s}")
    for option, value in asked.items():
        match option:
            case "cpus":
                options.append(f"--cpus-per-task={value}")
            case "memory":
                options.append(f"--mem={parse_bytes(value) // 2**20}M")
            case _:
                options.append(f"--{option}={value}")
    return Script(stage, "\n".join(lines) + "\n", tuple(options))


def array_option(numbers: Sequence[int], at_a_time: int | None) -> str:
    """Slurm's option for the members of an array.

    Examples
    --------
    >>> array_option([0, 1, 2, 5, 7, 8], 4)
    '--array=0-2,5,7-8%4'
    """
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    words = [str(a) if a == b else f"{a}-{b}" for a, b in runs]
    return f"--array={','.join(words)}" + (f"%{at_a_time}" if at_a_time else "")
