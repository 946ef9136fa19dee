"""Makes the report of a volume: from the run that makes it, or from what the run has left."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from hipct.acquisition.scan import Scan
from hipct.acquisition.series import Series
from hipct.core.errors import HipctError, InputError
from hipct.core.progress import Observer, Silent
from hipct.pipeline.work import Work
from hipct.quality.again import frames_again
from hipct.quality.evidence import Evidence, mapping
from hipct.quality.frames import FrameLook, look_at_frames
from hipct.quality.noted import said_of
from hipct.quality.report import RUN_REPORT, Report, write_report
from hipct.quality.voxels import Geometry, look_at_voxels
from hipct.volume.open import Volume, open_volume

NOT_LOOKED = "The projections were not looked at."
NOT_SEEN = "The projections could not be looked at:"


class WorkLook:
    """Looks at the projections of a run before it is delivered: what comes last is kept here.

    Pass an instance as ``before_delivery`` of :func:`hipct.pipeline.run.reconstruct`, then make the
    report of its volume with :meth:`report`.

    Parameters
    ----------
    observer : Observer, optional
        Told of the progress.
    """

    def __init__(self, observer: Observer | None = None) -> None:
        self._observer = observer or Silent()
        self._frames: FrameLook | None = None
        self._why = NOT_LOOKED
        self._seconds = 0.0

    def __call__(self, work: Work) -> None:
        """Look at the part in the middle; a run is not lost for what goes wrong here."""
        began = time.perf_counter()
        parts = work.plan.organ.parts
        middle = len(parts) // 2
        try:
            self._frames = look_at_frames(
                work.scans[middle], parts[middle], device=work.device, observer=self._observer
            )
        except Exception as error:  # Drivers and codecs have no common class of errors.
            self._why = f"{NOT_SEEN} {_said(error)}"
        self._seconds = time.perf_counter() - began

    def report(self, volume: str | Path) -> Report:
        """The report of the volume that the run has made.

        Raises
        ------
        HipctError
            If it cannot be opened.
        """
        return _report(open_volume(volume), lambda _: self._frames, self._why, self._seconds)

    def leave(self, volume: Path) -> tuple[Report, Path] | None:
        """Write the report beside the volume, in the place of an earlier one.

        Returns
        -------
        (Report, Path) or None
            Its page is ``NAME.quality.html``. None where it could not be made, which the observer
            is told: the volume is whole without it.
        """
        stem = volume.name.removesuffix(".zarr").removesuffix(".ome")
        try:
            report = self.report(volume)
            page, _ = write_report(report, volume.with_name(f"{stem}.quality.html"), overwrite=True)
        except Exception as error:  # As above: the run has succeeded, whatever this raises.
            self._observer.say(f"The report of {volume} could not be made: {_said(error)}")
            return None
        return report, page


def report_of(
    what: str | Path,
    *,
    scan: Scan | Series | str | Path | None = None,
    observer: Observer | None = None,
) -> Report:
    """The report of a volume, or of a run that is over.

    Parameters
    ----------
    what : path or str
        An OME-Zarr volume, here or on a server; or the ``NAME.report.json`` of a run.
    scan : Scan, Series or path, optional
        What it was made of; by default what the volume says, looked for from here and from the
        folder of the volume.
    observer : Observer, optional
        Told of the progress.

    Raises
    ------
    InputError
        If there is no such volume, or the run is not over. A ``scan`` that is not there, or is not
        what it was made of, is not looked at: ``report.evidence.frames_why`` says so.
    FormatError, RemoteError
        If it cannot be read.
    """
    observer = observer or Silent()
    volume = open_volume(_volume_of(str(what)))
    with ExitStack() as stack:

        def look(known: Mapping[str, Any]) -> FrameLook:
            return frames_again(known, Path(volume.address).parent, scan, stack, observer)

        return _report(volume, look, NOT_LOOKED)


def _report(
    volume: Volume,
    look: Callable[[Mapping[str, Any]], FrameLook | None],
    why: str,
    seconds: float = 0.0,
) -> Report:
    began = time.perf_counter()
    noted = mapping(volume.provenance)
    provenance = noted if "source" in noted else {}
    size = dict(zip(volume.axes, volume.shape))
    shape = size["z"], size["y"], size["x"]
    frames = voxels = None
    voxels_why = ""
    try:
        frames = look(provenance)
    except Exception as error:  # Drivers, codecs, and what others have noted.
        why = _said(error) if isinstance(error, HipctError) else f"{NOT_SEEN} {_said(error)}"
    known = Evidence(shape, provenance, None, frames, "", "" if frames is not None else why)
    try:
        voxels = look_at_voxels(volume, _geometry(known))
    except Exception as error:  # Codecs raise what they like on damaged bytes.
        voxels_why = f"The voxels could not be looked at: {_said(error)}"
    known = replace(known, voxels=voxels, voxels_why=voxels_why)
    return Report.of(volume.name, known, seconds + time.perf_counter() - began)


def _geometry(known: Evidence) -> Geometry:
    """What of the run decides how its voxels are judged, and what of it is damaged."""
    reasons: dict[str, str] = {}
    radius, centred, kernel = None, True, None
    try:
        radius, centred = known.radius_px, known.centred
    except Exception as error:
        reasons["rings"] = f"It could not be computed: {said_of(error)}"
        centred = False
    try:
        kernel = known.kernel_px
    except Exception as error:
        reasons["kernel"] = f"It could not be computed: {said_of(error)}"
    return Geometry(radius, centred, kernel, reasons)


def _volume_of(what: str) -> str:
    """The volume that is meant by a volume or a run."""
    name = what.rstrip("/")
    if name.endswith(".run"):
        raise InputError(
            f"{what} is the folder of a run that is not over; hipct status tells where it stands, "
            "and the report is made when it is."
        )
    if not name.endswith(RUN_REPORT):
        return what
    stem = name.removesuffix(RUN_REPORT)
    for end in (".ome.zarr", ".zarr"):
        if Path(stem + end).is_dir():
            return stem + end
    raise InputError(f"The volume of {what}, {stem}.ome.zarr, is not beside it; name the volume.")


def _said(error: BaseException) -> str:
    said = " ".join(str(error).split())
    # Of a KeyError the words are the key alone.
    if isinstance(error, LookupError):
        return f"{type(error).__name__} {said}"
    return said or type(error).__name__
