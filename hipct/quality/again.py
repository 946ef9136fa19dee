"""The projections of a volume that was made before: found, opened, and told by their checksums."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hipct.acquisition.open_any import open_any
from hipct.acquisition.scan import Scan
from hipct.acquisition.series import Series
from hipct.core.device import HOST
from hipct.core.errors import HipctError, InputError
from hipct.core.progress import Observer
from hipct.pipeline.config import Config
from hipct.pipeline.findings import Findings
from hipct.pipeline.job import fingerprint
from hipct.pipeline.ledger import Ledger
from hipct.pipeline.motion import Motion
from hipct.pipeline.organ import Part
from hipct.pipeline.report import StageClock
from hipct.pipeline.subject import Subject
from hipct.quality.evidence import NO_PROVENANCE, mapping, names_axis
from hipct.quality.frames import FrameLook, look_at_frames
from hipct.quality.noted import Noted, said_of


def frames_again(
    provenance: Mapping[str, Any],
    folder: Path,
    given: Scan | Series | str | Path | None,
    stack: ExitStack,
    observer: Observer,
) -> FrameLook:
    """Look at the projections that a volume was made of.

    Corrections are measured anew, of one sub-scan unless they come from all of the series; axis and
    motion are those of the run.

    Parameters
    ----------
    provenance : mapping
        What the volume says.
    folder : Path
        That of the volume.
    given : Scan, Series, path or None
        What it was made of; None: what it says.
    stack : ExitStack
        Closes what is opened.
    observer : Observer
        Told of the progress.

    Raises
    ------
    InputError
        If the scan is gone, or is another one.
    """
    if not names_axis(provenance):
        raise InputError(f"{NO_PROVENANCE} Its projections are not known.")
    what = given if given is not None else _where(provenance, folder)
    if isinstance(what, (Scan, Series)):
        opened = what
    else:
        opened = open_any(what)
        stack.callback(opened.close)
    subject, middle = Subject.of(opened), 0
    config = Config(**mapping(provenance.get("config")))
    said = Noted(provenance)
    noted = said.table("series").rows("sub_scans")
    if max(1, len(noted)) != len(subject.stations):
        raise InputError(
            f"{_name(what)} has {len(subject.stations)} heights and the volume was made of "
            f"{max(1, len(noted))}; give the scans that it was made of with --scan."
        )
    if noted:
        middle = len(noted) // 2
        # Rows that were asked for are those of the series.
        rows = config.scan.model_copy(update={"first_row": 0, "last_row": None})
        config = config.model_copy(update={"scan": rows})
    _refuse_other(provenance, subject, middle, what)
    if noted and not config.reference.from_series and config.double_flat.scope != "series":
        subject = Subject((subject.stations[middle],))
        place = 0
    else:
        place = middle
    ledger = Ledger(Path(stack.enter_context(TemporaryDirectory(prefix="hipct-"))))
    scans, parts = Findings(ledger, StageClock(), observer, HOST).parts(subject, config)
    part = parts[place]
    columns = part.job.info.columns
    of = noted[middle] if noted else said.table("estimates")
    # That of a half-acquisition may lie beside the detector.
    axis = of.number("axis_px", -columns, 2 * columns)
    part = replace(part, axis=axis, number=0, levels=None)
    if noted:
        y, x = of.numbers("centre_px", 2) or (0.0, 0.0)
        part = replace(part, centre_px=(y, x), name=of.text("name"))
    moved = mapping(provenance.get("motion")).get(part.name or "scan")
    if moved is not None:
        part = replace(part, motion=_motion(moved, part))
    return look_at_frames(scans[place], part, observer=observer)


def _motion(moved: Any, part: Part) -> Motion:
    try:
        return Motion.from_dict(dict(moved), part.job.info)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"The motion cannot be corrected as in the run. {said_of(error)}"
        ) from error


def _where(provenance: Mapping[str, Any], folder: Path) -> Path:
    """The scan that a volume names, from here or from the folder of the volume."""
    said = Noted(provenance)
    named = said.table("series").text("path") or said.table("source").text("path")
    if not named:
        raise InputError("The volume does not name its scan; give it with --scan.")
    for path in (Path(named), folder / named, folder / Path(named).name):
        if path.exists():
            return path
    raise InputError(
        f"The scan {named} is neither there nor beside the volume; give it with --scan if it has "
        "moved."
    )


def _refuse_other(provenance: Mapping[str, Any], subject: Subject, middle: int, what: Any) -> None:
    """Refuse scans that hold something else than the volume was made of."""
    known = Noted(provenance).table("source").texts("checksums")
    first = sum(len(station.scans) for station in subject.stations[:middle])
    scans = subject.stations[middle].scans
    if not known:
        return
    try:
        found = [fingerprint(scan) for scan in scans]
    except HipctError as error:
        raise InputError(f"{_name(what)} cannot be read: {error}") from error
    if found != known[first : first + len(found)]:
        raise InputError(
            f"{_name(what)} holds something else than the volume was made of (checksum "
            f"{', '.join(found)}, noted {', '.join(known[first : first + len(found)])}); give the "
            "right one with --scan."
        )


def _name(what: Any) -> str:
    if isinstance(what, Scan):
        return what.info.where
    return what.source if isinstance(what, Series) else str(what)
