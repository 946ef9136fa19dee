"""What a cluster wants to be told: partition, time, memory, what to load first."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from hipct.core.errors import ConfigError
from hipct.core.memory import parse_bytes

STAGES = ("prepare", "share", "finish")
_WORD = re.compile(r"[A-Za-z0-9_.,:&|=@*()\[\]+-]+")
_TIME = re.compile(r"(\d+-)?\d{1,3}(:\d{2}){0,2}")


def _word(value: str) -> str:
    if not _WORD.fullmatch(value):
        raise ValueError("give one word of letters, digits and _.,:&|=@*()[]+-")
    return value


def _time(value: str) -> str:
    if not _TIME.fullmatch(value):
        raise ValueError("give minutes, or hours:minutes:seconds, or days-hours:minutes:seconds")
    return value


def seconds(time: str) -> int:
    """Seconds of a limit as Slurm writes it.

    Examples
    --------
    >>> seconds("30"), seconds("30:15"), seconds("1:00:00"), seconds("1-12")
    (1800, 1815, 3600, 129600)
    """
    days, dash, rest = time.rpartition("-")
    numbers = [int(number) for number in rest.split(":")]
    if dash:
        hours, minutes, left = [*numbers, 0, 0][:3]
    elif len(numbers) == 3:
        hours, minutes, left = numbers
    else:
        hours, minutes, left = 0, *[*numbers, 0][:2]
    return (int(days or 0) * 24 + hours) * 3600 + minutes * 60 + left


def _amount(value: str) -> str:
    parse_bytes(value)
    return value


def _line(value: str) -> str:
    if any(ord(letter) < 32 and letter != "\t" for letter in value):
        raise ValueError("give one line without control characters")
    return value


Word = Annotated[str, AfterValidator(_word)]


class Resources(BaseModel):
    """What a job asks for; fields left out are those of the whole profile, or the cluster's own.

    Attributes
    ----------
    time : str
        Limit, as Slurm writes it: ``"04:00:00"``, ``"1-12:00:00"``, or minutes.
    cpus : int
        Cores.
    memory : str
        With a unit: ``"64GB"``.
    gres : str
        Such as ``"gpu:1"``; hipct uses one GPU a job.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    partition: Word | None = None
    account: Word | None = None
    qos: Word | None = None
    constraint: Word | None = None
    time: Annotated[str, AfterValidator(_time)] | None = None
    cpus: int | None = Field(default=None, ge=1)
    memory: Annotated[str, AfterValidator(_amount)] | None = None
    gres: Word | None = None


class Profile(Resources):
    """A cluster.

    Attributes
    ----------
    shares : int
        Jobs that the layers of a volume are dealt to, at most.
    at_a_time : int or None
        How many of them may run at a time, and workers of Dask; all by default, on one machine as
        many workers as it has ``cpus`` for.
    warning_s : int
        Seconds before the time limit at which a job stops by itself and is queued again.
    requeues : int
        How often that happens before the job counts as failed.
    interface : str or None
        Network that Dask workers talk over, such as ``"ib0"``; batch jobs need none.
    tls : bool
        Whether Dask's scheduler and workers of Slurm know each other by keys made for the run, and
        talk in cipher; batch jobs do not talk.
    prologue : list of str
        Lines of shell that every job begins with, as written here: ``module load ...``.
    prepare, share, finish : Resources
        What differs for the job that finds axis and window, for those that reconstruct, and for
        the one that makes the upper levels.
    """

    shares: int = Field(default=32, ge=1, le=10_000)
    at_a_time: int | None = Field(default=None, ge=1)
    warning_s: int = Field(default=180, ge=0)
    requeues: int = Field(default=5, ge=0)
    interface: Word | None = None
    tls: bool = False
    prologue: tuple[Annotated[str, AfterValidator(_line)], ...] = ()
    prepare: Resources = Resources()
    share: Resources = Resources()
    finish: Resources = Resources()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.at_a_time is not None and self.at_a_time > self.shares:
            raise ValueError(f"at_a_time is more than the {self.shares} shares")
        for stage in STAGES:
            time = self.resources(stage).get("time")
            if time is not None and self.warning_s >= seconds(time):
                raise ValueError(
                    f"a job of {stage} would stop at once: warning_s is {self.warning_s} and its "
                    f"time {time}"
                )
        return self

    def with_shares(self, shares: int) -> Profile:
        """The same with another number of shares."""
        together = None if self.at_a_time is None else min(self.at_a_time, shares)
        return self.model_copy(update={"shares": shares, "at_a_time": together})

    def resources(self, stage: str) -> dict[str, Any]:
        """What a job of a stage asks for, by name; without what nobody has set."""
        own = getattr(self, stage).model_dump()
        return {
            name: own[name] if own[name] is not None else getattr(self, name)
            for name in Resources.model_fields
            if own[name] is not None or getattr(self, name) is not None
        }


def load_profile(source: str | Path) -> Profile:
    """A profile from a YAML file, or one that comes with hipct.

    Parameters
    ----------
    source : str or Path
        A file whose name ends in .yaml or .yml; or a name, e.g. ``"cpu"``.

    Raises
    ------
    ConfigError
        If there is no such profile, or a key or a value is not allowed.

    Examples
    --------
    >>> load_profile("gpu").resources("share")["gres"]
    'gpu:1'
    """
    path = Path(source)
    if path.suffix.lower() not in (".yaml", ".yml"):
        path = _folder() / f"{source}.yaml"
        if not path.is_file():
            raise ConfigError(
                f"There is no cluster profile {str(source)!r}; there are "
                f"{', '.join(profile_names())}, or give a file whose name ends in .yaml."
            )
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(
            f"The cluster profile {path} cannot be read ({' '.join(str(error).split())})."
        ) from error
    if not isinstance(values, dict):
        raise ConfigError(f"The cluster profile {path} holds no keys and values.")
    try:
        return Profile(**{str(key): value for key, value in values.items()})
    except (ValidationError, ConfigError) as error:
        raise ConfigError(f"The cluster profile {path} is wrong: {_faults(error)}.") from error


def profile_names() -> list[str]:
    """Names of the profiles that come with hipct."""
    return sorted(path.stem for path in _folder().glob("*.yaml"))


def _folder() -> Path:
    packaged = Path(str(files("hipct") / "configs" / "cluster"))
    if packaged.is_dir():
        return packaged
    return Path(__file__).resolve().parents[2] / "configs" / "cluster"


def _faults(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error).rstrip(".")
    return "; ".join(
        f"{'.'.join(map(str, fault['loc'])) or 'it'}: {fault['msg']}" for fault in error.errors()
    )
