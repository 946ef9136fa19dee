"""What a run was asked for, kept in its folder, so that processes elsewhere do the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hipct.acquisition.open_any import open_any
from hipct.acquisition.scan import Scan
from hipct.acquisition.series import Series
from hipct.core.errors import FormatError, OutputError
from hipct.core.files import write_json
from hipct.core.run_folder import RunFolder
from hipct.pipeline.config import Config, with_absolute_paths
from hipct.pipeline.job import resolve
from hipct.pipeline.ledger import Ledger
from hipct.pipeline.provenance import parameters
from hipct.pipeline.subject import Subject

_FILE = "request.json"


class _Opening(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    angles: str | None = None
    entry: str | int | None = None
    series: bool = False
    z_um: list[float] | None = None
    flip_z: bool = False


class _Written(BaseModel):
    """A request as it stands in a file that anything may have written."""

    model_config = ConfigDict(extra="forbid")

    sources: tuple[str, ...] = Field(min_length=1)
    out: str
    config: dict[str, Any]
    opening: _Opening = _Opening()
    allow_gaps: bool = False
    overwrite: bool = False
    allow_missing: bool = False
    report: bool = True


@dataclass(frozen=True)
class Request:
    """A reconstruction, in words that any process understands.

    Attributes
    ----------
    sources : tuple of str
        Absolute paths of what is read.
    out : str
        Absolute path of the volume.
    config : mapping
        The configuration, by section and key; paths in it are those of the folder that this was
        asked in.
    opening : mapping
        Options of :func:`hipct.acquisition.open_any.open_any`.
    allow_gaps, overwrite, allow_missing : bool
        Whether rows without data are stored as 0, an existing volume is replaced, and a volume
        gets its name even if some of its layers failed.
    report : bool
        Whether the report of its quality is made.
    """

    sources: tuple[str, ...]
    out: str
    config: Mapping[str, Any]
    opening: Mapping[str, Any] = field(default_factory=dict)
    allow_gaps: bool = False
    overwrite: bool = False
    allow_missing: bool = False
    report: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "config", with_absolute_paths(self.config))

    @property
    def folder(self) -> Path:
        """Folder of the run."""
        out = Path(self.out)
        return out.with_name(out.name + ".run")

    def settings(self) -> Config:
        """The configuration, checked."""
        return Config(**self.config)

    def open(self) -> Scan | Series:
        """What is read, opened."""
        what = self.sources[0] if len(self.sources) == 1 else list(self.sources)
        return open_any(what, allow_gaps=self.allow_gaps, **self.opening)

    def look(self, *, restart: bool = False) -> None:
        """Open what is read and see that no value is missing, before anything waits in a queue.

        Parameters
        ----------
        restart : bool
            Whether what an unfinished run has done is thrown away.

        Raises
        ------
        OutputError
            If an unfinished run had other parameters, without ``restart``.
        HipctError
            As a run would, of what can be known from a few rows of the projections.
        """
        config = self.settings()
        with self.open() as opened:
            subject = Subject.of(opened)
            jobs = [resolve(scan, config, of_series=subject.of_series) for scan in subject.scans]
            if not restart:
                Ledger(self.folder).refuse_other(parameters(subject, jobs))

    def keep(self) -> None:
        """Write it into the folder of the run.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"{self.folder} cannot be made: {error.strerror or error}."
            ) from error
        write_json(self.folder / _FILE, asdict(self))

    @classmethod
    def of(cls, run: Path | str) -> Request:
        """The request of a run, by its folder or by the volume that it makes.

        Raises
        ------
        OutputError
            If there is no such run.
        FormatError
            If what stands there cannot be read.
        """
        folder = run_folder(run)
        written = RunFolder(folder).read(folder / _FILE)
        if not written:
            raise OutputError(
                f"{folder} holds no run that was submitted; hipct submit makes one, and hipct "
                "reconstruct goes on with its own."
            )
        try:
            request = cls(**_Written(**written).model_dump())
        except ValidationError as error:
            fault = error.errors()[0]
            raise FormatError(
                f"{folder / _FILE} is of another version of hipct "
                f"({'.'.join(map(str, fault['loc']))}: {fault['msg']}); submit the run again."
            ) from error
        # A run writes beside its folder, and nowhere else.
        if not (request.folder.exists() and request.folder.samefile(folder)):
            raise OutputError(
                f"{folder} is the run of {request.out}, which is elsewhere; move it back, or "
                "submit the run again."
            )
        return request


def run_folder(run: Path | str) -> Path:
    """Folder of a run, given itself or the volume that the run makes.

    Raises
    ------
    OutputError
        If the path names neither.

    Examples
    --------
    >>> str(run_folder("organ.ome.zarr")), str(run_folder("organ.ome.zarr.run"))
    ('organ.ome.zarr.run', 'organ.ome.zarr.run')
    """
    path = Path(run)
    if path.name in ("", ".."):
        raise OutputError(f"{run} is no volume; name one, such as organ.ome.zarr.")
    return path if path.name.endswith(".run") else path.with_name(path.name + ".run")
