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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.acquisition import hdf5
from hipct.acquisition.angles import given_angles, no_angles
from hipct.acquisition.bliss_geometry import BlissGeometry, motor_values, read_bliss_geometry
from hipct.acquisition.foreign import reading
from hipct.acquisition.scan import FrameKind, Scan, ScanInfo
from hipct.acquisition.tiff_frames import natural_key
from hipct.core.errors import FormatError, InputError

_BEGINNINGS = (
    "tomo:", "sequence_of_scans", "holotomo_distance", "multitomo", "multiturn", "pcotomo",
    "backandforth", "back_and_forth",
)  # fmt: skip
_TITLES: tuple[tuple[str, FrameKind], ...] = (
    ("dark", "darks"), ("flat", "flats"), ("reference images", "flats"), ("ref", "flats"),
    ("projections", "projections"),
)  # fmt: skip
_IMAGE_KEYS: dict[int, FrameKind] = {0: "projections", 1: "flats", 2: "darks"}
_SAME_HEIGHT_UM = 1.0


@dataclass(frozen=True)
class Part:
    """Frames of one entry.

    Attributes
    ----------
    kind : FrameKind
        What they are.
    entry : str
        Name of the entry.
    z_um : float or None
        Where the sample stood.
    """

    kind: FrameKind
    entry: str
    z_um: float | None


class BlissScan(Scan):
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
        self.path = Path(path)
        self._file = hdf5.open_hdf5(self.path)
        try:
            with reading(self.path, "BLISS"):
                self._open(entry, angles)
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _open(self, wanted: str | int | None, angles: ArrayLike | str | None) -> None:
        sequences = find_sequences(self._file)
        name = self._pick(sequences, wanted)
        parts = _parts_of(self._file, name)
        notes: list[str] = []
        if len(sequences) > 1:
            notes.append(f"The file holds {len(sequences)} scans; this is {name}.")
        first = self._file[name.partition("@")[0]]
        self._frames: dict[FrameKind, list[hdf5.Frames]] = {
            "projections": [], "flats": [], "darks": []
        }  # fmt: skip
        index: dict[FrameKind, list[NDArray[np.float64]]] = {kind: [] for kind in self._frames}
        values: dict[str, list[NDArray[np.float64]]] = {"rotation": [], "current": []}
        flat_current: list[NDArray[np.float64]] = []
        heights: list[NDArray[np.float64]] = []
        time = 0
        detector = None
        for part in parts:
            group = self._file[part.entry]
            data, detector = _frames_of(group, first)
            frames = hdf5.Frames(data, np.arange(data.shape[0]))
            self._frames[part.kind].append(frames)
            count = frames.indices.size
            index[part.kind].append(np.arange(time, time + count, dtype=np.float64))
            time += count
            current = motor_values(group, first, "current", count, notes)
            if part.kind == "projections":
                for quantity, found in (
                    ("rotation", motor_values(group, first, "rotation", count, notes)),
                    ("current", current),
                ):
                    if found is not None:
                        values[quantity].append(found)
                z = motor_values(group, first, "translation_z", count, notes)
                if z is not None:
                    heights.append(z)
            elif part.kind == "flats" and current is not None:
                flat_current.append(current)
        if not self._frames["projections"]:
            raise FormatError(f"{self.path}:{name} holds no projections.")
        shapes = {frames.dataset.shape[1:] for kind in self._frames.values() for frames in kind}
        dtypes = {frames.dataset.dtype for kind in self._frames.values() for frames in kind}
        if len(shapes) > 1 or len(dtypes) > 1:
            raise FormatError(
                f"{self.path}:{name} holds frames of the sizes {sorted(shapes)} and the types "
                f"{sorted(map(str, dtypes))}; they have to agree."
            )
        before = min((positions[0] for positions in index["projections"]), default=0.0)
        projections = np.concatenate(index["projections"])
        angles_rad = given_angles(angles, projections.size)
        if angles_rad is None:
            angles_rad = self._angles(values["rotation"], projections.size)
        geometry = read_bliss_geometry(first, detector or "", notes)
        position = np.concatenate(heights) if heights else None
        flats = sum(positions.size for positions in index["flats"])
        self.row_chunk = self._frames["projections"][0].row_chunk
        self.angle_chunk = self._frames["projections"][0].angle_chunk
        self.info = self._info(
            name=name,
            sequences=sequences,
            index={kind: _joined(found) - before for kind, found in index.items()},
            angles_rad=angles_rad,
            geometry=geometry,
            z_um=position if position is not None and position.size == projections.size else None,
            current=_whole(values["current"], projections.size),
            flat_current=_whole(flat_current, flats),
            notes=notes,
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

    def _angles(self, found: list[NDArray[np.float64]], count: int) -> NDArray[np.float64]:
        angles = _whole(found, count)
        if angles is None:
            raise no_angles(str(self.path), count, "no rotation motor has a value a projection")
        return angles

    def _info(
        self,
        *,
        name: str,
        sequences: Sequence[str],
        index: dict[FrameKind, NDArray[np.float64]],
        angles_rad: NDArray[np.float64],
        geometry: BlissGeometry,
        z_um: NDArray[np.float64] | None,
        current: NDArray[np.float64] | None,
        flat_current: NDArray[np.float64] | None,
        notes: list[str],
    ) -> ScanInfo:
        frames = self._frames["projections"][0].dataset
        moving = z_um is not None and np.ptp(z_um) > _SAME_HEIGHT_UM
        known = current is not None and (flat_current is not None or not index["flats"].size)
        lateral = geometry.lateral_um
        axis = None
        if lateral is not None and geometry.pixel_size_um:
            axis = (frames.shape[2] - 1) / 2 + lateral / geometry.pixel_size_um
        return ScanInfo(
            projections=index["projections"].size,
            rows=frames.shape[1],
            columns=frames.shape[2],
            dtype=frames.dtype,
            angles_rad=angles_rad,
            acquisition=geometry.acquisition,
            pixel_size_um=geometry.pixel_size_um,
            distance_m=geometry.distance_m,
            energy_kev=geometry.energy_kev,
            rotation_axis_px=axis,
            projection_index=index["projections"],
            flat_index=index["flats"],
            dark_index=index["darks"],
            current=current if known else None,
            flat_current=flat_current if known else None,
            current_unit="mA" if known else None,
            name=self.path.stem if len(sequences) == 1 else f"{self.path.stem}-{name}",
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
            for part in self._frames[kind]:
                size = part.indices.size
                first, last = max(frames.start - begin, 0), min(frames.stop - begin, size)
                if first < last:
                    at = begin + first - frames.start
                    part.read_into(first, last, rows, out[at : at + last - first])
                begin += size


def find_sequences(file: h5py.File) -> list[str]:
    """Names of the tomographic scans of a BLISS file; empty if it is none."""
    found = []
    for name in _entries(file):
        if not _begins(file[name]):
            continue
        heights = _heights(_parts(file, name))
        found += [name] if len(heights) < 2 else [f"{name}@{k}" for k in range(len(heights))]
    return found


def _entries(file: h5py.File) -> list[str]:
    """Entries ``N.1`` that can be opened, in order."""
    names = [name for name in file if name.endswith(".1") and name[:-2].isdigit()]
    return [
        name
        for name in sorted(names, key=natural_key)
        if isinstance(hdf5.find(file, name), h5py.Group)
    ]


def _begins(entry: h5py.Group) -> bool:
    if hdf5.find_dataset(entry, "technique/scan_category") is not None:
        return True
    return _title(entry).startswith(_BEGINNINGS)


def _title(entry: h5py.Group) -> str:
    for name in ("technique/scan/sequence", "title"):
        dataset = hdf5.find_dataset(entry, name)
        said = None if dataset is None else hdf5.text(dataset)
        if said:
            return said
    return ""


def _kind(entry: h5py.Group) -> FrameKind | None:
    key = hdf5.find_dataset(entry, "technique/image_key")
    if key is not None and key.size == 1:
        return _IMAGE_KEYS.get(int(hdf5.vector(key)[0]))
    title = _title(entry)
    for beginning, kind in _TITLES:
        if title.startswith(beginning):
            return kind
    return None


def _parts(file: h5py.File, sequence: str) -> list[Part]:
    names = _entries(file)
    parts = []
    for name in names[names.index(sequence) + 1 :]:
        entry = file[name]
        if _begins(entry):
            break
        kind = _kind(entry)
        if kind is not None:
            z = motor_values(entry, file[sequence], "translation_z", None, [])
            still = z is not None and np.ptp(z) <= _SAME_HEIGHT_UM
            parts.append(Part(kind, name, float(np.median(z)) if still and z is not None else None))
    return parts


def _heights(parts: Sequence[Part]) -> list[float]:
    """Heights of the projections in the order in which they were visited."""
    heights: list[float] = []
    for part in parts:
        z = part.z_um
        if part.kind != "projections" or z is None:
            continue
        if all(abs(z - height) > _SAME_HEIGHT_UM for height in heights):
            heights.append(z)
    return heights


def _parts_of(file: h5py.File, name: str) -> list[Part]:
    """Parts of a scan: its projections, and the flats and darks of its height, or everyone's."""
    sequence, _, number = name.partition("@")
    parts = _parts(file, sequence)
    if not number:
        return parts
    height = _heights(parts)[int(number)]

    def here(part: Part) -> bool:
        return part.z_um is not None and abs(part.z_um - height) <= _SAME_HEIGHT_UM

    own = {part.kind for part in parts if here(part)}
    return [part for part in parts if here(part) or part.kind not in own]


def _frames_of(entry: h5py.Group, first: h5py.Group) -> tuple[h5py.Dataset, str]:
    named = hdf5.find_dataset(first, "technique/tomoconfig/detector")
    instrument = hdf5.find(entry, "instrument")
    names: list[str] = []
    if named is not None:
        names += [text for value in np.atleast_1d(named[()]) if (text := hdf5.text(value))]
    if isinstance(instrument, h5py.Group):
        names += [
            str(group.name).rsplit("/", 1)[-1]
            for group in hdf5.children_of_class(instrument, "NXdetector")
        ]
        names += [name for name in instrument if name not in names]
        for name in names:
            data = hdf5.find_dataset(instrument, f"{name}/data", f"{name}/image")
            if data is not None and data.shape is not None and len(data.shape) == 3:
                return data, name
    raise FormatError(
        f"{entry.file.filename}:{entry.name} holds no frames (instrument/<detector>/data with "
        "three dimensions)."
    )


def _joined(parts: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.concatenate(parts) if parts else np.empty(0)


def _whole(parts: list[NDArray[np.float64]], count: int) -> NDArray[np.float64] | None:
    joined = _joined(parts)
    return joined if joined.size == count and count else None
