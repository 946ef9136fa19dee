"""What the sub-scans of a series have to agree in, and where they have to overlap."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hipct.acquisition.scan import ScanInfo

ANGLES_MISSING = 0.005


@dataclass(frozen=True)
class Trait:
    """A quantity in which sub-scans have to agree.

    Attributes
    ----------
    name : str
        For messages, with its unit.
    value : callable
        Of a ScanInfo.
    relative, absolute : float
        Differences that are none.
    """

    name: str
    value: Callable[[ScanInfo], Any]
    relative: float = 0.0
    absolute: float = 0.0

    def same(self, one: Any, other: Any) -> bool:
        """Whether two values agree."""
        if isinstance(one, (int, float)) and isinstance(other, (int, float)):
            return math.isclose(one, other, rel_tol=self.relative, abs_tol=self.absolute)
        return bool(one == other)


def _coverage_deg(info: ScanInfo) -> float:
    """Angular range with the step after the last angle, in degrees."""
    return round(math.degrees(info.angular_range_rad + info.angular_step_rad), 3)


TRAITS = (
    Trait("energy_kev", lambda info: info.energy_kev, relative=1e-3),
    Trait("pixel_size_um", lambda info: info.pixel_size_um, relative=1e-4),
    Trait("distance_m", lambda info: info.distance_m, relative=1e-3),
    Trait("acquisition", lambda info: info.acquisition),
    Trait("number of columns", lambda info: info.columns),
    Trait("number of rows", lambda info: info.rows),
    Trait("kind of pixels", lambda info: info.kind),
    Trait("sub-frames summed", lambda info: info.subframes),
    Trait("number of projections", lambda info: info.projections, relative=ANGLES_MISSING),
    Trait("angular range in degrees", _coverage_deg, relative=ANGLES_MISSING, absolute=0.5),
)


def differences(names: Sequence[str], infos: Sequence[ScanInfo]) -> dict[int, list[str]]:
    """Which sub-scans differ from most of them, and in what.

    Parameters
    ----------
    names : sequence of str
        Of the sub-scans.
    infos : sequence of ScanInfo
        Of the same.

    Returns
    -------
    dict of int to list of str
        By the number of the sub-scan: ``"energy_kev is 88 and 90 in scan-000"``.
    """
    found: dict[int, list[str]] = {}
    for trait in TRAITS:
        values = [trait.value(info) for info in infos]
        usual = Counter(values).most_common(1)[0][0]
        example = names[values.index(usual)]
        for number, value in enumerate(values):
            if not trait.same(value, usual):
                found.setdefault(number, []).append(
                    f"{trait.name} is {_shown(value)} and {_shown(usual)} in {example}"
                )
    return found


@dataclass(frozen=True)
class Gap:
    """Rows of the common grid that no sub-scan holds, or that two only just hold.

    Attributes
    ----------
    above, below : str
        Names of the sub-scans on both sides, by z.
    first_row, last_row : float
        Where the first ends and the second begins, on the common grid; the same where they touch.
    z_um : (float, float)
        Positions of the two sub-scans.
    """

    above: str
    below: str
    first_row: float
    last_row: float
    z_um: tuple[float, float]

    @property
    def missing_rows(self) -> float:
        """Rows that are missing; 0 where the sub-scans touch without an overlap."""
        return max(self.last_row - self.first_row, 0.0)

    def __str__(self) -> str:
        place = (
            f"between {self.above} (z = {self.z_um[0]:.6g} um) and {self.below} "
            f"(z = {self.z_um[1]:.6g} um)"
        )
        if self.missing_rows > 0:
            return f"{self.missing_rows:.4g} rows are missing {place}"
        return f"there is no overlap {place}"


def gaps_between(
    names: Sequence[str],
    z_um: Sequence[float],
    offsets_px: Sequence[float],
    rows: int,
    *,
    least: float = 1.0,
) -> list[Gap]:
    """Neighbours, by z, that share fewer than ``least`` rows."""
    offsets = np.asarray(offsets_px, dtype=np.float64)
    found = []
    for k in range(offsets.size - 1):
        end, start = float(offsets[k] + rows), float(offsets[k + 1])
        if end - start < least:
            place = (float(z_um[k]), float(z_um[k + 1]))
            found.append(Gap(names[k], names[k + 1], end, max(start, end), place))
    return found


def _shown(value: object) -> str:
    if value is None:
        return "not known"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
