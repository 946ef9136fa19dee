"""One sample scanned at several distances: images of each view, below one another.

The scans have to agree in all that makes a view: rows, columns, pixel size, energy and angles. They
are told apart by their distance. Each has flats, darks and machine current of its own.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.acquisition.open_any import open_any
from hipct.acquisition.scan import FrameKind, Scan, ScanInfo
from hipct.core.errors import ConfigError, InputError
from hipct.pipeline.config import Config

_SAME_ANGLE_RAD = 1e-5
_SAME_SIZE = 1e-4


class DistancesScan(Scan):
    """A scan, and others of the same sample at other distances; to who reads it, the first.

    Parameters
    ----------
    first : Scan
        Whose views are reconstructed.
    others : sequence of Scan
        Closed when this is no longer used.
    info : ScanInfo, optional
        Metadata of the first scan as they are to be taken, where that is not as the file has them.

    Attributes
    ----------
    others : tuple of Scan
    distances_m : tuple of float
        Distance of each scan, that of the first one first.

    Raises
    ------
    InputError
        If the scans differ in more than their distance, or a distance is missing or taken twice.
    """

    def __init__(self, first: Scan, others: Sequence[Scan], info: ScanInfo | None = None) -> None:
        self.info, self._first, self.others = first.info, first, tuple(others)
        self.row_chunk, self.angle_chunk = first.row_chunk, first.angle_chunk
        taken = first.info if info is None else info
        for other in others:
            _refuse_difference(taken, other.info)
        found = [each.distance_m for each in (taken, *(scan.info for scan in others))]
        self.distances_m = tuple(0.0 if each is None else each for each in found)
        if not all(z > 0 for z in self.distances_m) or len(set(found)) < len(found):
            raise InputError(
                f"The scans of phase.scans and {first.info.where} have the distances "
                f"{', '.join('none' if z is None else f'{z:g} m' for z in found)}; each needs one "
                "of its own, above 0."
            )
        weakref.finalize(self, _close, self.others)

    def work_bytes(self, angles: int, rows: int) -> int:
        """Bytes that reading a block takes beside it."""
        return max(scan.work_bytes(angles, rows) for scan in (self._first, *self.others))

    def _read_into(self, kind: FrameKind, frames: slice, rows: slice, out: NDArray[Any]) -> None:
        self._first._read_into(kind, frames, rows, out)


def with_distances(scan: Scan, config: Config) -> Scan:
    """The scan together with those at other distances that the configuration names, if any.

    Raises
    ------
    ConfigError
        If the configuration asks for what several distances do not go with.
    InputError
        If a scan cannot be used.
    """
    if not config.phase.scans or isinstance(scan, DistancesScan):
        return scan
    refuse_with_distances(config)
    # What is overridden is settled later, with its notes, for all scans alike.
    info = scan.info.with_overrides(distance_m=config.scan.distance_m, **_overrides(config))
    return DistancesScan(scan, open_others(config), info)


def open_others(config: Config) -> list[Scan]:
    """The scans at other distances, opened.

    Raises
    ------
    InputError
        If one of them is a series, or cannot be opened.
    """
    opened: list[Scan] = []
    for path in config.phase.scans:
        other = open_any(path)
        if not isinstance(other, Scan):
            _close(opened)
            raise InputError(f"{path} is a series of sub-scans; phase.scans takes single scans.")
        # What is wrong in the file of one is wrong in those of all, but for the distance.
        opened.append(other.override(**_overrides(config)))
    return opened


def _overrides(config: Config) -> dict[str, Any]:
    """What a configuration says of the scans at all distances."""
    wanted = config.scan
    return {
        "energy_kev": wanted.energy_kev,
        "pixel_size_um": wanted.pixel_size_um,
        "acquisition": None if wanted.acquisition == "auto" else wanted.acquisition,
    }


def refuse_with_distances(config: Config) -> None:
    """Refuse what is measured for one scan and does not hold for those at other distances.

    Raises
    ------
    ConfigError
        Naming the setting.
    """
    asked = {
        "reference.path": config.reference.path is not None,
        "reference.from_series": config.reference.from_series,
        "dynamic_flat.enabled": config.dynamic_flat.enabled,
        "darkening.enabled": config.darkening.enabled,
        "double_flat.enabled": config.double_flat.enabled,
        "distortion.enabled": config.distortion.enabled,
        "motion.method": config.motion.method != "none" or config.motion.flag,
    }
    wrong = [name for name, given in asked.items() if given]
    if wrong:
        raise ConfigError(
            f"phase.scans takes scans at several distances, which goes with plain flats alone, and "
            f"{' and '.join(wrong)} is asked for; switch that off, or correct the scans first."
        )


def _refuse_difference(one: ScanInfo, two: ScanInfo) -> None:
    facts = {
        "projections": (one.projections, two.projections),
        "rows": (one.rows, two.rows),
        "columns": (one.columns, two.columns),
        "dtype": (str(one.dtype), str(two.dtype)),
        "acquisition": (one.acquisition, two.acquisition),
        "kind": (one.kind, two.kind),
    }
    for name in ("pixel_size_um", "energy_kev"):
        values = getattr(one, name), getattr(two, name)
        if None in values or abs(values[0] - values[1]) > _SAME_SIZE * values[0]:
            facts[name] = values
    wrong = [f"{name} {a} and {b}" for name, (a, b) in facts.items() if a != b]
    if not wrong and np.abs(one.angles_rad - two.angles_rad).max() > _SAME_ANGLE_RAD:
        wrong = ["other angles"]
    if wrong:
        raise InputError(
            f"{one.where} and {two.where} differ in more than their distance: {', '.join(wrong)}. "
            "Scans of phase.scans are not resampled; bring them onto one grid first."
        )


def _close(scans: Sequence[Scan]) -> None:
    for scan in scans:
        scan.close()
