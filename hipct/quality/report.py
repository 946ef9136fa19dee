"""The report of a volume: its figures and its lights, for a page and for programs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hipct.core.errors import InputError, OutputError
from hipct.core.files import refuse_existing, write_atomic, write_json
from hipct.quality.evidence import Evidence
from hipct.quality.judge_beam import beam_figures
from hipct.quality.judge_image import image_figures
from hipct.quality.judge_run import run_figures
from hipct.quality.lights import Figure, Light, worst

RUN_REPORT = ".report.json"
"""End of the name of what a run itself has left beside its volume."""


@dataclass(frozen=True, eq=False)
class Report:
    """What is said of a volume.

    Attributes
    ----------
    name : str
        Of the volume.
    evidence : Evidence
    figures : tuple of Figure
    seconds : float
        What looking has taken.
    """

    name: str
    evidence: Evidence
    figures: tuple[Figure, ...]
    seconds: float

    @classmethod
    def of(cls, name: str, evidence: Evidence, seconds: float) -> Report:
        """Judge what is known of a volume."""
        figures = (*run_figures(evidence), *image_figures(evidence), *beam_figures(evidence))
        return cls(name, evidence, figures, seconds)

    @property
    def light(self) -> Light:
        """The worst of all lights."""
        return worst([figure.light for figure in self.figures])

    def figure(self, key: str) -> Figure:
        """One of the figures, by its key."""
        return next(figure for figure in self.figures if figure.key == key)

    def count(self, light: Light) -> int:
        """How many figures have a light."""
        return sum(figure.light == light for figure in self.figures)

    @property
    def verdict(self) -> str:
        """All lights in one sentence."""
        told = [f"{self.count(light)} {light}" for light in ("red", "yellow", "green")]
        return f"{', '.join(told)}, {self.count('grey')} without a light"

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        known = self.evidence
        value: dict[str, Any] = {
            "volume": self.name,
            "shape": list(known.shape),
            "light": self.light,
            "figures": [figure.as_dict() for figure in self.figures],
            "seconds": round(self.seconds, 3),
            "seconds_of_frames": 0.0 if known.frames is None else round(known.frames.seconds, 3),
            "provenance": known.provenance,
        }
        if known.frames is not None and known.frames.resolution is not None:
            found = known.frames.resolution
            value["ring_correlation"] = {
                "cycles_per_voxel": found.frequency.tolist(),
                "correlation": found.correlation.tolist(),
                "half_bit": found.threshold.tolist(),
            }
        if known.voxels is not None:
            value["histogram"] = {
                "unit": known.voxels.unit,
                "edges": known.voxels.edges.tolist(),
                "counts": known.voxels.counts.tolist(),
            }
        finite: dict[str, Any] = _finite(value)
        return finite


def write_report(report: Report, out: str | Path, *, overwrite: bool = False) -> tuple[Path, Path]:
    """Write a report as a page, and as JSON beside it.

    Parameters
    ----------
    report : Report
    out : path
        The page, ``NAME.html``; the other is ``NAME.json``.
    overwrite : bool
        Replace earlier ones.

    Returns
    -------
    (Path, Path)
        Page and JSON.

    Raises
    ------
    InputError
        If the name is not that of a page, or the JSON would be what a run has left.
    OutputError
        If a file exists, or cannot be written.
    """
    from hipct.quality.page import page

    files = report_files(out)
    for path in files:
        if not overwrite:
            refuse_existing(path)
    write_json(files[1], report.as_dict())
    write_atomic(files[0], page(report).encode())
    return files


def report_files(out: str | Path) -> tuple[Path, Path]:
    """Page and JSON of a report, once it is sure that they may have these names.

    Raises
    ------
    InputError
        If they may not.
    OutputError
        If the folder that they go to is not there.
    """
    html = Path(out)
    if html.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"The report is to be written to {out}; the name has to end in .html.")
    if not html.parent.is_dir():
        raise OutputError(
            f"The report is to be written to {out}, and there is no folder {html.parent}; make it, "
            "or choose another one."
        )
    beside = html.with_suffix(".json")
    if beside.name.endswith(RUN_REPORT):
        raise InputError(
            f"A report {html} would put its JSON in the place of {beside.name}, which is what a "
            "run leaves; choose another name, such as "
            f"{beside.name.removesuffix(RUN_REPORT)}.quality.html."
        )
    return html, beside


def _finite(value: Any) -> Any:
    """JSON values, with null for numbers that are not finite."""
    if isinstance(value, Mapping):
        return {str(name): _finite(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
