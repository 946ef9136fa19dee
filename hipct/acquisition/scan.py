"""What a scan is: its geometry (:class:`ScanInfo`) and its frames (:class:`Scan`)."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from hipct.core.errors import InputError, MissingMetadata

Acquisition = Literal["full", "half"]
Kind = Literal["counts", "transmission", "line_integral"]
FrameKind = Literal["projections", "flats", "darks"]

_QUANTITIES = {
    "energy_kev": "the photon energy (keV)",
    "pixel_size_um": "the effective pixel size (um)",
    "distance_m": "the effective propagation distance (m)",
    "rotation_axis_px": "the rotation axis (detector column)",
}


def _empty() -> NDArray[np.float64]:
    return np.empty(0)


@dataclass(frozen=True, kw_only=True, eq=False)
class ScanInfo:
    """Geometry and bookkeeping of one scan. Checked when made, and not changed afterwards.

    Attributes
    ----------
    projections, rows, columns : int
        Numbers of projections, detector rows and detector columns.
    dtype : numpy.dtype
        Of the frames as stored.
    angles_rad : numpy.ndarray
        (projections,) float64, in the order of the projections; any order, any range.
    acquisition : {"full", "half"}
        ``half``: the rotation axis lies near (or beyond) a detector edge, 360 degrees.
    pixel_size_um, distance_m, energy_kev : float or None
        Effective values: a magnification has been applied once already. ``None``: not known.
    rotation_axis_px : float or None
        Hint from metadata: absolute detector column, pixel centres at integers.
    projection_index, flat_index, dark_index : numpy.ndarray
        Frame numbers in order of acquisition ("time"); negative before the first projection.
        An empty ``projection_index`` stands for 0, 1, 2...
    current, flat_current : numpy.ndarray or None
        Machine current of each projection and of each flat, as stored (NaN where unknown).
    current_unit : str or None
        Unit of both, e.g. ``"A"`` or ``"mA"``.
    subframes : int
        Camera frames summed into one stored frame.
    kind : {"counts", "transmission", "line_integral"}
        What the pixels of the projections hold.
    source, format : str
        The file and how it was read.
    notes : tuple of str
        What the reader found or had to decide, as sentences.
    """

    projections: int
    rows: int
    columns: int
    dtype: np.dtype[Any]
    angles_rad: NDArray[np.float64]
    acquisition: Acquisition = "full"
    pixel_size_um: float | None = None
    distance_m: float | None = None
    energy_kev: float | None = None
    rotation_axis_px: float | None = None
    projection_index: NDArray[np.float64] = field(default_factory=_empty)
    flat_index: NDArray[np.float64] = field(default_factory=_empty)
    dark_index: NDArray[np.float64] = field(default_factory=_empty)
    current: NDArray[np.float64] | None = None
    flat_current: NDArray[np.float64] | None = None
    current_unit: str | None = None
    subframes: int = 1
    kind: Kind = "counts"
    source: str = ""
    format: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("projections", "rows", "columns", "subframes"):
            self._set(name, _count(name, getattr(self, name)))
        dtype = np.dtype(self.dtype)
        if dtype.kind not in "uif":
            raise InputError(
                f"The frames of {self.where} are of type {dtype}; integers or floats are allowed."
            )
        self._set("dtype", dtype.newbyteorder("="))
        for name in ("pixel_size_um", "energy_kev"):
            self._set(name, _number(name, getattr(self, name), above=0.0))
        self._set("distance_m", _number("distance_m", self.distance_m, at_least=0.0))
        self._set("rotation_axis_px", _number("rotation_axis_px", self.rotation_axis_px))
        _one_of("acquisition", self.acquisition, get_args(Acquisition))
        _one_of("kind", self.kind, get_args(Kind))
        self._set("angles_rad", self._vector("angles_rad", self.projections))
        if np.size(self.projection_index) == 0:
            self._set("projection_index", np.arange(self.projections, dtype=np.float64))
        self._set("projection_index", self._vector("projection_index", self.projections))
        self._set("flat_index", self._vector("flat_index", None))
        self._set("dark_index", self._vector("dark_index", None))
        if self.current is not None:
            self._set("current", self._vector("current", self.projections, finite=False))
        if self.flat_current is not None:
            self._set("flat_current", self._vector("flat_current", self.flats, finite=False))
        self._set("notes", tuple(self.notes))

    @property
    def flats(self) -> int:
        """Number of flats."""
        return int(self.flat_index.size)

    @property
    def darks(self) -> int:
        """Number of darks."""
        return int(self.dark_index.size)

    @property
    def where(self) -> str:
        """The source, for messages."""
        return self.source or "this scan"

    @property
    def nbytes(self) -> int:
        """Bytes of all frames, uncompressed."""
        frames = self.projections + self.flats + self.darks
        return frames * self.rows * self.columns * self.dtype.itemsize

    @property
    def angular_range_rad(self) -> float:
        """Largest minus smallest angle: the end angle counts only if it was measured."""
        return float(np.ptp(self.angles_rad))

    @property
    def angular_step_rad(self) -> float:
        """Median distance between neighbouring angles; 0 for a single projection."""
        if self.projections < 2:
            return 0.0
        return float(np.median(np.diff(np.sort(self.angles_rad))))

    @property
    def suggests_half_acquisition(self) -> bool:
        """Whether a scan taken as full covers a whole turn, as half-acquisitions do."""
        turn = self.angular_range_rad + self.angular_step_rad
        return self.acquisition == "full" and turn > math.radians(350)

    def require(self, *names: str, purpose: str = "This step") -> tuple[float, ...]:
        """Values of ``names``, all of them known.

        Parameters
        ----------
        *names : str
            Of ``energy_kev``, ``pixel_size_um``, ``distance_m``, ``rotation_axis_px``.
        purpose : str
            What needs them, as the subject of a sentence.

        Raises
        ------
        MissingMetadata
            If the scan does not carry one of them.
        """
        missing = [name for name in names if getattr(self, name) is None]
        if missing:
            what = " and ".join(_QUANTITIES[name] for name in missing)
            how = " ".join(f"--set scan.{name}=..." for name in missing)
            raise MissingMetadata(
                f"{purpose} needs {what}, which {self.where} does not hold; give it with {how} "
                f"(Python: info.with_overrides({', '.join(f'{name}=...' for name in missing)}))."
            )
        return tuple(float(getattr(self, name)) for name in names)

    def with_overrides(
        self,
        *,
        energy_kev: float | None = None,
        distance_m: float | None = None,
        pixel_size_um: float | None = None,
        rotation_axis_px: float | None = None,
        acquisition: Acquisition | None = None,
        subframes: int | None = None,
        kind: Kind | None = None,
        angles_rad: NDArray[np.float64] | None = None,
    ) -> ScanInfo:
        """Return a copy with the given values instead of the file's; ``None`` keeps the file's.

        Each value that replaces another one is noted.

        Raises
        ------
        InputError
            If a value is not allowed.
        """
        given: dict[str, Any] = {
            "energy_kev": energy_kev,
            "distance_m": distance_m,
            "pixel_size_um": pixel_size_um,
            "rotation_axis_px": rotation_axis_px,
            "acquisition": acquisition,
            "subframes": subframes,
            "kind": kind,
        }
        changes = {name: value for name, value in given.items() if value is not None}
        notes = [
            f"scan.{name} was given as {value} (the file says {getattr(self, name)})."
            for name, value in changes.items()
            if getattr(self, name) is not None and getattr(self, name) != value
        ]
        if angles_rad is not None:
            changes["angles_rad"] = angles_rad
        return replace(self, **changes, notes=(*self.notes, *notes))

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _vector(self, name: str, count: int | None, *, finite: bool = True) -> NDArray[np.float64]:
        try:
            vector = np.array(getattr(self, name), dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(f"{name} of {self.where} are not numbers ({error}).") from error
        if vector.ndim != 1 or (count is not None and vector.size != count):
            wanted = "a list" if count is None else f"a list of {count}"
            raise InputError(
                f"{name} of {self.where} has the shape {vector.shape}; it has to be {wanted}."
            )
        if finite and not np.isfinite(vector).all():
            first = int(np.argmin(np.isfinite(vector)))
            raise InputError(
                f"{name}[{first}] of {self.where} is {vector[first]}; every value has to be finite."
            )
        vector.setflags(write=False)
        return vector


class Scan(ABC):
    """Frames of one scan, read where they lie. A context manager; reads may come from threads.

    Attributes
    ----------
    info : ScanInfo
        Geometry and bookkeeping.
    row_chunk, angle_chunk : int
        Reads aligned to multiples of these decode nothing that was not asked for.
    """

    info: ScanInfo
    row_chunk: int = 1
    angle_chunk: int = 1
    opened_by: tuple[Callable[..., Scan], dict[str, Any]] | None = None
    """How to open it again in another process: a function and its arguments."""

    def __reduce__(self) -> tuple[Any, ...]:
        if self.opened_by is None:
            raise InputError(
                f"{self.info.where} lives in this process alone; several processes can only share "
                "a scan that was opened from files (hipct.open_scan)."
            )
        return _open_again, (*self.opened_by, self.info)

    def read_projections(
        self, angles: slice, rows: slice, out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """Projections as stored.

        Parameters
        ----------
        angles, rows : slice
            Contiguous ranges inside the scan, step 1.
        out : numpy.ndarray, optional
            Where to put them: (angles, rows, columns), the scan's dtype, C-contiguous.

        Returns
        -------
        numpy.ndarray
            (angles, rows, columns), ``info.dtype``.

        Raises
        ------
        InputError
            If a range lies outside the scan, or ``out`` does not fit.
        FormatError
            If the file cannot be read there.
        """
        first, last = _range("angles", angles, self.info.projections)
        return self._read("projections", first, last, rows, out)

    def read_flats(self, rows: slice) -> NDArray[Any]:
        """Flats as stored: (flats, rows, columns), possibly 0 of them."""
        return self._read("flats", 0, self.info.flats, rows, None)

    def read_darks(self, rows: slice) -> NDArray[Any]:
        """Darks as stored: (darks, rows, columns), possibly 0 of them."""
        return self._read("darks", 0, self.info.darks, rows, None)

    def read_frames(self, kind: FrameKind, frames: slice) -> NDArray[Any]:
        """Whole frames of one kind: (frames, rows, columns)."""
        count: int = getattr(self.info, kind)
        first, last = _range(kind, frames, count)
        return self._read(kind, first, last, slice(None), None)

    def override(self, **values: Any) -> Self:
        """Replace values of ``info`` (see :meth:`ScanInfo.with_overrides`); returns the scan."""
        self.info = self.info.with_overrides(**values)
        return self

    @abstractmethod
    def _read_into(self, kind: FrameKind, frames: slice, rows: slice, out: NDArray[Any]) -> None:
        """Fill ``out`` (C-contiguous, native dtype); both slices have a start and a stop inside."""

    def close(self) -> None:  # noqa: B027 - a scan without open files has nothing to close
        """Close the files."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _read(
        self, kind: FrameKind, first: int, last: int, rows: slice, out: NDArray[Any] | None
    ) -> NDArray[Any]:
        top, bottom = _range("rows", rows, self.info.rows)
        shape = (last - first, bottom - top, self.info.columns)
        if out is None:
            out = np.empty(shape, self.info.dtype)
        elif out.shape != shape or out.dtype != self.info.dtype or not out.flags.c_contiguous:
            raise InputError(
                f"out has the shape {out.shape} and the dtype {out.dtype}; it has to be a "
                f"C-contiguous array of shape {shape} and dtype {self.info.dtype}."
            )
        if out.size:
            self._read_into(kind, slice(first, last), slice(top, bottom), out)
        return out


def _open_again(opener: Callable[..., Scan], arguments: dict[str, Any], info: ScanInfo) -> Scan:
    scan = opener(**arguments)
    scan.info = info
    return scan


def _range(name: str, wanted: slice, count: int) -> tuple[int, int]:
    first = 0 if wanted.start is None else int(wanted.start)
    last = count if wanted.stop is None else int(wanted.stop)
    if wanted.step not in (None, 1) or not 0 <= first <= last <= count:
        raise InputError(
            f"The range {first}:{last} (step {wanted.step or 1}) of {name} is not one inside "
            f"0:{count} with step 1."
        )
    return first, last


def _count(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise InputError(f"The scan has {name} = {value!r}; it has to be a whole number above 0.")
    return int(value)


def _number(
    name: str, value: object, *, above: float | None = None, at_least: float | None = None
) -> float | None:
    if value is None:
        return None
    limit = f"above {above:g}" if above is not None else f"of at least {at_least or 0:g}"
    allowed = "a finite number" + ("" if above is None and at_least is None else f" {limit}")
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise InputError(f"scan.{name} is {value!r}; it has to be {allowed}.") from error
    if (
        not math.isfinite(number)
        or (above is not None and number <= above)
        or (at_least is not None and number < at_least)
    ):
        raise InputError(f"scan.{name} is {number}; it has to be {allowed}.")
    return number


def _one_of(name: str, value: object, allowed: Iterable[str]) -> None:
    if value not in tuple(allowed):
        raise InputError(f"scan.{name} is {value!r}; it has to be one of {', '.join(allowed)}.")
