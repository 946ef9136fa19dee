"""DXchange HDF5 files (APS, TomoBank).

``exchange/data`` (theta, z, x), ``data_white``, ``data_dark``, ``theta``; see De Carlo et al.,
J. Synchrotron Rad. 21, 1224 (2014).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, get_args

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.acquisition import hdf5
from hipct.acquisition.angles import given_angles, no_angles
from hipct.acquisition.foreign import reading
from hipct.acquisition.scan import FrameKind, Kind, ScanInfo
from hipct.acquisition.units import (
    PLAUSIBLE_DISTANCE_M,
    PLAUSIBLE_ENERGY_KEV,
    PLAUSIBLE_PIXEL_M,
    Quantity,
    factor,
)
from hipct.core.errors import FormatError

_ENERGY = (
    "measurement/instrument/monochromator/energy",
    "measurement/instrument/source/energy",
    "measurement/instrument/beam/energy",
)
_PIXEL_SIZE = ("measurement/instrument/detector/actual_pixel_size_x",)
_DISTANCE = (
    "measurement/instrument/sample/setup/detector_distance",
    "measurement/sample/setup/detector_distance",
    "measurement/instrument/detector_motor_stack/setup/z",
)


# The motors under the sample: y is upright, x runs across the beam.
_POSITIONS = "measurement/instrument/sample_motor_stack/setup"
_START = ("process/acquisition/start_date",)


class DxchangeScan(hdf5.Hdf5Scan):
    """A scan in a DXchange file.

    Parameters
    ----------
    path : str or Path
        The file.
    angles : array_like or str, optional
        Angles in radians, or ``start:stop[:exclusive]`` in degrees, instead of the file's.

    Raises
    ------
    FormatError
        If the file is damaged or inconsistent.
    MissingMetadata
        If there are no angles in it and none were given.
    """

    def __init__(self, path: str | Path, *, angles: ArrayLike | str | None = None) -> None:
        super().__init__(path, "DXchange", partial(self._open, angles))

    def _open(self, angles: ArrayLike | str | None) -> None:
        notes: list[str] = []
        data = hdf5.find_dataset(self._file, "exchange/data")
        if data is None:
            raise FormatError(f"{self.path} holds no dataset exchange/data.")
        self._check_order(data)
        count = data.shape[0] if data.shape else 0
        self._frames: dict[FrameKind, hdf5.Frames] = {
            "projections": hdf5.Frames(data, np.arange(count))
        }
        if count == 0:
            raise FormatError(f"{self.path}:exchange/data holds no projections.")
        for kind, name in (("flats", "data_white"), ("darks", "data_dark")):
            self._frames[kind] = self._references(name, data)  # type: ignore[index]
        flats = self._frames["flats"].indices.size
        darks = self._frames["darks"].indices.size
        if flats or darks:
            notes.append(
                "DXchange does not say when flats and darks were taken; they count as taken "
                "before the first projection."
            )
        for frames in self._frames.values():
            notes += frames.never_written()
        self.row_chunk = self._frames["projections"].row_chunk
        self.angle_chunk = self._frames["projections"].angle_chunk
        angles_rad = given_angles(angles, count)
        if angles_rad is None:
            angles_rad = self._theta(count, notes)
        values = {
            "energy_kev": self._value(_ENERGY, "energy", PLAUSIBLE_ENERGY_KEV, notes),
            "pixel_m": self._value(_PIXEL_SIZE, "length", PLAUSIBLE_PIXEL_M, notes),
            "distance_m": self._value(_DISTANCE, "length", PLAUSIBLE_DISTANCE_M, notes),
        }
        pixel_m, distance_m = values["pixel_m"], values["distance_m"]
        if pixel_m is not None or distance_m is not None:
            notes.append(
                "Pixel size and distance were taken as effective: DXchange records no "
                "magnification by the beam's divergence."
            )
        self.info = ScanInfo(
            projections=count,
            rows=data.shape[1],
            columns=data.shape[2],
            dtype=data.dtype,
            angles_rad=angles_rad,
            pixel_size_um=None if pixel_m is None else abs(pixel_m) * 1e6,
            distance_m=None if distance_m is None else abs(distance_m),
            energy_kev=values["energy_kev"],
            flat_index=np.arange(-flats, 0, dtype=np.float64) - darks,
            dark_index=np.arange(-darks, 0, dtype=np.float64),
            kind=self._kind(notes),
            name=self.path.stem,
            start_time=self._start_time(),
            z_um=self._position("y", notes),
            lateral_um=self._position("x", notes),
            source=str(self.path),
            format="DXchange",
            notes=tuple(notes),
        )

    def _check_order(self, data: h5py.Dataset) -> None:
        axes = hdf5.text(data.attrs.get("axes"))
        if axes and not axes.lower().startswith(("theta", "angle", "rotation", "time")):
            raise FormatError(
                f"{self.path}:exchange/data has the axes {axes[:60]!r}; hipct reads theta:y:x only."
            )

    def _references(self, name: str, data: h5py.Dataset) -> hdf5.Frames:
        found = hdf5.find_dataset(self._file, f"exchange/{name}")
        if found is None or found.shape is None or found.shape[:1] == (0,):
            return hdf5.Frames(data, [])
        if len(found.shape) != 3 or found.shape[1:] != data.shape[1:]:
            raise FormatError(
                f"{self.path}:exchange/{name} has the shape {found.shape} beside projections of "
                f"{data.shape}; its frames have to be as large."
            )
        return hdf5.Frames(found, np.arange(found.shape[0]))

    def _theta(self, count: int, notes: list[str]) -> NDArray[np.float64]:
        theta = hdf5.find_dataset(self._file, "exchange/theta")
        if theta is None:
            raise no_angles(str(self.path), count, "there is no dataset exchange/theta")
        angles_rad, found = hdf5.angles_rad(theta)
        notes += found
        if angles_rad.size != count:
            raise FormatError(
                f"{self.path}:exchange/theta holds {angles_rad.size} angles for {count} "
                "projections; there has to be one each (or give them with --angles)."
            )
        if not np.isfinite(angles_rad).all():
            raise FormatError(
                f"{self.path}:exchange/theta[{int(np.argmin(np.isfinite(angles_rad)))}] is not a "
                "finite number; every projection needs its angle (or give them with --angles)."
            )
        return angles_rad

    def _value(
        self,
        paths: tuple[str, ...],
        kind: Quantity,
        plausible: tuple[float, float],
        notes: list[str],
    ) -> float | None:
        for path in paths:
            dataset = hdf5.find_dataset(self._file, path)
            if dataset is None:
                continue
            value, found = hdf5.quantity(dataset, kind, plausible)
            notes += found
            if value is not None:
                return value
        return None

    def _position(self, motor: str, notes: list[str]) -> float | None:
        """Where the sample stands in um; ``None`` if the file does not say."""
        dataset = hdf5.find_dataset(self._file, f"{_POSITIONS}/{motor}")
        if dataset is None or dataset.size == 0:
            return None
        unit, values = hdf5.unit_of(dataset), hdf5.vector(dataset)
        if unit is None or not np.isfinite(values).all():
            notes.append(f"{dataset.name} has no unit, or no finite value, and was left out.")
            return None
        try:
            return float(np.median(values)) * factor(unit, "length") * 1e6
        except FormatError:
            notes.append(f"{dataset.name} has the unknown unit {unit[:40]!r} and was left out.")
            return None

    def _start_time(self) -> str | None:
        dataset = hdf5.find_dataset(self._file, *_START)
        return None if dataset is None else hdf5.text(dataset) or None

    def _kind(self, notes: list[str]) -> Kind:
        said = hdf5.text(self._file.attrs.get("kind"))
        for kind in get_args(Kind):
            if said == kind:
                return kind  # type: ignore[no-any-return]
        if said is not None:
            notes.append(
                f"The file's attribute kind is {said[:60]!r}, which is none of "
                f"{', '.join(get_args(Kind))}; counts were taken."
            )
        return "counts"

    def _read_into(self, kind: FrameKind, frames: slice, rows: slice, out: NDArray[Any]) -> None:
        with reading(self.path, "DXchange"):
            self._frames[kind].read_into(frames.start, frames.stop, rows, out)
