"""ESRF's BLISS master files, as far as they follow the layout that nxtomomill converts.

A file holds entries ``1.1``, ``2.1``, ... in the order in which they were taken. One whose
``technique/scan_category`` exists, or whose title begins with ``tomo:`` (or one of a few older
words), begins a sequence and holds its geometry; those up to the next one are its darks, flats and
projections, by ``technique/image_key`` or by their titles. Frames lie at
``instrument/<detector>/data``. A sequence whose projections stand at several heights (the first
version of z-series) counts as one scan a height.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_args

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.acquisition import hdf5
from hipct.acquisition.angles import given_angles, no_angles
from hipct.acquisition.bliss_entries import SAME_HEIGHT_UM, find_sequences, frames_of, parts_of
from hipct.acquisition.bliss_geometry import (
    BlissGeometry,
    Motor,
    motor_values,
    read_bliss_geometry,
)
from hipct.acquisition.foreign import reading
from hipct.acquisition.scan import FrameKind, ScanInfo
from hipct.core.errors import FormatError, InputError

_MOTORS: tuple[Motor, ...] = ("rotation", "translation_z", "current")


class _Taken:
    """Frames of one kind, from all entries that hold some, and the motors' values at each."""

    def __init__(self) -> None:
        self.frames: list[hdf5.Frames] = []
        self.index = np.empty(0)
        self.values: dict[Motor, list[NDArray[np.float64]]] = {motor: [] for motor in _MOTORS}

    @property
    def count(self) -> int:
        """Number of frames."""
        return int(self.index.size)

    def add(self, data: h5py.Dataset, time: int) -> int:
        """Take the frames of an entry, the first of them at ``time``; returns the next time."""
        frames = hdf5.Frames(data, np.arange(data.shape[0]))
        self.frames.append(frames)
        after = time + frames.indices.size
        self.index = np.concatenate([self.index, np.arange(time, after, dtype=np.float64)])
        return after

    def whole(self, motor: Motor) -> NDArray[np.float64] | None:
        """Values of a motor, one a frame; ``None`` if some entry does not say."""
        parts = self.values[motor]
        joined = np.concatenate(parts) if parts else np.empty(0)
        return joined if joined.size == self.count and self.count else None


class BlissScan(hdf5.Hdf5Scan):
    """One tomographic sequence of a BLISS file.

    Parameters
    ----------
    path : str or Path
        The master file.
    entry : str or int, optional
        Which sequence, by its name (``"1.1"``; ``"1.1@2"`` for its third height) or by number;
        the first by default.
    angles : array_like or str, optional
        Angles in radians, or ``start:stop[:exclusive]`` in degrees, instead of the file's.

    Raises
    ------
    InputError
        If there is no such sequence.
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
        super().__init__(path, "BLISS", partial(self._open, entry, angles))

    def _open(self, wanted: str | int | None, angles: ArrayLike | str | None) -> None:
        sequences = find_sequences(self._file)
        name = self._pick(sequences, wanted)
        notes: list[str] = []
        if len(sequences) > 1:
            notes.append(f"The file holds {len(sequences)} scans; this is {name}.")
        first = self._file[name.partition("@")[0]]
        taken = {kind: _Taken() for kind in get_args(FrameKind)}
        time = 0
        detector = ""
        for part in parts_of(self._file, name):
            group = self._file[part.entry]
            data, detector = frames_of(group, first)
            time = taken[part.kind].add(data, time)
            for motor in _MOTORS:
                found = motor_values(group, first, motor, data.shape[0], notes)
                if found is not None:
                    taken[part.kind].values[motor].append(found)
        if not taken["projections"].count:
            raise FormatError(f"{self.path}:{name} holds no projections.")
        if taken["returns"].whole("rotation") is None:
            taken["returns"] = _Taken()
        self._taken = taken
        self._refuse_mixed_frames(name)
        count = taken["projections"].count
        angles_rad = given_angles(angles, count)
        if angles_rad is None:
            angles_rad = taken["projections"].whole("rotation")
        if angles_rad is None:
            raise no_angles(str(self.path), count, "no rotation motor has a value a projection")
        frames = taken["projections"].frames[0]
        self.row_chunk, self.angle_chunk = frames.row_chunk, frames.angle_chunk
        self.info = self._info(
            name=self.path.stem if len(sequences) == 1 else f"{self.path.stem}-{name}",
            angles_rad=angles_rad,
            geometry=read_bliss_geometry(first, detector, notes),
            notes=notes,
        )

    def _refuse_mixed_frames(self, name: str) -> None:
        every = [frames.dataset for taken in self._taken.values() for frames in taken.frames]
        shapes = sorted({dataset.shape[1:] for dataset in every})
        dtypes = sorted({str(dataset.dtype) for dataset in every})
        if len(shapes) > 1 or len(dtypes) > 1:
            raise FormatError(
                f"{self.path}:{name} holds frames of the sizes {shapes} and the types {dtypes}; "
                "they have to agree."
            )

    def _pick(self, sequences: Sequence[str], wanted: str | int | None) -> str:
        shown = ", ".join(sequences[:8]) or "none"
        if not sequences:
            raise FormatError(f"{self.path} holds no tomographic sequence of BLISS.")
        if wanted is None:
            return sequences[0]
        if isinstance(wanted, int) and 0 <= wanted < len(sequences):
            return sequences[wanted]
        if wanted in sequences:
            return str(wanted)
        raise InputError(f"{self.path} has no scan called {wanted!r}; it holds {shown}.")

    def _info(
        self,
        *,
        name: str,
        angles_rad: NDArray[np.float64],
        geometry: BlissGeometry,
        notes: list[str],
    ) -> ScanInfo:
        projections, flats = self._taken["projections"], self._taken["flats"]
        frames = projections.frames[0].dataset
        z_um = projections.whole("translation_z")
        moving = z_um is not None and np.ptp(z_um) > SAME_HEIGHT_UM
        current, flat_current = projections.whole("current"), flats.whole("current")
        known = current is not None and (flat_current is not None or not flats.count)
        lateral = geometry.lateral_um
        axis = None
        if lateral is not None and geometry.pixel_size_um:
            axis = (frames.shape[2] - 1) / 2 + lateral / geometry.pixel_size_um
        begin = projections.index[0]
        returns = self._taken["returns"].whole("rotation")
        return ScanInfo(
            projections=projections.count,
            rows=frames.shape[1],
            columns=frames.shape[2],
            dtype=frames.dtype,
            angles_rad=angles_rad,
            acquisition=geometry.acquisition,
            pixel_size_um=geometry.pixel_size_um,
            distance_m=geometry.distance_m,
            energy_kev=geometry.energy_kev,
            rotation_axis_px=axis,
            projection_index=projections.index - begin,
            flat_index=flats.index - begin,
            dark_index=self._taken["darks"].index - begin,
            return_angles_rad=np.empty(0) if returns is None else returns,
            return_index=self._taken["returns"].index - begin,
            current=current if known else None,
            flat_current=flat_current if known and flats.count else None,
            current_unit="mA" if known else None,
            name=name,
            start_time=geometry.start_time,
            z_um=None if z_um is None else float(z_um.mean() if moving else np.median(z_um)),
            lateral_um=lateral,
            projection_z_um=z_um if moving else None,
            source=str(self.path),
            format="BLISS",
            notes=tuple(notes),
        )

    def _read_into(self, kind: FrameKind, frames: slice, rows: slice, out: NDArray[Any]) -> None:
        begin = 0
        with reading(self.path, "BLISS"):
            for part in self._taken[kind].frames:
                size = part.indices.size
                first, last = max(frames.start - begin, 0), min(frames.stop - begin, size)
                if first < last:
                    at = begin + first - frames.start
                    part.read_into(first, last, rows, out[at : at + last - first])
                begin += size
