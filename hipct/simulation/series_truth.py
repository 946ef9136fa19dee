"""What a simulated series was made from: one organ, and where every sub-scan really stood."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray

from hipct.acquisition.foreign import reading
from hipct.core.errors import FormatError, InputError
from hipct.simulation.organ import Organ, Quantity
from hipct.simulation.truth import Truth, TruthSink, truth_of, write_truth

Annulus = Literal["inner", "outer", "only"]


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where one sub-scan stood, and how it differs from the others.

    Attributes
    ----------
    name : str
        Of the sub-scan in its series.
    rows, columns : int
        Of its detector.
    offset_px : float
        Row r of its detector lies at row ``offset_px + r`` of the common grid.
    motor_offset_px : float
        The same as the motors have it.
    axis_px : float
        Detector column of its rotation axis.
    y_px, x_px : float
        Translation of the sample in the plane of the slices: a point at (y, x) of the common
        grid falls on column ``axis_px + (x + x_px) cos a + (y + y_px) sin a``.
    level : float
        Its mu are those of the organ times this.
    darkening : (float, float)
        Light lost by its projections at its start and at its end; below 0: gained.
    motion_px : (float, float, float)
        How far the sample has moved in (x, y, z) at the end of the sub-scan: at the time t, which
        goes from 0 to 1 over the projections, by ``sqrt(t)`` of it.
    annulus : "inner", "outer" or "only"
        Which part of a quarter-acquisition it is.
    """

    name: str
    rows: int
    columns: int
    offset_px: float
    motor_offset_px: float
    axis_px: float
    y_px: float = 0.0
    x_px: float = 0.0
    level: float = 1.0
    darkening: tuple[float, float] = (0.0, 0.0)
    motion_px: tuple[float, float, float] = (0.0, 0.0, 0.0)
    annulus: Annulus = "only"


@dataclass(frozen=True)
class SeriesTruth:
    """The organ of a simulated series on the common grid, and its sub-scans.

    Parameters
    ----------
    whole : Truth
        The organ as one tall, wide scan without errors would see it.
    placements : tuple of Placement
        Sub-scans in the order of their z; inner before outer annuli.
    """

    whole: Truth
    placements: tuple[Placement, ...]

    @property
    def offsets_px(self) -> NDArray[np.float64]:
        """True rows of the common grid at which the sub-scans begin, (sub-scans,) float64."""
        return self._each("offset_px")

    @property
    def motor_offsets_px(self) -> NDArray[np.float64]:
        """The same as the motors have them, (sub-scans,) float64."""
        return self._each("motor_offset_px")

    @property
    def axes_px(self) -> NDArray[np.float64]:
        """Detector columns of the rotation axes, (sub-scans,) float64."""
        return self._each("axis_px")

    @property
    def levels(self) -> NDArray[np.float64]:
        """Factors on mu, (sub-scans,) float64."""
        return self._each("level")

    @property
    def lateral_px(self) -> NDArray[np.float64]:
        """Translations (y, x) of the sample in the slice, (sub-scans, 2) float64."""
        return np.column_stack([self._each("y_px"), self._each("x_px")])

    @property
    def rows(self) -> int:
        """Rows of the common grid."""
        return self.whole.setup.rows

    @property
    def size(self) -> int:
        """Voxels along x and y of a slice."""
        return self.whole.size

    def volume(
        self,
        rows: slice = slice(None),
        *,
        size: int | None = None,
        supersampling: int = 4,
        weight: Quantity = "mu",
    ) -> NDArray[np.float32]:
        """True mean values of voxels of the common grid; see :meth:`Truth.volume`."""
        return self.whole.volume(rows, size=size, supersampling=supersampling, weight=weight)

    def organ_seen_by(self, placement: Placement) -> Organ:
        """The organ in the coordinates of a sub-scan's axis and middle row, at its level."""
        pixel = self.whole.setup.pixel_size_um
        middle = placement.offset_px + (placement.rows - 1) / 2 - (self.rows - 1) / 2
        return self.whole.organ.moved(
            placement.x_px * pixel, placement.y_px * pixel, -middle * pixel
        ).scaled(placement.level)

    def motion_px(self, placement: Placement, time: NDArray[np.float64]) -> NDArray[np.float64]:
        """Translation (x, y, z) of the sample at times, (times, 3) float64; see Placement."""
        gone = np.sqrt(np.clip(time, 0.0, 1.0))
        moved: NDArray[np.float64] = gone[:, None] * np.array(placement.motion_px)
        return moved

    def truth_of(self, placement: Placement) -> Truth:
        """Truth of one sub-scan for itself."""
        setup = replace(
            self.whole.setup,
            rows=placement.rows,
            columns=placement.columns,
            axis_px=placement.axis_px,
        )
        return Truth(self.organ_seen_by(placement), setup)

    def _each(self, name: str) -> NDArray[np.float64]:
        return np.array([getattr(place, name) for place in self.placements], dtype=np.float64)


def write_series_truth(sink: TruthSink, truth: SeriesTruth) -> None:
    """Write the truth of a series into its store."""
    write_truth(sink, truth.whole)
    sink.write_truth_attributes({"placements": [asdict(place) for place in truth.placements]})


def load_series_truth(store: str | Path) -> SeriesTruth:
    """Truth of a simulated series.

    Parameters
    ----------
    store : str or Path
        The series store that :func:`hipct.simulation.simulate_series` wrote.

    Returns
    -------
    SeriesTruth

    Raises
    ------
    InputError
        If the series is not a simulated one.
    FormatError
        If the truth is incomplete.
    """
    path = Path(store)
    with reading(path, "series store"):
        group = zarr.open_group(path, mode="r").get("truth")
        if not isinstance(group, zarr.Group):
            raise InputError(f"{path} holds no truth; only simulated series do.")
        found: Any = group.attrs.get("placements")
        if not isinstance(found, list) or not found:
            raise FormatError(f"The truth of {path} holds no placements; simulate it again.")
        return SeriesTruth(truth_of(group, path), tuple(_placements(found)))


def _placements(found: list[dict[str, Any]]) -> Iterable[Placement]:
    known = {field.name for field in fields(Placement)}
    for values in found:
        chosen = {name: value for name, value in values.items() if name in known}
        yield Placement(
            **{
                **chosen,
                "darkening": tuple(chosen["darkening"]),
                "motion_px": tuple(chosen["motion_px"]),
            }
        )
