"""Settings tuned by eye on a slice of a raw scan, from a window or from a notebook.

::

    with LiveScan("scan.zarr") as live:
        start = Tuning(live)
        smoother = start.changed({"phase.delta_beta": 2000, "rings.method": "sorting"})
        picture = smoother.slice(300)
        print(start.figures(300), smoother.figures(300))
        smoother.save("tuned.yaml")             # hipct reconstruct scan.zarr --config tuned.yaml
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.acquisition.scan import Scan
from hipct.acquisition.series import Series
from hipct.core.errors import MissingMetadata
from hipct.core.progress import Observer, Silent
from hipct.live.cancel import Asked
from hipct.live.figures import measured, picture_figures
from hipct.live.frame import Frame
from hipct.live.keep import config_text, settings_words, write_config
from hipct.live.knobs import Value, knob_of, knobs
from hipct.live.scan import LiveScan, Region
from hipct.pipeline.config import Config
from hipct.volume.figures import Figures


class Tuning:
    """A live scan, and what of its configuration is changed. It does not change itself.

    Parameters
    ----------
    live : LiveScan
        The scan under the configuration that the tuning starts from.

    Raises
    ------
    HipctError
        If what has to be known first cannot be found, e.g. the axis.
    """

    def __init__(self, live: LiveScan) -> None:
        self._start, self.live = live, live
        self.knobs = knobs(live)
        self.changes: dict[str, Value] = {}

    def changed(self, changes: Mapping[str, Value]) -> Tuning:
        """The same with settings replaced; what is set to where it started counts as unchanged.

        Parameters
        ----------
        changes : mapping
            Values by the keys of :attr:`knobs`, on top of earlier changes.

        Raises
        ------
        InputError
            If there is no such knob.
        HipctError
            If a value is not allowed, or the scan lacks what it needs.
        """
        kept = self.changes | dict(changes)
        initial = {key: knob_of(self.knobs, key).value for key in kept}
        return self._made({key: value for key, value in kept.items() if value != initial[key]})

    @property
    def start(self) -> Tuning:
        """Where it started: nothing changed."""
        return self._made({})

    @property
    def values(self) -> dict[str, Value | None]:
        """The values of all knobs."""
        return {knob.key: self.changes.get(knob.key, knob.value) for knob in self.knobs}

    @property
    def config(self) -> Config:
        """The configuration for a run that gives the same voxels: the axis stands in it."""
        return self.live.settled_config

    def slice(
        self,
        z: int,
        *,
        level: int = 0,
        region: Region | None = None,
        cancelled: Asked | None = None,
    ) -> NDArray[np.float32]:
        """A slice under these settings, or a region of it, in the frame of the start.

        Parameters
        ----------
        z, level, cancelled
            As in :meth:`hipct.live.scan.LiveScan.slice`, which also says what is raised.
        region : (slice, slice), optional
            Rows and columns in the slices that the start makes: where another axis makes them
            smaller or larger, it is the same place that is shown (:mod:`hipct.live.frame`).
        """
        frame = self._frame(level, region)
        own = self.live.slice(z, level=level, region=frame.own, cancelled=cancelled)
        return np.asarray(frame.placed(own), np.float32)

    def figures(
        self,
        z: int,
        *,
        level: int = 0,
        region: Region | None = None,
        cancelled: Asked | None = None,
    ) -> Figures:
        """Figures of a slice; see :func:`hipct.live.figures.picture_figures`."""
        picture = self.slice(z, level=level, region=region, cancelled=cancelled)
        return self.figures_of(picture, level=level, region=region)

    def figures_of(
        self, picture: NDArray[np.float32], *, level: int = 0, region: Region | None = None
    ) -> Figures:
        """Figures of what :meth:`slice` has made."""
        frame = self._frame(level, region)
        inside = frame.placed(measured(self.live, level)[frame.own])
        return picture_figures(self.live, picture, np.asarray(inside, bool), level=level)

    def text(self) -> str:
        """The configuration as YAML, with what each setting means."""
        return config_text(self.config, self._header())

    def words(self) -> list[str]:
        """The configuration as ``section.name=value``, for ``--set``."""
        return settings_words(self.config)

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the configuration for ``hipct reconstruct --config``.

        Raises
        ------
        OutputError
            If the file exists already, its name does not end in .yaml, or it cannot be written.
        """
        return write_config(self.config, path, header=self._header(), overwrite=overwrite)

    def _made(self, changes: dict[str, Value]) -> Tuning:
        other = object.__new__(Tuning)
        other._start, other.knobs, other.changes = self._start, self.knobs, changes
        other.live = self._start.with_config(_with(self._start.config, self._pinned(changes)))
        return other

    def _pinned(self, changes: dict[str, Value]) -> dict[str, Value]:
        """With delta/beta as its knob shows it: where none is given it follows the energy."""
        ratio = knob_of(self.knobs, "phase.delta_beta").value
        if "scan.energy_kev" not in changes or ratio is None:
            return changes
        return {"phase.delta_beta": ratio} | changes

    def _frame(self, level: int, region: Region | None) -> Frame:
        return Frame(self._start.shape[1:], self.live.shape[1:], level, region)

    def _header(self) -> str:
        source = self.live.settle().subject.scans[0].info.where
        return f"Tuned by eye on {source}. What is absent has its default."


def open_tunable(
    scan: Scan | Series | str | Path,
    config: Config | None = None,
    *,
    observer: Observer | None = None,
) -> LiveScan:
    """A live scan, without phase retrieval where the scan lacks what it needs.

    Energy, distance and pixel size can then be given while it is looked at.

    Raises
    ------
    HipctError
        If the scan cannot be opened or used.
    """
    config, observer = config or Config(), observer or Silent()
    try:
        return LiveScan(scan, config, observer=observer)
    except MissingMetadata as error:
        observer.say(f"The scan is looked at without phase retrieval. {error}")
    plain = _with(config, {"phase.method": "none", "unsharp.method": "none"})
    return LiveScan(scan, plain, observer=observer)


def _with(config: Config, changes: Mapping[str, Value]) -> Config:
    """A configuration with settings replaced."""
    sections: dict[str, dict[str, Any]] = config.model_dump()
    for key, value in changes.items():
        section, _, name = key.partition(".")
        sections[section][name] = value
    return Config(**sections)
