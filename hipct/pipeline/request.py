"""What a run was asked for, kept in its folder, so that processes elsewhere do the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hipct.acquisition.open_any import open_any
from hipct.acquisition.scan import Scan
from hipct.acquisition.series import Series
from hipct.core.errors import FormatError, OutputError
from hipct.core.files import write_json
from hipct.core.run_folder import RunFolder
from hipct.pipeline.config import Config
from hipct.pipeline.job import resolve
from hipct.pipeline.subject import Subject

_FILE = "request.json"


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
        The configuration, by section and key.
    opening : mapping
        Options of :func:`hipct.acquisition.open_any.open_any`.
    allow_gaps, overwrite, allow_missing : bool
        Whether rows without data are stored as 0, an existing volume is replaced, and a volume
        gets its name even if some of its layers failed.
    """

    sources: tuple[str, ...]
    out: str
    config: Mapping[str, Any]
    opening: Mapping[str, Any] = field(default_factory=dict)
    allow_gaps: bool = False
    overwrite: bool = False
    allow_missing: bool = False

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

    def look(self) -> None:
        """Open what is read and see that no value is missing, before anything waits in a queue.

        Raises
        ------
        HipctError
            As a run would, of what can be known without reading projections.
        """
        config = self.settings()
        with self.open() as opened:
            subject = Subject.of(opened)
            for scan in subject.scans:
                resolve(scan, config, of_series=subject.of_series)

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
            return cls(**{**written, "sources": tuple(written["sources"])})
        except (KeyError, TypeError) as error:
            raise FormatError(
                f"{folder / _FILE} is of another version of hipct ({error}); submit the run again."
            ) from error


def run_folder(run: Path | str) -> Path:
    """Folder of a run, given itself or the volume that the run makes.

    Examples
    --------
    >>> str(run_folder("organ.ome.zarr")), str(run_folder("organ.ome.zarr.run"))
    ('organ.ome.zarr.run', 'organ.ome.zarr.run')
    """
    path = Path(run)
    return path if path.name.endswith(".run") else path.with_name(path.name + ".run")
