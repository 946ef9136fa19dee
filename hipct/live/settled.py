"""What has to be known of a scan before any slice of it can be made: as a run finds it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from hipct.acquisition.scan import Scan
from hipct.core.device import HOST
from hipct.core.progress import Observer
from hipct.pipeline.config import Config
from hipct.pipeline.findings import Findings, with_axes
from hipct.pipeline.job import resolve
from hipct.pipeline.ledger import Ledger
from hipct.pipeline.organ import Organ, Part
from hipct.pipeline.report import StageClock
from hipct.pipeline.stations import station_config
from hipct.pipeline.subject import Subject
from hipct.pipeline.virtual import CAMERA

FOUND_BY = (*CAMERA, "quarter", "helical", "motion", "stitching")
"""Sections of the configuration by which more than the axis would be found anew."""

AFTER_LINES = ("rings", "polar", "half", "axis", "reconstruction", "volume", "compute")
"""Sections that change nothing before sinograms are made."""


_numbers = itertools.count()


@dataclass(frozen=True, eq=False)
class Settled:
    """Parts with axes, motion, places and corrections, for one configuration.

    Attributes
    ----------
    subject : Subject
        What is read.
    config : Config
    scans : tuple of Scan
        The scan of each part, joined from annuli or turns where it is.
    organ : Organ
        The parts in their places, and the rows that they make.
    number : int
        Tells findings apart; the same under another configuration.
    """

    subject: Subject
    config: Config
    scans: tuple[Scan, ...]
    organ: Organ
    number: int

    @classmethod
    def find(cls, subject: Subject, config: Config, folder: Path, observer: Observer) -> Settled:
        """Find all of it, in the way and in the order of a run.

        Parameters
        ----------
        subject : Subject
        config : Config
        folder : Path
            Where measured corrections are kept; it has to stay as long as what is returned.
        observer : Observer
            Told of progress and of what was found.
        """
        findings = Findings(Ledger(folder), StageClock(), observer, HOST)
        scans, parts = findings.parts(subject, config)
        axes = findings.axes(scans, parts)
        parts, axes = findings.motion(scans, parts, axes)
        if subject.of_series:
            placing = findings.placing(scans, parts, axes)
            placed, margin = placing.parts(parts), config.stitching.margin_px
            organ = Organ.of_series(placed, margin)
        else:
            organ = Organ(with_axes(parts, axes), parts[0].job.rows)
        return cls(subject, config, tuple(scans), organ, next(_numbers))

    def under(self, config: Config) -> Settled | None:
        """The same findings under another configuration; ``None`` where it needs other ones.

        The axis stays, unless the configuration gives it: what is found does not change while a
        person turns a knob of the phase.
        """
        if _values(config, FOUND_BY) != _values(self.config, FOUND_BY) or not self._same_axis(
            config
        ):
            return None
        old, new = self.config.scan, config.scan
        if (old.acquisition, old.pixel_size_um) != (new.acquisition, new.pixel_size_um):
            return None
        stations = self.subject.stations
        parts = tuple(
            self._part(part, scan, station_config(station, config))
            for part, scan, station in zip(self.organ.parts, self.scans, stations)
        )
        if self.subject.of_series:
            organ = Organ.of_series(parts, config.stitching.margin_px)
        else:
            organ = Organ(parts, parts[0].job.rows)
        return Settled(self.subject, config, self.scans, organ, self.number)

    def _same_axis(self, config: Config) -> bool:
        if config.axis == self.config.axis:
            return True
        # One value is that of a single part; those of a series follow from one another.
        return config.axis.value is not None and not self.subject.of_series

    def _part(self, part: Part, scan: Scan, asked: Config) -> Part:
        given = asked.axis.value
        axis = part.axis if given is None or self.subject.of_series else given
        return replace(part, job=resolve(scan, asked, of_series=self.subject.of_series), axis=axis)


def frames_key(config: Config) -> str:
    """Tells configurations apart whose frames differ, before anything looks at neighbours."""
    return _values(config, CAMERA)


def lines_key(config: Config) -> str:
    """Tells configurations apart whose line integrals differ, before rings are taken out."""
    return _values(config, set(Config.model_fields) - set(AFTER_LINES))


def slices_key(config: Config) -> str:
    """Tells configurations apart whose slices differ."""
    return _values(config, set(Config.model_fields) - {"compute"})


def _values(config: Config, sections: Iterable[str]) -> str:
    settings = config.as_dict()
    return json.dumps({name: settings[name] for name in sorted(sections)})
