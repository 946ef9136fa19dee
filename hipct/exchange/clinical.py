"""Clinical volumes: NIfTI with its place in the patient, to be looked at beside HiP-CT.

World coordinates are micrometres (z, y, x) in LPS, the axes of DICOM: x runs to the patient's left,
y to the back (posterior), z to the head (superior). NIfTI itself says RAS: x to the right, y to the
front. A picture whose x runs to the right and whose y runs down is then the radiologist's view.
https://nifti.nimh.nih.gov/nifti-1/documentation/nifti1fields/nifti1fields_pages/qsform.html
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.core.errors import FormatError, InputError, OutputError
from hipct.core.files import free_bytes
from hipct.core.memory import format_bytes
from hipct.core.progress import Observer, Silent
from hipct.exchange.source_nifti import NiftiSource
from hipct.exchange.source_options import SourceOptions

Matrix = NDArray[np.float64]

_STAGE = "clinical volume"
_MICROMETRES = {"meter": 1e6, "mm": 1e3, "micron": 1.0, "unknown": 1e3}
_LARGEST_BYTES = 4_000_000_000
_COARSEST = 64
_LABELS = 1002
"""Intent of NIfTI: each voxel is an index into a list of labels."""
_PLANES_BYTES = 32_000_000
_SHOWN = (0.5, 99.5)


@dataclass(frozen=True, eq=False)
class ClinicalLevel:
    """A level of a clinical volume.

    Attributes
    ----------
    array : (z, y, x) in the order of the file, read where it is sliced; float32 in the values that
        the file means (Hounsfield units, ...), or labels as they are stored
    matrix : (4, 4) float64, from indices to LPS in micrometres (z, y, x)
    """

    array: Any
    matrix: Matrix


@dataclass(frozen=True, eq=False)
class ClinicalVolume:
    """A clinical volume.

    Attributes
    ----------
    levels : finest first; coarser ones are means of 2 x 2 x 2 voxels (labels: every second voxel)
    labels : whether the voxels are numbers of things
    display : values shown black and white
    notes : what had to be assumed, as sentences
    """

    address: str
    name: str
    levels: tuple[ClinicalLevel, ...]
    labels: bool
    display: tuple[float, float]
    notes: tuple[str, ...]


def is_clinical(path: Path | str) -> bool:
    """Whether a name is that of a NIfTI file.

    Examples
    --------
    >>> is_clinical("chest.nii.gz"), is_clinical("organ.ome.zarr")
    (True, False)
    """
    return str(path).lower().endswith((".nii", ".nii.gz"))


def open_clinical(path: Path | str, *, observer: Observer | None = None) -> ClinicalVolume:
    """Open a NIfTI file of one volume, and make its coarser levels.

    The voxels are read once. A compressed file is unpacked, and coarser levels are kept, in a file
    without a name that goes with the volume; of either no more than 32 MB is held in memory.

    Parameters
    ----------
    path : path
        ``.nii`` or ``.nii.gz``.
    observer : Observer, optional
        Told of every slice.

    Raises
    ------
    InputError
        If the file does not exist, or is too large to be read before it is shown.
    FormatError
        If it is no NIfTI, damaged, or its affine has no inverse.
    OutputError
        If the disk has no room for what is unpacked.
    MissingExtra
        If nibabel is not installed.
    """
    path, observer = Path(path), observer or Silent()
    if not path.is_file():
        raise InputError(f"{path} does not exist; give a NIfTI file, .nii or .nii.gz.")
    with NiftiSource(path, SourceOptions()) as source:
        nbytes = int(np.prod(source.shape)) * source.dtype.itemsize
        if nbytes > _LARGEST_BYTES:
            raise InputError(
                f"{path} has {format_bytes(nbytes)} of voxels, more than a NIfTI file is opened "
                f"with ({format_bytes(_LARGEST_BYTES)}); make a pyramid of it with hipct pyramid."
            )
        matrix, notes = nifti_matrix(source.header, str(path))
        labels = int(source.header["intent_code"]) == _LABELS and source.dtype.kind in "ui"
        observer.start(_STAGE, source.shape[0])
        finest = _finest(source, observer)
    levels: list[ClinicalLevel] = []
    array = _Voxels(finest, labels, source.value)
    while True:
        number = len(levels)
        shift = 0.0 if labels else 0.5 * (2**number - 1)
        place = np.diag([2.0**number] * 3 + [1.0])
        place[:3, 3] = shift
        levels.append(ClinicalLevel(array, matrix @ place))
        if max(array.shape) <= _COARSEST:
            break
        every = (slice(None, None, 2 ** (number + 1)),) * 3
        array = _Voxels(finest[every] if labels else _halved(array), labels)
    observer.finish(_STAGE)
    display = _display(source.header, levels[-1].array)
    return ClinicalVolume(
        str(path), clinical_name(path), tuple(levels), labels, display, tuple(notes)
    )


def clinical_name(path: Path | str) -> str:
    """Name of a file without its ending."""
    name = Path(path).name
    for ending in (".gz", ".nii"):
        name = name[: -len(ending)] if name.lower().endswith(ending) else name
    return name


def lps_matrix(ras: ArrayLike, to_um: float = 1e3) -> Matrix:
    """Matrix from indices (k, j, i) to LPS (z, y, x) in micrometres, of an affine of NIfTI.

    Parameters
    ----------
    ras : array-like, shape (4, 4)
        From indices (i, j, k), the first one running fastest, to RAS (x, y, z).
    to_um : float
        Micrometres of the affine's unit.

    Examples
    --------
    >>> lps_matrix([[2, 0, 0, 10], [0, 3, 0, 20], [0, 0, 4, 30], [0, 0, 0, 1]], 1.0)
    array([[  4.,   0.,   0.,  30.],
           [  0.,  -3.,   0., -20.],
           [  0.,   0.,  -2., -10.],
           [  0.,   0.,   0.,   1.]])
    """
    given = np.asarray(ras, np.float64)
    matrix = np.eye(4)
    matrix[:3, :3] = given[2::-1, 2::-1]
    matrix[:3, 3] = given[2::-1, 3]
    matrix[:3] *= to_um
    # Right becomes left and front becomes back; the head stays.
    matrix[1:3] *= -1
    # No negative zeros: they would be told.
    return matrix + 0.0


def nifti_matrix(header: Any, name: str) -> tuple[Matrix, list[str]]:
    """Matrix from indices (z, y, x) to the world in micrometres, of a header, and notes.

    The sform comes before the qform, as nibabel and others have it. A file without either, and
    one that ``hipct export`` wrote, knows no patient: its axes are taken as those of the volume.

    Raises
    ------
    FormatError
        If three directions do not come out of it.
    """
    notes = []
    unit = header.get_xyzt_units()[0]
    to_um = _MICROMETRES[unit]
    if unit == "unknown":
        notes.append(f"{name} does not say its unit of length; millimetres are assumed.")
    sform, s_code = header.get_sform(coded=True)
    qform, q_code = header.get_qform(coded=True)
    own = bytes(header["descrip"].tobytes()).startswith(b"hipct")
    if own or not (s_code or q_code):
        affine = np.diag([*(float(v) for v in header.get_zooms()[:3]), 1.0])
        affine = np.asarray(sform if s_code else affine, np.float64)
        matrix = lps_matrix(affine, to_um)
        matrix[1:3] *= -1
        notes.append(
            f"{name} was exported by hipct: its coordinates are those of the volume."
            if own
            else f"{name} does not say how it lies in a patient (neither sform nor qform); its "
            "voxels keep their order."
        )
    else:
        matrix = lps_matrix(sform if s_code else qform, to_um)
        if s_code and q_code:
            notes += _disagreement(header, sform, qform, name)
    size = np.linalg.norm(matrix[:3, :3], axis=0)
    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:3, :3])) <= 1e-6 * size.prod():
        raise FormatError(
            f"{name} has the affine {np.asarray(header.get_best_affine()).tolist()}, whose axes "
            "are no three directions; repair its sform."
        )
    return matrix, notes


def _disagreement(header: Any, sform: Matrix, qform: Matrix, name: str) -> list[str]:
    """A note where the two ways to say the place differ by more than half a voxel."""
    ends = np.array([*np.ndindex(2, 2, 2)]) * (np.array(header.get_data_shape()[:3]) - 1)
    first, second = (ends @ a[:3, :3].T + a[:3, 3] for a in (sform, qform))
    off = float(np.linalg.norm(first - second, axis=1).max())
    if off <= 0.5 * min(float(v) for v in header.get_zooms()[:3]):
        return []
    return [
        f"{name} has an sform and a qform that lie up to {off:.3g} "
        f"{header.get_xyzt_units()[0]} apart; the sform is taken."
    ]


def _finest(source: NiftiSource, observer: Observer) -> Any:
    """The voxels as a map of the file, or of a file without a name that they are unpacked to."""
    nz, ny, nx = source.shape
    if not source.in_order:
        observer.advance(_STAGE, nz)
        return source.mapped
    unpacked = _room(source.shape, source.dtype)
    step = max(1, _PLANES_BYTES // (ny * nx * source.dtype.itemsize))
    for start in range(0, nz, step):
        part = slice(start, min(start + step, nz))
        unpacked[part] = source.read(part)
        observer.advance(_STAGE, part.stop - part.start)
    return unpacked


def _room(shape: tuple[int, ...], dtype: Any) -> Any:
    """An array in a temporary file that has no name and goes with the array."""
    needed = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if free_bytes(Path(tempfile.gettempdir())) < needed:
        raise OutputError(
            f"{tempfile.gettempdir()} has no room for {format_bytes(needed)} of unpacked voxels; "
            "let TMPDIR name a folder that has."
        )
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, dtype, mode="w+", shape=shape)


class _Voxels:
    """Voxels as float32 in the values that the file means, or labels as they are stored."""

    def __init__(self, stored: Any, labels: bool, value: tuple[float, float] | None = None) -> None:
        self._stored, self.shape = stored, tuple(int(n) for n in stored.shape)
        self.dtype = stored.dtype.newbyteorder("=") if labels else np.dtype(np.float32)
        self._value = value

    def __getitem__(self, region: Any) -> NDArray[Any]:
        stored = np.asarray(self._stored[region])
        if self._value is None:
            return stored.astype(self.dtype)
        scale, offset = self._value
        # In float64 between, so that large integers with an offset keep their digits.
        return (stored * np.float64(scale) + offset).astype(self.dtype)


def _halved(array: Any) -> Any:
    """Means of 2 x 2 x 2 voxels, of those that exist at odd ends, in a temporary file."""
    shape = tuple(-(-n // 2) for n in array.shape)
    coarse = _room(shape, np.float32)
    step = max(1, _PLANES_BYTES // (8 * array.shape[1] * array.shape[2] * 2))
    for start in range(0, shape[0], step):
        stop = min(start + step, shape[0])
        block = array[2 * start : 2 * stop]
        pad = [(0, n % 2) for n in block.shape]
        block = np.pad(block, pad, mode="edge")
        z, y, x = (n // 2 for n in block.shape)
        coarse[start:stop] = block.reshape(z, 2, y, 2, x, 2).mean(axis=(1, 3, 5))
    return coarse


def _display(header: Any, coarsest: Any) -> tuple[float, float]:
    """What the file asks to be shown, or what holds most of its values."""
    low, high = float(header["cal_min"]), float(header["cal_max"])
    if high > low:
        return low, high
    values = np.asarray(coarsest[:], np.float64)
    values = values[np.isfinite(values)]
    quantile: Callable[..., Any] = np.percentile
    low, high = quantile(values, _SHOWN) if values.size else (0.0, 1.0)
    return (float(low), float(high)) if high > low else (float(low), float(low) + 1.0)
