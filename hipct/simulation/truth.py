"""What a simulated scan was made from, beside it in its store: the organ, and where it stood."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import zarr
from numpy.typing import ArrayLike, NDArray

from hipct.acquisition.scan import Acquisition
from hipct.acquisition.store import StoreScan
from hipct.core.errors import FormatError, InputError
from hipct.simulation.fresnel import Imaging
from hipct.simulation.organ import Organ, Quantity
from hipct.simulation.primitives import Capsules, Quadrics

_TABLES = {
    "quadrics": {"centre": 3, "form": 9, "soft": 1, "mu": 1, "delta": 1},
    "capsules": {"start": 3, "end": 3, "radius": 1, "mu": 1, "delta": 1},
}
"""Columns that the fields of a table take in the store."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """How a simulated scan was taken.

    Attributes
    ----------
    acquisition : "full" or "half"
        Half: the axis lies near one edge, 360 degrees.
    rows, columns : int
        Of the detector.
    axis_px : float
        Detector column of the rotation axis.
    pixel_size_um, distance_m, energy_kev : float
        Effective pixel size and distance; 0 where nothing was propagated.
    blur_px : float
        Standard deviation of the detector's point spread in pixels.
    oversampling : int
        Fine samples along the edge of a pixel that the wave was computed on.
    seed : int
        Of everything random.
    """

    acquisition: Acquisition
    rows: int
    columns: int
    axis_px: float
    pixel_size_um: float
    distance_m: float
    energy_kev: float
    blur_px: float
    oversampling: int
    seed: int

    @property
    def imaging(self) -> Imaging:
        """The way from projections to pixels."""
        return Imaging(
            rows=self.rows,
            columns=self.columns,
            pixel_size_um=self.pixel_size_um,
            distance_m=self.distance_m,
            energy_kev=self.energy_kev,
            oversampling=self.oversampling,
            blur_px=self.blur_px,
        )


@dataclass(frozen=True)
class Truth:
    """The organ of a simulated scan, and how the scan was taken.

    Parameters
    ----------
    organ : Organ
        In the coordinates of the rotation axis and of the middle of the detector's rows.
    setup : Setup
        Geometry.
    """

    organ: Organ
    setup: Setup

    @property
    def size(self) -> int:
        """Columns of the reconstructed slice: the detector's, or the extended width."""
        if self.setup.acquisition == "full":
            return self.setup.columns
        axis, last = self.setup.axis_px, self.setup.columns - 1
        return math.ceil(2 * max(axis, last - axis) + 1)

    def volume(
        self,
        rows: slice = slice(None),
        *,
        size: int | None = None,
        supersampling: int = 4,
        weight: Quantity = "mu",
    ) -> NDArray[np.float32]:
        """True mean values of the voxels of a slab.

        Parameters
        ----------
        rows : slice
            Slices of the volume, which are rows of the detector.
        size : int, optional
            Voxels along x and y, the axis in their middle; :attr:`size` by default.
        supersampling : int
            Points along the edge of a voxel that a face crosses.
        weight : "mu" or "delta"
            What is wanted.

        Returns
        -------
        (slices, size, size) float32
            mu in 1/cm, or delta.
        """
        n = self.size if size is None else size
        if n < 1:
            raise InputError(f"size is {n}; give 1 or more voxels.")
        pixel = self.setup.pixel_size_um
        across = (np.arange(n) - (n - 1) / 2) * pixel
        z = (np.arange(self.setup.rows)[rows] - (self.setup.rows - 1) / 2) * pixel
        return self.organ.volume(
            z, across, across, voxel_um=pixel, supersampling=supersampling, weight=weight
        )

    def attenuation(self, angles_rad: ArrayLike) -> NDArray[np.float32]:
        """True ``mu t`` of views, blurred and averaged over pixels as the detector does it.

        Parameters
        ----------
        angles_rad : (angles,) array_like
            Angles in radians.

        Returns
        -------
        (angles, rows, columns) float32
        """
        imaging = self.setup.imaging
        z, u = imaging.row_samples, imaging.column_samples(self.setup.axis_px)
        views = []
        for angle in np.atleast_1d(np.asarray(angles_rad, dtype=np.float64)):
            fine = imaging.blank()
            self.organ.add_projection(fine, z, u, float(angle))
            views.append(imaging.on_pixels(fine))
        return np.stack(views)


class TruthSink(Protocol):
    """What takes a truth: the writer of a scan store, or of a series."""

    def write_truth(
        self, name: str, array: NDArray[Any], attributes: Mapping[str, Any] | None = None
    ) -> None:
        """Keep an array."""

    def write_truth_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Keep values."""


def write_truth(writer: TruthSink, truth: Truth) -> None:
    """Write the truth into the store of a scan that is being written.

    The setup becomes the attributes of the group ``truth``; each table of solids becomes an
    array of one row a solid, whose columns are named in its attributes.
    """
    writer.write_truth_attributes(asdict(truth.setup))
    for name, columns in _TABLES.items():
        table = getattr(truth.organ, name)
        rows = table.mu.size
        values = [
            np.asarray(getattr(table, field), dtype=np.float64).reshape(rows, width)
            for field, width in columns.items()
        ]
        names = [field for field, width in columns.items() for _ in range(width)]
        writer.write_truth(name, np.concatenate(values, axis=1), {"columns": names})


def load_truth(store: str | Path) -> Truth:
    """Truth of a simulated scan.

    Parameters
    ----------
    store : str or Path
        The scan store that :func:`hipct.simulation.simulate_scan` wrote.

    Returns
    -------
    Truth
        ``truth.volume(slice(0, 16))`` gives the true mu of 16 slices in 1/cm.

    Raises
    ------
    InputError
        If the scan is not a simulated one.
    FormatError
        If the truth is incomplete.
    """
    with StoreScan(store) as scan:
        group = scan.truth()
    return truth_of(group, store)


def truth_of(group: zarr.Group, store: str | Path) -> Truth:
    """Truth in a zarr group, which belongs to ``store`` for messages."""
    values: dict[str, Any] = dict(group.attrs)
    missing = [field.name for field in fields(Setup) if field.name not in values]
    if missing:
        raise FormatError(
            f"The truth of {store} lacks {', '.join(missing)}; simulate the scan again."
        )
    quadrics, capsules = _table(group, "quadrics"), _table(group, "capsules")
    quadrics["form"] = quadrics["form"].reshape(-1, 3, 3)
    organ = Organ(
        Quadrics(**(quadrics | {"soft": quadrics["soft"].astype(bool)})), Capsules(**capsules)
    )
    return Truth(organ, Setup(**{field.name: values[field.name] for field in fields(Setup)}))


def _table(group: zarr.Group, name: str) -> dict[str, Any]:
    array = group.get(name)
    widths = _TABLES[name]
    wanted = [field for field, width in widths.items() for _ in range(width)]
    if not isinstance(array, zarr.Array) or array.attrs.get("columns") != wanted:
        raise FormatError(
            f"The truth in {group.store_path} has no array {name} with the columns "
            f"{', '.join(widths)}; simulate the scan again."
        )
    values = np.asarray(array[...], dtype=np.float64)
    ends = np.cumsum(list(widths.values()))
    return {
        field: values[:, end - width] if width == 1 else values[:, end - width : end]
        for (field, width), end in zip(widths.items(), ends)
    }
