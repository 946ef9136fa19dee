"""NXtomo HDF5 files, versions 1.0 to 2.1: ESRF (``.nx``) and Diamond (``.nxs``).

Groups are found by ``NX_class`` and ``definition`` first and by their usual paths second.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.acquisition import hdf5
from hipct.acquisition.angles import given_angles, no_angles
from hipct.acquisition.foreign import reading
from hipct.acquisition.nxtomo_geometry import Geometry, read_geometry
from hipct.acquisition.nxtomo_groups import Groups, find_entries
from hipct.acquisition.nxtomo_position import read_position
from hipct.acquisition.scan import FrameKind, ScanInfo
from hipct.core.errors import FormatError, InputError

_KEYS: dict[FrameKind, int] = {"projections": 0, "flats": 1, "darks": 2}
_INVALID, _ALIGNMENT = 3, -1


class NxtomoScan(hdf5.Hdf5Scan):
    """One entry of an NXtomo file.

    Parameters
    ----------
    path : str or Path
        The file.
    entry : str or int, optional
        Which NXtomo entry, by path or by number; the first by default.
    angles : array_like or str, optional
        Angles in radians, or ``start:stop[:exclusive]`` in degrees, instead of the file's.

    Raises
    ------
    InputError
        If there is no such entry.
    FormatError
        If the file is damaged or inconsistent, or a link leads nowhere.
    MissingMetadata
        If there are no angles in it and none were given.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        entry: str | int | None = None,
        angles: ArrayLike | str | None = None,
    ) -> None:
        super().__init__(path, "NXtomo", partial(self._open, entry, angles))

    def _open(self, wanted: str | int | None, angles: ArrayLike | str | None) -> None:
        entries = find_entries(self._file)
        name = self._pick(entries, wanted)
        entry = self._file[name]
        notes = []
        if len(entries) > 1:
            notes.append(
                f"The file holds {len(entries)} scans ({_shown(entries)}); this is {name}."
            )
        groups = Groups(entry)
        data = hdf5.find_dataset(groups.detector, "data") if groups.detector is not None else None
        if data is None:
            data = hdf5.find_dataset(entry, "data/data", "instrument/detector/data")
        if data is None:
            raise FormatError(
                f"{self.path}:{name} holds no frames (instrument/detector/data); write it again "
                "from its source."
            )
        frames_by_kind = self._sort_frames(groups, data, notes)
        self._frames = {kind: hdf5.Frames(data, frames) for kind, frames in frames_by_kind.items()}
        notes += self._frames["projections"].never_written()
        self.row_chunk = self._frames["projections"].row_chunk
        self.angle_chunk = self._frames["projections"].angle_chunk
        projections = frames_by_kind["projections"]
        angles_rad = given_angles(angles, projections.size)
        if angles_rad is None:
            angles_rad = self._angles(groups, data.shape[0], projections, notes)
        returns = self._return_angles(groups, data.shape[0], frames_by_kind)
        geometry = read_geometry(groups, data.shape[2], notes)
        position = read_position(
            entry,
            groups.sample,
            projections=projections,
            frames=data.shape[0],
            pixel_size_um=geometry.pixel_size_um,
            notes=notes,
        )
        label = self.path.stem
        if len(entries) > 1:
            label += "-" + name.strip("/").replace("/", "-")
        current, unit = self._current(groups, data.shape[0], notes)
        self.info = self._info(
            data=data,
            frames=frames_by_kind,
            angles_rad=angles_rad,
            geometry=geometry,
            current=current,
            current_unit=unit,
            notes=notes,
        )
        self.info = replace(
            self.info,
            name=label,
            return_angles_rad=returns,
            return_index=frames_by_kind["returns"].astype(np.float64),
            start_time=_text_of(entry, "start_time"),
            z_um=position.z_um,
            lateral_um=position.lateral_um,
            projection_z_um=position.projection_z_um,
        )

    def _pick(self, entries: list[str], wanted: str | int | None) -> str:
        if not entries:
            raise FormatError(
                f"{self.path} holds no entry whose definition is NXtomo; its top groups are "
                f"{_shown(list(self._file))}."
            )
        if wanted is None:
            return entries[0]
        if isinstance(wanted, int):
            if not 0 <= wanted < len(entries):
                raise InputError(
                    f"{self.path} has no scan number {wanted}; it holds 0 to {len(entries) - 1} "
                    f"({_shown(entries)})."
                )
            return entries[wanted]
        for name in entries:
            if name.strip("/") == wanted.strip("/"):
                return name
        raise InputError(f"{self.path} has no scan called {wanted!r}; it holds {_shown(entries)}.")

    def _sort_frames(
        self, groups: Groups, data: h5py.Dataset, notes: list[str]
    ) -> dict[FrameKind, NDArray[np.intp]]:
        count = data.shape[0] if data.shape else 0
        control = self._keys(groups, "image_key_control", count)
        keys = self._keys(groups, "image_key", count)
        if keys is None:
            keys = control
        if keys is None:
            raise FormatError(
                f"{self.path}:{groups.entry.name} holds no image_key, so that projections, flats "
                "and darks cannot be told apart; write the file again with it."
            )
        aligned = control == _ALIGNMENT if control is not None else np.zeros(count, bool)
        aligned = aligned | (keys == _ALIGNMENT)
        invalid = (keys == _INVALID) & ~aligned
        known = np.isin(keys, [0, 1, 2]) | invalid | aligned
        if not known.all():
            raise FormatError(
                f"{self.path}: image_key[{int(np.argmin(known))}] is "
                f"{keys[np.argmin(known)]:g}; allowed are 0 projection, 1 flat, 2 dark, "
                "3 invalid (and -1 alignment)."
            )
        if aligned.any():
            notes.append(
                f"{int(aligned.sum())} alignment frames are no projections; they are kept as "
                "returns, to measure motion."
            )
        if invalid.any():
            notes.append(f"{int(invalid.sum())} frames marked invalid are left out.")
        sorted_frames = {
            kind: np.flatnonzero((keys == key) & ~aligned) for kind, key in _KEYS.items()
        }
        sorted_frames["returns"] = np.flatnonzero(aligned)
        if sorted_frames["projections"].size == 0:
            raise FormatError(
                f"{self.path}:{groups.entry.name} holds no projections (no image_key is 0)."
            )
        return sorted_frames

    def _keys(self, groups: Groups, name: str, count: int) -> NDArray[np.float64] | None:
        dataset = groups.in_detector(name)
        if dataset is None:
            dataset = hdf5.find_dataset(groups.entry, f"data/{name}")
        if dataset is None:
            return None
        keys = hdf5.vector(dataset)
        if keys.size != count:
            raise FormatError(
                f"{hdf5.where(dataset)} holds {keys.size} keys for {count} frames; there has to "
                "be one each."
            )
        return keys

    def _angles(
        self, groups: Groups, count: int, projections: NDArray[np.intp], notes: list[str]
    ) -> NDArray[np.float64]:
        dataset = groups.in_sample("rotation_angle")
        if dataset is None:
            dataset = hdf5.find_dataset(groups.entry, "data/rotation_angle")
        if dataset is None:
            raise no_angles(str(self.path), projections.size, "there is no sample/rotation_angle")
        angles, found = hdf5.angles_rad(dataset)
        notes += found
        if angles.size == count:
            angles = angles[projections]
        elif angles.size == projections.size:
            notes.append(f"{dataset.name} holds one angle a projection instead of one a frame.")
        else:
            raise FormatError(
                f"{hdf5.where(dataset)} holds {angles.size} angles for {count} frames; there has "
                "to be one each (or give them with --angles)."
            )
        if not np.isfinite(angles).all():
            raise FormatError(
                f"{hdf5.where(dataset)} is not a finite number at projection "
                f"{int(np.argmin(np.isfinite(angles)))}; every projection needs its angle (or "
                "give them with --angles)."
            )
        return angles

    def _return_angles(
        self, groups: Groups, count: int, frames: dict[FrameKind, NDArray[np.intp]]
    ) -> NDArray[np.float64]:
        """Angles of the returns; without them they are dropped from ``frames``."""
        dataset = groups.in_sample("rotation_angle")
        angles = np.empty(0) if dataset is None else hdf5.angles_rad(dataset)[0]
        if angles.size != count or not np.isfinite(angles[frames["returns"]]).all():
            frames["returns"] = np.empty(0, dtype=np.intp)
            return np.empty(0)
        return angles[frames["returns"]]

    def _current(
        self, groups: Groups, count: int, notes: list[str]
    ) -> tuple[NDArray[np.float64] | None, str | None]:
        dataset = groups.in_control("data")
        if dataset is None:
            return None, None
        values = hdf5.vector(dataset)
        if values.size != count:
            notes.append(
                f"{dataset.name} holds {values.size} values for {count} frames and was left out: "
                "the machine current is not known."
            )
            return None, None
        if not np.isfinite(values).any():
            return None, None
        return values, hdf5.unit_of(dataset)

    def _info(
        self,
        *,
        data: h5py.Dataset,
        frames: dict[FrameKind, NDArray[np.intp]],
        angles_rad: NDArray[np.float64],
        geometry: Geometry,
        current: NDArray[np.float64] | None,
        current_unit: str | None,
        notes: list[str],
    ) -> ScanInfo:
        return ScanInfo(
            projections=frames["projections"].size,
            rows=data.shape[1],
            columns=data.shape[2],
            dtype=data.dtype,
            angles_rad=angles_rad,
            acquisition=geometry.acquisition,
            pixel_size_um=geometry.pixel_size_um,
            distance_m=geometry.distance_m,
            energy_kev=geometry.energy_kev,
            rotation_axis_px=geometry.rotation_axis_px,
            projection_index=frames["projections"].astype(np.float64),
            flat_index=frames["flats"].astype(np.float64),
            dark_index=frames["darks"].astype(np.float64),
            current=None if current is None else current[frames["projections"]],
            flat_current=None if current is None else current[frames["flats"]],
            current_unit=current_unit,
            subframes=geometry.subframes,
            source=str(self.path),
            format="NXtomo",
            notes=tuple(notes),
        )

    def _read_into(self, kind: FrameKind, frames: slice, rows: slice, out: NDArray[Any]) -> None:
        with reading(self.path, "NXtomo"):
            self._frames[kind].read_into(frames.start, frames.stop, rows, out)


def _text_of(group: h5py.Group, name: str) -> str | None:
    dataset = hdf5.find_dataset(group, name)
    return None if dataset is None else hdf5.text(dataset) or None


def _shown(names: list[str]) -> str:
    shown = ", ".join(name.strip("/")[:60] for name in names[:8]) or "none"
    return shown + (f" and {len(names) - 8} more" if len(names) > 8 else "")
