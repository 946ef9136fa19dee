"""The entries of a BLISS file: which begin a sequence, which are its darks, flats, projections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import h5py
import numpy as np

from hipct.acquisition import hdf5
from hipct.acquisition.bliss_geometry import motor_values
from hipct.acquisition.scan import FrameKind
from hipct.acquisition.tiff_frames import natural_key
from hipct.core.errors import FormatError

_BEGINNINGS = (
    "tomo:", "sequence_of_scans", "holotomo_distance", "multitomo", "multiturn", "pcotomo",
    "backandforth", "back_and_forth",
)  # fmt: skip
_TITLES: tuple[tuple[str, FrameKind], ...] = (
    ("dark", "darks"), ("flat", "flats"), ("reference images", "flats"), ("ref", "flats"),
    ("projections", "projections"), ("static images", "returns"),
)  # fmt: skip
_IMAGE_KEYS: dict[int, FrameKind] = {
    0: "projections", 1: "flats", 2: "darks", -1: "returns",
}  # fmt: skip
SAME_HEIGHT_UM = 1.0


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
            still = z is not None and np.ptp(z) <= SAME_HEIGHT_UM
            parts.append(Part(kind, name, float(np.median(z)) if still and z is not None else None))
    return parts


def _heights(parts: Sequence[Part]) -> list[float]:
    """Heights of the projections in the order in which they were visited."""
    heights: list[float] = []
    for part in parts:
        z = part.z_um
        if part.kind != "projections" or z is None:
            continue
        if all(abs(z - height) > SAME_HEIGHT_UM for height in heights):
            heights.append(z)
    return heights


def parts_of(file: h5py.File, name: str) -> list[Part]:
    """Parts of a scan: its projections, and the flats and darks of its height, or everyone's."""
    sequence, _, number = name.partition("@")
    parts = _parts(file, sequence)
    if not number:
        return parts
    height = _heights(parts)[int(number)]

    def here(part: Part) -> bool:
        return part.z_um is not None and abs(part.z_um - height) <= SAME_HEIGHT_UM

    own = {part.kind for part in parts if here(part)}
    return [part for part in parts if here(part) or part.kind not in own]


def frames_of(entry: h5py.Group, first: h5py.Group) -> tuple[h5py.Dataset, str]:
    """Frames of an entry, and the name of the detector that ``first``, or its class, tells.

    Raises
    ------
    FormatError
        If it has none.
    """
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
