"""What was given to a cluster for a run, kept in the run's folder: profile, jobs, when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hipct.cluster.profile import Profile
from hipct.core.errors import FormatError
from hipct.core.files import write_json
from hipct.core.run_folder import RunFolder, now

_FILE = "cluster.json"


@dataclass(frozen=True)
class Submission:
    """The jobs of a run.

    Attributes
    ----------
    profile : what the cluster was told
    jobs : Slurm's numbers, all that were ever queued for this run, the latest last
    when : time of the latest
    """

    profile: Profile
    jobs: tuple[str, ...] = ()
    when: str = ""

    def with_jobs(self, jobs: Mapping[str, str]) -> Submission:
        """With the jobs of one more submission."""
        return replace(self, jobs=(*self.jobs, *jobs.values()), when=now())

    def keep(self, folder: Path) -> None:
        """Write it into the folder of the run."""
        write_json(folder / _FILE, asdict(self) | {"profile": self.profile.model_dump(mode="json")})

    @classmethod
    def of(cls, folder: Path) -> Submission | None:
        """That of a run; None where the run was not given to a cluster.

        Raises
        ------
        FormatError
            If what stands there cannot be read.
        """
        written: dict[str, Any] = RunFolder(folder).read(folder / _FILE)
        if not written:
            return None
        try:
            profile = Profile(**written["profile"])
            return cls(profile, tuple(written["jobs"]), written["when"])
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(
                f"{folder / _FILE} is of another version of hipct ({error}); submit the run again."
            ) from error
